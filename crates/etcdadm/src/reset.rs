//! `etcdadm reset`: the host left as it was before, its data set aside.

use std::path::Path;

use cli::Context;

use crate::arguments::ResetArgs;
use crate::configuration::endpoint_url;
use crate::phases::{CancelBackups, LeaveCluster, RemoveFiles, SetDataAside, StopMember};
use crate::verbs::{AnyPhase, print_changes, recorded, walk};
use crate::{Configuration, Error};

/// The phases, in order.
pub(crate) fn phases(
    configuration: &Configuration,
    endpoints: Vec<String>,
    leave: bool,
) -> Vec<AnyPhase<'_>> {
    let mut phases: Vec<AnyPhase<'_>> = Vec::new();
    if leave {
        phases.push(Box::new(LeaveCluster::new(configuration, endpoints)));
    }
    phases.push(Box::new(CancelBackups));
    phases.push(Box::new(StopMember(configuration)));
    phases.push(Box::new(SetDataAside(configuration)));
    phases.push(Box::new(RemoveFiles(configuration)));
    phases
}

pub(crate) fn run(context: &mut Context, root: &Path, args: &ResetArgs) -> Result<(), cli::Error> {
    let mut configuration = match recorded(root) {
        // Reset twice is reset once.
        Err(Error::NoMember) => {
            return print_changes(context, &host::Summary::default());
        }
        other => other?,
    };
    let document = &mut configuration.document;
    document.certs_dir = args
        .certs_dir
        .clone()
        .unwrap_or_else(|| document.certs_dir.clone());
    document.install_dir = args
        .install_dir
        .clone()
        .unwrap_or_else(|| document.install_dir.clone());
    let endpoints = args
        .endpoints
        .iter()
        .map(|text| endpoint_url(text))
        .collect::<Result<Vec<_>, _>>()?;
    let phases = phases(&configuration, endpoints, !args.skip_remove_member);
    let goal = "etcdadm reset";
    walk(context, root, &configuration, goal, args.dry_run, &phases)
}
