//! `etcdadm reset`: the host left as it was before, its data set aside.

use std::path::Path;

use cli::Context;
use host::Phase;

use crate::arguments::ResetArgs;
use crate::configuration::endpoint_url;
use crate::phases::{CancelBackups, LeaveCluster, RemoveFiles, SetDataAside, StopMember};
use crate::verbs::{recorded, tool, with_machine};
use crate::{Configuration, Error, Machine};

/// The phases, in order.
pub(crate) fn phases<'a>(
    configuration: &Configuration,
    endpoints: Vec<String>,
    leave: bool,
) -> Vec<Box<dyn Phase<Machine<'a>> + '_>> {
    let mut phases: Vec<Box<dyn Phase<Machine<'a>> + '_>> = Vec::new();
    if leave {
        phases.push(Box::new(LeaveCluster::new(configuration, endpoints)));
    }
    phases.push(Box::new(CancelBackups));
    phases.push(Box::new(StopMember));
    phases.push(Box::new(SetDataAside(configuration)));
    phases.push(Box::new(RemoveFiles(configuration)));
    phases
}

pub(crate) fn run(context: &mut Context, root: &Path, args: &ResetArgs) -> Result<(), cli::Error> {
    let mut configuration = match recorded(root) {
        // Reset twice is reset once.
        Err(Error::NoMember) => {
            return crate::verbs::print_changes(context, &host::Summary::default());
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
    let summary = with_machine(
        context,
        root,
        &configuration,
        args.dry_run,
        |context, machine| {
            let phases = phases(&configuration, endpoints, !args.skip_remove_member);
            let phases: Vec<_> = phases.iter().map(AsRef::as_ref).collect();
            context.walk(&tool(root), "etcdadm reset", args.dry_run, machine, &phases)
        },
    )?;
    crate::verbs::print_changes(context, &summary)
}
