//! Another release in place: the order of things, and what keeps it from being done.

use super::*;
use crate::survey::Reach;
use crate::upgrade::Way;

pub(super) fn url(id: u64) -> String {
    format!("https://10.77.0.{}:2379", 10 + id)
}

/// h1, this host, h2 and h3, all of this release; h1 leads.
pub(super) fn three(version: &str) -> World {
    three_of(version, &|_, _| ())
}

/// The same, this host and its member's document changed before it joins.
pub(super) fn three_of(
    version: &str,
    change: &dyn Fn(&mut World, &mut EtcdConfiguration),
) -> World {
    let mut world = World::beside_a_cluster();
    let of = |world: &World, url: &str, id| {
        let status = MemberStatus {
            id,
            leader: 1,
            version: version.into(),
            revision: 9,
            ..MemberStatus::default()
        };
        world.etcd.set_status(url, status);
        world.etcd.set_healthy(url);
    };
    of(&world, &url(2), 2);
    let archive = format!("etcd-v{version}-linux-amd64.tar.gz");
    world.put(
        format!("/var/cache/etcdadm/etcd/v{version}/{archive}"),
        0o644,
        "release",
    );
    let mut document = EtcdConfiguration {
        version: Some(format!("v{version}").parse().unwrap()),
        ..joining()
    };
    change(&mut world, &mut document);
    let configuration = world.configure(document);
    world.join(&configuration).unwrap();
    world.data();
    let list = [
        member(1, "h1", 11),
        member(2, "h2", 12),
        member(3, "h3", 13),
    ];
    world.etcd.set_membership(membership(&list));
    for id in [1, 3] {
        of(&world, &url(id), id);
    }
    of(&world, &configuration.local_url(), 1);
    world
}

/// The member runs with this environment.
pub(super) fn runs_with(world: &mut World, environment: &[impl AsRef<str>]) {
    let environment: Vec<&str> = environment.iter().map(AsRef::as_ref).collect();
    world.put("/proc/42/environ", 0o444, environment.join("\0"));
    let unit = Unit {
        activity: UnitActivity::Active,
        main_pid: 42,
        ..Unit::default()
    };
    world.host.set_unit(paths::UNIT, unit);
}

fn upgrade(world: &mut World, version: &str) -> Result<String, String> {
    walk(world, version, Way::Up)
}

fn downgrade(world: &mut World, version: &str) -> Result<String, String> {
    walk(world, version, Way::Down)
}

fn walk(world: &mut World, version: &str, way: Way) -> Result<String, String> {
    let mut document = Record::read(&world.host).unwrap().unwrap().configuration;
    document.version = Some(version.parse().unwrap());
    let configuration = world.configure(document);
    let reach = Reach {
        configuration: &configuration,
        endpoints: vec![url(2)],
    };
    world.walk(&crate::upgrade::phases(&reach, false, way))
}

