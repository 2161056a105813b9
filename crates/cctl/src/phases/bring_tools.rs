//! The node tools brought to every host that lacks them, each under its digest, run only when it is what it should be.
//!
//! This is all that planning ever writes on a host. The host's own coreutils do it: `sha256sum` looks, `dd` writes under
//! another name, `sha256sum` looks again, and only then the file gets its name.

use std::io::Read;
use std::time::Duration;

use host::Digest;
use ssh::Call;
use state::State;

use crate::Error;
use crate::artifacts::{Artifacts, TOOLS, architecture};
use crate::fleet::{BIN, Fleet, Remote, ToolDigests};
use crate::tool;

const LIMIT: Duration = Duration::from_secs(30);
const SEND_LIMIT: Duration = Duration::from_secs(600);

/// Brings them to one host; tells by `note` what is sent.
///
/// # Errors
/// When the host cannot be asked, or no bundle holds the tools for it.
pub(crate) fn bring_tools(
    remote: Remote,
    artifacts: Option<&Artifacts>,
    state: Option<&State>,
    note: &(dyn Fn(&Remote, &str) + Sync),
) -> Result<Remote, Error> {
    let arch = if remote.arch.is_empty() {
        ask_architecture(&remote)?
    } else {
        remote.arch.clone()
    };
    let tools = match (artifacts, state.and_then(|state| state.tools.get(&arch))) {
        (Some(artifacts), _) => artifacts.tools(&arch)?,
        (None, Some(known)) => known.clone(),
        (None, None) => {
            return Err(Error::NoBundle(format!(
                "{} has no node tools",
                remote.label
            )));
        }
    };
    let remote = Remote {
        arch,
        tools,
        ..remote
    };
    for name in missing(&remote)? {
        let Some(artifacts) = artifacts else {
            return Err(Error::NoBundle(format!(
                "{} has no {name} any more",
                remote.label
            )));
        };
        note(&remote, &format!("bring {name}"));
        send(&remote, artifacts, name)?;
    }
    Ok(remote)
}

fn ask_architecture(remote: &Remote) -> Result<String, Error> {
    let output = remote
        .connection
        .ask(&Call::new("/bin/uname", ["-m"]).as_user().within(LIMIT))?;
    let machine = String::from_utf8_lossy(&output).trim().to_owned();
    architecture(&machine)
        .map(str::to_owned)
        .ok_or_else(|| Error::Output {
            host: remote.label.clone(),
            what: "uname -m".to_owned(),
            detail: format!("{machine:?} is no architecture that the tools are made for"),
        })
}

/// The tools that are not there, or are there and not what they should be.
fn missing(remote: &Remote) -> Result<Vec<&'static str>, Error> {
    let paths = TOOLS.map(|name| remote.tool(name));
    let call = Call::new(
        "/usr/bin/sha256sum",
        ["--".to_owned()].into_iter().chain(paths.clone()),
    )
    .within(LIMIT);
    // It ends with 1 when one of them is not there, and prints the others all the same.
    let output = remote
        .connection
        .run(&call, &mut std::io::empty(), &mut |_| {})?;
    let found = digests(&output.text());
    let is_right = |name: &str, path: &String| {
        found
            .iter()
            .any(|(digest, at)| at == path && remote.tools.get(name) == Some(digest))
    };
    Ok(TOOLS
        .into_iter()
        .zip(&paths)
        .filter(|(name, path)| !is_right(name, path))
        .map(|(name, _)| name)
        .collect())
}

fn digests(text: &str) -> Vec<(Digest, String)> {
    let line = |line: &str| {
        let (digest, path) = line.split_once("  ")?;
        Some((digest.parse().ok()?, path.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

fn send(remote: &Remote, artifacts: &Artifacts, name: &'static str) -> Result<(), Error> {
    let path = remote.tool(name);
    let digest = remote.tools.get(name).copied();
    let folder = path.rsplit_once('/').map_or(BIN, |(folder, _)| folder);
    let half = format!("{path}.new");
    let blob = artifacts.tool_blob(name, &remote.arch)?;
    let mut reader = artifacts.layout().blob(blob)?;
    tool::ask(
        remote,
        "/usr/bin/install",
        &["-d", "-m", "0755", folder],
        LIMIT,
    )?;
    let of = format!("of={half}");
    let write = Call::new(
        "/bin/dd",
        [of.as_str(), "bs=256k", "status=none", "conv=fsync"],
    )
    .within(SEND_LIMIT);
    let output = remote
        .connection
        .run(&write, &mut Whole(&mut reader), &mut |_| {})
        .map_err(|error| Error::Ssh(error).of_bundle(&remote.label, artifacts.path()))?;
    if !output.success() {
        return Err(Error::Ssh(ssh::Error::Failed {
            host: remote.label.clone(),
            program: write.words(),
            code: output.code.unwrap_or(-1),
            stderr: output.stderr,
        }));
    }
    let sum = tool::ask(remote, "/usr/bin/sha256sum", &["--", &half], LIMIT)?;
    if digests(&String::from_utf8_lossy(&sum))
        .first()
        .map(|(found, _)| *found)
        != digest
    {
        return Err(Error::Output {
            host: remote.label.clone(),
            what: format!("sha256sum {half}"),
            detail: "what arrived is not what was sent".to_owned(),
        });
    }
    tool::ask(remote, "/bin/chmod", &["0755", &half], LIMIT)?;
    tool::ask(remote, "/bin/mv", &["-T", "--", &half, &path], LIMIT)?;
    Ok(())
}

/// Of a blob that is checked while it is read.
struct Whole<'a>(&'a mut (dyn Read + Send));

impl Read for Whole<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

/// The digests as the state keeps them.
pub(crate) fn known(fleet: &Fleet) -> std::collections::BTreeMap<String, ToolDigests> {
    fleet
        .values()
        .map(|remote| (remote.arch.clone(), remote.tools.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256sum_is_understood() {
        let digest = Digest::of(b"");
        let text = format!("{digest}  /var/cache/klusterkit/bin/x/nodeadm\nnonsense\nzz  /y\n");
        assert_eq!(
            digests(&text),
            [(digest, "/var/cache/klusterkit/bin/x/nodeadm".to_owned())]
        );
    }
}
