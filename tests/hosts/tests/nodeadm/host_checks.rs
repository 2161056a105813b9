//! The checks on whole hosts: nothing is wrong with one that nobody has touched but what the lab makes otherwise; and with
//! one on which several things are wrong, all of them are told at once, and nothing is changed.

use std::time::Duration;

use hosts::Footprint;

use crate::Ground;

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn all_that_is_wrong_with_a_host_is_told_at_once() {
    let ground = Ground::new("checks", 1);
    let host = &ground.hosts[0];
    let nodes = ground.nodes(crate::NEWEST);
    nodes.equip(host).unwrap();
    nodes.configure(host, "").unwrap();
    let told = nodes.configured(host, ["preflight"]).output().unwrap();
    assert!(told.success(), "{}\n{}", told.text(), told.error_text());
    println!("{}", told.text());

    let bare = Footprint::of(host, &["/var/lib/nodeadm", "/var/cache"]).unwrap();
    host.write(
        "/etc/machine-id",
        "d41d8cd98f00b204e9800998ecf8427e\n",
        0o444,
    )
    .unwrap();
    host.write("/etc/kubernetes/admin.conf", "left", 0o600)
        .unwrap();
    host.exec(["ip", "link", "add", "cni0", "type", "bridge"])
        .check()
        .unwrap();
    let listen = [
        "systemd-run",
        "--unit=taken",
        "--",
        "busybox",
        "httpd",
        "-f",
        "-p",
        "10250",
    ];
    host.exec(listen).check().unwrap();
    host.exec(["mkdir", "-p", "/opt"]).check().unwrap();
    let noexec = ["mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", "/opt"];
    host.nsexec(noexec).unwrap().check().unwrap();
    let words = ["init", "--address", "10.99.0.1", "--name", "Node_1"];
    lab::wait_until("the port to be taken", Duration::from_secs(20), || {
        let table = host
            .exec(["cat", "/proc/net/tcp", "/proc/net/tcp6"])
            .output()?
            .text();
        Ok(table.contains(":280A "))
    })
    .unwrap();
    let before = Footprint::of(host, &["/var/lib/nodeadm", "/var/cache"]).unwrap();
    assert_ne!(before.since(&bare), "");
    let told = nodes.configured(host, words).output().unwrap();
    let text = told.error_text();
    println!("{text}");
    assert_eq!(told.code, 3, "{text}");
    for part in [
        "machine-id: /etc/machine-id is one that many hosts have",
        "hostname: \"Node_1\" is no name for a Node",
        "address: no interface of this host has 10.99.0.1",
        "paths: /opt/",
        "ports: in use: 10250",
        "leftovers: found /etc/kubernetes/admin.conf, the interface cni0",
        "name what may be ignored with --ignore-preflight-errors",
    ] {
        assert!(text.contains(part), "{part:?} is not told in:\n{text}");
    }
    let after = Footprint::of(host, &["/var/lib/nodeadm", "/var/cache"]).unwrap();
    assert_eq!(after.since(&before), "", "the checks changed something");
}
