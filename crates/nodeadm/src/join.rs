//! `nodeadm join`: a worker, or a further control plane whose authorities are handed over or lie on the host.

use std::path::Path;

use cli::Context;

use crate::arguments::NodeVerb;
use crate::phases::{
    CheckHost, ConfigureKernel, ImportImages, ImportRemainingImages, InstallBinaries,
    InstallKubeletUnit, JoinCluster, LabelNode, MakeCertificates, MakeKubeconfigs,
    PointKubeconfigs, RecordHost, RotateKubeletCertificate, RunKubeadmPreflight, StartContainerd,
    StartKubelet, WaitForApi, WriteDiscovery, WriteKubeadmConfiguration, WriteManifests, WritePki,
    WriteVipPod,
};
use crate::verbs::{Phases, chosen, node, print_result, result, settings, walk};

/// A worker's phases, in order.
pub(crate) const WORKER: Phases = &[
    &CheckHost,
    &RecordHost,
    &InstallBinaries,
    &ConfigureKernel,
    &StartContainerd,
    &ImportImages,
    &InstallKubeletUnit,
    &WriteDiscovery,
    &WriteKubeadmConfiguration,
    &RunKubeadmPreflight,
    &WritePki,
    &PointKubeconfigs,
    &JoinCluster,
    &ImportRemainingImages,
];

/// A further control plane's phases, in order: nothing of the first is needed but the authorities.
pub(crate) const CONTROL_PLANE: Phases = &[
    &CheckHost,
    &RecordHost,
    &InstallBinaries,
    &ConfigureKernel,
    &StartContainerd,
    &ImportImages,
    &InstallKubeletUnit,
    &WritePki,
    &WriteKubeadmConfiguration,
    &RunKubeadmPreflight,
    &MakeCertificates,
    &PointKubeconfigs,
    &MakeKubeconfigs,
    &RotateKubeletCertificate,
    &WriteVipPod,
    &WriteManifests,
    &StartKubelet,
    &ImportRemainingImages,
    &WaitForApi,
    &LabelNode,
];

/// Runs the verb.
///
/// # Errors
/// As the phases'.
pub(crate) fn run(context: &mut Context, root: &Path, verb: &NodeVerb) -> Result<(), cli::Error> {
    let (args, walking, only) = chosen(verb);
    let settings = settings(root, args, &args.overrides())?;
    let phases = if settings.is_master() {
        CONTROL_PLANE
    } else {
        WORKER
    };
    let mut node = node(root, settings, walking.dry_run);
    let summary = walk(context, "nodeadm join", &mut node, phases, walking, only)?;
    print_result(context, &result(&node, &summary, None), walking.dry_run)
}
