//! What a recovery is: of which snapshot, on which hosts, where the API is reached afterwards; or what of one that was cut
//! off is still to be done. What would be wrong is refused here, before any host is reached.

use std::collections::BTreeMap;

use capsule::Metadata;
use state::{EtcdAuthority, Recovery, State};

use super::now;
use crate::Error;
use crate::arguments::Recover;
use crate::goal::Goal;

/// What is to be recovered, or what of it is still to be done; refused where the snapshot is not this cluster's, or not one
/// to go back to without a word.
pub(super) fn begin(
    state: &State,
    goal: &Goal,
    said: &Metadata,
    args: &Recover,
) -> Result<Recovery, Error> {
    let refuse = |what: String| Err(Error::Refused(what));
    if !state.etcd_cluster_ids.is_empty() && !state.etcd_cluster_ids.contains(&said.cluster_id) {
        return refuse(format!(
            "the snapshot is of another cluster: its etcd has the id {}, and this cluster's had {}",
            said.cluster_id,
            state.etcd_cluster_ids.join(", ")
        ));
    }
    let minor = |version: &str| {
        let mut parts = version.trim_start_matches('v').splitn(3, '.');
        (
            parts.next().map(str::to_owned),
            parts.next().map(str::to_owned),
        )
    };
    let wanted = goal.configuration.etcd.version.to_string();
    if minor(&said.etcd_version) != minor(&wanted) {
        return refuse(format!(
            "the snapshot is of etcd {}, and this cluster has {wanted}: a snapshot is restored with the minor release that it was taken with",
            said.etcd_version
        ));
    }
    let dead: Vec<String> = args.dead.iter().map(ToString::to_string).collect();
    let replaced: BTreeMap<String, String> = args
        .replace
        .iter()
        .map(|(old, new)| (old.to_string(), new.to_string()))
        .collect();
    match &state.recovery {
        Some(known)
            if known.finished_at.is_none() && known.snapshot == said.sha256 && !args.anew =>
        {
            return goes_on(known, goal, &replaced, dead, args);
        }
        Some(known) if known.finished_at.is_none() && !args.anew => {
            return refuse(format!(
                "the recovery to {} is not finished: run it again with the same snapshot, or say --anew to begin this one in its place",
                known.taken_at
            ));
        }
        Some(known) if said.taken_at < known.begun_at && !args.older => {
            return refuse(format!(
                "the snapshot was taken at {}, before the recovery of {}: what was written since would be lost too; --older says that this is meant",
                said.taken_at, known.begun_at
            ));
        }
        _ => {}
    }
    for host in dead.iter().chain(replaced.keys()) {
        if goal.machine(host).is_none() {
            return Err(Error::NoMachine(host.clone()));
        }
    }
    let mut moved = goal.clone();
    if let Some(endpoint) = &args.endpoint {
        moved.configuration.control_plane_endpoint = endpoint.clone();
    }
    for (old, new) in &replaced {
        if goal.is_endpoint(old) && args.endpoint.is_none() {
            return refuse(format!(
                "{old} is where all reach the API: say where they are to reach it from now on with --endpoint"
            ));
        }
        moved.may_replace(old, new)?;
    }
    if let Some(host) = dead.iter().find(|host| moved.is_endpoint(host)) {
        return refuse(format!(
            "{host} is gone, and cannot be where all reach the API: name another place with --endpoint"
        ));
    }
    moved.replace(&replaced);
    let faults = moved.configuration.faults();
    if !faults.is_empty() {
        return Err(Error::Faults(faults));
    }
    let before = &goal.configuration.control_plane_endpoint;
    let now_at = &moved.configuration.control_plane_endpoint;
    // One that was begun otherwise may have told some of the nodes already.
    let unfinished = state
        .recovery
        .as_ref()
        .filter(|known| known.finished_at.is_none());
    let moved_from = if before.with_api_port() == now_at.with_api_port() {
        unfinished.and_then(|known| known.moved_from.clone())
    } else {
        Some(before.with_api_port())
    };
    let new_authority = args.new_etcd_authority || !replaced.is_empty();
    Ok(Recovery {
        moved_from,
        etcd_authority: if new_authority {
            EtcdAuthority::Wanted
        } else {
            EtcdAuthority::Kept
        },
        replaced,
        snapshot: said.sha256.clone(),
        taken_at: said.taken_at.clone(),
        begun_at: now(),
        dead,
        fenced: Vec::new(),
        from_backup: args.from_backup.is_some(),
        restored: false,
        finished_at: None,
    })
}

/// The recovery that was begun before, to which further hosts may be named dead, and nothing else be said otherwise.
fn goes_on(
    known: &Recovery,
    goal: &Goal,
    replaced: &BTreeMap<String, String>,
    dead: Vec<String>,
    args: &Recover,
) -> Result<Recovery, Error> {
    let refuse = |what: &str| {
        Err(Error::Refused(format!(
            "the recovery that was begun at {} {what}; --anew begins it otherwise",
            known.begun_at
        )))
    };
    if !replaced.is_empty() && *replaced != known.replaced {
        return refuse("puts other hosts in others' places");
    }
    let at = goal.configuration.control_plane_endpoint.with_api_port();
    let elsewhere = |endpoint: &api::Endpoint| endpoint.with_api_port() != at;
    if args.endpoint.as_ref().is_some_and(elsewhere) {
        return refuse(&format!("has the API at {at}"));
    }
    if args.new_etcd_authority && known.etcd_authority == EtcdAuthority::Kept {
        return refuse("keeps etcd's authority");
    }
    let from_backup = args.from_backup.is_some();
    if known.from_backup && !from_backup {
        return Err(Error::Refused(
            "the recovery was begun from a backup, whose files go back, too: name it with --from-backup".to_owned(),
        ));
    }
    let mut known = known.clone();
    known.from_backup |= from_backup;
    for host in dead {
        if !known.dead.contains(&host) {
            known.dead.push(host);
        }
    }
    Ok(known)
}

#[cfg(test)]
mod tests;
