//! A cluster that lost its majority: when nothing is done, and what is done otherwise.

use super::*;
use crate::phases::Wanted;

fn survivor() -> (World, Configuration) {
    let mut world = World::beside_a_cluster();
    let configuration = world.configure(joining());
    world.join(&configuration).unwrap();
    world.data();
    // Nobody answers.
    world.etcd = Picture::default();
    (world, configuration)
}

fn recover(
    world: &mut World,
    configuration: &Configuration,
    force: bool,
) -> Result<String, String> {
    let mut phases = crate::recover::first(configuration, force);
    let wanted = Wanted {
        configuration,
        snapshot: crate::phases::recovered_capsule(configuration),
        sha256: "0".repeat(64),
        bump: true,
    };
    phases.extend(crate::recover::second(&wanted));
    world.walk(&phases)
}

#[test]
fn a_majority_that_is_lost_is_replaced_by_what_one_member_has() {
    let (mut world, configuration) = survivor();
    insta::assert_snapshot!(recover(&mut world, &configuration, false).unwrap(), @"
    recover-snapshot: stop etcd.service
    recover-snapshot: take a snapshot of a copy of /var/lib/etcd into /var/lib/etcd.recovered.capsule
    record-member: write /var/lib/etcdadm/member.json (0644)
    restore-data: restore /var/lib/etcd.recovered.capsule as h1 at https://10.77.0.11:2380 into /var/lib/etcd.restoring/data, its revision lifted above all that was ever seen, and prove it
    put-in-place: set /var/lib/etcd aside as /var/lib/etcd.set-aside-20261118T110640Z
    put-in-place: move /var/lib/etcd.restoring/data to /var/lib/etcd
    put-in-place: remove /var/lib/etcd.restoring and all in it
    write-configuration: write /etc/etcd/etcd.env (0600)
    start-member: start etcd.service and wait until it is ready
    await-health: wait until https://127.0.0.1:2379 serves reads (at most 120 s)
    keep-capsule: move /var/lib/etcd.recovered.capsule to /var/lib/etcd.recovered.capsule.set-aside-20261118T110640Z
    ");
}

#[test]
fn nothing_is_recovered_while_a_majority_serves() {
    let (mut world, configuration) = survivor();
    world.etcd = Picture::of(membership(&[member(1, "h1", 11), member(2, "h2", 12)]));
    let before = world.host.listing();
    insta::assert_snapshot!(recover(&mut world, &configuration, true).unwrap_err(), @"phase recover-snapshot stopped before it changed anything more: a majority serves: h1 (0000000000000001), h2 (0000000000000002)");
    assert_eq!(world.host.listing(), before);
}

#[test]
fn a_host_without_data_has_nothing_to_recover_from() {
    let mut world = World::beside_a_cluster();
    let configuration = world.configure(joining());
    world.etcd = Picture::default();
    insta::assert_snapshot!(recover(&mut world, &configuration, false).unwrap_err(), @"phase recover-snapshot stopped before it changed anything more: /var/lib/etcd holds no member's data");
}

#[test]
fn certificates_are_renewed_where_they_are_due_and_all_when_asked() {
    let mut world = World::new();
    let configuration = world.configure(EtcdConfiguration::default());
    world.init(&configuration).unwrap();
    world.host.set_unit(paths::UNIT, Unit::default());
    let renew = |world: &mut World, configuration: &Configuration, within| {
        let phases = crate::certs::phases(configuration, within);
        world.walk(&phases)
    };
    assert_eq!(renew(&mut world, &configuration, Some(120)).unwrap(), "");
    insta::assert_snapshot!(renew(&mut world, &configuration, None).unwrap(), @"
    renew-certificates: write /etc/etcd/pki/server.crt (0644)
    renew-certificates: write /etc/etcd/pki/peer.crt (0644)
    renew-certificates: write /etc/etcd/pki/etcdctl-etcd-client.crt (0644)
    renew-certificates: write /etc/etcd/pki/apiserver-etcd-client.crt (0644)
    ");
    // A further name, and a key that is gone.
    let document = EtcdConfiguration {
        extra_sans: vec!["etcd.example.org".into()],
        ..EtcdConfiguration::default()
    };
    let renamed = world.configure(document);
    let path = "/etc/etcd/pki/apiserver-etcd-client.key".into();
    world.host.apply(&HostChange::Remove { path }).unwrap();
    insta::assert_snapshot!(renew(&mut world, &renamed, Some(120)).unwrap(), @"
    renew-certificates: write /etc/etcd/pki/server.crt (0644)
    renew-certificates: write /etc/etcd/pki/apiserver-etcd-client.key (0600)
    renew-certificates: write /etc/etcd/pki/apiserver-etcd-client.crt (0644)
    ");
    assert_eq!(renew(&mut world, &renamed, Some(120)).unwrap(), "");
    let path = "/etc/etcd/pki/ca.key".into();
    world.host.apply(&HostChange::Remove { path }).unwrap();
    insta::assert_snapshot!(renew(&mut world, &renamed, None).unwrap_err(), @"phase renew-certificates stopped before it changed anything more: server.crt in /etc/etcd/pki is right for 365 days, and the authority's key to make a new one is not there");
}
