//! A control plane begun anew from a snapshot: when all its hosts are lost, and when one goes back in time.

use std::path::Path;

use hosts::{Admin, Web};
use lab::{Host, HostSpec};
use serde_json::Value;

use crate::saved::{MASTERS, SNAPSHOT, Saved, has, mark};
use crate::{Ground, READY, timed};

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn a_lost_control_plane_begins_anew_from_a_snapshot() {
    let mut ground = Saved::ensure().boot();
    let snapshot = ground.admin("admin").file(SNAPSHOT);
    let before = containers(&ground.admin("admin"));
    let sealed = std::fs::read(&snapshot).unwrap();
    assert!(
        sealed.starts_with(b"age-encryption.org"),
        "it is not sealed"
    );
    let seen = newest(&ground.admin("admin"));

    // All three at once, disks and all; others with the same names and addresses are in their place.
    let fresh = hosts::side_by_side(&ground.hosts[..MASTERS], |lost| {
        lost.power_loss().unwrap();
        booted(ground.lab.replace(lost).unwrap())
    });
    ground.hosts.splice(..MASTERS, fresh);
    let admin = ground.admin("admin");
    refusals(&admin, &snapshot, &sealed);
    for host in &ground.hosts[..MASTERS] {
        let address = host.address().to_string();
        admin.cctl(["forget-host-key", &address]).check().unwrap();
    }
    let bundle = admin_bundle();
    let words = [
        "recover",
        "--snapshot",
        text(&snapshot),
        "--accept-new-host-keys",
        "--bundle",
        text(&bundle),
        "--yes",
    ];
    timed("recover on hosts that were installed anew", || {
        println!("{}", admin.cctl(words).check().unwrap().error_text());
    });
    is_as_it_was(&ground, &admin, &before, seen);

    // Back in time on the hosts that serve: what was written since the recovery is to go.
    mark(&admin, "later");
    let seen = newest(&admin);
    let again = ["recover", "--snapshot", text(&snapshot), "--yes"];
    let refused = admin.cctl(again).output().unwrap();
    assert_eq!(refused.code, 3, "{}", refused.error_text());
    assert!(
        refused
            .error_text()
            .contains("--older says that this is meant")
    );
    assert!(has(&admin, "later"), "nothing was touched");
    timed("recover once more, in place", || {
        let words = again.into_iter().chain(["--older"]);
        println!("{}", admin.cctl(words).check().unwrap().error_text());
    });
    assert!(!has(&admin, "later"));
    is_as_it_was(&ground, &admin, &before, seen);
    let applied = admin.cctl(["apply"]).check().unwrap();
    println!("apply after it: {}", applied.text());

    // Lost again, and others with other names and addresses are to take over.
    let seen = newest(&admin);
    let mut words: Vec<String> = again
        .into_iter()
        .chain(["--older"])
        .map(str::to_owned)
        .collect();
    words.extend(["--accept-new-host-keys", "--bundle", text(&bundle)].map(str::to_owned));
    let others = hosts::side_by_side(&ground.hosts[..MASTERS], |lost| {
        lost.power_loss().unwrap();
        let number = lost.address().octets()[3] - 10;
        booted(ground.lab.add(number + 4, HostSpec::default()).unwrap())
    });
    for (lost, other) in ground.hosts.iter().zip(&others) {
        words.push(format!("--replace={}={}", lost.address(), other.address()));
        words.push(format!("--dead={}", lost.address()));
    }
    timed("recover on other hosts", || {
        let words = words.iter().map(String::as_str);
        println!("{}", admin.cctl(words).check().unwrap().error_text());
    });
    drop(admin);
    ground.hosts.splice(..MASTERS, others);
    is_as_it_was(&ground, &ground.admin("admin"), &before, seen);
    let applied = ground.admin("admin").cctl(["apply"]).check().unwrap();
    println!("apply after it: {}", applied.text());
}

/// One of three dies while the others go on: it comes back on the same host, installed anew, and then on another one.
#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn a_control_plane_that_died_is_brought_back() {
    let mut ground = Saved::ensure().boot();
    let bundle = admin_bundle();
    let recover = |ground: &Ground, words: &[&str]| {
        let admin = ground.admin("admin");
        let more = ["--bundle", text(&bundle), "--accept-new-host-keys"];
        let words = ["recover", "machine"].iter().chain(words).chain(&more);
        timed("recover machine", || {
            admin.cctl(words.copied()).output().unwrap()
        })
    };
    let healthy = |ground: &Ground| {
        let admin = ground.admin("admin");
        admin.check_healthy(&ground.hosts, MASTERS, READY).unwrap();
        assert!(has(&admin, "before") && has(&admin, "after"));
        let plan = admin.cctl(["plan"]).text().unwrap();
        assert_eq!(plan, "nothing to change");
    };
    healthy(&ground);
    let lives = recover(&ground, &["10.77.0.13"]);
    assert_eq!(lives.code, 3, "{}", lives.error_text());
    let said = lives.error_text();
    assert!(
        said.contains("10.77.0.13 lives: its etcd member is healthy"),
        "{said}"
    );

    ground.hosts[2].power_loss().unwrap();
    let fresh = booted(ground.lab.replace(&ground.hosts[2]).unwrap());
    ground.hosts[2] = fresh;
    let back = recover(&ground, &["10.77.0.13"]);
    assert!(back.success(), "{}", back.error_text());
    healthy(&ground);

    // Its disk is as it was; it is off for good.
    ground.hosts[1].power_loss().unwrap();
    let other = booted(ground.lab.add(5, HostSpec::default()).unwrap());
    let replaced = recover(&ground, &["10.77.0.12", "--replaced-by", "10.77.0.15"]);
    assert!(replaced.success(), "{}", replaced.error_text());
    ground.hosts[1] = other;
    healthy(&ground);
}

