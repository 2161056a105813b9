//! `cctl backup FILE`: what a lost cluster is brought back from, in one file here: etcd's data, the state, and every file
//! that the control planes' static pods name or mount (the `capsule` crate's `backup`). It is sealed for whom the state is
//! sealed for, its index signed by the key that signs the state; nothing of it ever lies here unsealed.
//!
//! What belongs to it is nodeadm's to know (`nodeadm files save`): cctl takes a host's files as one part.

pub(crate) mod opened;
mod verify;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use capsule::backup::{self, HostOf, Index, NAMESPACE, Part, STATE, part_of};
use capsule::{Metadata, files};
use cli::Context;
use host::{Digest, Pending};
use serde::Serialize;
use state::{Identity, Recipient, Secrets, State};

use crate::arguments::{ApplyArgs, Backup, BackupTake, BackupVerb};
use crate::fleet::{Remote, on_all};
use crate::recover::now;
use crate::session;
use crate::settings::{Settings, read_text};
use crate::tool::{self, ToolCall};
use crate::{Error, snapshot};
use opened::{lacking, untold, untold_hint};

/// Reading a few files.
const LIMIT: Duration = Duration::from_secs(120);

/// What `backup` prints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Taken {
    file: PathBuf,
    /// Of the file, in bytes.
    size: u64,
    /// Of the file as it lies here.
    sha256: Digest,
    cluster: String,
    /// Of the state.
    generation: u64,
    /// Which member the data is of.
    member: String,
    /// When it was taken, RFC 3339.
    taken_at: String,
    revision: i64,
    keys: u64,
    hosts: Vec<OfHost>,
    /// Control planes of which no files are in it.
    not_reached: Vec<String>,
    /// What hinders a recovery that brings all back.
    lacks: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OfHost {
    name: String,
    files: usize,
    /// What its static pods name and is not in the backup.
    left_out: Vec<api::LeftOut>,
}

pub(crate) fn run(
    context: &mut Context,
    settings: &Settings,
    args: &Backup,
) -> Result<(), cli::Error> {
    match &args.what {
        Some(BackupVerb::Verify(args)) => verify::run(context, settings, args),
        None => take(context, settings, &args.take),
    }
}

/// The state as it goes into the backup, and what signs and seals that.
struct Own<'s> {
    settings: &'s Settings,
    text: String,
    state: State,
    secrets: Secrets,
    recipients: Vec<Recipient>,
}

impl<'s> Own<'s> {
    /// That the key opens what is sealed is proven by it.
    fn read(settings: &'s Settings, identity: &Identity) -> Result<Self, Error> {
        let text = read_text(&settings.state)?;
        let state = state::check(&settings.state, &text, identity)?;
        let (_, secrets) = state::unseal(&settings.state, identity)?;
        let recipients = snapshot::recipients(&state)?;
        Ok(Self {
            settings,
            text,
            state,
            secrets,
            recipients,
        })
    }
}

fn take(context: &mut Context, settings: &Settings, args: &BackupTake) -> Result<(), cli::Error> {
    let path = args.file.as_deref().expect("clap asks for it");
    if path.exists() {
        let there = Error::Refused(format!("{} is there already", path.display()));
        return Err(
            cli::Error::from(there).hint("name another file: the older backup may be the good one")
        );
    }
    let known = state::read(&settings.state).map_err(Error::from)?;
    let identity = settings.identity(known.configuration().ssh.identity_file.as_deref())?;
    let own = Own::read(settings, &identity)?;
    let goal = session::goal(&ApplyArgs::default(), Some(&own.state))?;
    let looked = session::visit_reachable(context, &goal, &own.state, settings)?;
    let masters = goal.masters();
    let (reached, lost): (Vec<&String>, Vec<&String>) = masters
        .iter()
        .partition(|address| looked.fleet.contains_key(*address));
    let remotes: Vec<&Remote> = reached
        .iter()
        .map(|address| &looked.fleet[*address])
        .collect();
    if remotes.is_empty() {
        return Err(Error::Refused("no control plane can be reached".to_owned()).into());
    }
    context.progress.note(&format!(
        "take the files of {} control planes",
        remotes.len()
    ));
    let parts = on_all(
        &remotes,
        |remote| remote.address.clone(),
        |remote| files_of(remote, &args.include),
    )?;
    let mut index = Index {
        api_version: api::API_VERSION.to_owned(),
        kind: "Backup".to_owned(),
        cluster: own.state.cluster.metadata.name.clone(),
        cluster_id: own.state.cluster_id.clone(),
        generation: own.state.generation,
        taken_at: now(),
        snapshot: Part {
            name: String::new(),
            size: 0,
            sha256: String::new(),
        },
        parts: Vec::new(),
        hosts: parts.iter().map(|(host, _)| host.clone()).collect(),
        not_reached: lost.into_iter().cloned().collect(),
    };
    let metadata = snapshot::of_any_member(context, &goal, &looked.fleet, |remote| {
        write(remote, path, &own, &parts, &mut index)
    })?;
    print(context, path, &own.state, &index, metadata)
}

type HostPart = (HostOf, Vec<u8>);

