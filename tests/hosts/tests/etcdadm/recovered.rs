//! Data brought back from a snapshot: onto other hosts when all are lost, and onto the same one.

use std::time::Duration;

use hosts::Members;
use lab::{Host, wait_until};

use crate::{Ground, NEWEST, OLDEST, timed};

const CAPSULE: &str = "/root/etcd.capsule";

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn a_cluster_whose_hosts_are_all_lost_goes_on_on_others() {
    lost_and_restored(NEWEST, "lost");
}

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn a_cluster_of_etcd_3_5_goes_on_on_others() {
    lost_and_restored(OLDEST, "lost-3-5");
}

fn lost_and_restored(version: &str, lab: &str) {
    let ground = Ground::new(lab, 5);
    let members = ground.members(version);
    let hosts = ground.hosts.as_slice();
    members.equip_all(hosts).unwrap();
    let (old, new) = hosts.split_at(3);
    members.form(old).unwrap();
    members.share_authority(&old[0], new).unwrap();
    for number in 0..50 {
        put(&members, old, &format!("kept-{number}"), "x");
    }
    let run = |host: &Host, words: &[&str]| {
        let run = members.etcdadm(host, words.iter().copied());
        timed(&words.join(" "), || run.check()).unwrap().text()
    };
    run(&old[0], &["snapshot", "save", CAPSULE]);
    let file = ground.folder.path().join("etcd.capsule");
    old[0].get(CAPSULE, &file).unwrap();
    // What clients saw after it: these revisions must not come again.
    for number in 0..30 {
        put(&members, old, &format!("late-{number}"), "x");
    }
    let seen = revision(&members, &old[0]);
    old.iter().for_each(|host| host.power_loss().unwrap());

    new[0].put(&file, CAPSULE, 0o600).unwrap();
    println!("{}", run(&new[0], &["restore", CAPSULE]));
    let join = members.join(&new[1], &new[0]);
    timed("join", || join.check()).unwrap();
    members.check_healthy(new).unwrap();

    let keys = ["get", "--prefix", "", "--keys-only"];
    let keys = members.etcdctl(new, keys).text().unwrap();
    let keys: Vec<&str> = keys.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(keys.len(), 50, "{keys:?}");
    assert!(keys.iter().all(|key| key.starts_with("kept-")), "{keys:?}");
    let now = revision(&members, &new[0]);
    println!("revision {seen} seen before, {now} now");
    assert!(now > seen + 1_000_000_000);
    // A watcher that stayed up is told to look again.
    let since = format!("--rev={seen}");
    let watch = members.etcdctl(new, ["watch", "--prefix", "", &since]);
    let watch = watch.output().unwrap();
    let said = format!("{}{}", watch.text(), watch.error_text());
    assert!(
        said.contains("required revision has been compacted"),
        "{said}"
    );

    // Once more is nothing more; and a member of the old cluster that comes back stays by itself.
    let again = run(&new[0], &["restore", CAPSULE]);
    assert_eq!(revision(&members, &new[0]), now, "{again}");
    old[0].boot().unwrap();
    old[0].wait_ssh().unwrap();
    let runs = ["pgrep", "--exact", "etcd"];
    wait_until("the old member to run", Duration::from_secs(20), || {
        Ok(old[0].nsexec(runs)?.output()?.success())
    })
    .unwrap();
    members.check_healthy(new).unwrap();
    assert_eq!(members.list(&new[0]).unwrap().len(), 2);
}

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn a_member_is_restored_in_place_and_its_data_is_kept() {
    let ground = Ground::new("in-place", 1);
    let members = ground.members(NEWEST);
    let hosts = ground.hosts.as_slice();
    let host = &hosts[0];
    members.equip(host).unwrap();
    members.init(host).check().unwrap();
    members.share_authority(host, &[]).unwrap();
    put(&members, hosts, "key", "before");
    let run = |words: &[&str]| {
        let run = members.etcdadm(host, words.iter().copied());
        run.output().unwrap()
    };
    assert!(run(&["snapshot", "save", CAPSULE]).success());
    put(&members, hosts, "key", "after");

    let refused = run(&["restore", CAPSULE]);
    let said = "this host's member belongs to a cluster that serves: h1";
    assert!(
        refused.code == 1 && refused.error_text().contains(said),
        "{}",
        refused.error_text()
    );
    assert_eq!(get(&members, hosts, "key"), "after");

    // A snapshot that is not what it was touches nothing.
    host.exec(["cp", CAPSULE, "/root/damaged"]).check().unwrap();
    crate::refused::flip(host, "/root/damaged");
    let refused = run(&["restore", "/root/damaged", "--force"]);
    assert!(
        refused.error_text().contains("the snapshot is damaged"),
        "{}",
        refused.error_text()
    );
    assert_eq!(get(&members, hosts, "key"), "after");

    let restored = run(&["restore", CAPSULE, "--force"]);
    assert!(restored.success(), "{}", restored.error_text());
    assert_eq!(get(&members, hosts, "key"), "before");
    let find = ["find", "/var/lib", "-maxdepth", "1", "-name", "etcd.*"];
    let aside = host.exec(find).text().unwrap();
    assert!(aside.starts_with("/var/lib/etcd.set-aside-"), "{aside}");
    assert_eq!(aside.lines().count(), 1, "{aside}");
    let kept = members.read_data_dir(host, &aside, "key").unwrap();
    assert_eq!(kept, "after");
}

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn a_cluster_that_lost_its_majority_goes_on_from_one_member() {
    let ground = Ground::new("quorum", 4);
    let members = ground.members(NEWEST);
    let hosts = ground.hosts.as_slice();
    members.equip_all(hosts).unwrap();
    let (old, new) = hosts.split_at(3);
    members.form(old).unwrap();
    members.share_authority(&old[0], new).unwrap();
    let survivor = &old[2..];
    let run = |words: &[&str]| {
        let run = members.etcdadm(&survivor[0], words.iter().copied());
        timed(&words.join(" "), || run.output().unwrap())
    };
    for number in 0..40 {
        put(&members, old, &format!("key-{number}"), "x");
    }
    let seen = revision(&members, &survivor[0]);

    // While a majority serves, nothing is done.
    old[0].power_loss().unwrap();
    wait_until("two of three to serve", Duration::from_secs(20), || {
        Ok(members.etcdctl(&old[1..], ["get", "x"]).output()?.success())
    })
    .unwrap();
    let refused = run(&["recover", "quorum"]);
    assert!(
        refused.code == 1 && refused.error_text().contains("a majority serves: "),
        "{}",
        refused.error_text()
    );

    old[1].power_loss().unwrap();
    // What is there is told, and what is not.
    let status = run(&["status"]);
    assert_eq!(status.code, 1);
    assert!(
        status
            .text()
            .contains("nothing can be written: 3 voters, of which 0 serve"),
        "{}\n{}",
        status.text(),
        status.error_text()
    );
    let planned = run(&["recover", "quorum", "--dry-run"]);
    assert!(planned.success(), "{}", planned.error_text());
    println!("{}", planned.text());
    let recovered = run(&["recover", "quorum"]);
    assert!(recovered.success(), "{}", recovered.error_text());
    println!("{}", recovered.error_text());

    let keys = ["get", "--prefix", "key-", "--keys-only"];
    let keys = members.etcdctl(survivor, keys).text().unwrap();
    let keys = keys.lines().filter(|line| !line.is_empty()).count();
    assert_eq!(keys, 40, "no write that was known is lost");
    assert!(revision(&members, &survivor[0]) > seen + 1_000_000_000);
    members.join(&new[0], &survivor[0]).check().unwrap();
    members.check_healthy(&hosts[2..]).unwrap();
    let again = run(&["recover", "quorum"]);
    assert!(again.error_text().contains("a majority serves: "));
    // What it had is kept, and the capsule that was made of it.
    let find = ["find", "/var/lib", "-maxdepth", "1", "-name", "etcd.*"];
    let mut kept: Vec<String> = survivor[0]
        .exec(find)
        .text()
        .unwrap()
        .lines()
        .map(|line| line.split("-20").next().unwrap_or_default().to_owned())
        .collect();
    kept.sort();
    assert_eq!(
        kept,
        [
            "/var/lib/etcd.recovered.capsule.set-aside",
            "/var/lib/etcd.set-aside"
        ]
    );
}

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn a_member_whose_disk_is_lost_begins_anew_and_no_write_is_lost() {
    let ground = Ground::new("disk", 3);
    let members = ground.members(NEWEST);
    let hosts = ground.hosts.as_slice();
    members.equip_all(hosts).unwrap();
    members.form(hosts).unwrap();
    let lost = &hosts[2];
    let ((), written) = members
        .under_load(&hosts[..2], |_| {
            lost.exec(["systemctl", "stop", "etcd.service"])
                .check()
                .unwrap();
            lost.exec(["rm", "-r", "/var/lib/etcd"]).check().unwrap();
            timed("join again", || members.join(lost, &hosts[0]).check()).unwrap();
            members.check_healthy(hosts).unwrap();
        })
        .unwrap();
    assert!(written.refused.is_empty(), "{:?}", written.refused);
    for host in hosts {
        assert_eq!(members.lost(host, &written).unwrap(), [0; 0]);
    }
    // Without a majority beside it, it is left as it is.
    lost.exec(["systemctl", "stop", "etcd.service"])
        .check()
        .unwrap();
    lost.exec(["rm", "-r", "/var/lib/etcd"]).check().unwrap();
    hosts[1].power_loss().unwrap();
    let refused = members.join(lost, &hosts[0]).output().unwrap();
    assert!(!refused.success());
    assert_eq!(members_known(&members, &hosts[0]), 3);
}

/// How many members the member on this host remembers.
fn members_known(members: &Members<'_>, host: &Host) -> usize {
    let words = ["status", "--output", "json"];
    let status = members.etcdadm(host, words).output().unwrap();
    let told: serde_json::Value = serde_json::from_str(&status.text()).unwrap();
    told["members"].as_array().unwrap().len()
}

fn put(members: &Members<'_>, hosts: &[Host], key: &str, value: &str) {
    members.etcdctl(hosts, ["put", key, value]).check().unwrap();
}

fn get(members: &Members<'_>, hosts: &[Host], key: &str) -> String {
    let get = ["get", "--print-value-only", key];
    members.etcdctl(hosts, get).text().unwrap()
}

fn revision(members: &Members<'_>, host: &Host) -> i64 {
    let words = ["get", "nothing", "--write-out", "json"];
    let text = members.etcdctl(std::slice::from_ref(host), words);
    let told: serde_json::Value = serde_json::from_str(&text.text().unwrap()).unwrap();
    told["header"]["revision"].as_i64().unwrap()
}
