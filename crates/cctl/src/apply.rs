//! `cctl apply` and `cctl plan`: look, plan, and then show the plan or carry it out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, RwLock};

use cli::Context;
use serde::Serialize;
use state::{OldHost, Open, State};

use crate::arguments::ApplyArgs;
use crate::copies;
use crate::documents::Issuer;
use crate::execute::{Shared, execute};
use crate::goal::Goal;
use crate::phases::{APPLY, FenceOldHosts};
use crate::plan::{Action, Phase, Plan, Shown, View, make};
use crate::session::{self, Looked};
use crate::settings::Settings;
use crate::snapshot::Proven;
use crate::{Error, old};

/// What `apply` prints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Applied<'a> {
    cluster: &'a str,
    endpoint: String,
    machines: usize,
    /// The steps that were done.
    steps: usize,
}

pub(crate) fn run(
    context: &mut Context,
    settings: &Settings,
    args: &ApplyArgs,
    dry_run: bool,
) -> Result<(), cli::Error> {
    let state = session::read_state(settings)?;
    let goal = session::goal(args, state.as_ref())?;
    with_goal(context, settings, &goal, dry_run)
}

/// The same for a goal that a verb made.
pub(crate) fn with_goal(
    context: &mut Context,
    settings: &Settings,
    goal: &Goal,
    dry_run: bool,
) -> Result<(), cli::Error> {
    if dry_run {
        // A plan needs no key, and hinders nobody.
        let state = session::read_state(settings)?;
        let (plan, looked) = plan(context, settings, goal, state.as_ref())?;
        return show(context, &plan, &looked);
    }
    let open = session::open(settings, goal.configuration.ssh.identity_file.as_deref())?;
    let (_, steps) = make_so(context, settings, goal, open)?;
    let result = Applied {
        cluster: &goal.configuration.metadata.name,
        endpoint: goal.configuration.control_plane_endpoint.api_url(),
        machines: goal.configuration.machines.len(),
        steps,
    };
    context.print(&result, |result| match result.steps {
        0 => format!(
            "cluster {}: all is as it should be, nothing was changed\n",
            result.cluster
        ),
        _ => format!(
            "cluster {} is as it should be: {} machines, {}\n",
            result.cluster, result.machines, result.endpoint
        ),
    })
}

/// Looks, plans and carries out; gives the state back, and how many steps there were.
pub(crate) fn make_so(
    context: &mut Context,
    settings: &Settings,
    goal: &Goal,
    open: Option<Open>,
) -> Result<(Open, usize), Error> {
    let state = open.as_ref().map(|open| open.state.clone());
    let (plan, looked) = plan(context, settings, goal, state.as_ref())?;
    let mut open = session::remember(goal, open, Some(&looked), settings)?;
    carry_out(context, goal, &looked, &plan, &mut open, None)?;
    Ok((open, plan.steps.len()))
}

fn plan(
    context: &mut Context,
    settings: &Settings,
    goal: &Goal,
    state: Option<&State>,
) -> Result<(Plan, Looked), Error> {
    session::not_recovering(state)?;
    if let Some(state) = state {
        warn_of_others(context, goal, state);
    }
    let mut looked = session::look_and_check(context, goal, state, settings)?;
    let fence = match state {
        Some(state) => old_hosts(context, settings, goal, state, &mut looked)?,
        None => FenceOldHosts { hosts: Vec::new() },
    };
    let started = state.map(|state| state.started).unwrap_or_default();
    let view = View {
        goal,
        seen: &looked.seen,
        started,
        recovery: None,
    };
    let phases: Vec<&dyn Phase> = std::iter::once(&fence as _).chain(APPLY).collect();
    let plan = make(&phases, &view);
    let hosts: BTreeSet<String> = plan
        .steps
        .iter()
        .filter(|step| step.changes.is_empty() && needs_bundle(&step.action))
        .filter_map(|step| step.host.clone())
        .collect();
    if goal.artifacts.is_none() && !hosts.is_empty() {
        let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
        context.progress.note(&format!(
            "no bundle is named: {} must have in their stores what they need",
            hosts.join(", ")
        ));
    }
    Ok((plan, looked))
}

/// Old hosts that are back are among the fleet from here on. What is on one whose place in the cluster is to be filled by
/// itself does not count: it goes first.
fn old_hosts(
    context: &mut Context,
    settings: &Settings,
    goal: &Goal,
    state: &State,
    looked: &mut Looked,
) -> Result<FenceOldHosts, Error> {
    let is_elsewhere = |old: &&OldHost| goal.machine(&old.address()).is_none();
    let elsewhere: Vec<&OldHost> = state.old_hosts.iter().filter(is_elsewhere).collect();
    let found = old::look_for(&mut context.progress, goal, state, settings, &elsewhere)?;
    if !found.away.is_empty() {
        context.progress.note(&format!(
            "{} may come back with an old control plane: `cctl fence --watch` waits for it",
            found.away.join(", ")
        ));
    }
    for failure in &found.hindered {
        context.progress.note(&format!(
            "the old control plane of {} is back, and cannot be stopped: {failure}",
            failure.host
        ));
    }
    let mut hosts: Vec<String> = found.back.keys().cloned().collect();
    looked.fleet.extend(found.back);
    looked.old = found.seekers;
    for (host, seen) in &mut looked.seen {
        if state.old_host(host).is_some() {
            (seen.member, seen.etcd, seen.node, seen.facts.first) = (None, None, None, false);
            hosts.push(host.clone());
        }
    }
    for host in &hosts {
        let given_up = state.old_host(host).map(|old| old.given_up_at.as_str());
        context.progress.note(&format!(
            "the old control plane of {host}, given up at {}, is back: it is to be stopped",
            given_up.unwrap_or_default()
        ));
    }
    Ok(FenceOldHosts { hosts })
}

fn needs_bundle(action: &Action) -> bool {
    matches!(
        action,
        Action::InitMember | Action::JoinMember | Action::Prepare
    )
}

/// Carries a plan out with the state's authorities; `snapshot` is what a recovery restores.
pub(crate) fn carry_out(
    context: &mut Context,
    goal: &Goal,
    looked: &Looked,
    plan: &Plan,
    open: &mut Open,
    snapshot: Option<&Proven>,
) -> Result<(), Error> {
    let shared = Shared {
        goal,
        fleet: &looked.fleet,
        seen: &looked.seen,
        issuer: RwLock::new(Issuer::new(&open.state, &open.secrets)?),
        tokens: Mutex::new(BTreeMap::new()),
        snapshot,
    };
    let done = execute(plan, &shared, open, &mut context.progress);
    copies::spread(open, &looked.fleet, &mut context.progress);
    done
}

/// Shows a plan and does nothing.
pub(crate) fn show(context: &Context, plan: &Plan, looked: &Looked) -> Result<(), cli::Error> {
    let label = session::labels(&looked.fleet);
    context.print(plan, |plan| {
        Shown {
            plan,
            label: &label,
        }
        .to_string()
    })
}

/// A machine that is no longer in the file is not taken down by leaving it out.
fn warn_of_others(context: &mut Context, goal: &Goal, state: &State) {
    for known in &state.ssh_machines {
        if goal.machine(&known.spec.address).is_none() {
            context.progress.note(&format!(
                "{} is no longer in the cluster file, and still in the cluster: take it out with `cctl delete machine --ip {}`",
                known.spec.address, known.spec.address
            ));
        }
    }
}
