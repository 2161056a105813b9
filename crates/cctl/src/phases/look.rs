//! Looking at all hosts at once: facts, members, what the tools would still change; then checks that concern several hosts.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api::{Check, MemberResult, NodeFacts, NodeResult, Verdict};
use serde::Deserialize;
use state::{SshMachineStatus, State};

use crate::error::HostCheck;
use crate::fleet::{Fleet, Remote, on_all};
use crate::goal::{AllSeen, Goal, Pending, Seen};
use crate::tool::{self, ToolCall};
use crate::{Error, documents};

const LIMIT: Duration = Duration::from_secs(60);
/// Clocks that differ by more make certificates and leases fail.
const CLOCK_LIMIT: u64 = 5_000;

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
        let facts = scope.spawn(|| timed_facts(remote));
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
fn timed_facts(remote: &Remote) -> Result<NodeFacts, Error> {
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

/// What must hold among the hosts before anything is changed.
pub(crate) fn check(
    goal: &Goal,
    fleet: &Fleet,
    seen: &AllSeen,
    state: Option<&State>,
) -> Vec<HostCheck> {
    let label = |address: &str| {
        fleet
            .get(address)
            .map_or_else(|| address.to_owned(), |remote| remote.label.clone())
    };
    let mut found = Vec::new();
    let mut say = |host: &str, name: &str, message: String, hint: &str| {
        let ignored = goal
            .configuration
            .ignore_preflight_errors
            .iter()
            .any(|ignored| ignored == name || ignored == "all");
        if !ignored {
            let check = Check {
                name: name.to_owned(),
                verdict: Verdict::Failed,
                message,
                hint: (!hint.is_empty()).then(|| hint.to_owned()),
            };
            found.push(HostCheck {
                host: host.to_owned(),
                check,
            });
        }
    };
    let several: [(&str, &str, fn(&NodeFacts) -> Vec<String>); 4] = [
        (
            "unique-machine-id",
            "give each its own: remove /etc/machine-id and run systemd-machine-id-setup",
            |facts| vec![facts.machine_id.clone()],
        ),
        (
            "unique-product-uuid",
            "they are copies of one virtual machine: give each its own UUID",
            |facts| vec![facts.product_uuid.clone()],
        ),
        (
            "unique-mac",
            "give each network interface its own MAC address",
            |facts| facts.macs.clone(),
        ),
        (
            "unique-name",
            "give each host its own host name, or name the machines in the cluster file",
            |_| Vec::new(),
        ),
    ];
    for (name, hint, values) in several {
        let mut owners: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (address, seen) in seen {
            let values = if name == "unique-name" {
                goal.machine(address)
                    .map(|machine| vec![crate::goal::name_of(machine, Some(seen))])
                    .unwrap_or_default()
            } else {
                values(&seen.facts)
            };
            for value in values.into_iter().filter(|value| !value.is_empty()) {
                let hosts = owners.entry(value).or_default();
                if !hosts.contains(address) {
                    hosts.push(address.clone());
                }
            }
        }
        for (value, hosts) in owners.into_iter().filter(|(_, hosts)| hosts.len() > 1) {
            say(
                "",
                name,
                format!("{} all have {value}", hosts.join(", ")),
                hint,
            );
        }
    }
    let clocks: Vec<u64> = seen.values().map(|seen| seen.facts.clock).collect();
    if let (Some(slowest), Some(fastest)) = (clocks.iter().min(), clocks.iter().max())
        && fastest - slowest > CLOCK_LIMIT
    {
        let ahead = |address: &String, clock: u64| {
            format!(
                "{} is {}.{:01} s ahead",
                label(address),
                (clock - slowest) / 1000,
                (clock - slowest) % 1000 / 100
            )
        };
        let all: Vec<String> = seen
            .iter()
            .filter(|(_, seen)| seen.facts.clock > *slowest)
            .map(|(address, seen)| ahead(address, seen.facts.clock))
            .collect();
        say(
            "",
            "clocks",
            format!("the hosts' clocks differ: {}", all.join(", ")),
            "synchronise them: systemctl enable --now systemd-timesyncd, or chrony",
        );
    }
    for (address, seen) in seen {
        if !seen.facts.addresses.is_empty()
            && !seen.facts.addresses.contains(address)
            && !address.is_empty()
        {
            say(
                &label(address),
                "address",
                format!(
                    "{address} is not an address of this host (it has {})",
                    seen.facts.addresses.join(", ")
                ),
                "name the address that the other machines reach it by",
            );
        }
        let known = state
            .and_then(|state| state.machine(address))
            .map(|known| known.status.machine_id.clone())
            .unwrap_or_default();
        if !known.is_empty() && !seen.facts.machine_id.is_empty() && known != seen.facts.machine_id
        {
            say(
                &label(address),
                "same-host",
                "it is another installation than the one that this cluster was made on".to_owned(),
                "take the old one out with `cctl delete machine --force`, then add it anew",
            );
        }
    }
    found
}
