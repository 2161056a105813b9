//! A new cluster out of a snapshot: what takes the place of what, in which order, and when not.

use super::*;
use crate::phases::Wanted;

fn wanted(configuration: &Configuration) -> Wanted<'_> {
    Wanted {
        configuration,
        snapshot: "/root/etcd.capsule".into(),
        sha256: "0".repeat(64),
        bump: true,
    }
}

#[test]
fn data_is_set_aside_only_when_what_replaces_it_is_proven() {
    let mut world = World::new();
    let configuration = world.configure(EtcdConfiguration::default());
    world.init(&configuration).unwrap();
    world.data();
    // Its cluster is gone: nobody answers.
    world.etcd = Picture::default();
    let phases = crate::restore::phases(&wanted(&configuration), false);
    insta::assert_snapshot!(world.walk(&phases).unwrap(), @"
    restore-data: restore /root/etcd.capsule as h1 at https://10.77.0.11:2380 into /var/lib/etcd.restoring/data, its revision lifted above all that was ever seen, and prove it
    put-in-place: stop etcd.service
    put-in-place: set /var/lib/etcd aside as /var/lib/etcd.set-aside-20261118T110640Z
    put-in-place: move /var/lib/etcd.restoring/data to /var/lib/etcd
    put-in-place: remove /var/lib/etcd.restoring and all in it
    start-member: start etcd.service and wait until it is ready
    await-health: wait until https://127.0.0.1:2379 serves reads (at most 120 s)
    ");
    assert_eq!(
        world.walk(&phases).unwrap(),
        "",
        "a second run plans nothing"
    );
    let aside = "/var/lib/etcd.set-aside-20261118T110640Z/member/wal";
    assert!(world.host.stat(Path::new(aside)).unwrap().is_some());
}

#[test]
fn a_fresh_host_becomes_the_first_member_under_another_name() {
    let mut world = World::new();
    let mut document = EtcdConfiguration::default();
    document.metadata.name = "d".into();
    let configuration = world.configure(document);
    let phases = crate::restore::phases(&wanted(&configuration), false);
    let changes = world.walk(&phases).unwrap();
    assert!(
        changes.contains("restore /root/etcd.capsule as d at https://10.77.0.11:2380"),
        "{changes}"
    );
    let environment = world.host.read_text(Path::new(paths::ENVIRONMENT));
    let environment = environment.unwrap().unwrap();
    assert!(
        environment.contains("ETCD_INITIAL_CLUSTER=\"d=https://10.77.0.11:2380\""),
        "{environment}"
    );
    assert_eq!(world.walk(&phases).unwrap(), "");
}

#[test]
fn a_cluster_that_serves_is_not_restored_over() {
    let mut world = World::new();
    let configuration = world.configure(EtcdConfiguration::default());
    world.init(&configuration).unwrap();
    world.data();
    world.etcd = Picture::of(membership(&[member(1, "h1", 11), member(2, "h2", 12)]));
    let before = world.host.listing();
    let phases = crate::restore::phases(&wanted(&configuration), false);
    insta::assert_snapshot!(world.walk(&phases).unwrap_err(), @"phase check-served stopped before it changed anything more: this host's member belongs to a cluster that serves: h1 (0000000000000001), h2 (0000000000000002)");
    assert_eq!(world.host.listing(), before);
    let phases = crate::restore::phases(&wanted(&configuration), true);
    assert!(world.walk(&phases).unwrap().contains("put-in-place: move"));
}

#[test]
fn a_run_that_was_cut_off_is_gone_on_with_from_what_was_proven() {
    let mut world = World::new();
    let configuration = world.configure(EtcdConfiguration::default());
    world.init(&configuration).unwrap();
    world.data();
    world.etcd = Picture::default();
    let phases = crate::restore::phases(&wanted(&configuration), false);
    // Neither the move nor anything after it.
    world.host.refuse("set /var/lib/etcd.restoring/data aside");
    assert!(world.walk(&phases).is_err());
    assert!(
        world
            .host
            .stat(Path::new("/var/lib/etcd"))
            .unwrap()
            .is_none()
    );
    let mut world = World {
        host: world.host.allow(),
        etcd: Picture::default(),
    };
    let changes = world.walk(&phases).unwrap();
    assert!(
        changes.starts_with("put-in-place: move /var/lib/etcd.restoring/data to /var/lib/etcd\n"),
        "{changes}"
    );
}
