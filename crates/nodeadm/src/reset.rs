//! `nodeadm reset`: the node taken down, the host left as it was found. It needs no flags: what was installed and what
//! was there before stands in the record.

use std::path::Path;

use cli::{Context, Kind, ResultExt};
use host::{Change, Host, Inspect, Local};

use crate::arguments::{ResetPhase, ResetVerb};
use crate::paths;
use crate::phases::reset::{
    RemoveFiles, RemoveNetwork, RemoveRecord, RemoveRules, RestoreUnits, SetDataAside,
    StopContainerd, StopKubelet, StopPods, UnmountVolumes,
};
use crate::record::Record;
use crate::settings::Settings;
use crate::verbs::{Phases, node, nothing, print_result, result, walk};

/// The phases, in order.
pub(crate) const PHASES: Phases = &[
    &StopKubelet,
    &StopPods,
    &StopContainerd,
    &UnmountVolumes,
    &RemoveNetwork,
    &RemoveRules,
    &SetDataAside,
    &RemoveFiles,
    &RestoreUnits,
    &RemoveRecord,
];

/// Runs the verb.
///
/// # Errors
/// As the phases'.
pub(crate) fn run(context: &mut Context, root: &Path, verb: &ResetVerb) -> Result<(), cli::Error> {
    let (walking, only): (_, &[String]) = match &verb.phase {
        Some(ResetPhase::Phase { names, walk }) => (walk, names),
        None => (&verb.walk, &[]),
    };
    let mut local = Local::new(root);
    let Some(record) = Record::read(&local)? else {
        return nothing(context);
    };
    let mut node = node(root, Settings::recorded(&record, root), walking.dry_run);
    let summary = walk(context, "nodeadm reset", &mut node, PHASES, walking, only)?;
    if !walking.dry_run && only.is_empty() && walking.skip_phases.is_empty() {
        forget(&mut local).kind(Kind::Failed)?;
    }
    print_result(context, &result(&node, &summary, None), walking.dry_run)
}

/// The journal and the lock of what is done: only what was set aside stays.
fn forget(local: &mut Local) -> Result<(), host::Error> {
    for name in ["journal", "journal.old", "lock"] {
        local.apply(&Change::Remove {
            path: Path::new(paths::FOLDER).join(name),
        })?;
    }
    if local
        .list(Path::new(paths::FOLDER))?
        .is_some_and(|names| names.is_empty())
    {
        local.apply(&Change::Remove {
            path: paths::FOLDER.into(),
        })?;
    }
    Ok(())
}
