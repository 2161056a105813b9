//! A cluster looked after from one of its hosts: leadership moved, space won back, a full database, a dead member.

use std::time::Duration;

use hosts::{Listing, Members};
use lab::{Host, Output, wait_until};
use serde_json::Value;

use crate::refused::flip;
use crate::{Ground, NEWEST, timed};

/// What the first member may keep: small, so that it is soon full.
const QUOTA: &str = "50000000";
/// One value.
const LARGE: usize = 1_000_000;

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn a_cluster_is_looked_after_while_it_is_written_to() {
    let ground = Ground::alone("kept", 3);
    let members = ground.members(NEWEST);
    let hosts = ground.hosts.as_slice();
    let [first, second, third] = hosts else {
        unreachable!("three hosts were made")
    };
    members.equip_all(hosts).unwrap();
    let document = serde_json::json!({
        "apiVersion": "klusterkit.dev/v1alpha1",
        "kind": "EtcdConfiguration",
        "version": format!("v{NEWEST}"),
        "extraEnvironment": {"ETCD_QUOTA_BACKEND_BYTES": QUOTA},
    });
    let init = members.etcdadm(first, ["init", "--config", "-"]);
    init.stdin(document.to_string()).check().unwrap();
    members.share_authority(first, &hosts[1..]).unwrap();
    for host in &hosts[1..] {
        members.join(host, first).check().unwrap();
    }
    let run = |words: &[&str]| {
        let run = members.etcdadm(second, words.iter().copied());
        run.output().unwrap()
    };
    let done = |words: &[&str]| {
        let output = timed(&words.join(" "), || run(words));
        assert!(output.success(), "{}", output.error_text());
        output.text()
    };

    // Without a write refused or lost: leadership to each, history forgotten, every database made small.
    let ((), written) = members
        .under_load(hosts, |_| {
            for host in hosts {
                done(&["member", "move-leader", host.name()]);
                let (code, status) = status(&members, first);
                assert_eq!(code, 0, "{status:#}");
                assert_eq!(leader(&status), host.name());
                assert_eq!(status["spareVoters"], 1);
            }
            for _ in 0..20 {
                assert!(put_large(&members, hosts).success());
            }
            let before = sizes(&members, first);
            done(&["compact", "--keep", "1"]);
            done(&["defrag"]);
            let after = sizes(&members, first);
            println!("databases: {before:?} before, {after:?} after");
            for (before, after) in before.iter().zip(&after) {
                assert!(after * 4 < *before, "{before} became {after}");
            }
            assert!(done(&["defrag"]).contains("nothing to change"));
        })
        .unwrap();
    println!(
        "{} writes acknowledged, {} not, at most {:.2} s between two",
        written.acknowledged.len(),
        written.refused.len(),
        written.longest.as_secs_f32()
    );
    assert!(written.acknowledged.len() > 20);
    assert!(written.refused.is_empty(), "{:?}", written.refused);
    for host in hosts {
        assert_eq!(members.lost(host, &written).unwrap(), [0; 0]);
    }

    // A full database, and the whole way out of it.
    let mut puts = 0;
    let refused = loop {
        let put = put_large(&members, hosts);
        if !put.success() {
            break put.error_text();
        }
        puts += 1;
        assert!(puts < 80, "the quota is never reached");
    };
    assert!(refused.contains("database space exceeded"), "{refused}");
    let (code, told) = status(&members, third);
    assert_eq!(code, 1);
    assert_eq!(told["alarms"][0]["kind"], "no-space", "{told:#}");
    let disarm = run(&["alarm", "disarm"]);
    assert!(
        disarm.error_text().contains("and its quota is 50000000"),
        "{}",
        disarm.error_text()
    );
    let planned = done(&["maintain", "--dry-run"]);
    assert!(
        planned.contains("disarm-alarms: take the alarm no-space of"),
        "{planned}"
    );
    assert!(
        !put_large(&members, hosts).success(),
        "a dry run changes nothing"
    );
    println!("{}", done(&["maintain"]));
    assert!(put_large(&members, hosts).success());
    assert_eq!(status(&members, third).0, 0);
    assert_eq!(done(&["alarm", "list"]), "no alarms");

    // A dead member is told, and removed from another's host; one that is needed is not.
    third.power_loss().unwrap();
    wait_until("a leader of two of three", Duration::from_secs(20), || {
        Ok(status(&members, first).1["spareVoters"] == 0)
    })
    .unwrap();
    assert_eq!(status(&members, first).0, 1);
    let refused = run(&["member", "remove", first.name()]);
    let said = "would leave 2 voters, of which 1 serves, and 2 are needed";
    assert!(
        refused.code == 1 && refused.error_text().contains(said),
        "{}",
        refused.error_text()
    );
    assert_eq!(members.list(first).unwrap().len(), 3);
    done(&["member", "remove", third.name()]);
    done(&["member", "remove", third.name()]);
    members
        .wait_healthy(&hosts[..2], Duration::from_secs(20))
        .unwrap();
    assert_eq!(status(&members, second).0, 0);
}

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn a_snapshot_is_taken_and_proven_and_a_damaged_one_is_told() {
    let ground = Ground::new("snapshot", 2);
    let members = ground.members(NEWEST);
    let hosts = ground.hosts.as_slice();
    members.equip_all(hosts).unwrap();
    members.form(hosts).unwrap();
    let host = &hosts[0];
    let run = |words: &[&str]| {
        let run = members.etcdadm(host, words.iter().copied());
        timed(&words.join(" "), || run.output().unwrap())
    };
    let done = |words: &[&str]| {
        let output = run(words);
        assert!(output.success(), "{}", output.error_text());
        output.text()
    };
    for number in 0..20 {
        assert!(put_large(&members, hosts).success());
        let key = format!("key-{number}");
        members.etcdctl(hosts, ["put", &key, "x"]).check().unwrap();
    }
    let before = Listing::of(host).unwrap();

    let capsule = "/root/etcd.capsule";
    done(&["snapshot", "save", capsule]);
    let again = run(&["snapshot", "save", capsule]);
    assert!(
        again
            .error_text()
            .contains("/root/etcd.capsule is there already")
    );
    let proven = done(&["snapshot", "verify", capsule, "--output", "json"]);
    let proven: Value = serde_json::from_str(&proven).unwrap();
    assert_eq!(proven["keys"]["count"], 21, "{proven:#}");
    assert_eq!(proven["hashCompared"], true, "{proven:#}");
    assert_eq!(proven["revision"], 41, "{proven:#}");

    // As tar and etcdutl read it; and etcdctl's own, as etcdadm reads it.
    host.exec(["tar", "-xf", capsule, "-C", "/root", "snapshot.db"])
        .check()
        .unwrap();
    let status = [
        "/opt/bin/etcdutl",
        "snapshot",
        "status",
        "/root/snapshot.db",
    ];
    host.exec(status).check().unwrap();
    done(&["snapshot", "save", "--raw", "/root/plain.db"]);
    let words = ["/opt/bin/etcdctl.sh", "snapshot", "save", "/root/theirs.db"];
    host.exec(words).check().unwrap();
    for plain in ["/root/plain.db", "/root/theirs.db"] {
        let unnamed = run(&["snapshot", "verify", plain]);
        assert_eq!(unnamed.code, 2, "{}", unnamed.error_text());
        done(&[
            "snapshot",
            "verify",
            plain,
            "--etcd-version",
            &format!("v{NEWEST}"),
        ]);
    }
    // Through a pipe, to another host, which needs nothing but the release.
    let streamed = run(&["snapshot", "save", "-"]);
    assert!(streamed.success());

    // One bit, and an end that is missing.
    let size: u64 = host
        .exec(["stat", "--format=%s", capsule])
        .text()
        .unwrap()
        .parse()
        .unwrap();
    host.exec(["cp", capsule, "/root/cut.capsule"])
        .check()
        .unwrap();
    let half = (size / 2).to_string();
    host.exec(["truncate", "--size", &half, "/root/cut.capsule"])
        .check()
        .unwrap();
    flip(host, capsule);
    let damaged = run(&["snapshot", "verify", capsule]);
    assert_eq!(damaged.code, 1);
    assert!(
        damaged
            .error_text()
            .contains("the snapshot is damaged: its bytes have the SHA-256"),
        "{}",
        damaged.error_text()
    );
    let cut = run(&["snapshot", "verify", "/root/cut.capsule"]);
    assert!(
        cut.error_text().contains("the snapshot is cut short"),
        "{}",
        cut.error_text()
    );

    // A folder keeps as many as it is told to.
    host.exec(["mkdir", "/root/backups"]).check().unwrap();
    for _ in 0..3 {
        done(&["snapshot", "save", "/root/backups", "--keep-last", "2"]);
        std::thread::sleep(Duration::from_millis(1100));
    }
    let kept = host.exec(["ls", "/root/backups"]).text().unwrap();
    assert_eq!(kept.lines().count(), 2, "{kept}");

    // Nothing else was left, neither files nor processes.
    let left = Listing::of(host).unwrap();
    let ours = [
        "/root/",
        "/var/lib/etcdadm/lock",
        "/var/lib/etcdadm/journal",
    ];
    let (left, before) = (left.without(&ours), before.without(&ours));
    let grown = ["/var/lib/etcd/"];
    assert_eq!(left.without(&grown).since(&before.without(&grown)), "");
    let running = host.nsexec(["pgrep", "--exact", "--count", "etcd"]);
    assert_eq!(running.unwrap().text().unwrap(), "1");
}

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn certificates_are_renewed_while_the_cluster_is_written_to() {
    let ground = Ground::alone("certs", 3);
    let members = ground.members(NEWEST);
    let hosts = ground.hosts.as_slice();
    members.equip_all(hosts).unwrap();
    members.form(hosts).unwrap();
    let run = |host: &Host, words: &[&str]| {
        let run = members.etcdadm(host, words.iter().copied());
        timed(&words.join(" "), || run.output().unwrap())
    };
    let started = |host: &Host| {
        let words = ["systemctl", "show", "etcd.service", "--property=MainPID"];
        host.nsexec(words).unwrap().text().unwrap()
    };
    let before: Vec<String> = hosts.iter().map(started).collect();
    let serial = "/etc/etcd/pki/server.crt";
    let old = hosts[0].read(serial).unwrap();
    let ((), written) = members
        .under_load(hosts, |_| {
            for host in hosts {
                assert!(run(host, &["certs", "check"]).success());
                assert_eq!(run(host, &["certs", "renew"]).text(), "nothing to change");
                let renewed = run(host, &["certs", "renew", "--all"]);
                assert!(renewed.success(), "{}", renewed.error_text());
                assert_eq!(renewed.text().lines().count(), 4, "{}", renewed.text());
            }
            // A name that is new is followed.
            let host = &hosts[0];
            let record = "/var/lib/etcdadm/member.json";
            let text = host.read(record).unwrap();
            let mut record_of: Value = serde_json::from_str(&text).unwrap();
            record_of["configuration"]["extraSans"] = serde_json::json!(["etcd.example.org"]);
            host.write(record, record_of.to_string(), 0o644).unwrap();
            let check = run(host, &["certs", "check"]);
            assert!(
                check.code == 1 && check.text().contains("does not name etcd.example.org"),
                "{}",
                check.text()
            );
            let renewed = run(host, &["certs", "renew"]).text();
            assert!(renewed.contains("/etc/etcd/pki/server.crt"), "{renewed}");
            assert!(run(host, &["certs", "check"]).success());
            assert_eq!(status(&members, host).0, 0);
        })
        .unwrap();
    assert!(written.refused.is_empty(), "{:?}", written.refused);
    assert!(written.acknowledged.len() > 20);
    assert_ne!(hosts[0].read(serial).unwrap(), old);
    let after: Vec<String> = hosts.iter().map(started).collect();
    assert_eq!(after, before, "nothing was restarted");
}

/// What `etcdadm status` on a host says, and how it ends.
fn status(members: &Members<'_>, host: &Host) -> (i32, Value) {
    let output = members.etcdadm(host, ["status", "--output", "json"]);
    let output = output.output().unwrap();
    let told = serde_json::from_str(&output.text()).unwrap_or_else(|_| {
        panic!("{}\n{}", output.text(), output.error_text());
    });
    (output.code, told)
}

fn leader(status: &Value) -> &str {
    let all = status["members"].as_array().unwrap();
    let leads = |member: &&Value| member["leader"] == true;
    all.iter().find(leads).unwrap()["name"].as_str().unwrap()
}

/// Sizes of the databases, in the order of members.
fn sizes(members: &Members<'_>, host: &Host) -> Vec<i64> {
    let (_, status) = status(members, host);
    let all = status["members"].as_array().unwrap();
    all.iter()
        .map(|member| member["status"]["dbSize"].as_i64().unwrap())
        .collect()
}

/// Writes one large value over the last.
fn put_large(members: &Members<'_>, hosts: &[Host]) -> Output {
    let put = members.etcdctl(hosts, ["put", "large"]);
    put.stdin(vec![b'x'; LARGE]).output().unwrap()
}
