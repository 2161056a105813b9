//! A control plane begun anew from a snapshot: when all its hosts are lost, and when one goes back in time.

use std::path::Path;

use hosts::{Admin, ClusterFile, Web};
use lab::HostSpec;
use serde_json::Value;

use crate::{Ground, READY, timed};

const MASTERS: usize = 3;

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn a_lost_control_plane_begins_anew_from_a_snapshot() {
    let mut ground = Ground::new("recovered", 4);
    let admin_folder = ground.folder.path().join("admin");
    let file = ClusterFile::new(&ground.lab, &ground.hosts, MASTERS, "admin");
    {
        let admin = ground.admin("admin");
        timed("apply", || admin.apply(&file).unwrap());
        admin.fetch_kubeconfig().unwrap();
        admin.check_healthy(&ground.hosts, MASTERS, READY).unwrap();
    }
    let snapshot = admin_folder.join("etcd.snapshot");
    let before = {
        let admin = ground.admin("admin");
        let web = Web::deploy(&admin, &ground.hosts[MASTERS..], 1).unwrap();
        assert_eq!(web.nodes().unwrap(), ["h4"]);
        mark(&admin, "before");
        let before = containers(&admin);
        timed("snapshot etcd", || {
            let words = ["snapshot", "etcd", text(&snapshot)];
            println!("{}", admin.cctl(words).text().unwrap());
        });
        mark(&admin, "after");
        before
    };
    let sealed = std::fs::read(&snapshot).unwrap();
    assert!(
        sealed.starts_with(b"age-encryption.org"),
        "it is not sealed"
    );
    let seen = newest(&ground.admin("admin"));

    // All three at once, disks and all; others with the same names and addresses are in their place.
    for place in 0..MASTERS {
        ground.hosts[place].power_loss().unwrap();
    }
    for place in 0..MASTERS {
        let fresh = ground.lab.replace(&ground.hosts[place]).unwrap();
        fresh.boot().unwrap();
        fresh.wait_ssh().unwrap();
        ground.hosts[place] = fresh;
    }
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
    let applied = admin.apply(&file).unwrap();
    println!("apply after it: {}", applied.text());

    // Lost again, and others with other names and addresses are to take over.
    let seen = newest(&admin);
    let mut words: Vec<String> = again
        .into_iter()
        .chain(["--older"])
        .map(str::to_owned)
        .collect();
    words.extend(["--accept-new-host-keys", "--bundle", text(&bundle)].map(str::to_owned));
    let mut others = Vec::new();
    for (place, number) in (5..8).enumerate() {
        let lost = &ground.hosts[place];
        lost.power_loss().unwrap();
        let other = ground.lab.add(number, HostSpec::default()).unwrap();
        other.boot().unwrap();
        other.wait_ssh().unwrap();
        words.push(format!("--replace={}={}", lost.address(), other.address()));
        words.push(format!("--dead={}", lost.address()));
        others.push(other);
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

fn flipped(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes
}

/// What was there when the snapshot was taken is there, what came later is not, pods of workers were not touched, and what
/// is new is done.
fn is_as_it_was(ground: &Ground, admin: &Admin<'_>, before: &[String], seen: u64) {
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

pub(crate) fn mark(admin: &Admin<'_>, name: &str) {
    let words = ["create", "configmap", name, "--from-literal=a=b"];
    admin.kubectl(words).unwrap().check().unwrap();
}

pub(crate) fn has(admin: &Admin<'_>, name: &str) -> bool {
    let words = ["get", "configmap", name, "--ignore-not-found", "-o", "name"];
    !admin.kubectl(words).unwrap().text().unwrap().is_empty()
}

/// The revision that the API is at.
fn newest(admin: &Admin<'_>) -> u64 {
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
fn containers(admin: &Admin<'_>) -> Vec<String> {
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

fn admin_bundle() -> std::path::PathBuf {
    hosts::Equipment::from_environment().unwrap().bundle()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
