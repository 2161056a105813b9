//! `etcdadm backup`: backups by the clock, on whichever member leads.
//!
//! `schedule` is run on every member's host and leaves a timer there. When it goes off, the member that leads takes a
//! snapshot into its folder, and proves one by restoring it every so often; the others see who leads and do nothing. What
//! came of it is written down, and told by `etcdadm status`.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use cli::Context;
use host::{Host, Local};
use serde::Serialize;

use crate::arguments::{BackupVerb, ReachArgs, ScheduleArgs};
use crate::phases::{
    CancelBackups, Keep, PruneSnapshots, SaveSnapshot, ScheduleBackups, copy_of, snapshot_name,
};
use crate::schedule::{Done, Log, Order, seconds};
use crate::survey::Reach;
use crate::verbs::{AnyPhase, Walk, reach, recorded, walk, walked, with_machine};
use crate::{Configuration, Error, paths, snapshot};

pub(crate) fn run(context: &mut Context, root: &Path, verb: &BackupVerb) -> Result<(), cli::Error> {
    let configuration = recorded(root)?;
    match verb {
        BackupVerb::Schedule(args) => schedule(context, root, &configuration, args),
        BackupVerb::Cancel { dry_run } => {
            let phases: [AnyPhase<'_>; 1] = [Box::new(CancelBackups)];
            let goal = "etcdadm backup cancel";
            walk(context, root, &configuration, goal, *dry_run, &phases)
        }
        BackupVerb::Run => take(context, root, &configuration),
    }
}

fn schedule(
    context: &mut Context,
    root: &Path,
    configuration: &Configuration,
    args: &ScheduleArgs,
) -> Result<(), cli::Error> {
    let bad = |text: String| Error::Configuration(text);
    if !args.folder.is_absolute() {
        let folder = args.folder.display();
        return Err(bad(format!("{folder} is not an absolute path")).into());
    }
    let program = std::env::current_exe()
        .map_err(|e| bad(format!("it cannot be told where this program lies: {e}")))?;
    let order = Order {
        folder: args.folder.clone(),
        every: args.every,
        keep_last: args.keep_last,
        keep_daily: args.keep_daily,
        verify_hours: args.verify_every,
        copy: copy_of(&program, configuration),
    };
    let phases: [AnyPhase<'_>; 1] = [Box::new(ScheduleBackups { order, program })];
    let goal = "etcdadm backup schedule";
    walk(context, root, configuration, goal, args.dry_run, &phases)
}

/// What a run did.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Taken {
    leader: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    taken: Option<PathBuf>,
    verified: bool,
}

/// What the timer runs.
fn take(
    context: &mut Context,
    root: &Path,
    configuration: &Configuration,
) -> Result<(), cli::Error> {
    let seen = Local::new(root);
    let order = Order::read(&seen)?.ok_or(Error::NoBackups)?;
    let reach = reach(configuration, &ReachArgs::default())?;
    let mut log = Log::read(&seen)?;
    let now = SystemTime::now();
    let taken = lead(context, root, &reach, &order, &mut log, now);
    match &taken {
        Ok(_) => {
            log.failures = 0;
            log.why.clear();
        }
        Err(error) => {
            log.failures += 1;
            log.why = error.causes().join(": ");
        }
    }
    log.looked = seconds(now);
    let path = PathBuf::from(paths::BACKUP_LOG);
    Local::new(root)
        .apply(&host::Change::file(path, log.to_text()))
        .map_err(Error::from)?;
    context.print(&taken?, |told| match &told.taken {
        Some(file) if told.verified => format!("{}: taken and proven\n", file.display()),
        Some(file) => format!("{}: taken\n", file.display()),
        None => format!("{} leads, and takes it\n", told.leader),
    })
}

/// Takes the backup, where this host's member leads.
fn lead(
    context: &mut Context,
    root: &Path,
    reach: &Reach<'_>,
    order: &Order,
    log: &mut Log,
    now: SystemTime,
) -> Result<Taken, cli::Error> {
    let configuration = reach.configuration;
    let survey = with_machine(context, root, configuration, true, |_, machine| {
        reach.survey(machine)
    })?;
    let leader = survey.leader().ok_or(Error::Etcd(etcd::Error::NoLeader))?;
    log.leader.clone_from(&leader.member.name);
    let own = survey.list.at_peer_url(&configuration.peer_url());
    let mut told = Taken {
        leader: log.leader.clone(),
        taken: None,
        verified: false,
    };
    if own.is_none_or(|own| own.id != leader.id()) {
        return Ok(told);
    }
    let file = order.folder.join(snapshot_name(now));
    let keep = Keep {
        last: order.keep_last,
        daily: order.keep_daily,
    };
    let folder = order.folder.clone();
    let walk = Walk::all("etcdadm backup run", false);
    let save = SaveSnapshot::new(reach.clone(), Some(file.clone()), false);
    let phases: [AnyPhase<'_>; 1] = [Box::new(save)];
    walked(context, root, configuration, walk, &phases)?;
    let at = seconds(now);
    let done = Done { at, file };
    log.taken = Some(done.clone());
    let due = log.verified.as_ref().is_none_or(|last| {
        at.saturating_sub(last.at) + order.every.seconds() / 2 >= order.verify_hours * 3600
    });
    if due && order.verify_hours > 0 {
        snapshot::proven(context, root, &done.file)?;
        log.verified = Some(done.clone());
        told.verified = true;
    }
    // Older ones go when the new one is there, and has been proven where it was to be.
    let phases: [AnyPhase<'_>; 1] = [Box::new(PruneSnapshots { folder, keep })];
    walked(context, root, configuration, walk, &phases)?;
    told.taken = Some(done.file);
    Ok(told)
}
