//! `cctl recover`: the control plane begun anew from a snapshot of etcd, on the hosts that the state names.
//!
//! Everything is verified before anything is touched; the old control planes are stopped for good before the new etcd
//! begins; what was set aside stays on the hosts. The state says how far it came, so a run that was cut off is finished by
//! the same command.

mod begin;

use std::path::PathBuf;
use std::time::SystemTime;

use cli::Context;
use serde::Serialize;
use state::{HandedOn, OldHost, Recovery, Started, State};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::arguments::{ApplyArgs, Recover};
use crate::goal::{AllSeen, Goal};
use crate::phases::{self, RECOVER};
use crate::plan::{Plan, View, make};
use crate::session::{self, Look, Looked};
use crate::settings::Settings;
use crate::snapshot::Proven;
use crate::{Error, apply, backup, documents};

/// What `recover` prints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Recovered<'a> {
    cluster: &'a str,
    endpoint: String,
    /// When the snapshot was taken, RFC 3339: what came after is gone.
    taken_at: &'a str,
    steps: usize,
}

pub(crate) fn run(
    context: &mut Context,
    settings: &Settings,
    args: &Recover,
) -> Result<(), cli::Error> {
    let (open, state) = session::open_or_read(settings, args.dry_run)?;
    let named = ApplyArgs {
        bundle: args.bundle.clone(),
        ..ApplyArgs::default()
    };
    let mut goal = session::goal(&named, Some(&state))?;
    if let Some(file) = &args.file {
        goal.documents = documents_of(file, &state)?;
    }
    let identity = settings.identity(state.configuration().ssh.identity_file.as_deref())?;
    let file = match (
        args.snapshot.as_ref().or(args.from_backup.as_ref()),
        args.from_member,
    ) {
        (Some(file), _) => file.clone(),
        (None, Some(member)) => {
            may_take(args)?;
            take(context, settings, &state, &goal, &member.to_string())?
        }
        (None, None) => {
            return Err(Error::Usage("name the snapshot: --snapshot FILE".to_owned()).into());
        }
    };
    context.progress.note("reading the snapshot");
    let mut snapshot = if args.from_backup.is_some() {
        backup::opened::for_recovery(context, &file, identity, &state, &goal.documents)?
    } else {
        Proven::read(&file, identity)?
    };
    let recovery = begin::begin(&state, &goal, &snapshot.metadata, args)?;
    snapshot.replace(&recovery.replaced);
    if !args.yes && !args.dry_run {
        return Err(cli::Error::from(Error::Usage(format!(
            "this stops cluster {}'s control plane and takes its data back to {}",
            goal.configuration.metadata.name, recovery.taken_at
        )))
        .hint("say --yes; --dry-run shows what would be done"));
    }
    goal.replace(&recovery.replaced);
    if let Some(endpoint) = &args.endpoint {
        goal.configuration.control_plane_endpoint = endpoint.clone();
    }
    let configuration = goal.configuration.clone();
    let looked = reach(context, &mut goal, &recovery, &state, settings)?;
    let plan = plan(&goal, &looked.seen, &recovery);
    if args.dry_run {
        return apply::show(context, &plan, &looked);
    }
    let mut open = open.expect("opened unless it is a dry run");
    // Those that are only cut off may come back at any moment from now on.
    let given_up = recovery
        .dead
        .iter()
        .filter(|host| !recovery.fenced.contains(host));
    given_up.for_each(|host| open.state.give_up(host, &recovery.begun_at));
    open.state
        .set_configuration(configuration, goal.documents.clone());
    open.state.recovery = Some(recovery.clone());
    // A state that never heard of its etcd's id takes the admin's word for it, and knows it from now on.
    let id = &snapshot.metadata.cluster_id;
    if !open.state.etcd_cluster_ids.contains(id) {
        open.state.etcd_cluster_ids.push(id.clone());
    }
    session::note_seen(&mut open.state, &goal, &looked, settings)?;
    open.save().map_err(Error::from)?;
    let old: Vec<String> = open.state.old_hosts.iter().map(OldHost::address).collect();
    if !old.is_empty() {
        context.progress.note(&format!(
            "{} may come back with an old control plane: `cctl fence --watch`, beside this, stops it then",
            old.join(", ")
        ));
    }
    apply::carry_out(context, &goal, &looked, &plan, &mut open, Some(&snapshot))?;
    let result = Recovered {
        cluster: &goal.configuration.metadata.name,
        endpoint: goal.configuration.control_plane_endpoint.api_url(),
        taken_at: &recovery.taken_at,
        steps: plan.steps.len(),
    };
    context.print(&result, |result| {
        format!(
            "cluster {} is as it was at {}; every node ran a new pod; {}\n",
            result.cluster, result.taken_at, result.endpoint
        )
    })
}

/// The documents of a cluster file that is the state's own in all else: which hosts there are, the state knows.
fn documents_of(file: &str, state: &State) -> Result<Vec<HandedOn>, cli::Error> {
    let documents = session::read_cluster_file(file)?;
    if documents.cluster.as_ref() == Some(state.configuration()) {
        return Ok(documents::handed_on(&documents));
    }
    Err(Error::Usage(format!(
        "{file} differs from the state in more than its documents: a recovery brings the cluster back as it was"
    ))
    .into())
}

