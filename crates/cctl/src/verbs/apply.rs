//! `cctl apply` and `cctl plan`: look, plan, and then show the plan or carry it out.

use std::collections::BTreeMap;
use std::sync::Mutex;

use cli::Context;
use serde::Serialize;
use state::State;

use crate::Error;
use crate::arguments::ApplyArgs;
use crate::documents::Issuer;
use crate::execute::{Shared, execute};
use crate::goal::Goal;
use crate::phases::APPLY;
use crate::plan::{Action, Plan, Shown, View, make};
use crate::session::{self, Looked};
use crate::settings::Settings;

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
    // A plan needs no key, and hinders nobody.
    let (open, state) = if dry_run {
        (None, session::read_state(settings)?)
    } else {
        let open = session::open(settings, goal.configuration.ssh.identity_file.as_deref())?;
        let state = open.as_ref().map(|open| open.state.clone());
        (open, state)
    };
    let state = state.as_ref();
    if let Some(state) = state {
        warn_of_others(context, goal, state);
    }
    let looked = session::look(context, goal, state, settings)?;
    let started = state.map(|state| state.started).unwrap_or_default();
    let view = View {
        goal,
        seen: &looked.seen,
        started,
    };
    let plan = make(&APPLY, &view);
    if plan
        .which(|step| needs_bundle(&step.action))
        .next()
        .is_some()
        && goal.artifacts.is_none()
    {
        let hosts: Vec<String> = plan
            .steps
            .iter()
            .filter(|step| needs_bundle(&step.action))
            .filter_map(|step| step.host.clone())
            .collect();
        context.progress.note(&format!(
            "no bundle is named: {} must have in their stores what they need",
            hosts.join(", ")
        ));
    }
    if dry_run {
        return show(context, &plan, &looked);
    }
    let mut open = session::remember(goal, open, Some(&looked), settings)?;
    carry_out(context, goal, &looked, &plan, &mut open)?;
    let result = Applied {
        cluster: &goal.configuration.metadata.name,
        endpoint: format!(
            "https://{}",
            goal.configuration.control_plane_endpoint.with_api_port()
        ),
        machines: goal.configuration.machines.len(),
        steps: plan.steps.len(),
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

fn needs_bundle(action: &Action) -> bool {
    matches!(
        action,
        Action::InitMember | Action::JoinMember | Action::Prepare
    )
}

/// Carries a plan out with the state's authorities.
pub(crate) fn carry_out(
    context: &mut Context,
    goal: &Goal,
    looked: &Looked,
    plan: &Plan,
    open: &mut state::Open,
) -> Result<(), Error> {
    let shared = Shared {
        goal,
        fleet: &looked.fleet,
        seen: &looked.seen,
        issuer: Issuer::new(&open.state, &open.secrets)?,
        tokens: Mutex::new(BTreeMap::new()),
    };
    execute(plan, &shared, open, &mut context.progress)
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
