//! What is checked before anything is changed: told together, each ignorable by its name.

use etcd::Probe;
use host::FileSystem;

use super::*;

const SMALL: FileSystem = FileSystem {
    free: 100 << 20,
    no_exec: true,
    read_only: false,
};

#[test]
fn all_that_is_wrong_with_a_host_is_told_together() {
    let mut world = World::new();
    world.host.set_file_system(Path::new("/"), SMALL);
    let mut document = EtcdConfiguration {
        address: Some([10, 77, 0, 99].into()),
        ..EtcdConfiguration::default()
    };
    let configuration = world.configure(document.clone());
    let before = world.host.listing();
    insta::assert_snapshot!(world.init(&configuration).unwrap_err(), @"
    phase check-host stopped before it changed anything more: address: 10.77.0.99 is not an address of this host (it has: 10.77.0.11)
    disk-room: /var/lib/etcd has 100 MiB of room, a member needs 200 MiB
    noexec: programs in /opt/bin cannot be run: it is mounted noexec
    ");
    assert_eq!(world.host.listing(), before);

    // Each by its name; those that are not named are told as before.
    document.ignore_preflight_errors = vec!["address".into(), "noexec".into()];
    let configuration = world.configure(document.clone());
    insta::assert_snapshot!(world.init(&configuration).unwrap_err(), @"phase check-host stopped before it changed anything more: disk-room: /var/lib/etcd has 100 MiB of room, a member needs 200 MiB");
    document.ignore_preflight_errors.push("disk-room".into());
    let configuration = world.configure(document);
    world.init(&configuration).unwrap();
}

#[test]
fn a_member_that_has_data_needs_no_room() {
    let mut world = World::new();
    let configuration = world.configure(EtcdConfiguration::default());
    world.init(&configuration).unwrap();
    world.data();
    world.host.set_file_system(
        Path::new("/"),
        FileSystem {
            no_exec: false,
            ..SMALL
        },
    );
    assert_eq!(world.init(&configuration).unwrap(), "");
}

#[test]
fn the_cluster_is_looked_at_before_the_membership_changes() {
    let mut world = World::beside_a_cluster();
    let mut document = joining();
    let configuration = world.configure(document.clone());
    let url = "https://10.77.0.12:2379";
    let ahead = |seconds| {
        Ok(Probe {
            clock_ahead: Some(seconds),
            ..Probe::default()
        })
    };
    world.etcd.set_status(
        url,
        MemberStatus {
            version: "3.7.3".into(),
            db_size: 300_000_000,
            ..MemberStatus::default()
        },
    );
    world.etcd.set_probe(url, ahead(-61));
    world.etcd.cut_off("https://10.77.0.12:2380");
    let room = FileSystem {
        free: 400_000_000,
        no_exec: false,
        read_only: false,
    };
    world.host.set_file_system(Path::new("/"), room);
    insta::assert_snapshot!(world.join(&configuration).unwrap_err(), @"
    phase check-cluster stopped before it changed anything more: peer-ports: nobody accepts connections at https://10.77.0.12:2380
    clock: the clock of https://10.77.0.12:2379 is 61 s behind this host's
    database-room: /var/lib/etcd has 400 MB of room; twice the cluster's database is 600 MB
    ");
    assert_eq!(world.etcd_members(), 1);

    world.etcd.set_probe(
        url,
        Err(etcd::Error::Timeout {
            endpoint: url.into(),
            call: "request",
            limit: Duration::from_secs(4),
        }),
    );
    document.ignore_preflight_errors = vec!["peer-ports".into(), "database-room".into()];
    let configuration = world.configure(document.clone());
    insta::assert_snapshot!(world.join(&configuration).unwrap_err(), @"phase check-cluster stopped before it changed anything more: mtu: https://10.77.0.12:2379 accepts connections, but a request of several packets is not answered");
    document.ignore_preflight_errors.push("mtu".into());
    let configuration = world.configure(document);
    world.join(&configuration).unwrap();
    // A clock that goes wrong later is no reason not to go on.
    world.etcd.set_probe(url, ahead(3600));
    assert_eq!(world.join(&configuration).unwrap(), "");
}
