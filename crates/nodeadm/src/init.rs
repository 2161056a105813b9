//! `nodeadm init`: a cluster begun with this host as its first control plane. Its etcd is there already.

use std::path::Path;
use std::time::Duration;

use api::Role;
use cli::Context;

use crate::arguments::NodeVerb;
use crate::phases::{
    AllowJoining, ApplyDns, ApplyKubeProxy, ApplyNetwork, CheckHost, ConfigureKernel, ImportImages,
    ImportRemainingImages, InstallBinaries, InstallKubeletUnit, LabelNode, MakeCertificates,
    MakeKubeconfigs, PointKubeconfigs, RecordHost, RotateKubeletCertificate, RunKubeadmPreflight,
    StartContainerd, StartKubelet, UploadConfiguration, WaitForApi, WriteKubeadmConfiguration,
    WriteManifests, WritePki, WriteVipPod,
};
use crate::settings::Overrides;
use crate::verbs::{Phases, chosen, node, print_result, result, settings, walk};

/// The phases, in order.
pub(crate) const PHASES: Phases = &[
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
    &ApplyNetwork,
    &ApplyKubeProxy,
    &UploadConfiguration,
    &AllowJoining,
    &LabelNode,
    &ApplyDns,
];

/// How long the token in the printed document is valid.
const TOKEN: Duration = Duration::from_secs(24 * 3600);

/// Runs the verb.
///
/// # Errors
/// As the phases'.
pub(crate) fn run(context: &mut Context, root: &Path, verb: &NodeVerb) -> Result<(), cli::Error> {
    let (args, walking, only) = chosen(verb);
    let overrides = Overrides {
        first: true,
        role: Some(Role::Master),
        ..args.overrides()
    };
    let mut node = node(root, settings(root, args, &overrides)?, walking.dry_run);
    let summary = walk(context, "nodeadm init", &mut node, PHASES, walking, only)?;
    // Whoever hands the authorities over makes its own tokens, too.
    let by_hand = !node.settings().credentials.contains_key("ca.key");
    let began = summary
        .changes
        .iter()
        .any(|applied| applied.phase == "allow-joining");
    let join = if by_hand && began && !walking.dry_run {
        Some(crate::token::join_document(
            &mut node,
            TOKEN,
            "made by nodeadm init",
        )?)
    } else {
        None
    };
    print_result(context, &result(&node, &summary, join), walking.dry_run)
}
