//! A backup of a cluster whose Secrets are encrypted with a key in a file on its control plane: the host is lost, and
//! everything comes back, the key above all.

use std::path::Path;

use hosts::{Admin, ClusterFile};
use lab::Host;
use serde_json::{Value, json};

use crate::killed::{Sign, at, kill_at};
use crate::recovered::{admin_bundle, booted, flipped, text};
use crate::saved::{has, mark};
use crate::{Ground, READY, timed};

const ENCRYPTION: &str = "/etc/kubernetes/enc/enc.yaml";
const AUDIT: &str = "/srv/audit/policy.yaml";
/// A static pod of the admin's own.
const POD: &str = "/etc/kubernetes/manifests/own.yaml";

/// What the API server is told, besides what kubeadm tells it.
const DOCUMENT: &str = "\
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
apiServer:
  extraArgs:
  - {name: encryption-provider-config, value: /etc/kubernetes/enc/enc.yaml}
  - {name: audit-policy-file, value: /audit/policy.yaml}
  - {name: audit-log-path, value: '-'}
  extraVolumes:
  - {name: encryption, hostPath: /etc/kubernetes/enc, mountPath: /etc/kubernetes/enc, readOnly: true, pathType: Directory}
  - {name: audit, hostPath: /srv/audit, mountPath: /audit, readOnly: true, pathType: Directory}
";

const KEY: &str = "bm9ib2R5IGtub3dzIHRoaXMga2V5LCBub2JvZHkgISE=";

fn files() -> [(&'static str, u32, String); 3] {
    let encryption = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  providers:\n  - secretbox: {{keys: [{{name: one, secret: {KEY}}}]}}\n"
    );
    let audit = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: None}]\n";
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: own, namespace: kube-system}\nspec:\n  containers:\n  - {name: own, image: 'registry.k8s.io/pause:3.10.2', imagePullPolicy: Never}\n";
    [
        (ENCRYPTION, 0o600, encryption),
        (AUDIT, 0o640, audit.to_owned()),
        (POD, 0o600, pod.to_owned()),
    ]
}

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn a_backup_brings_encrypted_secrets_back() {
    let mut ground = Ground::new("backup", 2);
    for (path, mode, content) in &files()[..2] {
        ground.hosts[0]
            .write(path, content.as_str(), *mode)
            .unwrap();
    }
    let admin = ground.admin("admin");
    let file = ClusterFile::new(&ground.lab, &ground.hosts, 1, "admin").with(DOCUMENT);
    timed("apply", || admin.apply(&file).unwrap());
    admin.fetch_kubeconfig().unwrap();
    admin.check_healthy(&ground.hosts, 1, READY).unwrap();
    let (_, mode, content) = &files()[2];
    ground.hosts[0].write(POD, content.as_str(), *mode).unwrap();
    let secret = ["create", "secret", "generic", "token", "--from-literal=a=b"];
    admin.kubectl(secret).unwrap().check().unwrap();
    mark(&admin, "before");
    define(&admin);
    is_encrypted(&ground.hosts[0]);

    let backup = admin.file("lab.backup");
    let words = ["backup", text(&backup)];
    let taken = timed("backup", || admin.cctl(words).check().unwrap());
    println!("{}\n{}", taken.error_text(), taken.text());
    is_sealed(&backup);
    refusals(&admin, &backup);
    let words = ["backup", "verify", text(&backup)];
    let verified = timed("backup verify", || admin.told(words).unwrap());
    println!("{verified:#}");
    is_verified(&verified);
    nothing_is_left(&ground.hosts[0]);
    another_key_is_noticed(&ground.hosts[0], &admin);
    is_restored(&ground, &admin, &backup);
    mark(&admin, "after");

    ground.hosts[0].power_loss().unwrap();
    let fresh = booted(ground.lab.replace(&ground.hosts[0]).unwrap());
    drop(admin);
    // Something else lies there by now: it is set aside.
    fresh.write(AUDIT, "another policy", 0o600).unwrap();
    ground.hosts[0] = fresh;
    let admin = ground.admin("admin");
    admin
        .cctl(["forget-host-key", "10.77.0.11"])
        .check()
        .unwrap();
    let bundle = admin_bundle();
    let words = [
        "recover",
        "--from-backup",
        text(&backup),
        "--bundle",
        text(&bundle),
    ];
    let words: Vec<&str> = words
        .into_iter()
        .chain(["--accept-new-host-keys", "--yes"])
        .collect();
    // Killed where files are put back: the same once more finishes it, and nothing else does.
    let json: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let point = at(1, Sign::Change("put-files-back", "put-files-back"));
    kill_at(&admin, &json, &point);
    let plain = ["recover", "--yes", "--snapshot", text(&backup)];
    let refused = admin.cctl(plain).output().unwrap();
    assert_eq!(refused.code, 3, "{}", refused.error_text());
    assert!(refused.error_text().contains("--from-backup"));
    timed("recover from the backup", || {
        println!(
            "{}",
            admin
                .cctl(words.iter().copied())
                .check()
                .unwrap()
                .error_text()
        );
    });
    admin.check_healthy(&ground.hosts, 1, READY).unwrap();
    assert!(has(&admin, "before") && !has(&admin, "after"));
    let words = ["get", "secret", "token", "-o", "jsonpath={.data.a}"];
    assert_eq!(admin.kubectl(words).unwrap().text().unwrap(), "Yg==");
    is_encrypted(&ground.hosts[0]);
    for (path, mode, content) in files() {
        let host = &ground.hosts[0];
        assert_eq!(host.read(path).unwrap(), content, "{path}");
        let found = host
            .nsexec(["stat", "--format=%a", path])
            .unwrap()
            .text()
            .unwrap();
        assert_eq!(found.trim(), format!("{mode:o}"), "{path}");
    }
    let aside = ground.hosts[0]
        .nsexec(["ls", "/var/lib/nodeadm/aside"])
        .unwrap();
    let aside = aside.text().unwrap();
    assert!(aside.contains("-policy.yaml"), "{aside}");
    tells_nobody(&ground.hosts[0]);
    let applied = admin.cctl(["apply"]).check().unwrap();
    assert!(
        applied.text().contains("nothing was changed"),
        "{}",
        applied.text()
    );
    // What was the admin's before there was a cluster is the admin's after it.
    admin.cctl(["delete", "cluster", "--yes"]).check().unwrap();
    let host = &ground.hosts[0];
    let left = host.nsexec(["ls", "/etc/kubernetes"]).unwrap();
    assert_eq!(left.text().unwrap().trim(), "enc");
    assert_eq!(host.read(ENCRYPTION).unwrap(), files()[0].2);
}