/// Two of three are lost with their disks, and nobody has a snapshot: what the third one has is enough, to the last write.
#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn the_last_member_is_enough() {
    let mut ground = Saved::ensure().boot();
    let admin = ground.admin("admin");
    let before = containers(&admin);
    let recover = |more: &[&str]| {
        let words = ["recover", "--from-member", "10.77.0.13"];
        let words = words.iter().chain(more).copied();
        ground.admin("admin").cctl(words).output().unwrap()
    };
    let serves = recover(&["--yes"]);
    let said = serves.error_text();
    assert!(!serves.success() && said.contains("serves"), "{said}");
    mark(&admin, "last");
    let seen = newest(&admin);

    let fresh = hosts::side_by_side(&ground.hosts[..2], |lost| {
        lost.power_loss().unwrap();
        booted(ground.lab.replace(lost).unwrap())
    });
    for host in &fresh {
        let address = host.address().to_string();
        admin.cctl(["forget-host-key", &address]).check().unwrap();
    }
    let bundle = admin_bundle();
    let unsaid = recover(&[]);
    assert_eq!(unsaid.code, 2, "{}", unsaid.error_text());
    timed("recover from the last member", || {
        let more = ["--yes", "--accept-new-host-keys", "--bundle", text(&bundle)];
        let output = recover(&more);
        assert!(output.success(), "{}", output.error_text());
    });
    drop(admin);
    ground.hosts.splice(..2, fresh);
    let admin = ground.admin("admin");
    admin.check_healthy(&ground.hosts, MASTERS, READY).unwrap();
    for name in ["before", "after", "last"] {
        assert!(has(&admin, name), "{name} is lost");
    }
    assert!(newest(&admin) > seen);
    assert_eq!(containers(&admin), before, "a worker's pod was restarted");
}

pub(crate) fn booted(host: Host) -> Host {
    host.boot().unwrap();
    host.wait_ssh().unwrap();
    host
}

/// Before anything is touched: hosts with other keys, a damaged snapshot.
fn refusals(admin: &Admin<'_>, snapshot: &Path, sealed: &[u8]) {
    let state = std::fs::read(admin.file("cctl-state.yaml")).unwrap();
    let recover = |file: &Path| {
        let words = ["recover", "--snapshot", text(file), "--yes"];
        let output = admin.cctl(words).output().unwrap();
        (output.code, output.error_text())
    };
    let (code, said) = recover(snapshot);
    assert_eq!(code, 4, "{said}");
    assert!(
        said.contains("--dead 10.77.0.11 --dead 10.77.0.12"),
        "{said}"
    );
    for (name, bytes) in [
        ("short", &sealed[..sealed.len() - 100]),
        ("flipped", &flipped(sealed)[..]),
    ] {
        let path = admin.file(name);
        std::fs::write(&path, bytes).unwrap();
        let (code, said) = recover(&path);
        assert_ne!(code, 0);
        println!("{name}: {said}");
    }
    assert_eq!(std::fs::read(admin.file("cctl-state.yaml")).unwrap(), state);
}

pub(crate) fn flipped(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes
}

/// What was there when the snapshot was taken is there, what came later is not, pods of workers were not touched, and what
/// is new is done.
pub(crate) fn is_as_it_was(ground: &Ground, admin: &Admin<'_>, before: &[String], seen: u64) {
    admin.check_healthy(&ground.hosts, MASTERS, READY).unwrap();
    assert!(has(admin, "before") && !has(admin, "after"));
    assert!(
        newest(admin) > seen,
        "revisions go on above what any client can have seen"
    );
    assert_eq!(containers(admin), before, "a worker's pod was restarted");
    // A controller that was blind would make none.
    let words = [
        "create",
        "deployment",
        "new",
        "--image=klusterkit.dev/web:1",
    ];
    admin.kubectl(words).unwrap().check().unwrap();
    let ready = [
        "wait",
        "deployment/new",
        "--for=jsonpath={.status.readyReplicas}=1",
        "--timeout=60s",
    ];
    admin.kubectl(ready).unwrap().check().unwrap();
    let words = ["delete", "deployment", "new"];
    admin.kubectl(words).unwrap().check().unwrap();
    let web = Web::of(admin);
    for host in &ground.hosts {
        let pages = web.reach_from(host, 1).unwrap();
        assert_eq!(pages.len(), 1, "from {}", host.name());
    }
}

/// The revision that the API is at.
pub(crate) fn newest(admin: &Admin<'_>) -> u64 {
    let raw = admin
        .kubectl([
            "get",
            "--raw",
            "/api/v1/namespaces/default/configmaps?limit=1",
        ])
        .unwrap()
        .text()
        .unwrap();
    let raw: Value = serde_json::from_str(&raw).unwrap();
    raw["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap()
}

/// The containers of the web pods, as their kubelet started them.
pub(crate) fn containers(admin: &Admin<'_>) -> Vec<String> {
    let pods = admin.get(&["pods", "--selector", "app=web"]).unwrap();
    let mut found: Vec<String> = pods["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pod| pod["status"]["containerStatuses"][0]["containerID"].to_string())
        .collect();
    found.sort();
    found
}

pub(crate) fn admin_bundle() -> std::path::PathBuf {
    hosts::Equipment::from_environment().unwrap().bundle()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
