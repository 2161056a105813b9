//! `nodeadm prepare`: all that needs neither etcd nor keys nor an API, so that it can be done while etcd forms. What it
//! did, `init` and `join` find done.

use std::path::Path;

use cli::Context;

use crate::arguments::NodeVerb;
use crate::phases::{
    CheckHost, ConfigureKernel, ImportImages, ImportRemainingImages, InstallBinaries,
    InstallKubeletUnit, RecordHost, StartContainerd,
};
use crate::verbs::{Phases, chosen, node, print_result, result, settings, walk};

/// The phases, in order.
pub(crate) const PHASES: Phases = &[
    &CheckHost,
    &RecordHost,
    &InstallBinaries,
    &ConfigureKernel,
    &StartContainerd,
    &InstallKubeletUnit,
    &ImportImages,
    &ImportRemainingImages,
];

/// Runs the verb.
///
/// # Errors
/// As the phases'.
pub(crate) fn run(context: &mut Context, root: &Path, verb: &NodeVerb) -> Result<(), cli::Error> {
    let (args, walking, only) = chosen(verb);
    let mut node = node(
        root,
        settings(root, args, &args.overrides())?,
        walking.dry_run,
    );
    let summary = walk(context, "nodeadm prepare", &mut node, PHASES, walking, only)?;
    print_result(context, &result(&node, &summary, None), walking.dry_run)
}
