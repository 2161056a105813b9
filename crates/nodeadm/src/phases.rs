//! The steps of the verbs, one a file, each named by what it does to what.
//!
//! A phase looks at the host and at the cluster and returns the changes still to be made; on a node that is right it
//! returns none. Which phases a verb has, and in what order, stands in the verb ([`crate::verbs`]).

mod allow_joining;
mod apply_dns;
mod apply_kube_proxy;
mod apply_network;
mod check_host;
mod configure_kernel;
mod import_images;
mod install_binaries;
mod install_kubelet_unit;
mod join_cluster;
mod label_node;
mod make_certificates;
mod make_kubeconfigs;
mod point_kubeconfigs;
mod put_files_back;
mod record_host;
pub mod reset;
mod rotate_kubelet_certificate;
mod run_kubeadm_preflight;
mod set_manifests_aside;
mod start_containerd;
mod start_kubelet;
mod upload_configuration;
mod wait_for_api;
mod write_discovery;
mod write_kubeadm_configuration;
mod write_manifests;
mod write_pki;
mod write_vip_pod;

pub use allow_joining::AllowJoining;
pub use apply_dns::ApplyDns;
pub use apply_kube_proxy::ApplyKubeProxy;
pub use apply_network::ApplyNetwork;
pub use check_host::CheckHost;
pub use configure_kernel::ConfigureKernel;
pub use import_images::{ImportImages, ImportRemainingImages};
pub use install_binaries::InstallBinaries;
pub use install_kubelet_unit::InstallKubeletUnit;
pub use join_cluster::JoinCluster;
pub use label_node::LabelNode;
pub use make_certificates::MakeCertificates;
pub use make_kubeconfigs::MakeKubeconfigs;
pub use point_kubeconfigs::PointKubeconfigs;
pub(crate) use put_files_back::PutFilesBack;
pub use record_host::RecordHost;
pub use rotate_kubelet_certificate::RotateKubeletCertificate;
pub use run_kubeadm_preflight::RunKubeadmPreflight;
pub(crate) use set_manifests_aside::CONTROL_PLANE;
pub use set_manifests_aside::SetManifestsAside;
pub use start_containerd::StartContainerd;
pub use start_kubelet::StartKubelet;
pub use upload_configuration::UploadConfiguration;
pub use wait_for_api::WaitForApi;
pub use write_discovery::WriteDiscovery;
pub use write_kubeadm_configuration::WriteKubeadmConfiguration;
pub use write_manifests::WriteManifests;
pub use write_pki::WritePki;
pub use write_vip_pod::WriteVipPod;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use host::{Inspect, Kind};

use crate::Error;
use crate::change::Change;
use crate::found::{self, Found};

/// A file with this content and mode, what was found there before being set aside.
fn plan_file(
    seen: &dyn Inspect,
    path: &Path,
    mode: u32,
    content: &str,
) -> Result<Vec<Change>, Error> {
    if seen
        .stat(path)?
        .is_some_and(|stat| stat.kind == Kind::File && stat.mode == mode)
        && seen.read(path, 1 << 24)?.as_deref() == Some(content.as_bytes())
    {
        return Ok(Vec::new());
    }
    let mut plan = keep_found(seen, path)?;
    plan.push(
        host::Change::WriteFile {
            path: path.to_owned(),
            mode,
            content: content.into(),
        }
        .into(),
    );
    Ok(plan)
}

/// A link to `target`, what was found there before being set aside.
fn plan_link(seen: &dyn Inspect, path: &Path, target: &Path) -> Result<Vec<Change>, Error> {
    if seen.read_link(path)?.as_deref() == Some(target) {
        return Ok(Vec::new());
    }
    let mut plan = keep_found(seen, path)?;
    plan.push(
        host::Change::Link {
            path: path.to_owned(),
            target: target.to_owned(),
        }
        .into(),
    );
    Ok(plan)
}

/// Moves what the host had at `path` before nodeadm came out of the way, once.
fn keep_found(seen: &dyn Inspect, path: &Path) -> Result<Vec<Change>, Error> {
    let to = found::before(path);
    let had = Found::read(seen)?.is_some_and(|found| found.had(path));
    if had && seen.stat(path)?.is_some() && seen.stat(&to)?.is_none() {
        return Ok(vec![
            host::Change::SetAside {
                path: path.to_owned(),
                to,
            }
            .into(),
        ]);
    }
    Ok(Vec::new())
}

/// A folder with this mode.
fn plan_folder(seen: &dyn Inspect, path: &Path, mode: u32) -> Result<Vec<Change>, Error> {
    match seen.stat(path)? {
        Some(stat) if stat.kind == Kind::Dir => Ok(Vec::new()),
        _ => Ok(vec![
            host::Change::MakeDir {
                path: PathBuf::from(path),
                mode,
            }
            .into(),
        ]),
    }
}
