//! `cctl backup verify FILE`: the proof that a cluster can be brought back from it, as far as it goes without a recovery.
//!
//! The archive is read to its end here: every part by its digest, the signatures, that this key opens it. Then etcd's data
//! is restored on a host, beside all else, served by a real etcd of its release, and compared; and an API server is started
//! on it there, kept apart from all else, and asked for every object (`nodeadm rehearse`). Nothing is left there.

use std::io::{self, Read};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use api::Rehearsal;
use cli::Context;
use host::Digest;
use pki::Certificate;
use serde::Serialize;
use serde_json::Value;
use state::State;

use super::opened::Opened;
use super::{OfHost, digest, hosts_as_text};
use crate::arguments::{ApplyArgs, BackupVerify};
use crate::fleet::Remote;
use crate::session::{self, Looked};
use crate::settings::Settings;
use crate::tool::{self, Event, ToolCall};
use crate::work::recovery;
use crate::{Error, Goal, documents, snapshot};

/// Restoring some gigabytes and reading every object takes a while.
const LIMIT: Duration = Duration::from_secs(1800);

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
    /// What an API server saw in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    rehearsed: Option<Rehearsal>,
    /// Why no API server was started on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_rehearsed: Option<String>,
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
    let opened = Opened::read(&args.file, identity.clone(), &args.signer, known.as_ref())?;
    let mut lacks = opened.lacks();
    lacks.extend(too_old(&opened.state));
    let (mut served, mut rehearsed, mut not_rehearsed) = (None, None, None);
    if !args.offline {
        let looked = reach(context, settings, &opened)?;
        served = Some(serve(context, &looked, &opened)?);
        match rehearse(context, &looked, &opened, &|| {
            snapshot::open(&args.file, &identity)
        })? {
            Ok(mut seen) => {
                for (kind, what) in &seen.failed {
                    lacks.push(format!("{kind} cannot be read: {what}"));
                }
                lacks.extend(other_authority(&seen, &opened.state));
                // It is compared; the state says it to whoever wants it.
                seen.root_ca.clear();
                rehearsed = Some(seen);
            }
            Err(why) => not_rehearsed = Some(why),
        }
    }
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
        rehearsed,
        not_rehearsed,
        lacks,
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

/// The authorities of the state that are valid no longer: what they would issue, nobody trusts.
fn too_old(state: &State) -> Vec<String> {
    let all = &state.authorities;
    let named = [
        ("Kubernetes", &all.kubernetes),
        ("front-proxy", &all.front_proxy),
        ("etcd", &all.etcd),
    ];
    let days = |text: &String| {
        let read = Certificate::parse(text.as_bytes()).ok();
        read.map(|certificate| certificate.days_left(SystemTime::now()))
    };
    let old = named
        .into_iter()
        .filter(|(_, text)| days(text).is_none_or(|days| days <= 0));
    old.map(|(name, _)| format!("the state's {name} authority is not valid any more"))
        .collect()
}

/// What a cluster's pods trust must be what the state issues by.
fn other_authority(seen: &Rehearsal, state: &State) -> Option<String> {
    let read = |text: &str| Certificate::parse(text.as_bytes()).ok();
    let (theirs, ours) = (read(&seen.root_ca)?, read(&state.authorities.kubernetes));
    let other = || "the cluster's pods trust another authority than the state's".to_owned();
    (Some(theirs) != ours).then(other)
}

/// The hosts that the state in the backup knows, as far as they can be reached.
fn reach(
    context: &mut Context,
    settings: &Settings,
    opened: &Opened,
) -> Result<Reached, cli::Error> {
    let goal = session::goal(&ApplyArgs::default(), Some(&opened.state))?;
    let looked = session::visit_reachable(context, &goal, &opened.state, settings)?;
    Ok(Reached { goal, looked })
}

struct Reached {
    goal: Goal,
    looked: Looked,
}

