//! `cctl delete machine`: out of the cluster first, then off the host; refused where it would take quorum or the last
//! control plane along.

use api::Role;
use cli::Context;
use serde::Deserialize;
use state::State;

use crate::apply;
use crate::arguments::{ApplyArgs, DeleteMachine};
use crate::error::Error;
use crate::fleet::Remote;
use crate::goal::{Goal, name_of};
use crate::phases::RemoveMachine;
use crate::plan::{Plan, View, make};
use crate::session::{self, Look, Looked};
use crate::settings::Settings;
use crate::tool::{self, ToolCall};

/// What `etcdadm status` prints, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EtcdStatus {
    pub members: Vec<EtcdMember>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EtcdMember {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub peer_urls: Vec<String>,
    #[serde(default)]
    pub learner: bool,
    pub healthy: bool,
    #[serde(default)]
    pub leader: bool,
}

impl EtcdMember {
    /// Whether it is the one of the host at `address`.
    pub(super) fn is_at(&self, address: &str) -> bool {
        self.peer_urls.iter().any(|url| {
            url.contains(&format!("//{address}:")) || url.contains(&format!("//[{address}]:"))
        })
    }
}

pub(crate) fn run(
    context: &mut Context,
    settings: &Settings,
    args: &DeleteMachine,
) -> Result<(), cli::Error> {
    let (open, state) = session::open_or_read(settings, args.dry_run)?;
    session::not_recovering(Some(&state))?;
    let address = args.ip.to_string();
    if state.machine(&address).is_none() {
        // Deleted twice is deleted once.
        context
            .progress
            .note(&format!("there is no machine {address} in the state"));
        return Ok(());
    }
    let goal = session::goal(&ApplyArgs::default(), Some(&state))?;
    let looked = reach(context, &goal, &state, settings, &address, args.force)?;
    let (removal, _) = removal(&goal, &looked, &state, &address)?;
    let phase = RemoveMachine {
        // What lies on a host that is gone cannot be evicted.
        drain: !args.skip_drain && removal.reached,
        timeout: args.drain_timeout,
        ..removal
    };
    let plan = plan(&goal, &looked, &state, &phase);
    if args.dry_run {
        return apply::show(context, &plan, &looked);
    }
    let mut open = session::remember(&goal, open, Some(&looked), settings)?;
    apply::carry_out(context, &goal, &looked, &plan, &mut open, None)?;
    // The others know it: as a peer of the endpoint's address, as an endpoint of etcd.
    drop(looked);
    let rest = session::goal(&ApplyArgs::default(), Some(&open.state))?;
    apply::make_so(context, settings, &rest, Some(open))?;
    context.print(&address, |address| {
        format!("{address} is no longer in the cluster\n")
    })
}

/// What takes a machine out of its cluster, whose members are given, too; refused where the cluster would not survive it.
pub(super) fn removal(
    goal: &Goal,
    looked: &Looked,
    state: &State,
    address: &str,
) -> Result<(RemoveMachine, Vec<EtcdMember>), Error> {
    let others = || looked.fleet.keys().filter(|other| *other != address);
    let through = others()
        .find(|other| {
            goal.machine(other)
                .is_some_and(|machine| machine.is(Role::Master))
        })
        .cloned();
    let seen = looked.seen.get(address);
    let known = state.machine(address);
    let kubernetes = goal
        .machine(address)
        .is_none_or(|machine| !machine.is(Role::Etcd));
    let member = seen
        .and_then(|seen| seen.member.as_ref().map(|member| member.member_id.clone()))
        .or_else(|| known.and_then(|known| known.status.etcd_member_id.clone()));
    let other_member = goal
        .members()
        .into_iter()
        .filter(|other| other != address)
        .find(|other| looked.fleet.contains_key(other));
    let is_member = member.is_some();
    let members = guard(goal, looked, address, is_member, other_member.as_deref())?;
    let node = kubernetes.then(|| {
        let hostname = known
            .map(|known| known.status.hostname.to_lowercase())
            .unwrap_or_default();
        goal.machine(address)
            .map(|machine| name_of(machine, seen))
            .filter(|name| !name.is_empty())
            .unwrap_or(hostname)
    });
    let removal = RemoveMachine {
        address: address.to_owned(),
        node: node.filter(|name| !name.is_empty()),
        member,
        drain: false,
        timeout: 0,
        reached: looked.fleet.contains_key(address),
        stays: false,
        through,
        other_member,
    };
    Ok((removal, members))
}

