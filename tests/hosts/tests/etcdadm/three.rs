//! The shortest way to a cluster: three members, one after the other. It is what a slow machine can do, too.

use lab::Host;

use crate::{Ground, NEWEST, timed};

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn three_members_form_a_cluster() {
    let ground = Ground::new("three", 3);
    let members = ground.members(NEWEST);
    let hosts = ground.hosts.as_slice();
    members.equip_all(hosts).unwrap();
    let (first, others) = hosts.split_first().unwrap();

    timed("init", || members.init(first).check()).unwrap();
    members.share_authority(first, others).unwrap();
    for host in others {
        let join = |host: &Host| members.join(host, first).check();
        timed("join", || join(host)).unwrap();
    }
    members.check_healthy(hosts).unwrap();
}