impl Reached {
    /// The first one with a member of etcd; of those that are control planes, too, if there is one.
    fn member(&self) -> Option<(&Remote, bool)> {
        let (members, masters) = (self.goal.members(), self.goal.masters());
        let fleet = &self.looked.fleet;
        let both = members.iter().filter(|address| masters.contains(address));
        let both = both.filter_map(|address| fleet.get(address)).next();
        let any = members.iter().find_map(|address| fleet.get(address));
        both.map(|remote| (remote, true))
            .or(any.map(|remote| (remote, false)))
    }
}

/// Has a host restore and serve etcd's data.
fn serve(context: &mut Context, reached: &Reached, opened: &Opened) -> Result<Served, cli::Error> {
    let nobody = || {
        let nobody = Error::Refused("no host of an etcd member can be reached".to_owned());
        cli::Error::from(nobody).hint("--offline checks the file alone")
    };
    let (remote, _) = reached.member().ok_or_else(nobody)?;
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

/// Has a control plane start an API server on the backup; or says why none can be started.
fn rehearse(
    context: &mut Context,
    reached: &Reached,
    opened: &Opened,
    open: &dyn Fn() -> Result<Box<dyn Read + Send>, Error>,
) -> Result<Result<Rehearsal, String>, cli::Error> {
    let hosts = opened.index.hosts.iter();
    let mut left = hosts.flat_map(|host| &host.files.left_out);
    if let Some(kms) = left.find(|left| left.path.contains("://")) {
        return Ok(Err(format!("{}: {}", kms.path, kms.what)));
    }
    let Some((remote, true)) = reached.member() else {
        return Ok(Err(
            "no control plane with a member of etcd can be reached".to_owned()
        ));
    };
    let folder = documents::etcd_folder(&reached.goal);
    let call = ToolCall {
        tool: "nodeadm",
        args: &["rehearse", "--etcd-dir", &folder],
        input: "",
        limit: LIMIT,
    };
    let mut hear = |event| {
        if let Event::Note { note } = event {
            context.progress.note(&format!("{}: {note}", remote.label));
        }
    };
    let mut first = Some(open()?);
    let mut again = || {
        let opened = first.take().map_or_else(open, Ok);
        // It was opened a moment ago; what is empty is refused there.
        opened.unwrap_or_else(|_| Box::new(io::empty()))
    };
    let printed = tool::run_raw(remote, &call, &mut again, &mut hear)?;
    let seen = serde_json::from_slice(&printed).map_err(|error| Error::Output {
        host: remote.label.clone(),
        what: call.words(),
        detail: error.to_string(),
    })?;
    Ok(Ok(seen))
}

/// What people want to know of first.
const WORKLOADS: [&str; 9] = [
    "namespaces",
    "deployments.apps",
    "statefulsets.apps",
    "daemonsets.apps",
    "pods",
    "services",
    "secrets",
    "configmaps",
    "persistentvolumes",
];

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
    if let Some(seen) = &verified.rehearsed {
        let objects: u64 = seen.kinds.values().sum();
        text += &format!(
            "an API server {} served it after {:.1} s: {objects} objects of {} kinds; nodes {}\n",
            seen.kubernetes_version,
            seen.ready_after as f64 / 1e3,
            seen.kinds.len(),
            seen.nodes.join(", "),
        );
        let shown = WORKLOADS.iter().filter_map(|kind| {
            let count = seen.kinds.get(*kind).filter(|count| **count > 0)?;
            Some(format!(
                "{count} {}",
                kind.split('.').next().unwrap_or(kind)
            ))
        });
        text += &format!("  {}\n", shown.collect::<Vec<_>>().join(", "));
    }
    if let Some(why) = &verified.not_rehearsed {
        text += &format!("no API server was started on it: {why}\n");
    }
    text += &hosts_as_text(&verified.hosts, &verified.not_reached);
    for lacking in &verified.lacks {
        text += &format!("LACKS: {lacking}\n");
    }
    text
}
