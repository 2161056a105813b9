//! containerd's configuration.

use std::path::Path;

use toml::{Table, Value};

use crate::Error;

/// containerd's configuration (its version 3): what Kubernetes needs said, all else being containerd's default. `patch`
/// is the user's, a TOML document merged over it table by table.
///
/// # Errors
/// [`Error::ContainerdPatch`].
pub(crate) fn configuration(
    install_dir: &Path,
    pause: &str,
    patch: Option<&str>,
) -> Result<String, Error> {
    let runc = install_dir.join("runc").display().to_string();
    let mut ours: Table = toml::toml! {
        version = 3
        [plugins."io.containerd.cri.v1.images".pinned_images]
        [plugins."io.containerd.cri.v1.runtime".cni]
        bin_dirs = ["/opt/cni/bin"]
        conf_dir = "/etc/cni/net.d"
        [plugins."io.containerd.cri.v1.runtime".containerd]
        default_runtime_name = "runc"
        [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
        runtime_type = "io.containerd.runc.v2"
        [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
        SystemdCgroup = true
    };
    let mut set = |path: &[&str], key: &str, value: &str| {
        let mut table = &mut ours;
        for part in path {
            table = table
                .entry((*part).to_owned())
                .or_insert_with(|| Value::Table(Table::new()))
                .as_table_mut()
                .expect("every part of these paths is a table above");
        }
        table.insert(key.to_owned(), Value::String(value.to_owned()));
    };
    set(
        &["plugins", "io.containerd.cri.v1.images", "pinned_images"],
        "sandbox",
        pause,
    );
    let options = [
        "plugins",
        "io.containerd.cri.v1.runtime",
        "containerd",
        "runtimes",
        "runc",
        "options",
    ];
    set(&options, "BinaryName", &runc);
    if let Some(patch) = patch {
        merge(
            &mut ours,
            patch.parse::<Table>().map_err(Error::ContainerdPatch)?,
        );
    }
    let text = toml::to_string(&ours).expect("tables of plain values become TOML");
    Ok(format!(
        "# Written by nodeadm. Say containerdPatch in the NodeConfiguration to change it.\n{text}"
    ))
}

/// Tables are merged key by key, all else is replaced.
fn merge(base: &mut Table, patch: Table) {
    for (key, value) in patch {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_patch_is_merged() {
        let patch = "[plugins.'io.containerd.cri.v1.runtime']\nrestrict_oom_score_adj = true\n";
        let text = configuration(
            Path::new("/opt/bin"),
            "registry.k8s.io/pause:3.10.2",
            Some(patch),
        )
        .unwrap();
        insta::assert_snapshot!(text, @r#"
        # Written by nodeadm. Say containerdPatch in the NodeConfiguration to change it.
        version = 3

        [plugins."io.containerd.cri.v1.images".pinned_images]
        sandbox = "registry.k8s.io/pause:3.10.2"

        [plugins."io.containerd.cri.v1.runtime"]
        restrict_oom_score_adj = true

        [plugins."io.containerd.cri.v1.runtime".cni]
        bin_dirs = ["/opt/cni/bin"]
        conf_dir = "/etc/cni/net.d"

        [plugins."io.containerd.cri.v1.runtime".containerd]
        default_runtime_name = "runc"

        [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
        runtime_type = "io.containerd.runc.v2"

        [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
        BinaryName = "/opt/bin/runc"
        SystemdCgroup = true
        "#);
    }

    #[test]
    fn a_broken_patch_is_refused() {
        let error = configuration(Path::new("/opt/bin"), "p", Some("a = ")).unwrap_err();
        assert_eq!(error.to_string(), "containerdPatch is not TOML");
    }
}
