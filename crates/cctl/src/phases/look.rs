//! Looking at all hosts at once: facts, members, what the tools would still change.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api::{MemberResult, NodeFacts, NodeResult};
use serde::Deserialize;
use state::{SshMachineStatus, State};

use crate::fleet::{Fleet, Remote, on_all};
use crate::goal::{AllSeen, Goal, Pending, Seen};
use crate::tool::{self, ToolCall};
use crate::{Error, documents};

const LIMIT: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Summary {
    #[serde(default)]
    changes: Vec<Pending>,
}

fn quietly<T: serde::de::DeserializeOwned>(
    remote: &Remote,
    tool: &'static str,
    args: &[&str],
    input: &str,
) -> Result<T, Error> {
    tool::run(
        remote,
        &ToolCall {
            tool,
            args,
            input,
            limit: LIMIT,
        },
        &mut |_| {},
    )
}

/// What a tool cannot tell is not an error here: the step that follows will meet it, and say more.
fn or_nothing<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::Tool { .. } | Error::Output { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the state remembers of hosts: enough to ask each all questions at once, before any of them has answered.
pub(crate) fn remembered(goal: &Goal, state: Option<&State>) -> AllSeen {
    let known = |machine: &api::Machine| {
        let address = machine.address.to_string();
        let status = &state?.machine(&address)?.status;
        let facts = NodeFacts {
            hostname: status.hostname.clone(),
            architecture: status.architecture.clone(),
            ..NodeFacts::default()
        };
        let seen = Seen {
            facts,
            ..Seen::default()
        };
        (!status.hostname.is_empty()).then_some((address, seen))
    };
    goal.configuration
        .machines
        .iter()
        .filter_map(known)
        .collect()
}

/// Asks one host, as far as the state remembers it.
///
/// # Errors
/// When it cannot be asked.
pub(crate) fn look(
    remote: &Remote,
    goal: &Goal,
    state: Option<&State>,
    remembered: &AllSeen,
) -> Result<Seen, Error> {
    let is_member = goal.members().contains(&remote.address);
    let known = remembered
        .get(&remote.address)
        .and(state)
        .and_then(|state| state.machine(&remote.address))
        .map(|machine| &machine.status);
    let (facts, member, node) = std::thread::scope(|scope| {
        let facts = scope.spawn(|| facts(remote));
        let member = scope.spawn(|| look_at_member(remote, goal, remembered, is_member, known));
        let node = scope.spawn(|| match known {
            Some(known) if known.set_up => node_changes(remote, goal, remembered, known.first),
            _ => Ok(None),
        });
        (joined(facts), joined(member), joined(node))
    });
    let (member, etcd) = member?;
    Ok(Seen {
        facts: facts?,
        member,
        etcd,
        node: node?,
    })
}

/// A member that the state remembers, and in which etcdadm finds nothing to change, is that member still: it asked the
/// cluster.
fn look_at_member(
    remote: &Remote,
    goal: &Goal,
    remembered: &AllSeen,
    is_member: bool,
    known: Option<&SshMachineStatus>,
) -> Result<(Option<MemberResult>, Option<Vec<Pending>>), Error> {
    if !is_member {
        return Ok((None, None));
    }
    let id = known.and_then(|known| known.etcd_member_id.clone());
    let changes = match &id {
        Some(_) => etcd_changes(remote, goal, remembered)?,
        None => None,
    };
    if let (Some(id), Some(changes)) = (id, &changes)
        && changes.is_empty()
    {
        let member = MemberResult {
            name: known
                .map(|known| known.hostname.clone())
                .unwrap_or_default(),
            member_id: id,
            cluster_id: String::new(),
            peer_urls: Vec::new(),
            client_urls: Vec::new(),
            learner: false,
            changes: 0,
        };
        return Ok((Some(member), Some(Vec::new())));
    }
    let member = or_nothing(quietly::<MemberResult>(remote, "etcdadm", &["info"], ""))?;
    let changes = changes.filter(|_| member.is_some());
    Ok((member, changes))
}

/// Asks again what the state did not know of, or knew otherwise.
///
/// # Errors
/// When a host cannot be asked.
pub(crate) fn look_again(
    fleet: &Fleet,
    goal: &Goal,
    remembered: &AllSeen,
    seen: &mut AllSeen,
) -> Result<(), Error> {
    let remotes: Vec<&Remote> = fleet.values().collect();
    let first = seen.clone();
    let rest = on_all(
        &remotes,
        |remote| remote.address.clone(),
        |remote| {
            let own = &first[&remote.address];
            let renamed = remembered
                .get(&remote.address)
                .is_none_or(|known| known.facts.hostname != own.facts.hostname);
            let etcd = match &own.etcd {
                Some(changes) if !renamed => Some(changes.clone()),
                _ if own.member.is_some() => etcd_changes(remote, goal, &first)?,
                _ => None,
            };
            let node = match &own.node {
                _ if own.facts.role.is_none() => None,
                Some(changes) if !renamed => Some(changes.clone()),
                _ => node_changes(remote, goal, &first, own.facts.first)?,
            };
            Ok((etcd, node))
        },
    )?;
    for (remote, (etcd, node)) in remotes.iter().zip(rest) {
        if let Some(own) = seen.get_mut(&remote.address) {
            (own.etcd, own.node) = (etcd, node);
        }
    }
    Ok(())
}

fn joined<T>(handle: std::thread::ScopedJoinHandle<'_, T>) -> T {
    handle
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A host's facts, its clock told as the difference to ours: half of the round trip is taken off.
///
/// # Errors
/// When it cannot be asked.
pub(crate) fn facts(remote: &Remote) -> Result<NodeFacts, Error> {
    let now = || {
        u64::try_from(
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_millis(),
        )
        .unwrap_or(u64::MAX)
    };
    let before = now();
    let mut facts: NodeFacts = quietly(remote, "nodeadm", &["facts"], "")?;
    let middle = before + (now() - before) / 2;
    // From here on: how far it is ahead of us, biased so that it stays positive.
    facts.clock = (u64::MAX / 2)
        .wrapping_add(facts.clock)
        .wrapping_sub(middle);
    Ok(facts)
}

fn etcd_changes(
    remote: &Remote,
    goal: &Goal,
    seen: &AllSeen,
) -> Result<Option<Vec<Pending>>, Error> {
    let input = documents::etcd(goal, seen, &remote.address, None);
    let summary: Option<Summary> = or_nothing(quietly(
        remote,
        "etcdadm",
        &["join", "--config", "-", "--dry-run"],
        &input,
    ))?;
    Ok(summary.map(|summary| summary.changes))
}

fn node_changes(
    remote: &Remote,
    goal: &Goal,
    seen: &AllSeen,
    first: bool,
) -> Result<Option<Vec<Pending>>, Error> {
    let input = documents::node(goal, seen, &remote.address, None);
    let verb = if first { "init" } else { "join" };
    let result: Option<NodeResult> = or_nothing(quietly(
        remote,
        "nodeadm",
        &[verb, "--config", "-", "--dry-run"],
        &input,
    ))?;
    let pending = |(phase, changes): (String, Vec<String>)| {
        changes.into_iter().map(move |change| Pending {
            phase: phase.clone(),
            change,
        })
    };
    Ok(result.map(|result| result.phases.into_iter().flat_map(pending).collect()))
}
