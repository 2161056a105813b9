//! `etcdadm recover quorum`: the majority is lost for good, and one member's data is there.
//!
//! What that member knew to be agreed on is taken as a snapshot of a copy of its data, and a new cluster begun with it as
//! `restore` does: proven first, revisions lifted, a new id, the old data set aside. Then others join.

use std::path::Path;

use cli::Context;
use host::Local;

use crate::arguments::RecoverArgs;
use crate::phases::{KeepCapsule, RecoverSnapshot, Wanted, recovered_capsule};
use crate::verbs::{
    AnyPhase, member_result, print_changes, print_member, recorded_for, token, tool, with_machine,
};
use crate::{Configuration, Error, restore, snapshot};

/// The phases that end with the capsule.
pub(crate) fn first<'c>(configuration: &'c Configuration, force: bool) -> Vec<AnyPhase<'c>> {
    vec![Box::new(RecoverSnapshot::new(configuration, force))]
}

/// The phases that begin with it.
pub(crate) fn second<'c>(wanted: &Wanted<'c>) -> Vec<AnyPhase<'c>> {
    let mut phases = restore::phases(wanted, true);
    phases.push(Box::new(KeepCapsule(wanted.configuration)));
    phases
}

pub(crate) fn run(
    context: &mut Context,
    root: &Path,
    args: &RecoverArgs,
) -> Result<(), cli::Error> {
    let configuration = recorded_for(root, token()?)?;
    let path = recovered_capsule(&configuration);
    let (goal, dry_run) = ("etcdadm recover quorum", args.dry_run);
    let wanted = |sha256| Wanted {
        configuration: &configuration,
        snapshot: path.clone(),
        sha256,
        bump: true,
    };
    let mut walk = |phases: Vec<AnyPhase<'_>>| {
        with_machine(
            context,
            root,
            &configuration,
            dry_run,
            |context, machine| {
                let phases: Vec<_> = phases.iter().map(AsRef::as_ref).collect();
                context.walk(&tool(root), goal, dry_run, machine, &phases)
            },
        )
    };
    if dry_run {
        let mut phases = first(&configuration, args.force);
        let wanted = wanted(String::new());
        phases.extend(second(&wanted));
        let summary = walk(phases)?;
        return print_changes(context, &summary);
    }
    let mut summary = walk(first(&configuration, args.force))?;
    let file = Local::new(root).path(&path);
    let (sha256, _) = capsule::peek(&mut snapshot::open(&file)?).map_err(Error::from)?;
    let wanted = wanted(sha256);
    summary.changes.extend(walk(second(&wanted))?.changes);
    context.progress.note(
        "the other members must not come back with their old data: `etcdadm reset --skip-remove-member` on their hosts, then `etcdadm join`",
    );
    let changes = summary.changes.len();
    print_member(
        context,
        &member_result(&Local::new(root), &configuration, changes)?,
    )
}
