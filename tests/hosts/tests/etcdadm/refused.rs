//! Bad input, and hosts that etcdadm must not touch: what it says, with which exit code, and that it changed nothing.
//!
//! The texts stand here as they are printed: they are what an admin has to go by. (They are compared as plain strings, since
//! these tests run as root, who writes nothing into the source tree.)

use std::time::Duration;

use hosts::Listing;
use lab::{Host, Output, wait_until};

use crate::{BESIDE, Ground, NEWEST};

/// A run may take the lock and write the journal: they only tell that it ran.
const OURS: &[&str] = &["/var/lib/etcdadm/lock", "/var/lib/etcdadm/journal"];

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn bad_input_is_refused_and_nothing_is_changed() {
    let ground = Ground::new("input", 1);
    let members = ground.members(NEWEST);
    let host = &ground.hosts[0];
    members.equip(host).unwrap();
    let before = Listing::of(host).unwrap();
    let type_meta = "apiVersion: klusterkit.dev/v1alpha1\nkind: EtcdConfiguration\n";
    let document = |text: &str| {
        members
            .etcdadm(host, ["init", "--config", "-"])
            .stdin(format!("{type_meta}{text}"))
            .output()
            .unwrap()
    };
    let words = |words: &[&str]| {
        members
            .etcdadm(host, words.iter().copied())
            .output()
            .unwrap()
    };

    refused(
        &document("version: v3.7.3\ndata-dir: /srv/etcd\n"),
        2,
        "\
usage error: standard input is at fault
  because: unknown field `data-dir`, did you mean `dataDir`? (line 4, column 1)",
    );
    refused(
        &document("metadata:\n  name: h1\n   annotations: {}\n"),
        2,
        "\
usage error: standard input is at fault
  because: mapping values are not allowed in this context (line 5, column 15)",
    );
    refused(
        &document("address: 10.77.0\n"),
        2,
        "\
usage error: standard input is at fault
  because: address: invalid IP address syntax (line 3, column 10)",
    );
    refused(
        &words(&["init", "--config", "/root/member.yaml"]),
        2,
        "\
usage error: could not read /root/member.yaml
  because: No such file or directory (os error 2)",
    );
    refused(
        &words(&["init", "--version", "v3.4.1"]),
        2,
        "\
usage error: etcd v3.4.1 is not supported: 3.5, 3.6 and 3.7 are",
    );
    refused(
        &words(&["join"]),
        2,
        "\
usage error: no member to join is named
hint: name one: `etcdadm join https://ADDRESS:2379`",
    );
    refused(
        &words(&["join", "http://10.77.0.12:2379"]),
        2,
        "\
usage error: \"http://10.77.0.12:2379\" is no endpoint: members speak TLS only (https://)",
    );
    // Not even the lock was taken, nor the journal begun.
    assert_eq!(Listing::of(host).unwrap().since(&before), "");
}

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn hosts_that_others_use_are_left_alone() {
    let ground = Ground::new("others", 1);
    let members = ground.members(NEWEST);
    let host = &ground.hosts[0];
    members.equip(host).unwrap();
    let init = |more: &[&str]| {
        let words = ["init"].into_iter().chain(more.iter().copied());
        members.etcdadm(host, words).output().unwrap()
    };

    unchanged(host, || {
        refused(
            &init(&["--bind-address", "10.77.0.99"]),
            3,
            "\
preflight failed, nothing was changed: phase check-host stopped before it changed anything more
  because: address: 10.77.0.99 is not an address of this host (it has: 10.77.0.11)
hint: choose one with --bind-address
hint: a check that may fail here is named in --ignore-preflight-errors",
        )
    });

    for (bound, port, said) in [
        ("0.0.0.0", "2380", "10.77.0.11:2380"),
        ("127.0.0.1", "2379", "127.0.0.1:2379"),
    ] {
        listen(host, bound, port);
        unchanged(host, || {
            refused(
                &init(&[]),
                3,
                &format!(
                    "\
preflight failed, nothing was changed: phase check-host stopped before it changed anything more
  because: ports: another program listens on {said}
hint: stop it, or choose other ports with --client-port and --peer-port
hint: a check that may fail here is named in --ignore-preflight-errors"
                ),
            )
        });
        host.exec(["systemctl", "stop", "other.service"])
            .check()
            .unwrap();
    }

    host.write("/var/lib/etcd/member/snap/db", "somebody's", 0o600)
        .unwrap();
    unchanged(host, || {
        refused(
            &init(&[]),
            3,
            "\
preflight failed, nothing was changed: phase check-host stopped before it changed anything more
  because: data-dir: /var/lib/etcd holds data that is not this member's: member
hint: move it away if nobody needs it, or choose another folder: `etcdadm init --data-dir …`
hint: a check that may fail here is named in --ignore-preflight-errors",
        )
    });
    assert_eq!(
        host.read("/var/lib/etcd/member/snap/db").unwrap(),
        "somebody's"
    );
}

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn a_damaged_archive_is_not_installed() {
    let ground = Ground::new("damaged", 1);
    let members = ground.members(BESIDE);
    let host = &ground.hosts[0];
    members.put_tool(host).unwrap();
    let before = Listing::of(host).unwrap();

    // One bit in the middle of a blob in the store, whose digest came with it.
    let layout = members.equipment().etcd_layout();
    host.put_tree(&layout, "/var/cache/klusterkit").unwrap();
    let digest = hosts::sha256(&members.archive()).unwrap();
    let blob = format!("/var/cache/klusterkit/blobs/sha256/{digest}");
    flip(host, &blob);
    let damaged = digest_on(host, &blob);
    let with_store = Listing::of(host).unwrap();
    let output = members.init(host).output().unwrap();
    refused(&output, 1, &format!("\
error: phase install-binaries could not install etcd v{BESIDE} from sha256 {}…: /opt/bin/etcd, /opt/bin/etcdctl, /opt/bin/etcdutl
  because: {blob} is damaged or cannot be read; nothing was installed from it
  because: content has the digest sha256:{damaged}, not sha256:{digest}", &digest[..12]));
    // What is there, it says itself: its record, and an empty folder.
    let begun = "\
+ /opt/bin d 755 root:root
+ /var/lib/etcdadm d 700 root:root
+ /var/lib/etcdadm/journal f 600 root:root
+ /var/lib/etcdadm/lock f 600 root:root
+ /var/lib/etcdadm/member.json f 644 root:root
";
    let now = Listing::of(host).unwrap().shape();
    assert_eq!(now.since(&with_store.shape()), begun);

    // Mended, the same command goes on.
    flip(host, &blob);
    members.init(host).check().unwrap();
    members.etcdadm(host, ["reset"]).check().unwrap();
    host.exec(["rm", "-r", "/var/cache/klusterkit"])
        .check()
        .unwrap();

    // The same at the place of old, where no digest is kept: the archive's own checksum tells.
    members.equip(host).unwrap();
    flip(host, &members.cache_path());
    let output = members.init(host).output().unwrap();
    assert_eq!(output.code, 1);
    let said = output.error_text();
    let expected = format!(
        "because: {} is no sound tar archive; nothing was installed from it",
        members.cache_path()
    );
    assert!(said.contains(&expected), "{said}");

    // When the admin gives up, nothing of this try stays: no program, no half of one, no unit.
    members.etcdadm(host, ["reset"]).check().unwrap();
    let left = Listing::of(host).unwrap().shape();
    let left = left.without(&[
        "/var/cache/etcdadm",
        "/var/lib/etcd.set-aside-TIME",
        "/etc/etcd/pki/ca.",
    ]);
    let left = left.since(&before.shape());
    let expected = "\
+ /etc/etcd d 755 root:root
+ /etc/etcd/pki d 755 root:root
+ /var/lib/etcdadm d 700 root:root
+ /var/lib/etcdadm/journal f 600 root:root
+ /var/lib/etcdadm/lock f 600 root:root
";
    assert_eq!(left, expected);
}

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn reset_refuses_when_it_cannot_tell_who_is_a_member() {
    let ground = Ground::new("tell", 2);
    let members = ground.members(NEWEST);
    members.equip_all(&ground.hosts).unwrap();
    members.form(&ground.hosts).unwrap();
    let [first, second] = ground.hosts.as_slice() else {
        unreachable!("two hosts were made")
    };

    // Neither its own member nor another one answers.
    second
        .exec(["systemctl", "stop", "etcd.service"])
        .check()
        .unwrap();
    ground.lab.cut_between(first, second).unwrap();
    let reset = || members.etcdadm(second, ["reset"]).output().unwrap();
    let said = "\
error: phase leave-cluster stopped before it changed anything more
  because: it cannot be told whether the cluster still has this member
  because: https://10.77.0.11:2379 cannot be reached: tcp connect error: transport error: deadline has elapsed
hint: name a reachable member (`etcdadm reset https://ADDRESS:2379`), or add --skip-remove-member and remove the member from the cluster yourself";
    unchanged(second, || refused(&reset(), 1, said));

    // Its member runs, but without a majority it knows nothing for sure.
    second
        .exec(["systemctl", "start", "--no-block", "etcd.service"])
        .check()
        .unwrap();
    unchanged(second, || refused(&reset(), 1, said));

    ground.lab.mend_between(first, second).unwrap();
    members
        .wait_healthy(&ground.hosts, Duration::from_secs(60))
        .unwrap();
    // The other one gone for good, the admin says so.
    first.power_loss().unwrap();
    members
        .etcdadm(second, ["reset", "--skip-remove-member"])
        .check()
        .unwrap();
}

/// This exit code, this text on standard error, nothing on standard output.
#[track_caller]
fn refused(output: &Output, code: i32, said: &str) {
    // Above it stands what was done before, with times.
    let text = output.error_text();
    let from = text
        .lines()
        .position(|line| !line.starts_with(' '))
        .unwrap_or(0);
    let text: Vec<&str> = text.lines().skip(from).collect();
    assert_eq!(text.join("\n"), said);
    assert_eq!((output.code, output.text().as_str()), (code, ""));
}

/// Nothing on the host is another file afterwards, or has another content, mode or time.
#[track_caller]
fn unchanged<T>(host: &Host, work: impl FnOnce() -> T) -> T {
    let listing = || {
        let listing = Listing::of(host).unwrap().without(OURS);
        // Their folder, which the first run makes.
        listing.without_exactly("/var/lib/etcdadm")
    };
    let before = listing();
    let result = work();
    assert_eq!(listing().since(&before), "");
    result
}

/// Somebody else's program.
fn listen(host: &Host, address: &str, port: &str) {
    let socket = format!("TCP-LISTEN:{port},bind={address},reuseaddr,fork");
    let run = [
        "systemd-run",
        "--unit=other",
        "--collect",
        "socat",
        &socket,
        "PIPE",
    ];
    host.exec(run).check().unwrap();
    let what = format!("somebody to listen on {address}:{port}");
    wait_until(&what, Duration::from_secs(10), || {
        let sockets = host.nsexec(["ss", "-Hltn", &format!("sport = :{port}")])?;
        Ok(!sockets.text()?.is_empty())
    })
    .unwrap();
}

/// Turns one bit in the middle of a file over; twice is not at all.
pub(crate) fn flip(host: &Host, path: &str) {
    let size: u64 = host
        .exec(["stat", "--format=%s", path])
        .text()
        .unwrap()
        .parse()
        .unwrap();
    let at = (size / 2).to_string();
    let read = host
        .exec(["od", "-An", "-tu1", "-N1", "-j", &at, path])
        .text()
        .unwrap();
    let byte: u8 = read.trim().parse().unwrap();
    let file = format!("of={path}");
    let seek = format!("seek={at}");
    host.exec([
        "dd",
        &file,
        &seek,
        "bs=1",
        "count=1",
        "conv=notrunc",
        "status=none",
    ])
    .stdin(vec![byte ^ 1])
    .check()
    .unwrap();
}

fn digest_on(host: &Host, path: &str) -> String {
    let text = host.exec(["sha256sum", path]).text().unwrap();
    text.split(' ').next().unwrap_or_default().to_owned()
}
