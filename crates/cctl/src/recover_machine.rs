//! `cctl recover machine`: one control plane died while the others go on. What is left of it goes out of the cluster, and
//! its place is filled: by the same host, installed anew or reset, or by another one.
//!
//! Each part is done where it still is to be done, so a run that was cut off is finished by the same command.

use std::collections::BTreeMap;

use cli::Context;
use serde::Serialize;
use state::{SshMachineStatus, State};

use crate::arguments::{ApplyArgs, RecoverMachine};
use crate::delete_machine::{plan, reach, removal};
use crate::goal::Goal;
use crate::phases::RemoveMachine;
use crate::recover::now;
use crate::session::{self, Looked};
use crate::settings::Settings;
use crate::{Error, apply};

/// What `recover machine` prints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Recovered<'a> {
    machine: &'a str,
    /// The host that is in its place now.
    host: &'a str,
    steps: usize,
}

pub(crate) fn run(
    context: &mut Context,
    settings: &Settings,
    args: &RecoverMachine,
) -> Result<(), cli::Error> {
    let (mut open, state) = session::open_or_read(settings, args.dry_run)?;
    session::not_recovering(Some(&state))?;
    let named = ApplyArgs {
        bundle: args.bundle.clone(),
        ..ApplyArgs::default()
    };
    let mut goal = session::goal(&named, Some(&state))?;
    let (old, new) = (
        args.address.to_string(),
        args.replaced_by.unwrap_or(args.address).to_string(),
    );
    let was_replaced = old != new && goal.machine(&old).is_none() && goal.machine(&new).is_some();
    let mut removed = 0;
    if !was_replaced {
        check(&goal, &old, &new)?;
        let looked = reach(context, &goal, &state, settings, &old, true)?;
        let (removal, members) = removal(&goal, &looked, &state, &old)?;
        if members
            .iter()
            .any(|member| member.is_at(&old) && member.healthy)
        {
            return Err(cli::Error::from(Error::Refused(format!(
                "{old} lives: its etcd member is healthy"
            )))
            .hint(
                "`cctl apply` finishes what was begun; `cctl delete machine` takes out what works",
            ));
        }
        let phase = RemoveMachine {
            stays: true,
            ..removal
        };
        let plan = plan(&goal, &looked, &state, &phase);
        if args.dry_run {
            context.progress.note(&format!(
                "then {new} is made what {old} was, as by `cctl create machine`"
            ));
            return apply::show(context, &plan, &looked);
        }
        let mut state = session::remember(&goal, open, Some(&looked), settings)?;
        apply::carry_out(context, &goal, &looked, &plan, &mut state, None)?;
        drop::<Looked>(looked);
        removed = plan.steps.len();
        goal.replace(&BTreeMap::from([(old.clone(), new.clone())]));
        clear(&mut state.state, &goal, &old, &new, settings);
        state.save().map_err(Error::from)?;
        open = Some(state);
    } else if args.dry_run {
        return apply::with_goal(context, settings, &goal, true);
    }
    let (_, made) = apply::make_so(context, settings, &goal, open)?;
    let result = Recovered {
        machine: &old,
        host: &new,
        steps: removed + made,
    };
    context.print(&result, |result| {
        if result.machine == result.host {
            format!("{} is a control plane again\n", result.host)
        } else {
            format!("{} is in the place of {}\n", result.host, result.machine)
        }
    })
}

/// Refuses what is no control plane's recovery.
fn check(goal: &Goal, old: &str, new: &str) -> Result<(), Error> {
    if goal.machine(old).is_none() {
        return Err(Error::NoMachine(old.to_owned()));
    }
    if goal.nodes().iter().any(|node| node == old) {
        return Err(Error::Refused(format!(
            "{old} is a worker, which keeps nothing: `cctl delete machine --force` and `cctl create machine` bring it back"
        )));
    }
    if old == new {
        return Ok(());
    }
    goal.may_replace(old, new)
}

/// What was known of the machine is of the one that died.
fn clear(state: &mut State, goal: &Goal, old: &str, new: &str, settings: &Settings) {
    if old != new {
        // One that could not be reached may come back.
        state.give_up(old, &now());
    }
    state.set_configuration(goal.configuration.clone(), goal.documents.clone());
    if old != new {
        state.forget(old);
    } else if let Some(machine) = state.machine_mut(old) {
        machine.status = SshMachineStatus::default();
        // Said with the command: the host was installed anew, and has new keys.
        if settings.accept_new_host_keys {
            machine.spec.host_keys.clear();
        }
    }
}

#[cfg(test)]
mod tests;
