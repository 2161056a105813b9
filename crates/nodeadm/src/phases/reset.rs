//! The steps that take a node down again, in the reverse order of making it: what runs, what is mounted, what is in the
//! network, files, and last the record of it all.

mod remove_files;
mod remove_network;
mod remove_record;
mod remove_rules;
mod restore_units;
mod set_data_aside;
mod stop_containerd;
mod stop_kubelet;
mod stop_pods;
mod unmount_volumes;

pub use remove_files::RemoveFiles;
pub(crate) use remove_files::trees;
pub use remove_network::RemoveNetwork;
pub use remove_record::RemoveRecord;
pub use remove_rules::RemoveRules;
pub use restore_units::RestoreUnits;
pub use set_data_aside::SetDataAside;
pub use stop_containerd::StopContainerd;
pub use stop_kubelet::StopKubelet;
pub use stop_pods::StopPods;
pub use unmount_volumes::UnmountVolumes;
