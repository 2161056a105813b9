//! What `etcdadm reset` leaves on a host: nothing of what etcdadm put there but its journal, and the data set aside.

use hosts::Listing;
use lab::Host;

use crate::{Ground, NEWEST};

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn reset_takes_away_what_was_installed_and_sets_data_aside() {
    let ground = Ground::new("reset", 2);
    let members = ground.members(NEWEST);
    let [first, second] = ground.hosts.as_slice() else {
        unreachable!("two hosts were made")
    };
    members.equip_all(&ground.hosts).unwrap();
    let before = listing(first);
    members.init(first).check().unwrap();
    members.share_authority(first, &ground.hosts[1..]).unwrap();
    let before_second = listing(second);
    members.join(second, first).check().unwrap();
    members
        .etcdctl(&ground.hosts, ["put", "kept", "yes"])
        .check()
        .unwrap();

    members.etcdadm(second, ["reset"]).check().unwrap();
    // The authority was put there by the admin: it is not etcdadm's to delete.
    let left = "\
- /etc/etcd/pki/ca.crt
+ /etc/etcd/pki/ca.crt.set-aside-TIME f 644 root:root
- /etc/etcd/pki/ca.key
+ /etc/etcd/pki/ca.key.set-aside-TIME f 600 root:root
+ /var/lib/etcd.set-aside-TIME d 700 root:root
+ /var/lib/etcdadm d 700 root:root
+ /var/lib/etcdadm/journal f 600 root:root
+ /var/lib/etcdadm/lock f 600 root:root
";
    assert_eq!(listing(second).since(&before_second), left);
    nothing_runs(second);
    members.check_healthy(&ground.hosts[..1]).unwrap();

    // The last member has nobody to tell.
    members.etcdadm(first, ["reset"]).check().unwrap();
    let left = "\
+ /etc/etcd d 755 root:root
+ /etc/etcd/pki d 755 root:root
+ /etc/etcd/pki/ca.crt.set-aside-TIME f 644 root:root
+ /etc/etcd/pki/ca.key.set-aside-TIME f 600 root:root
+ /var/lib/etcd.set-aside-TIME d 700 root:root
+ /var/lib/etcdadm d 700 root:root
+ /var/lib/etcdadm/journal f 600 root:root
+ /var/lib/etcdadm/lock f 600 root:root
";
    assert_eq!(listing(first).since(&before), left);
    nothing_runs(first);

    // Reset twice is reset once.
    let after = Listing::of(first).unwrap().without(&["/var/lib/etcdadm/"]);
    let said = members.etcdadm(first, ["reset"]).text().unwrap();
    assert_eq!(said, "nothing to change");
    assert_eq!(
        Listing::of(first).unwrap().without(&["/var/lib/etcdadm/"]),
        after
    );

    // What was set aside is whole: etcd itself reads it.
    let data = first
        .nsexec([
            "find",
            "/var/lib",
            "-maxdepth",
            "1",
            "-name",
            "etcd.set-aside-*",
        ])
        .unwrap()
        .text()
        .unwrap();
    let found = members.read_data_dir(first, &data, "kept").unwrap();
    assert_eq!(found, "yes");

    // And the host can be a member again.
    members.init(first).check().unwrap();
}

/// All paths, but not what lies inside of set-aside data.
fn listing(host: &Host) -> Listing {
    let listing = Listing::of(host).unwrap().shape();
    listing.without(&["/var/lib/etcd.set-aside-TIME/"])
}

fn nothing_runs(host: &Host) {
    let show = [
        "systemctl",
        "show",
        "etcd.service",
        "--property=LoadState,ActiveState",
    ];
    let unit = host.nsexec(show).unwrap().text().unwrap();
    assert_eq!(unit, "LoadState=not-found\nActiveState=inactive");
    let running = host
        .nsexec(["pgrep", "--exact", "etcd"])
        .unwrap()
        .output()
        .unwrap();
    assert_eq!(
        (running.code, running.text().as_str()),
        (1, ""),
        "etcd runs on {}",
        host.name()
    );
}
