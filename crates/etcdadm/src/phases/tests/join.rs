//! A cluster joined: alone, beside others, and after an earlier run that was cut off.

use super::*;

#[test]
fn a_join_adds_a_learner_after_everything_that_can_fail_alone() {
    let mut world = World::beside_a_cluster();
    let configuration = world.configure(joining());
    insta::assert_snapshot!(world.join(&configuration).unwrap(), @"
    record-member: write /var/lib/etcdadm/member.json (0644)
    install-binaries: make folder /opt/bin (0755)
    install-binaries: install etcd v3.7.3: /opt/bin/etcd, /opt/bin/etcdctl, /opt/bin/etcdutl
    issue-certificates: write /etc/etcd/pki/server.key (0600)
    issue-certificates: write /etc/etcd/pki/server.crt (0644)
    issue-certificates: write /etc/etcd/pki/peer.key (0600)
    issue-certificates: write /etc/etcd/pki/peer.crt (0644)
    issue-certificates: write /etc/etcd/pki/etcdctl-etcd-client.key (0600)
    issue-certificates: write /etc/etcd/pki/etcdctl-etcd-client.crt (0644)
    issue-certificates: write /etc/etcd/pki/apiserver-etcd-client.key (0600)
    issue-certificates: write /etc/etcd/pki/apiserver-etcd-client.crt (0644)
    write-etcdctl: write /etc/etcd/etcdctl.env (0600)
    write-etcdctl: write /opt/bin/etcdctl.sh (0755)
    add-learner: add member h1 at https://10.77.0.11:2380 as a learner
    write-configuration: make folder /var/lib/etcd (0700)
    write-configuration: write /etc/etcd/etcd.env (0600)
    write-configuration: write /etc/systemd/system/etcd.service (0644)
    write-configuration: make folder /etc/systemd/system/multi-user.target.wants (0755)
    write-configuration: link /etc/systemd/system/multi-user.target.wants/etcd.service to /etc/systemd/system/etcd.service
    start-member: start etcd.service and wait until it is ready
    promote-member: promote learner h1 (<member id of h1>)
    await-health: wait until https://127.0.0.1:2379 serves reads (at most 120 s)
    ");
    assert_eq!(
        world.join(&configuration).unwrap(),
        "",
        "a second run plans nothing"
    );
    let environment = world
        .host
        .read_text(Path::new(paths::ENVIRONMENT))
        .unwrap()
        .unwrap();
    let initial: Vec<&str> = environment
        .lines()
        .filter(|line| line.contains("INITIAL_CLUSTER"))
        .collect();
    assert_eq!(
        initial,
        [
            "ETCD_INITIAL_CLUSTER=\"h2=https://10.77.0.12:2380,h1=https://10.77.0.11:2380\"",
            "ETCD_INITIAL_CLUSTER_STATE=\"existing\""
        ]
    );
}

#[test]
fn joins_at_once_wait_for_each_other() {
    let mut world = World::beside_a_cluster();
    let expected = |last: u8| ExpectedMember {
        name: format!("h{last}"),
        peer_url: format!("https://10.77.0.{last}:2380"),
    };
    let document = EtcdConfiguration {
        expected_members: vec![expected(11), expected(12), expected(10)],
        ..joining()
    };
    let configuration = world.configure(document);
    assert_eq!(
        configuration.expected,
        ["https://10.77.0.12:2380", "https://10.77.0.10:2380"]
    );
    // The other one was added already, and was not started yet.
    let learner = Member {
        learner: true,
        ..member(3, "", 10)
    };
    world
        .etcd
        .set_membership(membership(&[member(2, "h2", 12), learner]));
    let plan = plan(&mut world, &configuration, "start-member");
    let Some(Change::Start(start)) = plan.last() else {
        panic!("{plan:?}")
    };
    let after = start.after.as_ref().map(ToString::to_string);
    assert_eq!(
        after.as_deref(),
        Some("wait for https://10.77.0.10:2380 to be started (at most 15 s)")
    );
}

#[test]
fn a_join_goes_on_from_what_an_earlier_one_left() {
    // Added, never started: recognised by its peer URL.
    let mut world = World::beside_a_cluster();
    let learner = Member {
        learner: true,
        ..member(9, "", 11)
    };
    world
        .etcd
        .set_membership(membership(&[member(2, "h2", 12), learner]));
    let configuration = world.configure(joining());
    let changes = world.join(&configuration).unwrap();
    assert!(!changes.contains("add member"), "{changes}");
    assert!(changes.ends_with("promote-member: promote learner h1 (0000000000000009)\nawait-health: wait until https://127.0.0.1:2379 serves reads (at most 120 s)\n"), "{changes}");
}

#[test]
fn a_join_refuses_what_it_cannot_go_on_from() {
    let refused = |change: &dyn Fn(&mut World)| {
        let mut world = World::beside_a_cluster();
        let configuration = world.configure(joining());
        world.join(&configuration).unwrap();
        change(&mut world);
        world.join(&configuration).unwrap_err()
    };
    // One of two is not a majority.
    insta::assert_snapshot!(refused(&|world| {
        let third = [member(2, "h2", 12), member(1, "h1", 11), member(3, "h3", 13)];
        world.etcd.set_membership(membership(&third));
    }), @"phase add-learner stopped before it changed anything more: the cluster knows h1 (0000000000000001), which has run before, but /var/lib/etcd holds no data of it; without it there would be 2 voters, of which 1 serves, and 2 are needed");
    insta::assert_snapshot!(refused(&|world| {
        world.data();
        world.etcd.set_membership(membership(&[member(2, "h2", 12)]));
    }), @"phase add-learner stopped before it changed anything more: /var/lib/etcd holds a member's data, but the cluster has no member at https://10.77.0.11:2380: it was removed, or the data is another cluster's");
    insta::assert_snapshot!(refused(&|world| world.etcd.set_membership(membership(&[member(2, "h1", 12)]))), @"phase add-learner stopped before it changed anything more: the cluster has another member called h1, at https://10.77.0.12:2380");
    let older = |version: &str| MemberStatus {
        version: version.into(),
        ..MemberStatus::default()
    };
    insta::assert_snapshot!(refused(&|world| {
        world.etcd.set_membership(membership(&[member(2, "h2", 12)]));
        world.etcd.set_status("https://10.77.0.12:2379", older("3.5.9"));
    }), @"phase add-learner stopped before it changed anything more: etcd v3.7.3 cannot join a cluster that runs 3.5.9");
    insta::assert_snapshot!(refused(&|world| {
        world.etcd.set_membership(membership(&[member(2, "h2", 12)]));
        world.etcd.set_max_learners(0);
    }), @"phase add-learner could not add member h1 at https://10.77.0.11:2380 as a learner: the cluster has as many learners as it allows");
}

#[test]
fn without_the_authority_nothing_is_joined() {
    let mut world = World::beside_a_cluster();
    world
        .host
        .apply(&HostChange::Remove {
            path: "/etc/etcd/pki/ca.crt".into(),
        })
        .unwrap();
    let configuration = world.configure(joining());
    insta::assert_snapshot!(world.join(&configuration).unwrap_err(), @"phase issue-certificates stopped before it changed anything more: /etc/etcd/pki/ca.crt is not there: a member that joins needs the cluster's authority, or certificates of its own");
    assert_eq!(world.etcd_members(), 1);
}

#[test]
fn a_member_whose_disk_was_lost_begins_anew() {
    let mut world = World::beside_a_cluster();
    let configuration = world.configure(joining());
    let both = [member(2, "h2", 12), member(1, "h1", 11)];
    world.etcd.set_membership(membership(&both));
    let changes = world.join(&configuration).unwrap();
    let of_members: Vec<&str> = changes
        .lines()
        .filter(|line| line.contains("add-learner") || line.contains("promote"))
        .collect();
    insta::assert_snapshot!(of_members.join("\n"), @"
    add-learner: remove member h1 (0000000000000001)
    add-learner: add member h1 at https://10.77.0.11:2380 as a learner
    promote-member: promote learner h1 (<member id of h1>)
    ");
    assert_eq!(world.join(&configuration).unwrap(), "");
}
