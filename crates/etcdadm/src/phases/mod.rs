//! The phases, one a file. Which verb walks which, in what order, stands in that verb's file.

mod add_learner;
mod apply_configuration;
mod await_health;
mod check_cluster;
mod check_host;
mod check_rotation;
mod check_served;
mod check_upgrade;
mod checks;
mod compact_history;
mod defragment;
mod disarm_alarms;
mod enable_downgrade;
mod fetch_release;
mod import_image;
mod install_binaries;
mod install_certificates;
mod issue_certificates;
mod leave_cluster;
mod measure_disk;
mod move_leader;
mod promote_learner;
mod promote_member;
mod prune_snapshots;
mod put_in_place;
mod record_member;
mod recover_snapshot;
mod reissue_certificates;
mod remove_files;
mod remove_member;
mod renew_certificates;
mod request_certificates;
mod restart_member;
mod restore_data;
mod save_snapshot;
mod schedule_backups;
mod set_data_aside;
mod set_unready_aside;
mod snapshot_log;
mod stage_authority;
mod start_member;
mod stop_member;
mod trust_authority;
mod upgrade_member;
mod write_configuration;
mod write_etcdctl;

pub(crate) use add_learner::AddLearner;
pub(crate) use apply_configuration::{CheckChange, MoveMember, RestartOutdated, running_urls};
pub(crate) use await_health::AwaitHealth;
pub(crate) use check_cluster::CheckCluster;
pub(crate) use check_host::CheckHost;
pub(crate) use check_rotation::CheckRotation;
pub(crate) use check_served::CheckServed;
pub(crate) use check_upgrade::CheckUpgrade;
pub(crate) use compact_history::CompactHistory;
pub(crate) use defragment::Defragment;
pub(crate) use disarm_alarms::DisarmAlarms;
pub(crate) use enable_downgrade::{CheckDowngrade, EnableDowngrade};
pub(crate) use fetch_release::FetchRelease;
pub(crate) use import_image::ImportImage;
pub(crate) use install_binaries::InstallBinaries;
pub(crate) use install_certificates::InstallCertificates;
pub(crate) use issue_certificates::IssueCertificates;
pub(crate) use issue_certificates::words;
pub(crate) use leave_cluster::LeaveCluster;
pub(crate) use measure_disk::MeasureDisk;
pub(crate) use move_leader::MoveLeader;
pub(crate) use promote_learner::PromoteLearner;
pub(crate) use promote_member::PromoteMember;
pub(crate) use prune_snapshots::{Keep, PruneSnapshots};
pub(crate) use put_in_place::PutInPlace;
pub(crate) use record_member::RecordMember;
pub(crate) use recover_snapshot::{KeepCapsule, RecoverSnapshot, capsule as recovered_capsule};
pub(crate) use reissue_certificates::{AdoptAuthority, ReissueCertificates};
pub(crate) use remove_files::RemoveFiles;
pub(crate) use remove_member::RemoveMember;
pub(crate) use renew_certificates::{RenewCertificates, ServeCertificates};
pub(crate) use request_certificates::RequestCertificates;
pub(crate) use restart_member::RestartMember;
pub(crate) use restore_data::{RestoreData, Wanted};
pub(crate) use save_snapshot::SaveSnapshot;
pub(crate) use schedule_backups::{CancelBackups, ScheduleBackups, copy_of};
pub(crate) use set_data_aside::SetDataAside;
pub(crate) use set_unready_aside::SetUnreadyAside;
pub(crate) use snapshot_log::SnapshotLog;
pub(crate) use stage_authority::StageAuthority;
pub(crate) use start_member::StartMember;
pub(crate) use stop_member::StopMember;
pub(crate) use trust_authority::{DropAuthority, RemoveStaged, TrustAuthority};
pub(crate) use upgrade_member::UpgradeMember;
pub(crate) use write_configuration::WriteConfiguration;
pub(crate) use write_etcdctl::WriteEtcdctl;

use std::path::Path;
use std::time::SystemTime;

use host::{Inspect, Kind};

use crate::{Change, Error};

/// What a snapshot that is taken at this time is called in its folder.
pub(crate) fn snapshot_name(now: SystemTime) -> String {
    let (before, after) = prune_snapshots::NAME;
    let time = crate::save::rfc3339(now).replace(['-', ':'], "");
    format!("{before}{time}{after}")
}

/// Which verb a phase works for, where it makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// A cluster is begun.
    Init,
    /// A cluster is joined.
    Join,
    /// A cluster is begun with the data of another.
    Restore,
}

/// What makes `path` a file with this mode and content; nothing if it is.
pub(crate) fn file(
    seen: &dyn Inspect,
    path: &Path,
    mode: u32,
    content: &str,
) -> Result<Vec<Change>, Error> {
    let stat = seen.stat(path)?;
    let same = match stat {
        Some(stat) if stat.kind == Kind::File => {
            seen.read(path, 1 << 20)?.as_deref() == Some(content.as_bytes())
        }
        Some(stat) => {
            return Err(host::Error::InTheWay {
                path: path.to_owned(),
                found: stat.kind.words(),
                wanted: "a file",
            }
            .into());
        }
        None => false,
    };
    if !same {
        return Ok(vec![
            host::Change::WriteFile {
                path: path.to_owned(),
                mode,
                content: content.into(),
            }
            .into(),
        ]);
    }
    if stat.is_some_and(|stat| stat.mode != mode) {
        return Ok(vec![
            host::Change::SetMode {
                path: path.to_owned(),
                mode,
            }
            .into(),
        ]);
    }
    Ok(Vec::new())
}

/// What makes `path` a folder; one that is there keeps its mode.
pub(crate) fn folder(seen: &dyn Inspect, path: &Path, mode: u32) -> Result<Vec<Change>, Error> {
    match seen.stat(path)? {
        None => Ok(vec![
            host::Change::MakeDir {
                path: path.to_owned(),
                mode,
            }
            .into(),
        ]),
        Some(stat) if stat.kind == Kind::File || stat.kind == Kind::Other => {
            Err(host::Error::InTheWay {
                path: path.to_owned(),
                found: stat.kind.words(),
                wanted: "a folder",
            }
            .into())
        }
        Some(_) => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests;
