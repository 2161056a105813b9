//! Changes to a cluster from one member's host: what is guarded, what is planned, and that the second run plans nothing.

use etcd::{Alarm, AlarmKind, Observe};

use super::*;
use crate::phases::{DisarmAlarms, MoveLeader, PromoteLearner, RemoveMember};
use crate::survey::Reach;
use crate::verbs::AnyPhase;

/// h1, this host, and h2, h3 beside it; h2 leads.
fn three() -> (World, Configuration) {
    let mut world = World::beside_a_cluster();
    let configuration = world.configure(joining());
    world.join(&configuration).unwrap();
    world.data();
    let list = [
        member(1, "h1", 11),
        member(2, "h2", 12),
        member(3, "h3", 13),
    ];
    world.etcd = Picture::of(membership(&list));
    for id in 1..=3 {
        serves(&world, id, MemberStatus::default());
    }
    (world, configuration)
}

fn url(id: u64) -> String {
    format!("https://10.77.0.{}:2379", 10 + id)
}

fn serves(world: &World, id: u64, status: MemberStatus) {
    world.etcd.set_status(
        &url(id),
        MemberStatus {
            id,
            leader: 2,
            revision: 500,
            ..status
        },
    );
    world.etcd.set_healthy(&url(id));
}

fn large() -> MemberStatus {
    MemberStatus {
        db_size: 100_000_000,
        db_in_use: 1_000_000,
        ..MemberStatus::default()
    }
}

impl World {
    fn by<'c>(
        &mut self,
        configuration: &'c Configuration,
        phase: impl FnOnce(Reach<'c>) -> AnyPhase<'c>,
    ) -> Result<String, String> {
        let endpoints = vec![url(2)];
        let phase = phase(Reach {
            configuration,
            endpoints,
        });
        self.walk(&[phase])
    }

    fn remove(
        &mut self,
        c: &Configuration,
        name: &str,
        force: Option<&str>,
    ) -> Result<String, String> {
        let (member, force) = (name.to_owned(), force.map(str::to_owned));
        self.by(c, |reach| {
            Box::new(RemoveMember {
                reach,
                member,
                force,
            })
        })
    }

    fn maintain(&mut self, c: &Configuration, interrupt: bool) -> Result<String, String> {
        let reach = Reach {
            configuration: c,
            endpoints: vec![url(2)],
        };
        self.walk(&crate::maintain::phases(&reach, 0, interrupt))
    }
}

