//! `etcdadm compact`, `defrag`, `alarm` and `maintain`: space won back.
//!
//! `maintain` is the whole way out of a quota alarm: the history is compacted, every database defragmented, the alarm
//! taken back.

use std::path::Path;

use cli::Context;
use etcd::Alarm;
use serde::Serialize;

use crate::View;
use crate::arguments::{AlarmVerb, CompactArgs, DefragArgs, MaintainArgs};
use crate::phases::{CompactHistory, Defragment, DisarmAlarms};
use crate::survey::Reach;
use crate::verbs::{AnyPhase, reach, recorded, walk, with_machine};

pub(crate) fn compact(
    context: &mut Context,
    root: &Path,
    args: &CompactArgs,
) -> Result<(), cli::Error> {
    let configuration = recorded(root)?;
    let (reach, change) = (reach(&configuration, &args.change.reach)?, &args.change);
    let phases: [AnyPhase<'_>; 1] = [Box::new(CompactHistory::new(
        reach,
        args.keep,
        args.revision,
    ))];
    walk(
        context,
        root,
        &configuration,
        "etcdadm compact",
        change.dry_run,
        &phases,
    )
}

pub(crate) fn defrag(
    context: &mut Context,
    root: &Path,
    args: &DefragArgs,
) -> Result<(), cli::Error> {
    let configuration = recorded(root)?;
    let (reach, change) = (reach(&configuration, &args.change.reach)?, &args.change);
    let phases: [AnyPhase<'_>; 1] = [Box::new(Defragment {
        reach,
        only: args.member.clone(),
        interrupt: args.interrupt,
    })];
    walk(
        context,
        root,
        &configuration,
        "etcdadm defrag",
        change.dry_run,
        &phases,
    )
}

/// The phases of `maintain`, in order.
pub(crate) fn phases<'c>(reach: &Reach<'c>, keep: i64, interrupt: bool) -> Vec<AnyPhase<'c>> {
    vec![
        Box::new(CompactHistory::new(reach.clone(), keep, None)),
        Box::new(Defragment {
            reach: reach.clone(),
            only: None,
            interrupt,
        }),
        Box::new(DisarmAlarms {
            reach: reach.clone(),
            corrupt: false,
        }),
    ]
}

pub(crate) fn run(
    context: &mut Context,
    root: &Path,
    args: &MaintainArgs,
) -> Result<(), cli::Error> {
    let configuration = recorded(root)?;
    let reach = reach(&configuration, &args.change.reach)?;
    let phases = phases(&reach, args.keep, args.interrupt);
    walk(
        context,
        root,
        &configuration,
        "etcdadm maintain",
        args.change.dry_run,
        &phases,
    )
}

pub(crate) fn alarm(
    context: &mut Context,
    root: &Path,
    verb: &AlarmVerb,
) -> Result<(), cli::Error> {
    let configuration = recorded(root)?;
    match verb {
        AlarmVerb::Disarm { corrupt, change } => {
            let reach = reach(&configuration, &change.reach)?;
            let phases: [AnyPhase<'_>; 1] = [Box::new(DisarmAlarms {
                reach,
                corrupt: *corrupt,
            })];
            let goal = "etcdadm alarm disarm";
            walk(context, root, &configuration, goal, change.dry_run, &phases)
        }
        AlarmVerb::List(args) => {
            let reach = reach(&configuration, args)?;
            let alarms = with_machine(context, root, &configuration, false, |_, machine| {
                let credentials = reach.credentials(machine)?;
                let alarms = machine.etcd().alarms(&reach.ask(), &credentials)?;
                Ok::<_, crate::Error>(Alarms { alarms })
            })?;
            context.print(&alarms, |told| match told.alarms.as_slice() {
                [] => "no alarms\n".to_owned(),
                all => all
                    .iter()
                    .map(|alarm| format!("{} {}\n", etcd::hex_id(alarm.member), alarm.kind))
                    .collect(),
            })
        }
    }
}

#[derive(Serialize)]
struct Alarms {
    alarms: Vec<Alarm>,
}
