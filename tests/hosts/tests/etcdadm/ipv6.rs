//! A cluster whose members reach each other by IPv6 alone: made, grown, looked at, saved and reset.

use lab::Host;

use crate::{Ground, NEWEST, timed};

/// What a host is called in this test: a prefix that is nobody's, and its number.
fn address(host: &Host) -> String {
    format!("fd77::{}", host.name().trim_start_matches('h'))
}

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn members_reach_each_other_by_ipv6() {
    let ground = Ground::new("ipv6", 3);
    let members = ground.members(NEWEST);
    let hosts = ground.hosts.as_slice();
    members.equip_all(hosts).unwrap();
    for host in hosts {
        let prefixed = format!("{}/64", address(host));
        // Nobody else has it: it need not be asked for first.
        let words = [
            "ip", "-6", "address", "add", &prefixed, "dev", "eth0", "nodad",
        ];
        host.exec(words).check().unwrap();
    }
    let (first, others) = hosts.split_first().unwrap();
    let etcdadm = |host: &Host, words: &[&str]| {
        let said = members
            .etcdadm(host, words.iter().copied())
            .check()
            .unwrap();
        said.text()
    };

    let own = address(first);
    timed("init", || etcdadm(first, &["init", "--bind-address", &own]));
    members.share_authority(first, others).unwrap();
    let through = format!("https://[{own}]:2379");
    for host in others {
        let own = address(host);
        timed("join", || {
            etcdadm(host, &["join", &through, "--bind-address", &own])
        });
    }

    let list = etcdadm(first, &["member", "list", "--output", "json"]);
    for host in hosts {
        for port in [2379, 2380] {
            let url = format!("https://[{}]:{port}", address(host));
            assert!(list.contains(&url), "{url} is not in {list}");
        }
        // The wrapper asks the host's own member, on loopback of the same kind.
        host.exec(["/opt/bin/etcdctl.sh", "endpoint", "health", "--cluster"])
            .check()
            .unwrap();
        let cares = [
            "ss",
            "--listening",
            "--tcp",
            "--numeric",
            "--no-header",
            "-4",
        ];
        let listening = host.exec(cares).text().unwrap();
        assert!(!listening.contains(":2379"), "{listening}");
    }
    etcdadm(first, &["status"]);
    etcdadm(first, &["certs", "check"]);
    first
        .exec(["/opt/bin/etcdctl.sh", "put", "kept", "through all"])
        .check()
        .unwrap();
    let file = "/root/etcd.capsule";
    etcdadm(&others[0], &["snapshot", "save", file]);
    timed("verify", || {
        etcdadm(&others[0], &["snapshot", "verify", file])
    });
    // A second run finds nothing to do.
    let again = etcdadm(
        &others[1],
        &[
            "join",
            &through,
            "--bind-address",
            &address(&others[1]),
            "--output",
            "json",
        ],
    );
    assert!(
        again.contains("\"changes\": 0") || again.contains("\"changes\":0"),
        "{again}"
    );
    timed("reset", || etcdadm(&others[1], &["reset"]));
    let left = etcdadm(first, &["member", "list", "--output", "json"]);
    assert!(!left.contains(&address(&others[1])), "{left}");
    let value = ["get", "--print-value-only", "kept"];
    let words = ["/opt/bin/etcdctl.sh"].into_iter().chain(value);
    assert_eq!(others[0].exec(words).text().unwrap().trim(), "through all");
}
