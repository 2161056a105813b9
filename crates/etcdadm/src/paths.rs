//! Where things lie on a host, as the host names them. Folders that can be moved are in the configuration.

/// The unit.
pub const UNIT: &str = "etcd.service";
/// Its file.
pub const UNIT_FILE: &str = "/etc/systemd/system/etcd.service";
/// What makes it start at boot.
pub const UNIT_LINK: &str = "/etc/systemd/system/multi-user.target.wants/etcd.service";
/// The static pod that is to be, where the member is none of systemd's units.
pub const POD: &str = "/etc/etcd/etcd-pod.json";
/// etcd's environment.
pub const ENVIRONMENT: &str = "/etc/etcd/etcd.env";
/// etcdctl's environment.
pub const ETCDCTL_ENVIRONMENT: &str = "/etc/etcd/etcdctl.env";
/// What only etcdadm knows: lock, journal, record, receipt.
pub const FOLDER: &str = "/var/lib/etcdadm";
/// What was set up, from what configuration.
pub const RECORD: &str = "/var/lib/etcdadm/member.json";
/// What was installed from the release's archive.
pub const RECEIPT: &str = "/var/lib/etcdadm/etcd.receipt.json";
/// The timer of backups.
pub const BACKUP_TIMER: &str = "etcdadm-backup.timer";
/// What it starts.
pub const BACKUP_SERVICE: &str = "etcdadm-backup.service";
/// What makes the timer start at boot.
pub const BACKUP_LINK: &str = "/etc/systemd/system/timers.target.wants/etcdadm-backup.timer";
/// What backups are to be.
pub const BACKUP_ORDER: &str = "/var/lib/etcdadm/backup.json";
/// What came of them on this host.
pub const BACKUP_LOG: &str = "/var/lib/etcdadm/backup.log.json";