/// What etcd has of the Secret is nothing that could be read without the key.
fn is_encrypted(host: &Host) {
    let words = [
        "/opt/bin/etcdctl.sh",
        "get",
        "/registry/secrets/default/token",
        "--print-value-only",
    ];
    let output = host.exec(words).check().unwrap();
    assert!(
        output.stdout.starts_with(b"k8s:enc:secretbox:v1:one:"),
        "it is not encrypted: {}",
        output.text()
    );
}

fn is_sealed(backup: &Path) {
    let bytes = std::fs::read(backup).unwrap();
    assert!(bytes.starts_with(b"age-encryption.org"));
    for word in [
        KEY,
        "EncryptionConfiguration",
        "PRIVATE KEY",
        "schemaVersion",
    ] {
        let found = bytes
            .windows(word.len())
            .any(|part| part == word.as_bytes());
        assert!(!found, "{word} stands in it");
    }
}

/// A backup in the place of another, a damaged one, one that is none.
fn refusals(admin: &Admin<'_>, backup: &Path) {
    let said = |words: &[&str]| {
        let output = admin.cctl(words.iter().copied()).output().unwrap();
        (output.code, output.error_text())
    };
    let (code, text_said) = said(&["backup", text(backup)]);
    assert_eq!(code, 3, "{text_said}");
    let bytes = std::fs::read(backup).unwrap();
    for (name, bytes) in [
        ("short", &bytes[..bytes.len() - 10]),
        ("flipped", &flipped(&bytes)[..]),
    ] {
        let path = admin.file(name);
        std::fs::write(&path, bytes).unwrap();
        for words in [
            &["backup", "verify", "--offline", text(&path)][..],
            &["restore", text(&path)],
            &["recover", "--yes", "--from-backup", text(&path)],
        ] {
            let (code, said) = said(words);
            assert_ne!(code, 0, "{words:?}: {said}");
        }
    }
    let (code, text_said) = said(&["restore", text(backup)]);
    assert_eq!(code, 3, "{text_said}");
    assert!(text_said.contains("already"), "{text_said}");
}

