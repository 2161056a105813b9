//! `cctl fence`: old control planes that the cluster went on without, stopped for good where they are back: those that were
//! named dead in a recovery, were replaced, or were taken out without being reached. `--watch` waits for them.
//!
//! What is stopped is stopped first and written down afterwards: no lock is waited for while two hosts hold one address. A
//! run that was cut off finds them in the state still, and stops them once more, which changes nothing.

mod watch;

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use cli::{Context, Kind, Progress};
use serde::Serialize;
use state::{OldHost, Open, State};

use crate::arguments::{ApplyArgs, FenceArgs};
use crate::error::Failure;
use crate::fleet::{Fleet, Remote, on_all};
use crate::goal::{AllSeen, Goal};
use crate::old::{self, Found};
use crate::phases::{self, FenceOldHosts};
use crate::plan::{Plan, Shown, Step, View, make};
use crate::settings::Settings;
use crate::told::{Talk, Told};
use crate::{Error, copies, session, work};

/// What `fence` prints.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Fenced {
    cluster: String,
    /// Those that were stopped, by address.
    stopped: Vec<String>,
    /// Those that do not answer.
    away: Vec<String>,
    /// Those that answer, and could not be stopped.
    hindered: Vec<Hindered>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Hindered {
    host: String,
    why: String,
}

pub(crate) fn run(
    context: &mut Context,
    settings: &Settings,
    args: &FenceArgs,
) -> Result<(), cli::Error> {
    let state = state::read(&settings.state).map_err(Error::from)?;
    let named = ApplyArgs {
        bundle: args.bundle.clone(),
        ..ApplyArgs::default()
    };
    let goal = session::goal(&named, Some(&state))?;
    if !args.forget.is_empty() {
        return forget(context, settings, &state, &args.forget);
    }
    let hosts = wanted(&state, &args.addresses)?;
    if args.watch {
        return watch::run(context, settings, args, &goal);
    }
    let found = old::look_for(&mut context.progress, &goal, &state, settings, &hosts)?;
    let plan = plan(&goal, &state, &found.back);
    if args.dry_run {
        for host in &found.away {
            context.progress.note(&format!("{host} does not answer"));
        }
        let label = session::labels(&found.back);
        let shown = |plan: &Plan| {
            Shown {
                plan,
                label: &label,
            }
            .to_string()
        };
        return context.print(&plan, shown);
    }
    let (stopped, failures) = stop_all(&found.back, &plan, &mut context.progress)?;
    if !stopped.is_empty() {
        let open = write_down(settings, &state, &stopped)?;
        share(settings, &open, &goal, &mut context.progress);
    }
    report(context, &state, stopped, found, failures)
}

/// Whom to look for: all, or those that are named.
fn wanted<'s>(state: &'s State, named: &[IpAddr]) -> Result<Vec<&'s OldHost>, Error> {
    if named.is_empty() {
        return Ok(state.old_hosts.iter().collect());
    }
    let of = |address: &IpAddr| {
        let address = address.to_string();
        let old = state.old_host(&address);
        old.ok_or_else(|| Error::Usage(format!("no old control plane is looked for at {address}")))
    };
    named.iter().map(of).collect()
}

/// The steps that stop these.
fn plan(goal: &Goal, state: &State, back: &Fleet) -> Plan {
    let phase = FenceOldHosts {
        hosts: back.keys().cloned().collect(),
    };
    let view = View {
        goal,
        seen: &AllSeen::new(),
        started: state.started,
        recovery: None,
    };
    make(&[&phase], &view)
}

/// Stops all that are back at once.
fn stop_all(
    back: &Fleet,
    plan: &Plan,
    progress: &mut Progress,
) -> Result<(Vec<String>, Vec<Failure>), Error> {
    let remotes: Vec<&Remote> = back.values().collect();
    let progress = Mutex::new(progress);
    let results = on_all(
        &remotes,
        |remote| remote.address.clone(),
        |remote| Ok(stop(remote, plan, &progress)),
    )?;
    let (mut stopped, mut failures) = (Vec::new(), Vec::new());
    for (remote, result) in remotes.iter().zip(results) {
        match result {
            Ok(()) => stopped.push(remote.address.clone()),
            Err(failure) => failures.push(failure),
        }
    }
    Ok((stopped, failures))
}

