//! What a step does on its host: one call of a node tool or of kubectl, its documents made here.

mod files;
mod kubectl;
pub(crate) mod recovery;
mod send;

use std::time::Duration;

use api::{Credentials, MemberResult};
use serde_json::Value;

use crate::execute::{Outcome, Shared};
use crate::fleet::Remote;
use crate::goal::{Pending, name_of};
use crate::plan::{Action, Step};
use crate::tool::{self, Event, ToolCall};
use crate::{Error, copies, documents};

/// How long a node tool may take: it has limits of its own for what it waits for, which say more.
const LIMIT: Duration = Duration::from_secs(1800);

/// Phases of the node tools that work on keys and certificates.
const KEY_PHASES: [&str; 5] = [
    "issue-certificates",
    "write-pki",
    "make-certificates",
    "make-kubeconfigs",
    "join-cluster",
];

pub(crate) type Hear<'h> = &'h mut (dyn FnMut(Event) + Send);

/// Does one step.
///
/// # Errors
/// The host's, its tools' or the bundle's.
pub(crate) fn run(shared: &Shared<'_>, step: &Step, hear: Hear<'_>) -> Result<Outcome, Error> {
    let Some(host) = &step.host else {
        return Ok(Outcome::default());
    };
    // Forgetting needs no connection.
    if step.action == Action::Forget {
        return Ok(Outcome::default());
    }
    let remote = shared
        .fleet
        .get(host)
        .ok_or_else(|| Error::NoMachine(host.clone()))?;
    match &step.action {
        Action::SendEtcd => send::etcd(shared, remote, hear),
        Action::SendKubernetes => send::kubernetes(shared, remote, hear),
        Action::InitMember => member(shared, remote, &["init"], step, hear),
        Action::JoinMember => member(shared, remote, &["join"], step, hear),
        Action::Prepare => node(shared, remote, "prepare", None, hear),
        Action::InitControlPlane => node(
            shared,
            remote,
            "init",
            master_credentials(shared, remote, step)?,
            hear,
        ),
        Action::JoinControlPlane => node(
            shared,
            remote,
            "join",
            master_credentials(shared, remote, step)?,
            hear,
        ),
        Action::MakeTokens { workers } => kubectl::make_tokens(shared, remote, workers),
        Action::JoinWorker => {
            // One that has its certificate has no token here, and needs none.
            let token = kubectl::token(shared, &remote.address);
            let credentials = token.map(|token| shared.issuer().worker(&token));
            node(shared, remote, "join", credentials, hear)
        }
        Action::Verify => kubectl::verify(shared, remote, hear),
        Action::RemoveNode {
            name,
            drain,
            timeout,
        } => kubectl::remove_node(shared, remote, name, *drain, *timeout, hear),
        // It knows the quorum, and finds a member that is gone already as it should be.
        Action::RemoveMember { id } => done(remote, "etcdadm", &["member", "remove", id], hear),
        Action::ResetNode => {
            let outcome = done(remote, "nodeadm", &["reset"], hear)?;
            copies::remove(remote)?;
            Ok(outcome)
        }
        Action::ResetMember { leave: true } => done(remote, "etcdadm", &["reset"], hear),
        Action::ResetMember { leave: false } => {
            done(remote, "etcdadm", &["reset", "--skip-remove-member"], hear)
        }
        Action::FenceControlPlane | Action::FenceMember => fence(remote, &step.action, hear),
        // It has joined: it needs no token, and its kubelet is all that changes.
        Action::PointWorker => node(shared, remote, "join", None, hear),
        Action::KeepKubeconfig | Action::MakeEtcdAuthority | Action::Forget => {
            Ok(Outcome::default())
        }
        Action::SendSnapshot => recovery::send(shared, remote),
        Action::ProveSnapshot => recovery::prove(shared, remote, hear),
        Action::PutFilesBack => files::put_back(shared, remote, hear),
        Action::RestoreMember => {
            let (path, version) = (recovery::path(shared)?, recovery::version(shared));
            let verb = ["restore", path.as_str(), "--version", version.as_str()];
            member(shared, remote, &verb, step, hear)
        }
        Action::CleanUp => kubectl::clean_up(shared, remote, hear),
        Action::RestartKubelet => recovery::restart_kubelet(remote),
        Action::ProveNodes => {
            let outcome = kubectl::prove_nodes(shared, remote, hear)?;
            recovery::take_away(shared, remote)?;
            Ok(outcome)
        }
    }
}

