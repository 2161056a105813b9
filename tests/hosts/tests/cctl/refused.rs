//! Hosts that cannot be reached, or are not what they should be: what `cctl` says, with which exit code, and that it changed
//! nothing where it says so.
//!
//! The texts stand here as they are printed: they are what an admin has to go by. (They are compared as plain strings, since
//! these tests run as root, who writes nothing into the source tree.)

use std::path::PathBuf;

use hosts::{Admin, ClusterFile, Listing};
use lab::{Host, Output};

use crate::{Ground, READY, timed};

/// What looking at hosts may leave on them: the node tools, and what a log-in writes.
const LOOKED: &[&str] = &[
    "/var/cache/klusterkit",
    "/var/lib/sudo",
    "/home/admin/.sudo_as_admin_successful",
];

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn what_is_wrong_is_told_by_host_step_and_remedy() {
    let ground = Ground::new("refused", 2);
    let hosts = &ground.hosts;
    let admin = ground.admin("admin");
    let file = ClusterFile::new(&ground.lab, hosts, 1, "admin");
    a_host_is_off(&admin, &file, &hosts[1]);

    let before: Vec<Listing> = hosts.iter().map(listing).collect();
    no_key_is_pinned(&admin, &file);
    nobody_lets_a_stranger_in(&ground, &admin);
    others_use_the_hosts(&admin, &file, hosts);
    for (host, before) in hosts.iter().zip(&before) {
        assert_eq!(
            listing(host).since(before),
            "",
            "{} was changed",
            host.name()
        );
    }
    assert!(
        !admin.file("cctl-state.yaml").exists(),
        "nothing began, so there is no state"
    );

    let one = ClusterFile::new(&ground.lab, &hosts[..1], 1, "root");
    a_blob_is_corrupted(&admin, &one);
    a_disk_is_full(&admin, &file, hosts);
    a_host_key_changed(&admin, &file, &hosts[0]);
}

fn listing(host: &Host) -> Listing {
    Listing::of(host).unwrap().without(LOOKED)
}

/// `cctl apply` without the word that new host keys are to be taken.
fn apply(admin: &Admin<'_>, file: &ClusterFile, more: &[&str]) -> Output {
    let words = admin.apply_words(file).unwrap();
    let words = words
        .iter()
        .map(String::as_str)
        .filter(|word| *word != "--accept-new-host-keys");
    admin
        .cctl(words.chain(more.iter().copied()))
        .output()
        .unwrap()
}

const ACCEPT: &[&str] = &["--accept-new-host-keys"];

fn no_key_is_pinned(admin: &Admin<'_>, file: &ClusterFile) {
    refused(
        admin,
        &apply(admin, file, &[]),
        4,
        "\
host unreachable: 10.77.0.11: no host key is pinned for it, so it cannot be told from another host
10.77.0.12: no host key is pinned for it, so it cannot be told from another host
hint: compare 10.77.0.11's key on its console (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then run the same with --accept-new-host-keys
hint: compare 10.77.0.12's key on its console (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then run the same with --accept-new-host-keys",
    );
}

fn nobody_lets_a_stranger_in(ground: &Ground, admin: &Admin<'_>) {
    let file = ClusterFile::new(&ground.lab, &ground.hosts[..1], 1, "stranger");
    refused(
        admin,
        &apply(admin, &file, ACCEPT),
        4,
        "\
host unreachable: 10.77.0.11 refuses to let stranger in: stranger@10.77.0.11: Permission denied (publickey).
hint: see that `ssh.user` (stranger) is right and that the host has your public key in that user's authorized_keys",
    );
}