/// What nodeadm prints of a control plane, whole.
fn files_of(remote: &Remote, include: &[PathBuf]) -> Result<HostPart, Error> {
    let include: String = include
        .iter()
        .map(|path| format!("{}\n", path.display()))
        .collect();
    let call = ToolCall {
        tool: "nodeadm",
        args: &["files", "save", "--include-from", "-"],
        input: &include,
        limit: LIMIT,
    };
    let mut bytes = Bounded(Vec::new());
    tool::pull(remote, &call, &mut bytes, &mut |_| {})?;
    let (index, _) = files::read(&mut &bytes.0[..]).map_err(|error| Error::Output {
        host: remote.label.clone(),
        what: call.words(),
        detail: error.to_string(),
    })?;
    let host = HostOf {
        address: remote.address.clone(),
        part: part_of(&remote.address),
        files: index,
    };
    Ok((host, bytes.0))
}

/// Takes as much as a host's files can be.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.0.len() + bytes.len()) as u64 > files::STREAM_LIMIT {
            return Err(io::Error::other("more came than a host's files can be"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The backup, with the snapshot that etcdadm takes from this host: sealed while it comes, renamed when it is whole.
fn write(
    remote: &Remote,
    path: &Path,
    own: &Own<'_>,
    parts: &[HostPart],
    index: &mut Index,
) -> Result<Metadata, Error> {
    let unwritten = |source| Error::Write {
        path: path.to_owned(),
        source,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let pending = BufWriter::new(Pending::new(path, 0o600)?);
    let sealing = state::sealing(path, &own.recipients, pending)?;
    let mut to = backup::Writer::new(sealing, now.map_or(0, |now| now.as_secs()));
    let (_, metadata) = snapshot::pull(remote, &["snapshot", "save", "-"], &mut to)?;
    to.end_snapshot().map_err(unwritten)?;
    to.add(STATE, own.text.as_bytes()).map_err(unwritten)?;
    for (host, bytes) in parts {
        to.add(&host.part, bytes).map_err(unwritten)?;
    }
    let signed = to.index(index).map_err(unwritten)?;
    let signature = state::sign_beside(&own.settings.state, &own.secrets, NAMESPACE, &signed)?;
    if !state::is_signed_beside(&own.state, NAMESPACE, &signed, &signature) {
        // Its key became another between two looks at it.
        return Err(Error::Refused(
            "the state was changed meanwhile: run it again".to_owned(),
        ));
    }
    let sealing = to.finish(&signature).map_err(unwritten)?;
    let mut pending = sealing.finish().map_err(unwritten)?;
    pending.flush().map_err(unwritten)?;
    let pending = pending
        .into_inner()
        .map_err(|error| unwritten(error.into_error()))?;
    pending.commit()?;
    Ok(metadata)
}

fn print(
    context: &mut Context,
    path: &Path,
    state: &State,
    index: &Index,
    metadata: Metadata,
) -> Result<(), cli::Error> {
    let (sha256, size) = digest(path)?;
    let documents = &state.ssh_cluster.spec.documents;
    let mut lacks = lacking(&index.hosts, documents);
    if let Some(untold) = untold(&index.hosts, documents) {
        lacks.push(format!("{untold}: {}", untold_hint()));
    }
    let taken = Taken {
        file: path.to_owned(),
        size,
        sha256,
        cluster: index.cluster.clone(),
        generation: index.generation,
        member: metadata.member,
        taken_at: metadata.taken_at,
        revision: metadata.hash.revision,
        keys: metadata.keys,
        hosts: index.hosts.iter().map(OfHost::new).collect(),
        not_reached: index.not_reached.clone(),
        lacks,
    };
    context.print(&taken, as_text)
}

/// Of the file as it lies here.
fn digest(path: &Path) -> Result<(Digest, u64), Error> {
    let read = File::open(path).and_then(Digest::of_reader);
    read.map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

impl OfHost {
    fn new(host: &HostOf) -> Self {
        let files = &host.files;
        Self {
            name: files.hostname.clone(),
            files: files.files.len(),
            left_out: files.left_out.clone(),
        }
    }
}

fn as_text(taken: &Taken) -> String {
    let mut text = format!(
        "{}: cluster {}, {} keys at revision {}, taken of {} at {}; state of generation {}; {:.1} MB, sealed\nsha256 {}\n",
        taken.file.display(),
        taken.cluster,
        taken.keys,
        taken.revision,
        taken.member,
        taken.taken_at,
        taken.generation,
        taken.size as f64 / 1e6,
        taken.sha256,
    );
    text += &hosts_as_text(&taken.hosts, &taken.not_reached);
    for lacking in &taken.lacks {
        text += &format!("LACKS: {lacking}\n");
    }
    text
}

fn hosts_as_text(hosts: &[OfHost], not_reached: &[String]) -> String {
    let mut text = String::new();
    for host in hosts {
        text += &format!("{}: {} files\n", host.name, host.files);
        for left in &host.left_out {
            text += &format!(
                "{}: NOT IN IT: {}: {} ({})\n",
                host.name, left.path, left.what, left.why
            );
        }
    }
    for host in not_reached {
        text += &format!("{host}: NOT IN IT: it could not be reached\n");
    }
    text
}

#[cfg(test)]
mod tests;
