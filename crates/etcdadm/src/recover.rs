//! `etcdadm recover quorum`: the majority is lost for good, and one member's data is there.
//!
//! What that member knew to be agreed on is taken as a snapshot of a copy of its data, and a new cluster begun with it as
//! `restore` does: proven first, revisions lifted, a new id, the old data set aside. Then others join.

use std::fs::File;
use std::io;
use std::path::Path;

use cli::Context;
use host::{Local, Pending};

use crate::arguments::{RecoverArgs, RecoverSnapshotArgs};
use crate::phases::{KeepCapsule, RecoverSnapshot, Wanted, recovered_capsule};
use crate::verbs::{
    AnyPhase, Walk, print_changes, print_made, recorded, recorded_for, token, walked,
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
    let wanted = |sha256| Wanted {
        configuration: &configuration,
        snapshot: path.clone(),
        sha256,
        bump: true,
    };
    let walk = Walk::all("etcdadm recover quorum", args.dry_run);
    let mut go = |phases: Vec<AnyPhase<'_>>| walked(context, root, &configuration, walk, &phases);
    if walk.dry_run {
        let mut phases = first(&configuration, args.force);
        let wanted = wanted(String::new());
        phases.extend(second(&wanted));
        let summary = go(phases)?;
        return print_changes(context, &summary);
    }
    let mut summary = go(first(&configuration, args.force))?;
    let file = Local::new(root).path(&path);
    let (sha256, _) = capsule::peek(&mut snapshot::open(&file)?).map_err(Error::from)?;
    let wanted = wanted(sha256);
    summary.changes.extend(go(second(&wanted))?.changes);
    context.progress.note(
        "the other members must not come back with their old data: `etcdadm reset --skip-remove-member` on their hosts, then `etcdadm join`",
    );
    print_made(context, root, &configuration, walk, &summary)
}

/// `etcdadm recover snapshot`: what this member knew to be agreed on, in a file elsewhere. A copy stays here.
pub(crate) fn snapshot(
    context: &mut Context,
    root: &Path,
    args: &RecoverSnapshotArgs,
) -> Result<(), cli::Error> {
    let configuration = recorded(root)?;
    let walk = Walk::all("etcdadm recover snapshot", false);
    let mut go = |phases: &[AnyPhase<'_>]| walked(context, root, &configuration, walk, phases);
    let keep: [AnyPhase<'_>; 1] = [Box::new(KeepCapsule(&configuration))];
    // That of a run that was cut off may be older than what the member has now.
    go(&keep)?;
    go(&first(&configuration, args.force))?;
    let mut from = snapshot::open(&Local::new(root).path(&recovered_capsule(&configuration)))?;
    hand_over(&mut from, &args.file)?;
    go(&keep)?;
    Ok(())
}

fn hand_over(from: &mut File, to: &Path) -> Result<(), Error> {
    let unwritten = |source| host::Error::File {
        action: "write",
        path: to.to_owned(),
        source,
    };
    if to == Path::new("-") {
        io::copy(from, &mut io::stdout().lock()).map_err(unwritten)?;
        return Ok(());
    }
    let mut file = Pending::new(to, 0o600)?;
    io::copy(from, &mut file).map_err(unwritten)?;
    Ok(file.commit()?)
}
