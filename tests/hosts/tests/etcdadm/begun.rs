//! A first member that does not come up: given up in time, and begun anew by the next run, since it served nobody.

use std::time::Duration;

use lab::{Host, Output, wait_until};

use crate::{Ground, NEWEST, timed};

const SMALL: &str = "/mnt/small";
const WAL: &str = "/var/lib/etcd/member/wal/0000000000000000-0000000000000000.wal";

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn a_first_member_whose_disk_was_full_begins_anew_when_there_is_room() {
    let ground = Ground::new("full", 1);
    let members = ground.members(NEWEST);
    let host = &ground.hosts[0];
    members.equip(host).unwrap();
    host.exec(["mkdir", "-p", SMALL]).check().unwrap();
    let mount = |words: &[&str]| {
        let mount = ["mount"].into_iter().chain(words.iter().copied());
        host.exec(mount).check().unwrap();
    };
    mount(&["-t", "tmpfs", "-o", "size=40m", "none", SMALL]);
    let data = format!("{SMALL}/etcd");
    let words = ["init", "--data-dir", &data];
    let run = |more: &[&str]| {
        let words = words.into_iter().chain(more.iter().copied());
        let run = members.etcdadm(host, words);
        timed("init", || run.output().unwrap())
    };
    let refused = run(&[]);
    let said = "40 MiB of room, a member needs 200 MiB";
    assert!(refused.code == 3, "{}", refused.error_text());
    assert!(
        refused.error_text().contains(said),
        "{}",
        refused.error_text()
    );
    // As if it filled up only now.
    let failed = run(&["--ignore-preflight-errors", "disk-room"]);
    println!("{}", failed.error_text());
    assert_eq!(failed.code, 1);
    assert!(failed.error_text().contains("no space left on device"));
    assert_ne!(state(host), "active");
    mount(&["-o", "remount,size=1g", SMALL]);
    let begun = run(&[]);
    assert!(begun.success(), "{}", begun.error_text());
    members.share_authority(host, &[]).unwrap();
    members.check_healthy(&ground.hosts).unwrap();
    let aside = host.exec(["ls", SMALL]).text().unwrap();
    assert!(aside.contains("etcd.set-aside-"), "{aside}");
}

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn a_first_member_that_waits_for_ever_is_given_up_and_begins_anew() {
    let ground = Ground::new("unready", 1);
    let members = ground.members(NEWEST);
    let host = &ground.hosts[0];
    members.equip(host).unwrap();
    members.init(host).check().unwrap();
    // What is left when its first writes do not come through: a log that knows of no member.
    host.exec(["systemctl", "stop", "etcd.service"])
        .check()
        .unwrap();
    let beyond = ["seek=80", "count=4000", "bs=1", "conv=notrunc"];
    let of = format!("of={WAL}");
    let words = ["dd", "if=/dev/zero", of.as_str()]
        .into_iter()
        .chain(beyond);
    host.exec(words).check().unwrap();
    host.exec(["rm", "/var/lib/etcd/member/snap/db"])
        .check()
        .unwrap();
    let start = ["systemctl", "start", "--no-block", "etcd.service"];
    host.exec(start).check().unwrap();
    wait_until("etcd to be starting", Duration::from_secs(10), || {
        Ok(state(host) == "activating")
    })
    .unwrap();
    let init = || -> Output {
        let init = members.init(host).timeout(Duration::from_secs(200));
        timed("init", || init.output().unwrap())
    };
    let given_up = init();
    let said = "etcd.service was not ready within 90 s and was stopped";
    assert_eq!(given_up.code, 1);
    assert!(
        given_up.error_text().contains(said),
        "{}",
        given_up.error_text()
    );
    assert_eq!(state(host), "inactive");
    let begun = init();
    assert!(begun.success(), "{}", begun.error_text());
    members.share_authority(host, &[]).unwrap();
    members.check_healthy(&ground.hosts).unwrap();
    // Once it has served, it is never begun anew.
    host.exec(["systemctl", "stop", "etcd.service"])
        .check()
        .unwrap();
    let again = init();
    assert!(again.success(), "{}", again.error_text());
    let aside = host.exec(["ls", "/var/lib"]).text().unwrap();
    assert_eq!(aside.matches("etcd.set-aside-").count(), 1, "{aside}");
}

fn state(host: &Host) -> String {
    let words = ["systemctl", "is-active", "etcd.service"];
    host.nsexec(words)
        .unwrap()
        .output()
        .unwrap()
        .text()
        .trim()
        .to_owned()
}
