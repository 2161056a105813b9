//! `nodeadm fence`: this host's control plane stopped for good, for a recovery that begins it anew elsewhere or from older
//! data. Programs, images, settings and keys stay; `init` or `join` make it a node again.

use std::path::Path;

use cli::Context;
use host::Local;

use crate::arguments::WalkArgs;
use crate::phases::SetManifestsAside;
use crate::phases::reset::{RemoveNetwork, StopKubelet, StopPods};
use crate::record::Record;
use crate::settings::Settings;
use crate::verbs::{Phases, node, nothing, print_result, result, walk};

/// The phases, in order.
pub(crate) const PHASES: Phases = &[&StopKubelet, &SetManifestsAside, &StopPods, &RemoveNetwork];

/// Runs the verb.
///
/// # Errors
/// As the phases'.
pub(crate) fn run(context: &mut Context, root: &Path, args: &WalkArgs) -> Result<(), cli::Error> {
    let Some(record) = Record::read(&Local::new(root))? else {
        return nothing(context);
    };
    let mut node = node(root, Settings::recorded(&record, root), args.dry_run);
    let summary = walk(context, "nodeadm fence", &mut node, PHASES, args, &[])?;
    print_result(context, &result(&node, &summary, None), args.dry_run)
}