#[test]
fn a_dead_member_is_removed_and_a_living_one_only_where_a_majority_is_left() {
    let (mut world, c) = three();
    // By name, id or URL, and again.
    insta::assert_snapshot!(world.remove(&c, "h3", None).unwrap(), @"remove-member: remove member h3 (0000000000000003)");
    assert_eq!(world.remove(&c, "0000000000000003", None).unwrap(), "");
    // The leader hands leadership over first.
    insta::assert_snapshot!(world.remove(&c, &url(2), None).unwrap(), @"
    remove-member: hand leadership to h1 (0000000000000001)
    remove-member: remove member h2 (0000000000000002)
    ");
    insta::assert_snapshot!(world.remove(&c, "h1", None).unwrap_err(), @"phase remove-member stopped before it changed anything more: h1 (0000000000000001) is this host's own member");
}

#[test]
fn a_removal_that_costs_the_majority_needs_the_id_typed() {
    let (mut world, c) = three();
    // h3 is off: without h2, one of two serves.
    let list = [
        member(1, "h1", 11),
        member(2, "h2", 12),
        member(3, "h3", 14),
    ];
    world.etcd.set_membership(membership(&list));
    insta::assert_snapshot!(world.remove(&c, "h2", None).unwrap_err(), @"phase remove-member stopped before it changed anything more: removing h2 (0000000000000002) would leave 2 voters, of which 1 serves, and 2 are needed");
    assert!(world.remove(&c, "h2", Some("3")).is_err());
    assert!(
        world
            .remove(&c, "h2", Some("0000000000000002"))
            .unwrap()
            .contains("remove member h2")
    );
    // The dead one may always go.
    assert!(world.remove(&c, "h3", None).is_ok());
}

#[test]
fn a_learner_is_promoted_only_if_it_runs() {
    let (mut world, c) = three();
    let promote = |world: &mut World| {
        world.by(&c, |reach| {
            let member = "h3".to_owned();
            Box::new(PromoteLearner { reach, member })
        })
    };
    let learner = |last| Member {
        learner: true,
        ..member(3, "h3", last)
    };
    let two = [member(1, "h1", 11), member(2, "h2", 12)];
    world
        .etcd
        .set_membership(membership(&[two.as_slice(), &[learner(14)]].concat()));
    insta::assert_snapshot!(promote(&mut world).unwrap_err(), @"phase promote-learner stopped before it changed anything more: h3 (0000000000000003) cannot be promoted: it does not answer (https://10.77.0.14:2379 cannot be reached: nobody is there), and there would be 3 voters, of which 2 serve, and 2 are needed");
    world
        .etcd
        .set_membership(membership(&[two.as_slice(), &[learner(13)]].concat()));
    insta::assert_snapshot!(promote(&mut world).unwrap(), @"promote-learner: promote learner h3 (0000000000000003)");
    assert_eq!(promote(&mut world).unwrap(), "");
}

#[test]
fn leadership_goes_to_whom_it_is_handed() {
    let (mut world, c) = three();
    let hand = |world: &mut World, name: &str| {
        let member = name.to_owned();
        world.by(&c, |reach| Box::new(MoveLeader { reach, member }))
    };
    insta::assert_snapshot!(hand(&mut world, "h3").unwrap(), @"move-leader: hand leadership to h3 (0000000000000003)");
    assert_eq!(hand(&mut world, "h3").unwrap(), "");
    insta::assert_snapshot!(hand(&mut world, "h9").unwrap_err(), @r#"phase move-leader stopped before it changed anything more: the cluster has no member "h9"; it has h1 (0000000000000001), h2 (0000000000000002), h3 (0000000000000003)"#);
}

#[test]
fn maintenance_takes_one_member_after_the_other_and_the_leader_last() {
    let (mut world, c) = three();
    for id in 1..=3 {
        serves(&world, id, large());
    }
    let full = Alarm {
        member: 3,
        kind: AlarmKind::NoSpace,
    };
    world.etcd.set_alarms(&[full]);
    insta::assert_snapshot!(world.maintain(&c, false).unwrap(), @"
    compact-history: compact the history before revision 500
    defragment: defragment h1's database
    defragment: defragment h3's database
    defragment: hand leadership to h1 (0000000000000001)
    defragment: defragment h2's database
    disarm-alarms: take the alarm no-space of h3 back
    ");
    assert_eq!(world.maintain(&c, false).unwrap(), "");
}

#[test]
fn nobody_is_defragmented_while_the_majority_hangs_on_it() {
    let (mut world, c) = three();
    for id in 1..=2 {
        serves(&world, id, large());
    }
    let list = [
        member(1, "h1", 11),
        member(2, "h2", 12),
        member(3, "h3", 14),
    ];
    world.etcd.set_membership(membership(&list));
    insta::assert_snapshot!(world.maintain(&c, false).unwrap_err(), @"phase defragment stopped before it changed anything more: while h1 (0000000000000001) is defragmented it answers nothing: 1 of the 2 voters that are needed would serve");
    insta::assert_snapshot!(world.maintain(&c, true).unwrap(), @"
    defragment: defragment h1's database
    defragment: defragment h2's database
    ");
}

#[test]
fn alarms_that_would_come_back_stay() {
    let (mut world, c) = three();
    let disarm = |world: &mut World, corrupt| {
        world.by(&c, |reach| Box::new(DisarmAlarms { reach, corrupt }))
    };
    let alarm = |member, kind| Alarm { member, kind };
    serves(
        &world,
        3,
        MemberStatus {
            db_size: 2_200_000_000,
            db_quota: 2_147_483_648,
            ..MemberStatus::default()
        },
    );
    world.etcd.set_alarms(&[alarm(3, AlarmKind::NoSpace)]);
    insta::assert_snapshot!(disarm(&mut world, false).unwrap_err(), @"phase disarm-alarms stopped before it changed anything more: h3's database still has 2200000000 bytes, and its quota is 2147483648");
    world.etcd.set_alarms(&[alarm(1, AlarmKind::Corrupt)]);
    insta::assert_snapshot!(disarm(&mut world, false).unwrap_err(), @"phase disarm-alarms stopped before it changed anything more: h1 says that its data is corrupt");
    insta::assert_snapshot!(disarm(&mut world, true).unwrap(), @"disarm-alarms: take the alarm corrupt of h1 back");
    let nobody = etcd::Credentials {
        ca: vec![],
        certificate: vec![],
        key: pki::Secret::new(""),
    };
    assert!(world.etcd.alarms(&[url(1)], &nobody).unwrap().is_empty());
}
