//! Backups by the clock: whoever leads takes one, what fails is told, and what was taken can be restored.

use hosts::Members;
use lab::Host;
use serde_json::Value;

use crate::{Ground, NEWEST, timed};

const FOLDER: &str = "/var/backups/etcd";

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn the_leader_takes_backups_and_two_that_are_missed_are_told() {
    let ground = Ground::new("scheduled", 3);
    let members = ground.members(NEWEST);
    let hosts = ground.hosts.as_slice();
    members.equip_all(hosts).unwrap();
    members.form(hosts).unwrap();
    members.etcdctl(hosts, ["put", "key", "x"]).check().unwrap();
    let words = [
        "backup",
        "schedule",
        FOLDER,
        "--every",
        "5m",
        "--keep-last",
        "2",
    ];
    for host in hosts {
        members.etcdadm(host, words).check().unwrap();
        let again = members.etcdadm(host, words).text().unwrap();
        assert_eq!(again, "nothing to change");
        let state = ["systemctl", "is-active", "etcdadm-backup.timer"];
        host.nsexec(state).unwrap().check().unwrap();
        // What the timer does, now.
        let start = ["systemctl", "start", "etcdadm-backup.service"];
        let run = host.nsexec(start).unwrap();
        let ended = timed(&format!("backup on {}", host.name()), || {
            run.output().unwrap()
        });
        let journal = [
            "journalctl",
            "--output=cat",
            "--unit=etcdadm-backup.service",
        ];
        let journal = host.nsexec(journal).unwrap().text().unwrap();
        assert!(ended.success(), "{journal}");
    }
    let taken = |host: &Host| {
        let list = host.exec(["ls", FOLDER]).text().unwrap();
        list.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let (code, told) = status(&members, &hosts[0]);
    assert_eq!(code, 0, "{told:#}");
    let leader = told["backups"]["lastLeader"].as_str().unwrap();
    let (mine, others): (Vec<&Host>, Vec<&Host>) =
        hosts.iter().partition(|host| host.name() == leader);
    let leading = mine[0];
    assert_eq!(taken(leading).len(), 1);
    for host in others {
        assert!(taken(host).is_empty(), "{} does not lead", host.name());
        let (code, told) = status(&members, host);
        assert_eq!(
            (code, &told["backups"]["missed"]),
            (0, &0.into()),
            "{told:#}"
        );
    }
    let (_, told) = status(&members, leading);
    assert!(told["backups"]["verifiedAt"].is_string(), "{told:#}");
    assert!(told["backups"]["ageSeconds"].as_u64().unwrap() < 600);

    // Where there is no room, the first miss is a warning, and the second a failure.
    let full = ["mount", "-t", "tmpfs", "-o", "size=4k", "none", FOLDER];
    leading.exec(full).check().unwrap();
    for (missed, code) in [(1, 0), (2, 1)] {
        let run = members.etcdadm(leading, ["backup", "run"]);
        assert!(!run.output().unwrap().success());
        let (ended, told) = status(&members, leading);
        assert_eq!(
            (ended, &told["backups"]["missed"]),
            (code, &missed.into()),
            "{told:#}"
        );
    }
    leading.exec(["umount", FOLDER]).check().unwrap();
    for _ in 0..2 {
        std::thread::sleep(std::time::Duration::from_millis(1100));
        members.etcdadm(leading, ["backup", "run"]).check().unwrap();
    }
    assert_eq!(status(&members, leading).0, 0);
    let kept = taken(leading);
    assert_eq!(kept.len(), 2, "{kept:?}");
    let newest = format!("{FOLDER}/{}", kept[1]);
    let verify = ["snapshot", "verify", &newest];
    members.etcdadm(leading, verify).check().unwrap();

    // Called off, they stay.
    members
        .etcdadm(leading, ["backup", "cancel"])
        .check()
        .unwrap();
    assert_eq!(taken(leading), kept);
    assert!(status(&members, leading).1["backups"].is_null());
}

fn status(members: &Members<'_>, host: &Host) -> (i32, Value) {
    let output = members.etcdadm(host, ["status", "--output", "json"]);
    let output = output.output().unwrap();
    let told = serde_json::from_str(&output.text());
    (
        output.code,
        told.unwrap_or_else(|_| panic!("{}", output.error_text())),
    )
}