fn a_host_is_off(admin: &Admin<'_>, file: &ClusterFile, host: &Host) {
    host.stop().unwrap();
    let mut output = apply(admin, file, ACCEPT);
    // Which of the two comes first is the network's choice.
    output.stderr = output
        .error_text()
        .replace("Connection timed out", "No route to host")
        .into();
    refused(
        admin,
        &output,
        4,
        "\
host unreachable: 10.77.0.12 cannot be reached by SSH: connect to host 10.77.0.12 port 22: No route to host
hint: see that 10.77.0.12 is on, reachable from here, and runs sshd on that port; then run the same again",
    );
    host.boot().unwrap();
    host.wait_ssh().unwrap();
}

/// Everything that is wrong on any host is told at once.
fn others_use_the_hosts(admin: &Admin<'_>, file: &ClusterFile, hosts: &[Host]) {
    let listen = |host: &Host, port: &str| {
        let listen = format!("ListenStream={port}");
        let words = [
            "systemd-run",
            "--quiet",
            "--unit",
            "other",
            "--socket-property",
            &listen,
            "cat",
        ];
        host.exec(words).check().unwrap();
    };
    listen(&hosts[0], "2380");
    listen(&hosts[1], "10250");
    hosts[0]
        .write("/var/lib/etcd/member/snap/db", "data", 0o600)
        .unwrap();
    refused(
        admin,
        &apply(admin, file, ACCEPT),
        3,
        "\
preflight failed, nothing was changed: h1: ports: another program listens on 10.77.0.11:2380
h1: data-dir: /var/lib/etcd holds data that is not this member's: member
h2: ports: in use: 10250
hint: stop it, or choose other ports with --client-port and --peer-port
hint: move it away if nobody needs it, or choose another folder: `etcdadm init --data-dir …`
hint: stop what listens there (`ss -ltnp` shows it)
hint: what may be so is named in the cluster file: ignorePreflightErrors: [NAME]",
    );
    for host in hosts {
        host.exec(["systemctl", "stop", "other.socket"])
            .check()
            .unwrap();
    }
    hosts[0]
        .exec(["rm", "-r", "/var/lib/etcd"])
        .check()
        .unwrap();
}

/// A bundle in which one byte of etcd's release is another.
fn a_blob_is_corrupted(admin: &Admin<'_>, file: &ClusterFile) {
    let whole = admin.equipment().bundle();
    let bundle = admin.file("corrupted.oci");
    let (from, to) = (whole.to_str().unwrap(), bundle.to_str().unwrap());
    admin.lab().run(["cp", "-a", from, to]).check().unwrap();
    let release = admin.equipment().etcd("3.7.3");
    let right = hosts::sha256(&release).unwrap();
    let blob = bundle.join("blobs/sha256").join(&right);
    let mut bytes = std::fs::read(&blob).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    let wrong = hosts::sha256(&blob).unwrap();
    let path = admin.write("cluster.yaml", file.text()).unwrap();
    let words = ["apply", "-f", path.to_str().unwrap(), "--bundle", to];
    let output = admin
        .cctl(words.into_iter().chain(ACCEPT.iter().copied()))
        .output()
        .unwrap();
    refused(
        admin,
        &output,
        1,
        &format!(
            "\
error: [send-artifacts] h1: what it was to get of the bundle ADMIN/corrupted.oci cannot be sent: ADMIN/corrupted.oci: blob sha256:{right} is damaged or cannot be read: content has the digest sha256:{wrong}, not sha256:{right}
hint: see what is wrong with it by `cctl bundle verify ADMIN/corrupted.oci`, and carry it over again"
        ),
    );
}

