//! `cctl status`: the cluster as its hosts show it now.

use std::fmt::Write as _;
use std::time::Duration;

use cli::{Context, Kind};
use serde::Serialize;
use serde_json::Value;
use state::{OldHost, State};

use crate::arguments::ApplyArgs;
use crate::delete_machine::{EtcdStatus, etcd_status, reach};
use crate::fleet::{Remote, on_all};
use crate::goal::Goal;
use crate::session::{self, Looked};
use crate::settings::Settings;
use crate::tool::{self, ToolCall};
use crate::{Error, old};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    cluster: String,
    endpoint: String,
    healthy: bool,
    machines: Vec<MachineStatus>,
    etcd: Option<Value>,
    /// The recovery that was begun last.
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery: Option<state::Recovery>,
    /// Hosts that were given up and not stopped.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    old_hosts: Vec<OldStatus>,
}

/// A host that was given up.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OldStatus {
    address: String,
    name: String,
    given_up_at: String,
    /// Whether it is back.
    back: bool,
    /// What nodeadm says of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<Value>,
    /// It answers, and could not be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    hindered: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MachineStatus {
    address: String,
    name: String,
    reached: bool,
    /// What nodeadm says of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<Value>,
    /// What the tools would change, so that it is what the state says.
    drift: usize,
}

pub(crate) fn run(context: &mut Context, settings: &Settings) -> Result<(), cli::Error> {
    let state = state::read(&settings.state).map_err(Error::from)?;
    let goal = session::goal(&ApplyArgs::default(), Some(&state))?;
    let looked = reach(context, &goal, &state, settings, "", true)?;
    let old_hosts = old_hosts(context, settings, &goal, &state, &looked)?;
    let remotes: Vec<&Remote> = looked.fleet.values().collect();
    let nodes = on_all(
        &remotes,
        |remote| remote.address.clone(),
        |remote| Ok(node_status(remote)),
    )?;
    let etcd = goal
        .members()
        .iter()
        .filter_map(|member| looked.fleet.get(member))
        .find_map(|remote| etcd_status(remote).ok());
    let mut machines = Vec::new();
    for machine in &goal.configuration.machines {
        let address = machine.address.to_string();
        let position = remotes.iter().position(|remote| remote.address == address);
        let seen = looked.seen.get(&address);
        let count = |changes: Option<&Vec<_>>| changes.map_or(0, Vec::len);
        machines.push(MachineStatus {
            name: position
                .map(|at| remotes[at].label.clone())
                .unwrap_or_default(),
            reached: position.is_some(),
            node: position.and_then(|at| nodes[at].clone()),
            drift: seen.map_or(0, |seen| {
                count(seen.etcd.as_ref()) + count(seen.node.as_ref())
            }),
            address,
        });
    }
    let well = |machine: &MachineStatus| {
        let no = |key: &str| {
            machine
                .node
                .as_ref()
                .and_then(|node| node.get(key))
                .and_then(Value::as_bool)
                == Some(false)
        };
        machine.reached
            && !no("containerd")
            && !no("kubelet")
            && !no("apiReady")
            && !no("nodeReady")
    };
    let etcd_well = etcd
        .as_ref()
        .is_none_or(|status: &EtcdStatus| status.members.iter().all(|member| member.healthy));
    let status = Status {
        cluster: goal.configuration.metadata.name.clone(),
        endpoint: goal.configuration.control_plane_endpoint.api_url(),
        healthy: etcd_well
            && machines.iter().all(well)
            && !old_hosts.iter().any(|old| old.back)
            && session::not_recovering(Some(&state)).is_ok(),
        recovery: state.recovery.clone(),
        etcd: etcd.as_ref().map(members),
        machines,
        old_hosts,
    };
    context.print(&status, text)?;
    if status.healthy {
        return Ok(());
    }
    let kind = if status.machines.iter().all(|machine| machine.reached) {
        Kind::Failed
    } else {
        Kind::Unreachable
    };
    let error = cli::Error::new(kind, "not all of the cluster is well");
    if status.old_hosts.iter().any(|old| old.back) {
        return Err(error.hint("stop the old control planes that are back: `cctl fence`"));
    }
    Err(error)
}

