//! The phases, one a file. Those that look come first and are functions; those that plan are `Phase`s.

mod bring_tools;
mod check_hosts;
mod connect;
mod fence_control_planes;
mod fence_old_hosts;
mod form_etcd;
mod join_control_planes;
mod join_workers;
mod keep_kubeconfig;
mod look;
mod make_etcd_authority;
mod point_workers;
mod prepare_hosts;
mod prove_snapshot;
mod put_files_back;
mod remove_machine;
mod reset_hosts;
mod restore_etcd;
mod send_artifacts;
mod settle_nodes;
mod start_control_plane;
mod verify_cluster;

pub(crate) use bring_tools::{bring_tools, known as known_tools};
pub(crate) use check_hosts::{check, preflight, preflight_nodes};
pub(crate) use connect::{client, connect, keys_of};
pub use fence_control_planes::FenceControlPlanes;
pub use fence_old_hosts::FenceOldHosts;
pub use form_etcd::FormEtcd;
pub use join_control_planes::JoinControlPlanes;
pub use join_workers::JoinWorkers;
pub use keep_kubeconfig::KeepKubeconfig;
pub(crate) use look::{facts, look, look_again, remembered};
pub use make_etcd_authority::MakeEtcdAuthority;
pub use point_workers::PointWorkers;
pub use prepare_hosts::PrepareHosts;
pub use prove_snapshot::ProveSnapshot;
pub use put_files_back::PutFilesBack;
pub use remove_machine::RemoveMachine;
pub use reset_hosts::ResetHosts;
pub use restore_etcd::RestoreEtcd;
pub use send_artifacts::SendArtifacts;
pub use settle_nodes::SettleNodes;
pub use start_control_plane::StartControlPlane;
pub use verify_cluster::VerifyCluster;

use crate::plan::Phase;

/// What `apply` walks: the whole making of a cluster, in order.
pub const APPLY: [&dyn Phase; 8] = [
    &SendArtifacts,
    &FormEtcd,
    &PrepareHosts,
    &StartControlPlane,
    &JoinControlPlanes,
    &JoinWorkers,
    &VerifyCluster,
    &KeepKubeconfig,
];

/// What `recover` walks: the control plane begun anew from a snapshot, in order.
pub const RECOVER: [&dyn Phase; 12] = [
    &SendArtifacts,
    &ProveSnapshot,
    &MakeEtcdAuthority,
    &FenceControlPlanes,
    &PointWorkers,
    &RestoreEtcd,
    &PrepareHosts,
    &PutFilesBack,
    &StartControlPlane,
    &JoinControlPlanes,
    &KeepKubeconfig,
    &SettleNodes,
];

/// The phase of `nodeadm init` after which the API answers: other control planes can begin.
pub(crate) const API_READY: &str = "wait-for-api";
/// The phase of `nodeadm init` after which workers can join.
pub(crate) const JOINING_ALLOWED: &str = "allow-joining";