/// Checks see it beforehand; where they are not listened to, the step that meets it says so.
fn a_disk_is_full(admin: &Admin<'_>, file: &ClusterFile, hosts: &[Host]) {
    let host = &hosts[1];
    let avail = ["df", "--output=avail", "--block-size=1M", "/var"];
    let free = host.exec(avail).text().unwrap();
    let free: u64 = free.lines().last().unwrap().trim().parse().unwrap();
    let size = format!("{}M", free - 150);
    let fill = ["fallocate", "-l", &size, "/var/filler"];
    host.exec(fill).check().unwrap();
    let mut output = apply(admin, file, ACCEPT);
    let free = output.error_text();
    let free = free.split(" MiB free").next().unwrap().rsplit(' ').next();
    let counted = format!("{} MiB free", free.unwrap());
    output.stderr = output.error_text().replace(&counted, "N MiB free").into();
    refused(
        admin,
        &output,
        3,
        "\
preflight failed, nothing was changed: h2: disk: N MiB free for /var/lib/containerd and /opt/bin, 600 are needed
hint: make room, or mount a larger disk there
hint: what may be so is named in the cluster file: ignorePreflightErrors: [NAME]",
    );

    let ignored = "[SystemVerification, disk, disk-room]";
    let text = file.text().replace("[SystemVerification]", ignored);
    let path = admin.write("ignoring.yaml", &text).unwrap();
    let (path, bundle) = (path.to_str().unwrap(), admin.equipment().bundle());
    let words = ["apply", "-f", path, "--bundle", bundle.to_str().unwrap()];
    let words = words.iter().chain(ACCEPT).copied();
    let output = admin.cctl(words).output().unwrap();
    let said = output.error_text();
    assert_eq!(output.code, 5, "{said}");
    for line in [
        "[send-artifacts] h2: nodeadm store receive failed: cannot write into the store /var/cache/klusterkit: No space left on device (os error 28)",
        "hint: make room on h2: `df -h` shows where it is full",
        "hint: once that is mended, run the same command again: it goes on from what is done",
    ] {
        assert!(said.lines().any(|said| said == line), "{line}\n{said}");
    }

    host.exec(["rm", "/var/filler"]).check().unwrap();
    let output = timed("apply, with room again", || apply(admin, file, ACCEPT));
    assert!(output.success(), "{}", output.error_text());
    admin.fetch_kubeconfig().unwrap();
    admin.check_healthy(hosts, 1, READY).unwrap();
}

fn a_host_key_changed(admin: &Admin<'_>, file: &ClusterFile, host: &Host) {
    let key: PathBuf = admin.file("another-key");
    let words = [
        "ssh-keygen",
        "-q",
        "-t",
        "ed25519",
        "-N",
        "",
        "-f",
        key.to_str().unwrap(),
    ];
    admin.lab().run(words).check().unwrap();
    host.put(&key, "/etc/ssh/ssh_host_ed25519_key", 0o600)
        .unwrap();
    host.put(
        &key.with_extension("pub"),
        "/etc/ssh/ssh_host_ed25519_key.pub",
        0o644,
    )
    .unwrap();
    host.nsexec(["systemctl", "restart", "ssh"])
        .unwrap()
        .check()
        .unwrap();
    refused(
        admin,
        &apply(admin, file, ACCEPT),
        4,
        "\
host unreachable: 10.77.0.11: its host key is not the pinned one; somebody may be in between, or the host was installed anew
hint: if 10.77.0.11 was installed anew, say so by `cctl forget-host-key 10.77.0.11`; if not, find out who answers there",
    );

    let address = host.address().to_string();
    admin.cctl(["forget-host-key", &address]).check().unwrap();
    let output = apply(admin, file, ACCEPT);
    assert_eq!(
        output.text(),
        "cluster lab: all is as it should be, nothing was changed",
        "{}",
        output.error_text()
    );
}

/// The error as people read it: without the lines of progress before it, and with the admin's folder as ADMIN.
fn refused(admin: &Admin<'_>, output: &Output, code: i32, said: &str) {
    let text = output.error_text();
    let progress = |line: &&str| {
        line.trim_start().starts_with(|c: char| c.is_ascii_digit()) && line.contains("s ")
    };
    let error: Vec<&str> = text.lines().skip_while(progress).collect();
    let folder = admin.file("");
    let error = error
        .join("\n")
        .replace(folder.to_str().unwrap().trim_end_matches('/'), "ADMIN");
    assert_eq!((output.code, error.as_str()), (code, said), "{text}");
}
