//! `cctl backup verify FILE`: the proof that a cluster can be brought back from it, as far as it goes without a recovery.
//!
//! The archive is read to its end here: every part by its digest, the signatures, that this key opens it. Then etcd's data
//! is restored on a host, beside all else, served by a real etcd of its release, and compared. Nothing is left there.

use std::path::PathBuf;

use cli::Context;
use host::Digest;
use serde::Serialize;
use serde_json::Value;

use super::opened::Opened;
use super::{OfHost, digest, hosts_as_text};
use crate::Error;
use crate::arguments::{ApplyArgs, BackupVerify};
use crate::session::{self, Look};
use crate::settings::Settings;
use crate::work::recovery;

/// What `backup verify` prints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Verified {
    file: PathBuf,
    /// Of the file as it lies here.
    sha256: Digest,
    cluster: String,
    /// Of the state in it.
    generation: u64,
    /// When it was taken, RFC 3339.
    taken_at: String,
    recipients: usize,
    hosts: Vec<OfHost>,
    not_reached: Vec<String>,
    /// Where etcd's data was restored and served; none where no host was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    served: Option<Served>,
    /// What hinders a recovery that brings all back.
    lacks: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Served {
    host: String,
    /// As `etcdadm snapshot verify` prints it.
    etcd: Value,
}

pub(crate) fn run(
    context: &mut Context,
    settings: &Settings,
    args: &BackupVerify,
) -> Result<(), cli::Error> {
    // The state here may be the one that is lost.
    let known = session::read_state(settings)?;
    let login = known
        .as_ref()
        .map(|state| state.configuration().ssh.identity_file.clone());
    let identity = settings.identity(login.flatten().as_deref())?;
    context.progress.note("reading the backup");
    let opened = Opened::read(&args.file, identity, &args.signer, known.as_ref())?;
    let served = match args.offline {
        true => None,
        false => Some(serve(context, settings, &opened)?),
    };
    let index = &opened.index;
    let verified = Verified {
        file: args.file.clone(),
        sha256: digest(&args.file)?.0,
        cluster: index.cluster.clone(),
        generation: index.generation,
        taken_at: index.taken_at.clone(),
        recipients: opened.state.vouching.recipients.len(),
        hosts: index.hosts.iter().map(OfHost::new).collect(),
        not_reached: index.not_reached.clone(),
        served,
        lacks: opened.lacks(),
    };
    context.print(&verified, as_text)?;
    if verified.lacks.is_empty() {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "{}: a recovery from it does not bring all back: {}",
        args.file.display(),
        verified.lacks.join("; ")
    ))
    .into())
}

/// Has a host that can be reached restore and serve etcd's data.
fn serve(
    context: &mut Context,
    settings: &Settings,
    opened: &Opened,
) -> Result<Served, cli::Error> {
    let goal = session::goal(&ApplyArgs::default(), Some(&opened.state))?;
    let (looked, failures) =
        session::visit(context, &goal, Some(&opened.state), settings, Look::Facts)?;
    for failure in &failures {
        context.progress.note(&format!("left out: {failure}"));
    }
    let members = goal.members();
    let remote = members.iter().find_map(|address| looked.fleet.get(address));
    let nobody = || {
        let nobody = Error::Refused("no host of an etcd member can be reached".to_owned());
        cli::Error::from(nobody).hint("--offline checks the file alone")
    };
    let remote = remote.ok_or_else(nobody)?;
    let snapshot = &opened.snapshot;
    context.progress.note(&format!(
        "{}: restore etcd's data beside all else, and serve it",
        remote.label
    ));
    recovery::send_to(remote, snapshot, "backup")?;
    let path = recovery::path_of(snapshot, "backup");
    let version = format!(
        "v{}",
        snapshot.metadata.etcd_version.trim_start_matches('v')
    );
    let proven = recovery::prove_on(remote, &path, &version, &mut |_| {});
    recovery::remove(remote, &path)?;
    Ok(Served {
        host: remote.label.clone(),
        etcd: proven?,
    })
}

fn as_text(verified: &Verified) -> String {
    let mut text = format!(
        "{}: cluster {}, taken at {}; state of generation {}, sealed for {} recipients; every digest and signature is right\nsha256 {}\n",
        verified.file.display(),
        verified.cluster,
        verified.taken_at,
        verified.generation,
        verified.recipients,
        verified.sha256,
    );
    if let Some(Served { host, etcd }) = &verified.served {
        let number = |pointer: &str| {
            etcd.pointer(pointer)
                .map(Value::to_string)
                .unwrap_or_default()
        };
        text += &format!(
            "etcd's data was restored and served on {host}: {} keys, revision {}\n",
            number("/keys/count"),
            number("/revision"),
        );
    }
    text += &hosts_as_text(&verified.hosts, &verified.not_reached);
    for lacking in &verified.lacks {
        text += &format!("LACKS: {lacking}\n");
    }
    text
}