/// The steps of it alone.
pub(super) fn plan(goal: &Goal, looked: &Looked, state: &State, phase: &RemoveMachine) -> Plan {
    let view = View {
        goal,
        seen: &looked.seen,
        started: state.started,
        recovery: None,
    };
    make(&[phase], &view)
}

/// Reaches all machines that can be reached: the one that goes must be among them unless it is said to be gone.
pub(super) fn reach(
    context: &mut Context,
    goal: &Goal,
    state: &State,
    settings: &Settings,
    address: &str,
    force: bool,
) -> Result<Looked, Error> {
    let (looked, failures) = session::visit(context, goal, Some(state), settings, Look::All)?;
    for failure in failures {
        if failure.host == address && !force {
            return Err(*failure.error);
        }
        let host = &failure.host;
        context
            .progress
            .note(&format!("{host} is left out: {failure}"));
    }
    Ok(looked)
}

/// Refuses what the cluster would not survive; the members of etcd, if the machine has one.
fn guard(
    goal: &Goal,
    looked: &Looked,
    address: &str,
    member: bool,
    other_member: Option<&str>,
) -> Result<Vec<EtcdMember>, Error> {
    let masters = goal.masters();
    if masters == [address] {
        let hint = if goal.nodes().is_empty() {
            ""
        } else {
            ", and nodes need it"
        };
        return Err(Error::Refused(format!(
            "{address} is the last control plane{hint}: `cctl delete cluster` takes the whole cluster down"
        )));
    }
    if !member {
        return Ok(Vec::new());
    }
    let Some(on) = other_member.and_then(|other| looked.fleet.get(other)) else {
        return Err(Error::Refused(format!(
            "no other etcd member than {address} can be reached, so it cannot be told whether etcd survives"
        )));
    };
    let members = etcd_status(on)?.members;
    survives(&members, address).map_err(Error::Refused)?;
    Ok(members)
}

/// The members as one of them sees them. It exits with 1 when one is ill, and prints all the same.
pub(super) fn etcd_status(remote: &Remote) -> Result<EtcdStatus, Error> {
    let call = ToolCall {
        tool: "etcdadm",
        args: &["status"],
        input: "",
        limit: std::time::Duration::from_secs(60),
    };
    tool::run_lenient(remote, &call)
}

/// Whether etcd keeps a majority when the member at `address` goes.
fn survives(members: &[EtcdMember], address: &str) -> Result<(), String> {
    let Some(member) = members.iter().find(|member| member.is_at(address)) else {
        return Ok(());
    };
    if member.learner {
        return Ok(());
    }
    let voters = members.iter().filter(|member| !member.learner).count();
    let rest = members
        .iter()
        .filter(|other| !other.is_at(address) && !other.learner);
    let healthy = rest.filter(|other| other.healthy).count();
    let needed = (voters - 1) / 2 + 1;
    if voters > 1 && healthy >= needed {
        Ok(())
    } else {
        Err(format!(
            "without {} ({address}), etcd would have {healthy} healthy of {} voting members, and needs {needed}: it would take no more writes",
            member.name,
            voters - 1
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(number: u8, healthy: bool) -> EtcdMember {
        EtcdMember {
            name: format!("h{number}"),
            peer_urls: vec![format!("https://10.0.0.{number}:2380")],
            learner: false,
            healthy,
            leader: false,
        }
    }

    #[test]
    fn quorum_is_reckoned_before_a_member_goes() {
        let three = [member(1, true), member(2, true), member(3, true)];
        assert_eq!(survives(&three, "10.0.0.1"), Ok(()));
        let one_ill = [member(1, true), member(2, false), member(3, true)];
        assert_eq!(survives(&one_ill, "10.0.0.2"), Ok(()), "the ill one may go");
        insta::assert_snapshot!(survives(&one_ill, "10.0.0.1").unwrap_err(), @"without h1 (10.0.0.1), etcd would have 1 healthy of 2 voting members, and needs 2: it would take no more writes");
        assert!(survives(&[member(1, true)], "10.0.0.1").is_err());
        assert_eq!(survives(&three, "10.0.0.11"), Ok(()), "no member's address");
    }
}
