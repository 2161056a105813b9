//! A host given back.

use super::*;

#[test]
fn reset_leaves_first_and_undoes_everything() {
    let mut world = World::beside_a_cluster();
    let before = world.host.listing();
    let configuration = world.configure(joining());
    world.join(&configuration).unwrap();
    world.data();
    world
        .etcd
        .set_membership(membership(&[member(2, "h2", 12), member(1, "h1", 11)]));
    insta::assert_snapshot!(world.reset(&configuration).unwrap(), @"
    leave-cluster: remove member h1 (0000000000000001)
    stop-member: stop etcd.service
    stop-member: remove /etc/systemd/system/multi-user.target.wants/etcd.service
    set-data-aside: set /var/lib/etcd aside as /var/lib/etcd.set-aside-20261118T110640Z
    remove-files: set /etc/etcd/pki/ca.crt aside as /etc/etcd/pki/ca.crt.set-aside-20261118T110640Z
    remove-files: set /etc/etcd/pki/ca.key aside as /etc/etcd/pki/ca.key.set-aside-20261118T110640Z
    remove-files: remove /etc/systemd/system/etcd.service
    remove-files: remove /etc/etcd/etcd.env
    remove-files: remove /etc/etcd/etcdctl.env
    remove-files: remove /etc/etcd/pki/server.crt
    remove-files: remove /etc/etcd/pki/server.key
    remove-files: remove /etc/etcd/pki/peer.crt
    remove-files: remove /etc/etcd/pki/peer.key
    remove-files: remove /etc/etcd/pki/etcdctl-etcd-client.crt
    remove-files: remove /etc/etcd/pki/etcdctl-etcd-client.key
    remove-files: remove /etc/etcd/pki/apiserver-etcd-client.crt
    remove-files: remove /etc/etcd/pki/apiserver-etcd-client.key
    remove-files: remove /opt/bin/etcd
    remove-files: remove /opt/bin/etcdctl
    remove-files: remove /opt/bin/etcdutl
    remove-files: remove /opt/bin/etcdctl.sh
    remove-files: remove /opt/bin
    remove-files: remove /opt
    remove-files: remove /var/lib/etcdadm/etcd.receipt.json
    remove-files: remove /var/lib/etcdadm/member.json
    ");
    let listing = world.host.listing();
    let left = listing
        .lines()
        .filter(|line| !before.contains(*line) && !line.ends_with("gone"));
    let paths: Vec<&str> = left.filter_map(|line| line.split(' ').next()).collect();
    insta::assert_snapshot!(paths.join("\n"), @"
    /etc/etcd/pki/ca.crt.set-aside-20261118T110640Z
    /etc/etcd/pki/ca.key.set-aside-20261118T110640Z
    /etc/systemd/
    /etc/systemd/system/
    /etc/systemd/system/multi-user.target.wants/
    /var/lib/
    /var/lib/etcd.set-aside-20261118T110640Z/
    /var/lib/etcd.set-aside-20261118T110640Z/member/
    /var/lib/etcd.set-aside-20261118T110640Z/member/wal/
    /var/lib/etcd.set-aside-20261118T110640Z/member/wal/0000000000000000-0000000000000000.wal
    /var/lib/etcdadm/
    ");
    assert_eq!(world.reset(&configuration).unwrap(), "");
}

#[test]
fn a_leader_hands_leadership_over_before_it_leaves() {
    let mut world = World::beside_a_cluster();
    let configuration = world.configure(joining());
    world.join(&configuration).unwrap();
    world.data();
    world
        .etcd
        .set_membership(membership(&[member(2, "h2", 12), member(1, "h1", 11)]));
    let leads = MemberStatus {
        leader: 1,
        ..MemberStatus::default()
    };
    world.etcd.set_status(&configuration.local_url(), leads);
    let said = world.reset(&configuration).unwrap();
    let first: Vec<&str> = said.lines().take(3).collect();
    insta::assert_snapshot!(first.join("\n"), @"
    leave-cluster: hand leadership to h2 (0000000000000002)
    leave-cluster: remove member h1 (0000000000000001)
    stop-member: stop etcd.service
    ");
}

#[test]
fn reset_refuses_when_it_cannot_tell_or_would_cost_the_majority() {
    let mut world = World::beside_a_cluster();
    let configuration = world.configure(joining());
    world.join(&configuration).unwrap();
    world.data();
    let before = world.host.listing();
    world.etcd = Picture::default();
    insta::assert_snapshot!(world.reset(&configuration).unwrap_err(), @"phase leave-cluster stopped before it changed anything more: it cannot be told whether the cluster still has this member: https://10.77.0.12:2379 cannot be reached: nobody is there");
    // h2 serves, h3 does not: without this one, one of two is left.
    world.etcd = Picture::of(membership(&[
        member(2, "h2", 12),
        member(1, "h1", 11),
        member(3, "h3", 13),
    ]));
    world.etcd.set_healthy("https://10.77.0.12:2379");
    insta::assert_snapshot!(world.reset(&configuration).unwrap_err(), @"phase leave-cluster stopped before it changed anything more: removing h1 (0000000000000001) leaves 2 voters, of which 1 serve: 2 are needed");
    assert_eq!(world.host.listing(), before, "nothing was changed");
    // The last member has nobody to tell.
    world.etcd = Picture::of(membership(&[member(1, "h1", 11)]));
    assert!(
        !world
            .reset(&configuration)
            .unwrap()
            .contains("remove member")
    );
}
