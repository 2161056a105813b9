//! What a recovery does with its snapshot and to kubelets.

use std::time::Duration;

use serde_json::Value;

use super::Hear;
use crate::Error;
use crate::execute::{Outcome, Shared};
use crate::fleet::{FOLDER, Remote};
use crate::put::{self, Place};
use crate::snapshot::Proven;
use crate::tool::{self, ToolCall};

/// Restoring some gigabytes and reading them takes a while.
const PROOF_LIMIT: Duration = Duration::from_secs(1800);
const LIMIT: Duration = Duration::from_secs(120);

fn snapshot<'a>(shared: &Shared<'a>) -> Result<&'a Proven, Error> {
    let missing = || Error::Refused("no snapshot is named".to_owned());
    shared.snapshot.ok_or_else(missing)
}

/// Where the snapshot lies on its host: named by its digest, so that what is there is what it is called.
pub(super) fn path(shared: &Shared<'_>) -> Result<String, Error> {
    Ok(path_of(snapshot(shared)?, "snapshot"))
}

/// The same for what it is there for; so that who looks at one does not take away what another needs.
pub(crate) fn path_of(snapshot: &Proven, purpose: &str) -> String {
    let digest = snapshot.digest.to_string();
    format!("{FOLDER}/{purpose}-{}.capsule", &digest[..16])
}

/// The release of etcd that the cluster has.
pub(super) fn version(shared: &Shared<'_>) -> String {
    shared.goal.configuration.etcd.version.to_string()
}

/// Sends the snapshot, unless it is there.
pub(super) fn send(shared: &Shared<'_>, remote: &Remote) -> Result<Outcome, Error> {
    send_to(remote, snapshot(shared)?, "snapshot")
}

/// Sends a snapshot to a host, for that purpose, unless it is there.
pub(crate) fn send_to(remote: &Remote, snapshot: &Proven, purpose: &str) -> Result<Outcome, Error> {
    let path = path_of(snapshot, purpose);
    let there = put::digests(remote, std::slice::from_ref(&path))?;
    if there == [(snapshot.digest, path.clone())] {
        return Ok(Outcome {
            note: Some("it is there".to_owned()),
            ..Outcome::default()
        });
    }
    let place = Place {
        path: &path,
        folder_mode: "0700",
        mode: "0600",
    };
    put::put(remote, &place, snapshot.digest, &mut snapshot.bytes()?)?;
    Ok(Outcome {
        note: Some(format!("{} MB", snapshot.metadata.size.div_ceil(1_000_000))),
        ..Outcome::default()
    })
}

/// Removes the copy that was sent: all Secrets of the cluster are in it, and the admin has the file.
pub(super) fn take_away(shared: &Shared<'_>, remote: &Remote) -> Result<(), Error> {
    remove(remote, &path(shared)?)
}

/// Removes what was sent.
pub(crate) fn remove(remote: &Remote, path: &str) -> Result<(), Error> {
    tool::ask(remote, "/bin/rm", &["-f", "--", path], LIMIT)?;
    Ok(())
}

/// Has etcdadm restore it in a place of its own and serve it.
pub(super) fn prove(
    shared: &Shared<'_>,
    remote: &Remote,
    hear: Hear<'_>,
) -> Result<Outcome, Error> {
    let found = prove_on(remote, &path(shared)?, &version(shared), hear)?;
    Ok(Outcome {
        note: found
            .pointer("/keys/count")
            .map(|count| format!("{count} keys")),
        ..Outcome::default()
    })
}

/// Has etcdadm restore what lies at `path` with this release, and serve it; what it says of it.
pub(crate) fn prove_on(
    remote: &Remote,
    path: &str,
    version: &str,
    hear: Hear<'_>,
) -> Result<Value, Error> {
    let call = ToolCall {
        tool: "etcdadm",
        args: &["snapshot", "verify", path, "--etcd-version", version],
        input: "",
        limit: PROOF_LIMIT,
    };
    tool::run(remote, &call, hear)
}

/// A kubelet that lost its API looks again after a back-off of half a minute: a new one does at once.
pub(super) fn restart_kubelet(remote: &Remote) -> Result<Outcome, Error> {
    tool::ask(
        remote,
        "/bin/systemctl",
        &["restart", "kubelet.service"],
        LIMIT,
    )?;
    Ok(Outcome::default())
}