/// Stops what a host has of an old control plane, or its member: the only steps that need nothing of the cluster.
pub(crate) fn fence(remote: &Remote, action: &Action, hear: Hear<'_>) -> Result<Outcome, Error> {
    match action {
        Action::FenceControlPlane => done(remote, "nodeadm", &["fence"], hear),
        _ => done(remote, "etcdadm", &["reset", "--skip-remove-member"], hear),
    }
}

fn name(shared: &Shared<'_>, remote: &Remote) -> String {
    let machine = shared.goal.machine(&remote.address);
    machine
        .map(|machine| name_of(machine, shared.seen.get(&remote.address)))
        .unwrap_or_default()
}

fn address(remote: &Remote) -> Result<std::net::IpAddr, Error> {
    remote
        .address
        .parse()
        .map_err(|_| Error::NoMachine(remote.address.clone()))
}

/// Whether the host is to be given keys: unless it has them, and nothing is to be changed about them. Keys are not sent
/// around, and certificates not issued, for nothing.
fn wants_keys(had: bool, step: &Step) -> bool {
    let about_keys = |change: &Pending| KEY_PHASES.contains(&change.phase.as_str());
    !had || step.changes.is_empty() || step.changes.iter().any(about_keys)
}

fn member(
    shared: &Shared<'_>,
    remote: &Remote,
    verb: &[&str],
    step: &Step,
    hear: Hear<'_>,
) -> Result<Outcome, Error> {
    let had = shared
        .issuer()
        .machine(&remote.address)
        .is_some_and(|status| status.etcd_member_id.is_some());
    let credentials = wants_keys(had, step)
        .then(|| {
            shared
                .issuer()
                .member(&name(shared, remote), address(remote)?)
        })
        .transpose()?;
    let input = documents::etcd(shared.goal, shared.seen, &remote.address, credentials);
    let args: Vec<&str> = verb.iter().copied().chain(["--config", "-"]).collect();
    let call = ToolCall {
        tool: "etcdadm",
        args: &args,
        input: &input,
        limit: LIMIT,
    };
    let member: MemberResult = tool::run(remote, &call, hear)?;
    Ok(Outcome {
        note: Some(format!("member {}", member.member_id)),
        member: Some(member),
    })
}

fn master_credentials(
    shared: &Shared<'_>,
    remote: &Remote,
    step: &Step,
) -> Result<Option<Credentials>, Error> {
    let had = shared
        .issuer()
        .machine(&remote.address)
        .is_some_and(|status| status.set_up);
    wants_keys(had, step)
        .then(|| {
            shared
                .issuer()
                .master(&name(shared, remote), address(remote)?)
        })
        .transpose()
}

fn node(
    shared: &Shared<'_>,
    remote: &Remote,
    verb: &'static str,
    credentials: Option<Credentials>,
    hear: Hear<'_>,
) -> Result<Outcome, Error> {
    let input = documents::node(shared.goal, shared.seen, &remote.address, credentials);
    let call = ToolCall {
        tool: "nodeadm",
        args: &[verb, "--config", "-"],
        input: &input,
        limit: LIMIT,
    };
    let _: Value = tool::run(remote, &call, hear)?;
    Ok(Outcome::default())
}

/// Runs a verb of which nothing is to be known but that it was done.
fn done(
    remote: &Remote,
    tool: &'static str,
    args: &[&str],
    hear: Hear<'_>,
) -> Result<Outcome, Error> {
    let call = ToolCall {
        tool,
        args,
        input: "",
        limit: LIMIT,
    };
    let _: Value = tool::run(remote, &call, hear)?;
    Ok(Outcome::default())
}
