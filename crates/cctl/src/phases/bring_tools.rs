//! The node tools brought to every host that lacks them, each under its digest, run only when it is what it should be.
//!
//! This is all that planning ever writes on a host.

use std::time::Duration;

use ssh::Call;
use state::State;

use crate::Error;
use crate::artifacts::{Artifacts, TOOLS, architecture};
use crate::fleet::{Fleet, Remote, ToolDigests};
use crate::put::{self, Place};

const LIMIT: Duration = Duration::from_secs(30);

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
    let found = put::digests(remote, &paths)?;
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

fn send(remote: &Remote, artifacts: &Artifacts, name: &'static str) -> Result<(), Error> {
    let Some(digest) = remote.tools.get(name).copied() else {
        return Err(Error::NoBundle(format!("{} has no {name}", remote.label)));
    };
    let path = remote.tool(name);
    let blob = artifacts.tool_blob(name, &remote.arch)?;
    let mut reader = artifacts.layout().blob(blob)?;
    let place = Place {
        path: &path,
        folder_mode: "0755",
        mode: "0755",
    };
    put::put(remote, &place, digest, &mut reader)
        .map_err(|error| error.of_bundle(&remote.label, artifacts.path()))
}

/// The digests as the state keeps them.
pub(crate) fn known(fleet: &Fleet) -> std::collections::BTreeMap<String, ToolDigests> {
    fleet
        .values()
        .map(|remote| (remote.arch.clone(), remote.tools.clone()))
        .collect()
}
