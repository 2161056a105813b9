//! What must hold before anything is changed: on each host, by the node tools' own checks, and among the hosts. All that is
//! wrong is told together.

use std::collections::BTreeMap;
use std::time::Duration;

use api::{Check, NodeFacts, Verdict};
use state::State;

use crate::error::HostCheck;
use crate::fleet::{Fleet, Remote, on_all};
use crate::goal::{AllSeen, Goal};
use crate::tool::{self, ToolCall};
use crate::{Error, documents};

const LIMIT: Duration = Duration::from_secs(60);
/// Clocks that differ by more make certificates and leases fail.
const CLOCK_LIMIT: u64 = 5_000;

/// What of a host no other host may have.
type Values = fn(&NodeFacts) -> Vec<String>;

/// The node tools' checks on all hosts that they have not set up yet.
///
/// # Errors
/// When a host cannot be asked.
pub(crate) fn preflight_nodes(
    goal: &Goal,
    fleet: &Fleet,
    seen: &AllSeen,
) -> Result<Vec<HostCheck>, Error> {
    on_each(fleet, |remote| of_new_node(goal, seen, remote))
}

/// Does it on all hosts at once, and puts together what is found.
fn on_each(
    fleet: &Fleet,
    check: impl Fn(&Remote) -> Result<Vec<HostCheck>, Error> + Sync,
) -> Result<Vec<HostCheck>, Error> {
    let remotes: Vec<&Remote> = fleet.values().collect();
    let found = on_all(
        &remotes,
        |remote| remote.address.clone(),
        |remote| check(remote),
    )?;
    Ok(found.into_iter().flatten().collect())
}

fn of_new_node(goal: &Goal, seen: &AllSeen, remote: &Remote) -> Result<Vec<HostCheck>, Error> {
    let own = seen.get(&remote.address);
    let is_new = own.is_none_or(|own| own.facts.role.is_none());
    if is_new && goal.kubernetes().contains(&remote.address) {
        of_node(goal, seen, remote)
    } else {
        Ok(Vec::new())
    }
}

/// Those checks, and etcdadm's on all hosts that it has not set up yet.
///
/// # Errors
/// When a host cannot be asked.
pub(crate) fn preflight(
    goal: &Goal,
    fleet: &Fleet,
    seen: &AllSeen,
) -> Result<Vec<HostCheck>, Error> {
    on_each(fleet, |remote| {
        let own = seen.get(&remote.address);
        let mut found = Vec::new();
        if goal.members().contains(&remote.address) && own.is_none_or(|own| own.member.is_none()) {
            found.extend(of_member(goal, seen, remote)?);
        }
        found.extend(of_new_node(goal, seen, remote)?);
        Ok(found)
    })
}

fn of_node(goal: &Goal, seen: &AllSeen, remote: &Remote) -> Result<Vec<HostCheck>, Error> {
    let input = documents::node(goal, seen, &remote.address, None);
    let call = ToolCall {
        tool: "nodeadm",
        args: &["preflight", "--config", "-"],
        input: &input,
        limit: LIMIT,
    };
    let checks: Vec<Check> = tool::run_lenient(remote, &call)?;
    let bad = |check: &Check| matches!(check.verdict, Verdict::Failed | Verdict::Unknown);
    let found = checks.into_iter().filter(bad).map(|check| HostCheck {
        host: remote.label.clone(),
        check,
    });
    Ok(found.collect())
}

fn of_member(goal: &Goal, seen: &AllSeen, remote: &Remote) -> Result<Vec<HostCheck>, Error> {
    let input = documents::etcd(goal, seen, &remote.address, None);
    let call = ToolCall {
        tool: "etcdadm",
        args: &["init", "phase", "check-host", "--dry-run", "--config", "-"],
        input: &input,
        limit: LIMIT,
    };
    match tool::run::<serde_json::Value>(remote, &call, &mut |_| {}) {
        Ok(_) => Ok(Vec::new()),
        Err(Error::Tool {
            code: 3,
            causes,
            hints,
            ..
        }) => Ok(told(&remote.label, &causes, &hints)),
        Err(error) => Err(error),
    }
}

/// etcdadm's checks as it tells them: a line each, `name: message`, then the hints.
fn told(host: &str, causes: &[String], hints: &[String]) -> Vec<HostCheck> {
    let lines = causes
        .last()
        .map(String::as_str)
        .unwrap_or_default()
        .lines();
    let mut hints = hints
        .iter()
        .filter(|hint| !hint.contains("--ignore-preflight-errors"))
        .cloned();
    lines
        .map(|line| {
            let (name, message) = line.split_once(": ").unwrap_or(("etcd", line));
            HostCheck {
                host: host.to_owned(),
                check: Check {
                    name: name.trim().to_owned(),
                    verdict: Verdict::Failed,
                    message: message.to_owned(),
                    hint: hints.next(),
                },
            }
        })
        .collect()
}

/// What must hold among the hosts.
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
    let several: [(&str, &str, Values); 4] = [
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

#[cfg(test)]
mod tests;