/// Does the plan's steps on one host, one after the other.
fn stop(remote: &Remote, plan: &Plan, progress: &Mutex<&mut Progress>) -> Result<(), Failure> {
    let of_host = |step: &&Step| step.host.as_deref() == Some(&remote.address);
    let say = |told: &Told<'_>| {
        told.say(
            &remote.label,
            &mut progress.lock().unwrap_or_else(PoisonError::into_inner),
        );
    };
    let mut talk = Talk::default();
    for (number, step) in plan.steps.iter().filter(of_host).enumerate() {
        say(&Told::step(step));
        let mut hear = |event| {
            let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
            talk.say(step, &remote.label, number, &event, &mut progress);
        };
        if let Err(error) = work::fence(remote, &step.action, &mut hear) {
            let failure = Failure {
                host: remote.address.clone(),
                step: step.phase.to_owned(),
                error: Box::new(error),
            };
            say(&Told::step_failed(step, &failure));
            return Err(failure);
        }
        say(&Told::step_done(step, None));
    }
    Ok(())
}

/// Writes down that these are stopped: they are looked for no more.
fn write_down(settings: &Settings, state: &State, stopped: &[String]) -> Result<Open, Error> {
    let login_key = state.configuration().ssh.identity_file.as_deref();
    let missing = || {
        let path = settings.state.clone();
        Error::State(state::Error::None { path })
    };
    let mut open = session::open(settings, login_key)?.ok_or_else(missing)?;
    for host in stopped {
        old::stopped(&mut open.state, host);
    }
    open.save()?;
    Ok(open)
}

/// Leaves a copy of the state on the control planes that can be reached.
fn share(settings: &Settings, open: &Open, goal: &Goal, progress: &mut Progress) {
    let masters = goal.configuration.masters().collect::<Vec<_>>();
    let reached = phases::client(goal, Some(&open.state), settings).map(|client| {
        let reach = |machine: &&api::Machine| {
            Ok(phases::connect(&client, goal, machine, Some(&open.state), settings).ok())
        };
        let remotes = on_all(&masters, |machine| machine.address.to_string(), reach);
        let remotes = remotes.unwrap_or_default().into_iter().flatten();
        let fleet: Fleet = remotes
            .map(|remote| (remote.address.clone(), remote))
            .collect();
        copies::spread(open, &fleet, progress);
    });
    if let Err(error) = reached {
        progress.note(&format!(
            "no control plane has a copy of the state: {error}"
        ));
    }
}

/// Ends the search for hosts that are gone for good.
fn forget(
    context: &mut Context,
    settings: &Settings,
    state: &State,
    named: &[IpAddr],
) -> Result<(), cli::Error> {
    let hosts: Vec<String> = wanted(state, named)?
        .into_iter()
        .map(OldHost::address)
        .collect();
    let login_key = state.configuration().ssh.identity_file.as_deref();
    if let Some(mut open) = session::open(settings, login_key)? {
        for host in &hosts {
            open.state.settle(host);
        }
        open.save().map_err(Error::from)?;
    }
    context.print(&hosts, |hosts| {
        format!("{}: looked for no more\n", hosts.join(", "))
    })
}

fn report(
    context: &Context,
    state: &State,
    stopped: Vec<String>,
    found: Found,
    failures: Vec<Failure>,
) -> Result<(), cli::Error> {
    let failures: Vec<Failure> = found.hindered.into_iter().chain(failures).collect();
    let hindered = failures.iter().map(|failure| Hindered {
        host: failure.host.clone(),
        why: failure.to_string(),
    });
    let fenced = Fenced {
        cluster: state.configuration().metadata.name.clone(),
        stopped,
        away: found.away,
        hindered: hindered.collect(),
    };
    context.print(&fenced, text)?;
    let some = !fenced.stopped.is_empty();
    let partly = |kind| if some { Kind::Partial } else { kind };
    if !failures.is_empty() {
        let error = cli::Error::from(Error::Several(failures));
        return Err(cli::Error {
            kind: partly(error.kind),
            ..error
        });
    }
    if fenced.away.is_empty() {
        return Ok(());
    }
    let what = format!("{} may come back", fenced.away.join(", "));
    Err(cli::Error::new(partly(Kind::Unreachable), what).hint(
        "`cctl fence --watch` waits for them; one that is gone for good: `cctl fence --forget ADDRESS`",
    ))
}

fn text(fenced: &Fenced) -> String {
    let mut text = String::new();
    for host in &fenced.stopped {
        text.push_str(&format!("{host} is stopped for good\n"));
    }
    for host in &fenced.away {
        text.push_str(&format!("{host} does not answer\n"));
    }
    for hindered in &fenced.hindered {
        text.push_str(&format!("{} is NOT STOPPED\n", hindered.host));
    }
    if text.is_empty() {
        text.push_str("no old control plane is looked for\n");
    }
    text
}