/// Taking a member's data stops it, so that nothing comes after what was taken.
fn may_take(args: &Recover) -> Result<(), cli::Error> {
    let refuse =
        |what: &str, hint: &str| Err(cli::Error::from(Error::Usage(what.to_owned())).hint(hint));
    match (args.dry_run, args.yes) {
        (true, _) => refuse(
            "what a member has is known when it was taken, and taking it stops the member",
            "`etcdadm recover quorum --dry-run` on its host shows what it would be taken from",
        ),
        (_, false) => refuse(
            "this stops the cluster's control plane, and begins it anew with what that member had",
            "say --yes",
        ),
        _ => Ok(()),
    }
}

/// A snapshot of the data of the member on this host, sealed beside the state.
fn take(
    context: &mut Context,
    settings: &Settings,
    state: &State,
    goal: &Goal,
    member: &str,
) -> Result<PathBuf, cli::Error> {
    let mut path = settings.state.clone().into_os_string();
    path.push(format!(".of-{member}.snapshot"));
    let path = PathBuf::from(path);
    if session::not_recovering(Some(state)).is_err() && path.exists() {
        // Its host was fenced perhaps: there is nothing to be taken any more.
        return Ok(path);
    }
    let mut only = goal.clone();
    let machines = &mut only.configuration.machines;
    machines.retain(|machine| machine.address.to_string() == member);
    let (looked, failures) = session::visit(context, &only, Some(state), settings, Look::Facts)?;
    if let Some(failure) = failures.into_iter().next() {
        return Err((*failure.error).into());
    }
    let missing = || Error::NoMachine(member.to_owned());
    let remote = looked.fleet.get(member).ok_or_else(missing)?;
    context
        .progress
        .note(&format!("{}: take what its member has", remote.label));
    crate::snapshot::of_member(remote, state, &path)?;
    Ok(path)
}

/// The moment as the state keeps it.
pub(crate) fn now() -> String {
    let now = OffsetDateTime::from(SystemTime::now());
    let whole = now.replace_nanosecond(0).unwrap_or(now);
    whole.format(&Rfc3339).unwrap_or_default()
}

fn leave_out(goal: &mut Goal, hosts: &[String]) {
    let machines = &mut goal.configuration.machines;
    machines.retain(|machine| !hosts.contains(&machine.address.to_string()));
}

/// Reaches all hosts: every one that may still serve the old data must be among them, or be named as dead. Leaves those out
/// of the goal that are no longer part of the cluster, and workers that cannot be reached.
fn reach(
    context: &mut Context,
    goal: &mut Goal,
    recovery: &Recovery,
    state: &State,
    settings: &Settings,
) -> Result<Looked, Error> {
    let mut old = Vec::new();
    for (host, new) in &recovery.replaced {
        if recovery.fenced.contains(host) || recovery.dead.contains(host) {
            continue;
        }
        let (Some(machine), Ok(address)) = (goal.machine(new).cloned(), host.parse()) else {
            continue;
        };
        old.push(host.clone());
        let machines = &mut goal.configuration.machines;
        machines.push(api::Machine { address, ..machine });
    }
    leave_out(goal, &recovery.dead);
    let (looked, failures) = session::visit(context, goal, Some(state), settings, Look::Facts)?;
    let (masters, members) = (goal.masters(), goal.members());
    let serves = |host: &String| masters.contains(host) || members.contains(host);
    let (hinder, rest): (Vec<_>, Vec<_>) = failures
        .into_iter()
        .partition(|failure| serves(&failure.host));
    if !hinder.is_empty() {
        let (new, old): (Vec<_>, Vec<_>) = hinder
            .into_iter()
            .partition(|failure| recovery.replaced.values().any(|new| *new == failure.host));
        return Err(if old.is_empty() {
            Error::Several(new)
        } else {
            Error::Unfenced(old)
        });
    }
    for failure in &rest {
        context
            .progress
            .note(&format!("{} is left out: {failure}", failure.host));
    }
    leave_out(
        goal,
        &rest
            .into_iter()
            .map(|failure| failure.host)
            .collect::<Vec<_>>(),
    );
    // That a host was installed anew is what a recovery is for: the state's machine ids do not count.
    leave_out(goal, &old);
    let mut found = phases::check(goal, &looked.fleet, &looked.seen, None);
    found.extend(phases::preflight_nodes(goal, &looked.fleet, &looked.seen)?);
    if found.is_empty() {
        Ok(looked)
    } else {
        Err(Error::Preflight(found))
    }
}

/// What is on the control planes is not looked at: it is made anew. Workers are left as they are.
pub(crate) fn plan(goal: &Goal, seen: &AllSeen, recovery: &Recovery) -> Plan {
    let workers = goal.nodes();
    let mut seen = seen.clone();
    for (host, own) in &mut seen {
        (own.member, own.etcd) = (None, None);
        own.node = workers.contains(host).then(Vec::new);
    }
    let view = View {
        goal,
        seen: &seen,
        started: Started {
            etcd: true,
            control_plane: false,
        },
        recovery: Some(recovery),
    };
    make(&RECOVER, &view)
}