#[test]
fn a_snapshot_first_then_the_programs_and_leadership_goes_before_the_restart() {
    let mut world = three("3.6.16");
    insta::assert_snapshot!(upgrade(&mut world, "v3.7.3").unwrap(), @"
    save-snapshot: take a snapshot of h2 into /var/lib/etcdadm/before-v3.7.3.capsule
    record-member: write /var/lib/etcdadm/member.json (0644)
    install-binaries: run cp -p -- /opt/bin/etcd /opt/bin/etcd.v3.6.16
    install-binaries: run cp -p -- /opt/bin/etcdctl /opt/bin/etcdctl.v3.6.16
    install-binaries: run cp -p -- /opt/bin/etcdutl /opt/bin/etcdutl.v3.6.16
    install-binaries: install etcd v3.7.3: /opt/bin/etcd, /opt/bin/etcdctl, /opt/bin/etcdutl
    upgrade-member: hand leadership to h2 (0000000000000002)
    upgrade-member: restart etcd.service and wait until it is ready
    ");
}

#[test]
fn a_member_that_runs_it_already_is_left_alone() {
    let mut world = three("3.7.3");
    assert_eq!(upgrade(&mut world, "v3.7.3").unwrap(), "");
}

#[test]
fn what_etcd_cannot_do_is_refused() {
    let mut said = String::new();
    for (from, to) in [
        ("3.5.35", "v3.7.3"),
        ("3.5.25", "v3.6.16"),
        ("3.6.16", "v3.6.15"),
    ] {
        let error = upgrade(&mut three(from), to).unwrap_err();
        said += &format!("{from} to {to}: {error}\n");
    }
    let mut world = three("3.6.16");
    let list = [
        member(1, "h1", 11),
        member(2, "h2", 12),
        member(3, "h3", 14),
    ];
    world.etcd.set_membership(membership(&list));
    let before = world.host.listing();
    let error = upgrade(&mut world, "v3.7.3").unwrap_err();
    said += &format!("one is off: {error}\n");
    assert_eq!(world.host.listing(), before);
    let said = said.replace(
        "phase check-upgrade stopped before it changed anything more: ",
        "",
    );
    insta::assert_snapshot!(said, @"
    3.5.35 to v3.7.3: h1 (0000000000000001) runs v3.5.35, and etcd goes one minor release at a time to v3.7.3
    3.5.25 to v3.6.16: h1 (0000000000000001) runs v3.5.25: before 3.6, all members must run v3.5.26 or later, which mends a member list that 3.6 would misread
    3.6.16 to v3.6.15: h1 (0000000000000001) runs v3.6.16 already, which is newer than v3.6.15
    one is off: h3 (0000000000000003) does not serve: https://10.77.0.14:2379 cannot be reached: nobody is there
    ");
}

#[test]
fn the_cluster_is_told_before_a_member_goes_back() {
    let mut world = three("3.7.3");
    let archive = "/var/cache/etcdadm/etcd/v3.6.16/etcd-v3.6.16-linux-amd64.tar.gz";
    world.put(archive, 0o644, "release");
    insta::assert_snapshot!(downgrade(&mut world, "v3.6.16").unwrap(), @"
    save-snapshot: take a snapshot of h2 into /var/lib/etcdadm/before-v3.6.16.capsule
    enable-downgrade: let the cluster go back to 3.6.0
    record-member: write /var/lib/etcdadm/member.json (0644)
    install-binaries: run cp -p -- /opt/bin/etcd /opt/bin/etcd.v3.7.3
    install-binaries: run cp -p -- /opt/bin/etcdctl /opt/bin/etcdctl.v3.7.3
    install-binaries: run cp -p -- /opt/bin/etcdutl /opt/bin/etcdutl.v3.7.3
    install-binaries: install etcd v3.6.16: /opt/bin/etcd, /opt/bin/etcdctl, /opt/bin/etcdutl
    upgrade-member: hand leadership to h2 (0000000000000002)
    upgrade-member: restart etcd.service and wait until it is ready
    ");
    // Within a minor release nothing need be told.
    let mut world = three("3.7.3");
    let archive = "/var/cache/etcdadm/etcd/v3.7.2/etcd-v3.7.2-linux-amd64.tar.gz";
    world.put(archive, 0o644, "release");
    let changes = downgrade(&mut world, "v3.7.2").unwrap();
    assert!(!changes.contains("enable-downgrade"), "{changes}");
    let mut said = String::new();
    for (from, to) in [
        ("3.7.3", "v3.5.35"),
        ("3.5.35", "v3.5.36"),
        ("3.6.16", "v3.7.3"),
    ] {
        let error = downgrade(&mut three(from), to).unwrap_err();
        said += &format!("{from} to {to}: {error}\n");
    }
    let said = said.replace(" stopped before it changed anything more", "");
    insta::assert_snapshot!(said, @"
    3.7.3 to v3.5.35: phase check-downgrade: h1 (0000000000000001) runs v3.7.3, and etcd goes back one minor release at a time, not to v3.5.35
    3.5.35 to v3.5.36: phase check-downgrade: h1 (0000000000000001) runs v3.5.35 already, which is older than v3.5.36
    3.6.16 to v3.7.3: phase check-downgrade: h1 (0000000000000001) runs v3.6.16, and etcd goes back one minor release at a time, not to v3.7.3
    ");
}

#[test]
fn a_log_with_learners_in_it_is_closed_before_3_6_reads_it() {
    let equipped = || {
        let mut world = three("3.5.35");
        let archive = "/var/cache/etcdadm/etcd/v3.6.16/etcd-v3.6.16-linux-amd64.tar.gz";
        world.put(archive, 0o644, "release");
        world
    };
    let with_learners = || {
        let mut world = equipped();
        let log = "/var/lib/etcd/member/wal/0000000000000000-0000000000000000.wal";
        world.put(log, 0o600, r#"{"peerURLs":[],"isLearner":true}"#);
        world
    };
    let mut world = equipped();
    let changes = upgrade(&mut world, "v3.6.16").unwrap();
    assert!(!changes.contains("snapshot-log"), "{changes}");

    let mut world = with_learners();
    running(&mut world, &["ETCD_NAME=h1"]);
    insta::assert_snapshot!(upgrade(&mut world, "v3.6.16").unwrap(), @"
    save-snapshot: take a snapshot of h2 into /var/lib/etcdadm/before-v3.6.16.capsule
    snapshot-log: write /etc/etcd/etcd.env (0600)
    snapshot-log: hand leadership to h2 (0000000000000002)
    snapshot-log: restart etcd.service and wait until it is ready
    record-member: write /var/lib/etcdadm/member.json (0644)
    install-binaries: run cp -p -- /opt/bin/etcd /opt/bin/etcd.v3.5.35
    install-binaries: run cp -p -- /opt/bin/etcdctl /opt/bin/etcdctl.v3.5.35
    install-binaries: run cp -p -- /opt/bin/etcdutl /opt/bin/etcdutl.v3.5.35
    install-binaries: install etcd v3.6.16: /opt/bin/etcd, /opt/bin/etcdctl, /opt/bin/etcdutl
    write-configuration: write /etc/etcd/etcd.env (0600)
    upgrade-member: restart etcd.service and wait until it is ready
    ");

    // It was cut off after the restart.
    let mut world = with_learners();
    running(&mut world, &["ETCD_NAME=h1", "ETCD_SNAPSHOT_COUNT=1"]);
    insta::assert_snapshot!(upgrade(&mut world, "v3.6.16").unwrap(), @"
    save-snapshot: take a snapshot of h2 into /var/lib/etcdadm/before-v3.6.16.capsule
    snapshot-log: wait for etcd to have taken a snapshot of its log (at most 120s)
    record-member: write /var/lib/etcdadm/member.json (0644)
    install-binaries: run cp -p -- /opt/bin/etcd /opt/bin/etcd.v3.5.35
    install-binaries: run cp -p -- /opt/bin/etcdctl /opt/bin/etcdctl.v3.5.35
    install-binaries: run cp -p -- /opt/bin/etcdutl /opt/bin/etcdutl.v3.5.35
    install-binaries: install etcd v3.6.16: /opt/bin/etcd, /opt/bin/etcdctl, /opt/bin/etcdutl
    write-configuration: write /etc/etcd/etcd.env (0600)
    upgrade-member: hand leadership to h2 (0000000000000002)
    upgrade-member: restart etcd.service and wait until it is ready
    ");
    let text = world.host.read_text(Path::new(paths::ENVIRONMENT)).unwrap();
    assert!(!text.unwrap().contains("SNAPSHOT_COUNT"));
}

/// The member runs with this environment, and has done so for a while.
fn running(world: &mut World, environment: &[&str]) {
    runs_with(world, environment);
    world.put("/proc/uptime", 0o444, "100.00 100.00\n");
    let fields = "42 (etcd) S".to_owned() + &" 1".repeat(19) + " 5000 0\n";
    world.put("/proc/42/stat", 0o444, fields);
}