/// Those that were given up: are they back?
fn old_hosts(
    context: &mut Context,
    settings: &Settings,
    goal: &Goal,
    state: &State,
    looked: &Looked,
) -> Result<Vec<OldStatus>, Error> {
    let is_elsewhere = |old: &&OldHost| !looked.fleet.contains_key(&old.address());
    let elsewhere: Vec<&OldHost> = state.old_hosts.iter().filter(is_elsewhere).collect();
    let found = old::look_for(&mut context.progress, goal, state, settings, &elsewhere)?;
    let status = |old: &OldHost| {
        let address = old.address();
        let remote = looked
            .fleet
            .get(&address)
            .or_else(|| found.back.get(&address));
        let mut failures = found.hindered.iter();
        let hindered = failures.find(|failure| failure.host == address);
        OldStatus {
            name: old.hostname.clone(),
            given_up_at: old.given_up_at.clone(),
            back: remote.is_some() || hindered.is_some(),
            node: remote.and_then(node_status),
            hindered: hindered.map(ToString::to_string),
            address,
        }
    };
    Ok(state.old_hosts.iter().map(status).collect())
}

fn members(status: &EtcdStatus) -> Value {
    let member = |member: &crate::delete_machine::EtcdMember| serde_json::json!({"name": member.name, "peerUrls": member.peer_urls, "learner": member.learner, "leader": member.leader, "healthy": member.healthy});
    status.members.iter().map(member).collect()
}

fn node_status(remote: &Remote) -> Option<Value> {
    let call = ToolCall {
        tool: "nodeadm",
        args: &["status"],
        input: "",
        limit: Duration::from_secs(30),
    };
    tool::run(remote, &call, &mut |_| {}).ok()
}

fn text(status: &Status) -> String {
    let mut text = format!("cluster {} at {}\n", status.cluster, status.endpoint);
    if let Some(recovery) = &status.recovery {
        let _ = match &recovery.finished_at {
            Some(at) => writeln!(text, "  recovered to {} at {at}", recovery.taken_at),
            None => writeln!(
                text,
                "  the recovery to {} is NOT FINISHED",
                recovery.taken_at
            ),
        };
    }
    for old in &status.old_hosts {
        let _ = write!(text, "  {:<16} {:<12}", old.address, old.name);
        let holds = old.node.as_ref().and_then(|node| node.get("holdsVip"));
        let _ = match (old.back, &old.hindered) {
            (false, _) => writeln!(
                text,
                " given up at {}, not stopped: `cctl fence --watch` waits for it",
                old.given_up_at
            ),
            (true, Some(why)) => writeln!(text, " OLD CONTROL PLANE IS BACK: {why}"),
            (true, None) => writeln!(
                text,
                " OLD CONTROL PLANE of before {} IS BACK{}: `cctl fence` stops it",
                old.given_up_at,
                if holds == Some(&Value::Bool(true)) {
                    ", holds the VIP"
                } else {
                    ""
                }
            ),
        };
    }
    for machine in &status.machines {
        let _ = write!(text, "  {:<16} {:<12}", machine.address, machine.name);
        let Some(node) = &machine.node else {
            let _ = writeln!(
                text,
                " {}",
                if machine.reached {
                    "no node"
                } else {
                    "NOT REACHED"
                }
            );
            continue;
        };
        let word = |key: &str| node.get(key).and_then(Value::as_str).unwrap_or_default();
        let _ = write!(text, " {} {}", word("role"), word("kubernetesVersion"));
        for (key, yes, no) in [
            ("kubelet", "", "kubelet DOWN"),
            ("containerd", "", "containerd DOWN"),
            ("apiReady", "API ready", "API NOT READY"),
            ("nodeReady", "node Ready", "node NOT READY"),
            ("holdsVip", "holds the VIP", ""),
        ] {
            match node.get(key).and_then(Value::as_bool) {
                Some(true) if !yes.is_empty() => drop(write!(text, ", {yes}")),
                Some(false) if !no.is_empty() => drop(write!(text, ", {no}")),
                _ => {}
            }
        }
        if machine.drift > 0 {
            let _ = write!(
                text,
                ", {} changes to be made: see `cctl plan`",
                machine.drift
            );
        }
        text.push('\n');
    }
    for member in status
        .etcd
        .as_ref()
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let name = member["name"].as_str().unwrap_or_default();
        let role = if member["leader"] == true {
            "leader"
        } else if member["learner"] == true {
            "learner"
        } else {
            "voter"
        };
        let health = if member["healthy"] == true {
            "healthy"
        } else {
            "NOT HEALTHY"
        };
        let _ = writeln!(text, "  etcd {name}: {role}, {health}");
    }
    text
}
