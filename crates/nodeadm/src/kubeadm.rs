//! kubeadm: its configuration ([`documents`]), and its phases run one by one.
//!
//! That a phase was run cannot always be observed, so each leaves a receipt with the digest of what it was run with.

mod documents;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use host::{Condition, Digest, Inspect, Run};
use serde_json::json;

pub(crate) use documents::{
    check_versions, discovery, init_documents, join_documents, kubelet_patch, taint_object, taints,
    token_in,
};

use crate::change::{Change, Kubeadm};
use crate::settings::Settings;
use crate::{Error, paths};

/// A receipt: which configuration a phase was run with.
#[must_use]
pub(crate) fn receipt(path: &Path, inputs: Digest) -> host::Change {
    host::Change::file(path, format!("{}\n", json!({"inputs": inputs})))
}

/// Where the receipt of a phase lies.
#[must_use]
pub(crate) fn receipt_path(name: &str) -> PathBuf {
    Path::new(paths::RECEIPTS).join(format!("kubeadm-{name}.json"))
}

/// What the receipt of a phase says that it was run with.
///
/// # Errors
/// When it cannot be read. One that makes no sense is none.
pub(crate) fn receipted(seen: &dyn Inspect, name: &str) -> Result<Option<Digest>, Error> {
    let Some(text) = seen.read_text(&receipt_path(name))? else {
        return Ok(None);
    };
    let fields: BTreeMap<String, Digest> = serde_json::from_str(&text).unwrap_or_default();
    Ok(fields.get("inputs").copied())
}

/// The digest of the configuration that lies on the host.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn inputs(seen: &dyn Inspect) -> Result<Digest, Error> {
    Ok(seen
        .digest(Path::new(paths::KUBEADM_CONFIG))?
        .unwrap_or_else(|| Digest::of(b"")))
}

/// `kubeadm ARGS --config …` with its receipt.
#[must_use]
pub(crate) fn phase(settings: &Settings, name: &str, args: &[&str], inputs: Digest) -> Kubeadm {
    let args = args
        .iter()
        .copied()
        .chain(["--config", paths::KUBEADM_CONFIG]);
    let run = Run::new(settings.program("kubeadm"), args).within(Duration::from_secs(180));
    Kubeadm {
        run,
        receipt: receipt_path(name),
        inputs,
        objects: Vec::new(),
    }
}

/// Plans a phase that makes files: it is due while one of them is missing or empty, or when it was run with something else.
///
/// kubeadm leaves its files to the kernel, which may not have written them when the host loses power: they are there then,
/// with nothing in them, and kubeadm would keep or refuse them.
///
/// # Errors
/// When the host cannot be read.
pub(crate) fn plan_files(
    seen: &dyn Inspect,
    settings: &Settings,
    name: &str,
    args: &[&str],
    files: &[PathBuf],
) -> Result<Vec<Change>, Error> {
    let inputs = inputs(seen)?;
    let mut due = receipted(seen, name)? != Some(inputs);
    let mut plan = Vec::new();
    for file in files {
        match seen.stat(file)? {
            None => due = true,
            Some(stat) if stat.size == 0 => {
                due = true;
                let path = file.clone();
                plan.push(host::Change::Remove { path }.into());
            }
            Some(_) => {}
        }
    }
    if !due {
        return Ok(Vec::new());
    }
    let mut change = phase(settings, name, args, inputs);
    change.run.makes = files.iter().cloned().map(Condition::Exists).collect();
    plan.push(Change::Kubeadm(change));
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use host::{Host, Memory, Nothing};

    use super::*;
    use crate::settings::tests::settings;

    #[test]
    fn a_file_that_a_power_loss_emptied_is_made_anew() {
        let mut seen = Memory::new(Nothing);
        let files = ["a.yaml", "b.yaml"].map(|name| Path::new(paths::MANIFESTS).join(name));
        for (file, text) in files.iter().zip(["kind: Pod", ""]) {
            seen.apply(&host::Change::file(file, text)).unwrap();
        }
        let args = ["init", "phase", "x"];
        let plan = plan_files(&seen, &settings(), "x", &args, &files).unwrap();
        let words: Vec<String> = plan.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(words.join("\n"), @r"
        remove /etc/kubernetes/manifests/b.yaml
        run /opt/bin/kubeadm init phase x --config /var/lib/nodeadm/kubeadm.json
        ");
    }
}