fn is_verified(verified: &Value) {
    assert_eq!(verified["lacks"].as_array().unwrap().len(), 0);
    assert!(
        verified
            .pointer("/served/etcd/keys/count")
            .is_some_and(Value::is_number)
    );
    let seen = &verified["rehearsed"];
    assert_eq!(seen["failed"], json!({}));
    assert_eq!(seen["nodes"], json!(["h1", "h2"]));
    let kinds = &seen["kinds"];
    assert_eq!(
        (&kinds["nodes"], &kinds["things.own.example"]),
        (&json!(2), &json!(2))
    );
    assert!(
        kinds["secrets"].as_u64() > Some(0) && kinds["pods"].as_u64() > Some(5),
        "{kinds}"
    );
    assert_eq!(verified["hosts"][0]["leftOut"].as_array().unwrap().len(), 0);
}

/// A kind of the cluster's own, and two objects of it.
fn define(admin: &Admin<'_>) {
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.own.example"},
        "spec": {
            "group": "own.example",
            "scope": "Cluster",
            "names": {"plural": "things", "kind": "Thing"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    });
    let thing = |name: &str| json!({"apiVersion": "own.example/v1", "kind": "Thing", "metadata": {"name": name}});
    let create = |object: Value| {
        let run = admin.kubectl(["create", "-f", "-"]).unwrap();
        run.stdin(object.to_string()).check().unwrap();
    };
    create(definition);
    let words = [
        "wait",
        "crd/things.own.example",
        "--for=condition=Established",
        "--timeout=60s",
    ];
    admin.kubectl(words).unwrap().check().unwrap();
    create(thing("one"));
    create(thing("two"));
}

/// A backup with another key than the one that the Secrets were written with looks whole, and is none.
fn another_key_is_noticed(host: &Host, admin: &Admin<'_>) {
    let (path, mode, content) = &files()[0];
    let other = content.replace(KEY, "YW5vdGhlciBrZXkgdGhhbiB0aGUgb25lIGJlZm9yZSE=");
    host.write(path, other, *mode).unwrap();
    let backup = admin.file("other.backup");
    admin.cctl(["backup", text(&backup)]).check().unwrap();
    let words = ["backup", "verify", text(&backup)];
    let output = timed("backup verify, another key", || {
        admin.cctl(words).output().unwrap()
    });
    println!("{}\n{}", output.error_text(), output.text());
    assert_eq!(output.code, 3);
    assert!(output.text().contains("LACKS: secrets cannot be read"));
    nothing_is_left(host);
    host.write(path, content.as_str(), *mode).unwrap();
}

/// The key stands in its own file, and nowhere else: not in what nodeadm keeps, not in the log.
fn tells_nobody(host: &Host) {
    for words in [
        &[
            "grep",
            "-rlF",
            KEY,
            "/var/lib/nodeadm",
            "/var/lib/etcdadm",
            "/var/lib/cctl",
        ][..],
        &["grep", "-rlF", KEY, "/var/log", "/run/log", "/run/systemd"],
        &["journalctl", "--no-pager", "--quiet", "--grep", KEY],
    ] {
        let found = host
            .nsexec(words.iter().copied())
            .unwrap()
            .output()
            .unwrap();
        assert_eq!(found.text(), "", "{words:?}");
    }
}

/// Neither a snapshot, nor a mount, nor a unit, nor the unit's own folder.
fn nothing_is_left(host: &Host) {
    let left = host
        .nsexec(["ls", "/var/lib/cctl"])
        .unwrap()
        .text()
        .unwrap();
    assert_eq!(left.trim(), "state.yaml");
    let mounts = host.read("/proc/mounts").unwrap();
    assert!(!mounts.contains("rehearsal"), "{mounts}");
    let words = [
        "systemctl",
        "list-units",
        "--all",
        "--no-legend",
        "nodeadm-rehearsal*",
    ];
    assert_eq!(host.exec(words).text().unwrap().trim(), "");
    let words = [
        "find",
        "/run",
        "/var/tmp",
        "/var/lib/private",
        "-name",
        "*rehearsal*",
    ];
    let found = host.nsexec(words).unwrap().output().unwrap();
    assert_eq!(found.text(), "");
}

/// The state comes out of it as it went in.
fn is_restored(ground: &Ground, admin: &Admin<'_>, backup: &Path) {
    let other = ground.admin("elsewhere");
    let key = ground.lab.key();
    let words = ["restore", text(backup), "--identity", text(&key)];
    println!("{}", other.cctl(words).text().unwrap());
    let state = |admin: &Admin<'_>| std::fs::read(admin.file("cctl-state.yaml")).unwrap();
    assert!(state(&other) == state(admin), "it is another state");
}
