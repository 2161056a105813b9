//! Backups ordered and called off.

use super::*;
use crate::phases::{CancelBackups, ScheduleBackups, copy_of};
use crate::schedule::{Every, Order};

fn ordered(every: Every, program: &str) -> (World, ScheduleBackups) {
    let mut world = World::new();
    let configuration = world.configure(EtcdConfiguration::default());
    world.init(&configuration).unwrap();
    let order = Order {
        folder: "/var/backups/a folder".into(),
        every,
        keep_last: Some(24),
        keep_daily: None,
        verify_hours: 24,
        copy: copy_of(Path::new(program), &configuration),
    };
    let program = program.into();
    (world, ScheduleBackups { order, program })
}

#[test]
fn a_timer_is_left_and_taken_away_again() {
    let (mut world, schedule) = ordered(Every::Hour, "/var/cache/klusterkit/bin/0a1b/etcdadm");
    let before = world.host.listing();
    let again = ScheduleBackups {
        order: schedule.order.clone(),
        program: schedule.program.clone(),
    };
    insta::assert_snapshot!(world.walk(&[Box::new(schedule)]).unwrap(), @"
    schedule-backups: make folder /var/backups/a folder (0700)
    schedule-backups: run cp -p --remove-destination -- /var/cache/klusterkit/bin/0a1b/etcdadm /opt/bin/etcdadm
    schedule-backups: write /var/lib/etcdadm/backup.json (0644)
    schedule-backups: write /var/lib/etcdadm/backup.log.json (0644)
    schedule-backups: write /etc/systemd/system/etcdadm-backup.service (0644)
    schedule-backups: write /etc/systemd/system/etcdadm-backup.timer (0644)
    schedule-backups: make folder /etc/systemd/system/timers.target.wants (0755)
    schedule-backups: link /etc/systemd/system/timers.target.wants/etcdadm-backup.timer to /etc/systemd/system/etcdadm-backup.timer
    schedule-backups: start etcdadm-backup.timer
    ");
    assert_eq!(world.walk(&[Box::new(again)]).unwrap(), "");
    let read = |path: &str| world.host.read_text(Path::new(path)).unwrap().unwrap();
    let text = read("/etc/systemd/system/etcdadm-backup.service");
    insta::assert_snapshot!(text.split("NoNewPrivileges").next().unwrap(), @r#"
    # Written by etcdadm.

    [Unit]
    Description=Backup of the etcd cluster
    After=etcd.service
    RequiresMountsFor="/var/backups/a folder"

    [Service]
    Type=oneshot
    ExecStart=/opt/bin/etcdadm backup run
    TimeoutStartSec=2h
    Nice=10
    IOSchedulingClass=idle
    "#);
    assert!(text.contains("ReadWritePaths=\"/var/backups/a folder\" /var/lib/etcdadm\n"));
    assert!(text.ends_with("SystemCallFilter=capset\n"), "{text}");
    insta::assert_snapshot!(read("/etc/systemd/system/etcdadm-backup.timer"), @"
    # Written by etcdadm.

    [Unit]
    Description=Backups of the etcd cluster, by whoever leads

    [Timer]
    OnCalendar=*-*-* *:00:00 UTC
    AccuracySec=1s
    Persistent=yes

    [Install]
    WantedBy=timers.target
    ");
    insta::assert_snapshot!(world.walk(&[Box::new(CancelBackups)]).unwrap(), @"
    cancel-backups: stop etcdadm-backup.timer
    cancel-backups: remove /etc/systemd/system/timers.target.wants/etcdadm-backup.timer
    cancel-backups: remove /etc/systemd/system/etcdadm-backup.timer
    cancel-backups: remove /opt/bin/etcdadm
    cancel-backups: remove /etc/systemd/system/etcdadm-backup.service
    cancel-backups: remove /var/lib/etcdadm/backup.json
    cancel-backups: remove /var/lib/etcdadm/backup.log.json
    ");
    assert_eq!(world.walk(&[Box::new(CancelBackups)]).unwrap(), "");
    let listing = world.host.listing();
    let left: Vec<&str> = listing
        .lines()
        .filter(|line| !before.contains(*line) && !line.ends_with("gone"))
        .filter_map(|line| line.split(' ').next())
        .collect();
    insta::assert_snapshot!(left.join(" "), @"/etc/systemd/system/timers.target.wants/ /var/backups/ /var/backups/a");
}

#[test]
fn a_program_that_stays_is_not_copied() {
    let (mut world, schedule) = ordered(Every::QuarterHour, "/usr/local/bin/etcdadm");
    let changes = world.walk(&[Box::new(schedule)]).unwrap();
    assert!(!changes.contains("run cp"), "{changes}");
    let path = Path::new("/etc/systemd/system/etcdadm-backup.service");
    let text = world.host.read_text(path).unwrap().unwrap();
    assert!(
        text.contains("ExecStart=/usr/local/bin/etcdadm backup run\n"),
        "{text}"
    );
}
