//! What a step does on its host: one call of a node tool or of kubectl, its documents made here.

mod kubectl;
mod send;

use std::time::Duration;

use api::{Credentials, MemberResult};
use serde_json::Value;

use crate::execute::{Outcome, Shared};
use crate::fleet::Remote;
use crate::goal::name_of;
use crate::plan::{Action, Step};
use crate::tool::{self, Event, ToolCall};
use crate::{Error, documents};

/// How long a node tool may take: it has limits of its own for what it waits for, which say more.
const LIMIT: Duration = Duration::from_secs(1800);

type Hear<'h> = &'h mut (dyn FnMut(Event) + Send);

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
        Action::InitMember => member(shared, remote, "init", hear),
        Action::JoinMember => member(shared, remote, "join", hear),
        Action::Prepare => node(shared, remote, "prepare", None, hear),
        Action::InitControlPlane => node(
            shared,
            remote,
            "init",
            Some(master_credentials(shared, remote)?),
            hear,
        ),
        Action::JoinControlPlane => node(
            shared,
            remote,
            "join",
            Some(master_credentials(shared, remote)?),
            hear,
        ),
        Action::MakeTokens { workers } => kubectl::make_tokens(shared, remote, workers),
        Action::JoinWorker => {
            let token = kubectl::token(shared, &remote.address).unwrap_or_default();
            node(
                shared,
                remote,
                "join",
                Some(shared.issuer.worker(&token)),
                hear,
            )
        }
        Action::Verify => kubectl::verify(shared, remote, hear),
        Action::RemoveNode {
            name,
            drain,
            timeout,
        } => kubectl::remove_node(shared, remote, name, *drain, *timeout, hear),
        Action::RemoveMember { id } => kubectl::remove_member(shared, remote, id),
        Action::ResetNode => reset(remote, "nodeadm", &["reset"], hear),
        Action::ResetMember { leave: true } => reset(remote, "etcdadm", &["reset"], hear),
        Action::ResetMember { leave: false } => {
            reset(remote, "etcdadm", &["reset", "--skip-remove-member"], hear)
        }
        Action::KeepKubeconfig | Action::Forget => Ok(Outcome::default()),
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

fn member(
    shared: &Shared<'_>,
    remote: &Remote,
    verb: &'static str,
    hear: Hear<'_>,
) -> Result<Outcome, Error> {
    let credentials = shared
        .issuer
        .member(&name(shared, remote), address(remote)?)?;
    let input = documents::etcd(shared.goal, shared.seen, &remote.address, Some(credentials));
    let call = ToolCall {
        tool: "etcdadm",
        args: &[verb, "--config", "-"],
        input: &input,
        limit: LIMIT,
    };
    let member: MemberResult = tool::run(remote, &call, hear)?;
    Ok(Outcome {
        note: Some(format!("member {}", member.member_id)),
        member: Some(member),
    })
}

fn master_credentials(shared: &Shared<'_>, remote: &Remote) -> Result<Credentials, Error> {
    shared
        .issuer
        .master(&name(shared, remote), address(remote)?)
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

fn reset(
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
