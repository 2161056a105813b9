//! What plans look like, over pictures of a whole cluster.

use std::collections::BTreeMap;

use api::{Documents, MemberResult, NodeFacts};
use state::{EtcdAuthority, Started};

use super::*;
use crate::goal::Seen;
use crate::phases::{APPLY, FenceOldHosts, RemoveMachine, ResetHosts};

const FILE: &str = "\
apiVersion: klusterkit.dev/v1alpha1
kind: ClusterConfiguration
metadata: {name: prod}
kubernetes: {version: v1.37.2}
etcd: {version: v3.7.3}
controlPlaneEndpoint: 10.0.0.100
machines:
  - {address: 10.0.0.1, roles: [master]}
  - {address: 10.0.0.2, roles: [master]}
  - {address: 10.0.0.3, roles: [master]}
  - {address: 10.0.0.4, roles: [node]}
  - {address: 10.0.0.5, roles: [node]}
";

fn goal(file: &str) -> Goal {
    let documents = Documents::parse(file).unwrap();
    Goal {
        configuration: documents.cluster.clone().unwrap(),
        documents: crate::documents::handed_on(&documents),
        artifacts: None,
    }
}

fn fresh(goal: &Goal) -> AllSeen {
    let seen = |machine: &api::Machine| {
        let address = machine.address.to_string();
        let facts = NodeFacts {
            hostname: format!("h{}", address.rsplit('.').next().unwrap()),
            ..NodeFacts::default()
        };
        let seen = Seen {
            facts,
            ..Seen::default()
        };
        (address, seen)
    };
    goal.configuration.machines.iter().map(seen).collect()
}

fn done(goal: &Goal) -> AllSeen {
    let mut all = fresh(goal);
    for (address, seen) in &mut all {
        seen.node = Some(Vec::new());
        seen.facts.first = address == "10.0.0.1";
        seen.facts.role = Some("node".into());
        if goal.members().contains(address) {
            seen.facts.role = Some("master".into());
            seen.etcd = Some(Vec::new());
            seen.member = Some(MemberResult {
                name: seen.facts.hostname.clone(),
                member_id: "1".into(),
                cluster_id: "2".into(),
                peer_urls: Vec::new(),
                client_urls: Vec::new(),
                learner: false,
                changes: 0,
            });
        }
    }
    all
}

const BOTH: Started = Started {
    etcd: true,
    control_plane: true,
};

fn shown(phases: &[&dyn Phase], goal: &Goal, seen: &AllSeen, started: Started) -> String {
    let view = View {
        recovery: None,
        goal,
        seen,
        started,
    };
    in_words(&make(phases, &view))
}

fn in_words(plan: &Plan) -> String {
    // Whatever is planned could also be done one after the other.
    for (number, step) in plan.steps.iter().enumerate() {
        for after in &step.after {
            let (After::Done(other) | After::Reached(other, _)) = after;
            assert!(other < &number, "step {} waits for a later one", number + 1);
        }
    }
    let label = |address: &str| format!("h{}", address.rsplit('.').next().unwrap());
    Shown {
        plan,
        label: &label,
    }
    .to_string()
}

#[test]
fn a_cluster_is_made_from_nothing() {
    let goal = goal(FILE);
    insta::assert_snapshot!(shown(&APPLY, &goal, &fresh(&goal), Started::default()), @r"
     1. [form-etcd] h1: make the first etcd member (etcdadm init)
     2. [form-etcd] h2: join etcd (etcdadm join)  (after 1)
     3. [form-etcd] h3: join etcd (etcdadm join)  (after 1)
     4. [prepare-hosts] h1: install runtime, programs and images (nodeadm prepare)
     5. [prepare-hosts] h2: install runtime, programs and images (nodeadm prepare)
     6. [prepare-hosts] h3: install runtime, programs and images (nodeadm prepare)
     7. [prepare-hosts] h4: install runtime, programs and images (nodeadm prepare)
     8. [prepare-hosts] h5: install runtime, programs and images (nodeadm prepare)
     9. [start-control-plane] h1: make the first control plane (nodeadm init)  (after 4, 1)
    10. [join-control-planes] h2: join as a control plane (nodeadm join)  (after 5, 2, wait-for-api of 9)
    11. [join-control-planes] h3: join as a control plane (nodeadm join)  (after 6, 3, wait-for-api of 9)
    12. [join-workers] h1: make a short-lived token for 2 worker(s)  (after allow-joining of 9)
    13. [join-workers] h4: join as a worker (nodeadm join)  (after 7, 12)
    14. [join-workers] h5: join as a worker (nodeadm join)  (after 8, 12)
    15. [verify-cluster] h1: wait until all nodes are Ready and DNS runs  (after 9, 10, 11, 13, 14)
    16. [keep-kubeconfig] here: keep the admin's kubeconfig, sealed  (after 9)
    ");
}

#[test]
fn what_is_right_is_left_alone() {
    let goal = goal(FILE);
    assert_eq!(
        shown(&APPLY, &goal, &done(&goal), BOTH),
        "nothing to change\n"
    );
}

#[test]
fn a_cluster_that_exists_is_never_begun_anew() {
    // All hosts show nothing: they lost their disks, or etcd is down on all. The state knows better.
    let goal = goal(FILE);
    let view = View {
        recovery: None,
        goal: &goal,
        seen: &fresh(&goal),
        started: BOTH,
    };
    let plan = make(&APPLY, &view);
    let begun = |step: &Step| matches!(step.action, Action::InitMember | Action::InitControlPlane);
    assert_eq!(plan.which(begun).count(), 0);
    // The state was lost half-way, and one member still shows itself.
    let mut seen = fresh(&goal);
    seen.get_mut("10.0.0.3").unwrap().member = done(&goal)["10.0.0.3"].member.clone();
    let view = View {
        recovery: None,
        goal: &goal,
        seen: &seen,
        started: Started::default(),
    };
    let plan = make(&APPLY, &view);
    assert_eq!(
        plan.which(|step| step.action == Action::InitMember).count(),
        0
    );
}

fn recovery() -> Recovery {
    Recovery {
        snapshot: "0".repeat(64),
        taken_at: "2026-11-23T03:00:00Z".into(),
        begun_at: "2026-11-23T04:00:00Z".into(),
        replaced: BTreeMap::new(),
        moved_from: None,
        etcd_authority: EtcdAuthority::Kept,
        dead: Vec::new(),
        fenced: Vec::new(),
        from_backup: false,
        restored: false,
        finished_at: None,
    }
}

#[test]
fn a_recovery_proves_then_fences_then_restores() {
    let goal = goal(FILE);
    let plan = crate::recover::plan(&goal, &done(&goal), &recovery());
    insta::assert_snapshot!(in_words(&plan), @r"
     1. [prove-snapshot] h1: send the snapshot
     2. [prove-snapshot] h1: restore the snapshot beside all else and compare (etcdadm snapshot verify)  (after 1)
     3. [fence-control-planes] h1: stop the old control plane for good (nodeadm fence)  (after 2)
     4. [fence-control-planes] h1: stop the old etcd member for good, its data set aside (etcdadm reset)  (after 3)
     5. [fence-control-planes] h2: stop the old control plane for good (nodeadm fence)  (after 2)
     6. [fence-control-planes] h2: stop the old etcd member for good, its data set aside (etcdadm reset)  (after 5)
     7. [fence-control-planes] h3: stop the old control plane for good (nodeadm fence)  (after 2)
     8. [fence-control-planes] h3: stop the old etcd member for good, its data set aside (etcdadm reset)  (after 7)
     9. [restore-etcd] h1: make the first member of a new etcd of the snapshot (etcdadm restore)  (after 1, 2, 3, 4, 5, 6, 7, 8)
    10. [restore-etcd] h2: join etcd (etcdadm join)  (after 9)
    11. [restore-etcd] h3: join etcd (etcdadm join)  (after 9)
    12. [prepare-hosts] h1: install runtime, programs and images (nodeadm prepare)  (after 3, 4, 2)
    13. [prepare-hosts] h2: install runtime, programs and images (nodeadm prepare)  (after 5, 6, 2)
    14. [prepare-hosts] h3: install runtime, programs and images (nodeadm prepare)  (after 7, 8, 2)
    15. [start-control-plane] h1: make the first control plane (nodeadm init)  (after 12, 9)
    16. [join-control-planes] h2: join as a control plane (nodeadm join)  (after 13, 10, wait-for-api of 15)
    17. [join-control-planes] h3: join as a control plane (nodeadm join)  (after 14, 11, wait-for-api of 15)
    18. [keep-kubeconfig] here: keep the admin's kubeconfig, sealed  (after 15)
    19. [settle-nodes] h1: remove leases of leaders and Nodes that are gone, with their pods  (after wait-for-api of 15)
    20. [settle-nodes] h4: restart the kubelet; containers go on  (after wait-for-api of 15)
    21. [settle-nodes] h5: restart the kubelet; containers go on  (after wait-for-api of 15)
    22. [settle-nodes] h1: have each node run a new pod  (after 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21)
    ");
}

#[test]
fn a_backup_s_files_are_there_before_api_servers_start() {
    let goal = goal(FILE);
    let mut known = recovery();
    known.from_backup = true;
    let plan = crate::recover::plan(&goal, &done(&goal), &known);
    let about = in_words(&plan);
    let phases = [
        "[put-files-back]",
        "[start-control-plane]",
        "[join-control-planes]",
    ];
    let about_files = |line: &&str| phases.iter().any(|phase| line.contains(phase));
    let files = about.lines().filter(about_files);
    let files: Vec<&str> = files.collect();
    insta::assert_snapshot!(files.join("\n"), @r"
    15. [put-files-back] h1: put the files of the backup back (nodeadm files put-back)  (after 3, 4, 12, 2)
    16. [put-files-back] h2: put the files of the backup back (nodeadm files put-back)  (after 5, 6, 13, 2)
    17. [put-files-back] h3: put the files of the backup back (nodeadm files put-back)  (after 7, 8, 14, 2)
    18. [start-control-plane] h1: make the first control plane (nodeadm init)  (after 12, 15, 9)
    19. [join-control-planes] h2: join as a control plane (nodeadm join)  (after 13, 16, 10, wait-for-api of 18)
    20. [join-control-planes] h3: join as a control plane (nodeadm join)  (after 14, 17, 11, wait-for-api of 18)
    ");
}

#[test]
fn a_recovery_elsewhere_has_a_new_authority_and_points_all_there() {
    let goal = goal(FILE);
    let known = Recovery {
        moved_from: Some("10.0.0.99:6443".into()),
        etcd_authority: EtcdAuthority::Wanted,
        ..recovery()
    };
    let plan = crate::recover::plan(&goal, &done(&goal), &known);
    insta::assert_snapshot!(in_words(&plan), @r"
     1. [prove-snapshot] h1: send the snapshot
     2. [prove-snapshot] h1: restore the snapshot beside all else and compare (etcdadm snapshot verify)  (after 1)
     3. [make-etcd-authority] here: make a new authority for etcd, sealed in the state  (after 2)
     4. [fence-control-planes] h1: stop the old control plane for good (nodeadm fence)  (after 2)
     5. [fence-control-planes] h1: stop the old etcd member for good, its data set aside (etcdadm reset)  (after 4)
     6. [fence-control-planes] h2: stop the old control plane for good (nodeadm fence)  (after 2)
     7. [fence-control-planes] h2: stop the old etcd member for good, its data set aside (etcdadm reset)  (after 6)
     8. [fence-control-planes] h3: stop the old control plane for good (nodeadm fence)  (after 2)
     9. [fence-control-planes] h3: stop the old etcd member for good, its data set aside (etcdadm reset)  (after 8)
    10. [point-workers] h4: point the kubelet to the new endpoint (nodeadm join); containers go on  (after 2, 4, 5, 6, 7, 8, 9)
    11. [point-workers] h5: point the kubelet to the new endpoint (nodeadm join); containers go on  (after 2, 4, 5, 6, 7, 8, 9)
    12. [restore-etcd] h1: make the first member of a new etcd of the snapshot (etcdadm restore)  (after 1, 2, 3, 4, 5, 6, 7, 8, 9)
    13. [restore-etcd] h2: join etcd (etcdadm join)  (after 12)
    14. [restore-etcd] h3: join etcd (etcdadm join)  (after 12)
    15. [prepare-hosts] h1: install runtime, programs and images (nodeadm prepare)  (after 4, 5, 2)
    16. [prepare-hosts] h2: install runtime, programs and images (nodeadm prepare)  (after 6, 7, 2)
    17. [prepare-hosts] h3: install runtime, programs and images (nodeadm prepare)  (after 8, 9, 2)
    18. [start-control-plane] h1: make the first control plane (nodeadm init)  (after 15, 12)
    19. [join-control-planes] h2: join as a control plane (nodeadm join)  (after 16, 13, wait-for-api of 18)
    20. [join-control-planes] h3: join as a control plane (nodeadm join)  (after 17, 14, wait-for-api of 18)
    21. [keep-kubeconfig] here: keep the admin's kubeconfig, sealed  (after 18)
    22. [settle-nodes] h1: remove leases of leaders and Nodes that are gone, with their pods  (after wait-for-api of 18)
    23. [settle-nodes] h4: restart the kubelet; containers go on  (after wait-for-api of 18, 10)
    24. [settle-nodes] h5: restart the kubelet; containers go on  (after wait-for-api of 18, 11)
    25. [settle-nodes] h1: have each node run a new pod  (after 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24)
    ");
    // The authority that a run that was cut off has sealed stays; workers are pointed until all is done.
    let known = Recovery {
        etcd_authority: EtcdAuthority::Made,
        restored: true,
        ..known
    };
    let plan = crate::recover::plan(&goal, &done(&goal), &known);
    let count = |action: Action| plan.which(|step| step.action == action).count();
    assert_eq!(count(Action::MakeEtcdAuthority), 0);
    assert_eq!(count(Action::PointWorker), 2);
}

#[test]
fn old_control_planes_that_are_back_are_stopped_and_one_joins_again() {
    let goal = goal(FILE);
    let mut seen = done(&goal);
    // Its place is among the machines still; what is on it was not looked at.
    *seen.get_mut("10.0.0.3").unwrap() = fresh(&goal)["10.0.0.3"].clone();
    let fence = FenceOldHosts {
        hosts: vec!["10.0.0.9".into(), "10.0.0.3".into()],
    };
    let phases: Vec<&dyn Phase> = std::iter::once(&fence as _).chain(APPLY).collect();
    insta::assert_snapshot!(shown(&phases, &goal, &seen, BOTH), @r"
    1. [fence-old-hosts] h9: stop the old control plane for good (nodeadm fence)
    2. [fence-old-hosts] h9: stop the old etcd member for good, its data set aside (etcdadm reset)  (after 1)
    3. [fence-old-hosts] h3: stop the old control plane for good (nodeadm fence)
    4. [fence-old-hosts] h3: stop the old etcd member for good, its data set aside (etcdadm reset)  (after 3)
    5. [form-etcd] h3: join etcd (etcdadm join)  (after 3, 4)
    6. [prepare-hosts] h3: install runtime, programs and images (nodeadm prepare)  (after 3, 4)
    7. [join-control-planes] h3: join as a control plane (nodeadm join)  (after 6, 5)
    8. [verify-cluster] h1: wait until all nodes are Ready and DNS runs  (after 7)
    ");
}

#[test]
fn a_recovery_that_was_cut_off_goes_on() {
    let goal = goal(FILE);
    let mut known = recovery();
    known.fenced = vec!["10.0.0.1".into(), "10.0.0.2".into()];
    let plan = crate::recover::plan(&goal, &done(&goal), &known);
    let fenced: Vec<&str> = plan
        .steps
        .iter()
        .filter(|step| step.phase == "fence-control-planes")
        .filter_map(|step| step.host.as_deref())
        .collect();
    assert_eq!(fenced, ["10.0.0.3", "10.0.0.3"]);
    let restores = |plan: &Plan| {
        plan.which(|step| step.action == Action::RestoreMember)
            .count()
    };
    assert_eq!(restores(&plan), 1);
    // What serves the snapshot's data is neither stopped nor restored again.
    known.restored = true;
    let plan = crate::recover::plan(&goal, &done(&goal), &known);
    assert_eq!(restores(&plan), 0);
    let stops =
        |step: &Step| matches!(step.action, Action::FenceControlPlane | Action::FenceMember);
    assert_eq!(plan.which(stops).count(), 0);
    let proofs = plan.which(|step| step.action == Action::ProveNodes).count();
    assert_eq!(proofs, 1);
}

#[test]
fn what_serves_is_touched_one_after_the_other() {
    let goal = goal(FILE);
    let mut seen = done(&goal);
    let change = |phase: &str| {
        Some(vec![Pending {
            phase: phase.into(),
            change: "write a file".into(),
        }])
    };
    for address in goal.members() {
        let own = seen.get_mut(&address).unwrap();
        (own.etcd, own.node) = (change("write-configuration"), change("write-vip-pod"));
    }
    seen.get_mut("10.0.0.4").unwrap().node = change("label-node");
    insta::assert_snapshot!(shown(&APPLY, &goal, &seen, BOTH), @r"
    1. [form-etcd] h1: bring it up to date, 1 change (etcdadm join)
         write-configuration: write a file
    2. [form-etcd] h2: bring it up to date, 1 change (etcdadm join)  (after 1)
         write-configuration: write a file
    3. [form-etcd] h3: bring it up to date, 1 change (etcdadm join)  (after 2)
         write-configuration: write a file
    4. [start-control-plane] h1: bring it up to date, 1 change (nodeadm init)  (after 1)
         write-vip-pod: write a file
    5. [join-control-planes] h2: bring it up to date, 1 change (nodeadm join)  (after 2, 4)
         write-vip-pod: write a file
    6. [join-control-planes] h3: bring it up to date, 1 change (nodeadm join)  (after 3, 5)
         write-vip-pod: write a file
    7. [join-workers] h4: bring it up to date, 1 change (nodeadm join)
         label-node: write a file
    8. [verify-cluster] h1: wait until all nodes are Ready and DNS runs  (after 4, 5, 6, 7)
    9. [keep-kubeconfig] here: keep the admin's kubeconfig, sealed  (after 4)
    ");
}

#[test]
fn a_worker_is_added() {
    let goal = goal(FILE);
    let mut seen = done(&goal);
    *seen.get_mut("10.0.0.5").unwrap() = fresh(&goal)["10.0.0.5"].clone();
    insta::assert_snapshot!(shown(&APPLY, &goal, &seen, BOTH), @r"
    1. [prepare-hosts] h5: install runtime, programs and images (nodeadm prepare)
    2. [join-workers] h1: make a short-lived token for 1 worker(s)
    3. [join-workers] h5: join as a worker (nodeadm join)  (after 1, 2)
    4. [verify-cluster] h1: wait until all nodes are Ready and DNS runs  (after 3)
    ");
}

#[test]
fn a_cluster_of_one() {
    let file = FILE
        .replace("10.0.0.100", "10.0.0.1")
        .lines()
        .take(8)
        .map(|line| format!("{line}\n"))
        .collect::<String>();
    let goal = goal(&file);
    insta::assert_snapshot!(shown(&APPLY, &goal, &fresh(&goal), Started::default()), @r"
    1. [form-etcd] h1: make the first etcd member (etcdadm init)
    2. [prepare-hosts] h1: install runtime, programs and images (nodeadm prepare)
    3. [start-control-plane] h1: make the first control plane (nodeadm init)  (after 2, 1)
    4. [verify-cluster] h1: wait until all nodes are Ready and DNS runs  (after 3)
    5. [keep-kubeconfig] here: keep the admin's kubeconfig, sealed  (after 3)
    ");
}

#[test]
fn dedicated_etcd_hosts_come_before_every_master() {
    let file = FILE
        .replace("10.0.0.2, roles: [master]", "10.0.0.2, roles: [etcd]")
        .replace("10.0.0.3, roles: [master]", "10.0.0.3, roles: [etcd]");
    let goal = goal(&file);
    insta::assert_snapshot!(shown(&APPLY, &goal, &fresh(&goal), Started::default()), @r"
     1. [form-etcd] h2: make the first etcd member (etcdadm init)
     2. [form-etcd] h3: join etcd (etcdadm join)  (after 1)
     3. [prepare-hosts] h1: install runtime, programs and images (nodeadm prepare)
     4. [prepare-hosts] h4: install runtime, programs and images (nodeadm prepare)
     5. [prepare-hosts] h5: install runtime, programs and images (nodeadm prepare)
     6. [start-control-plane] h1: make the first control plane (nodeadm init)  (after 3, 1, 2)
     7. [join-workers] h1: make a short-lived token for 2 worker(s)  (after allow-joining of 6)
     8. [join-workers] h4: join as a worker (nodeadm join)  (after 4, 7)
     9. [join-workers] h5: join as a worker (nodeadm join)  (after 5, 7)
    10. [verify-cluster] h1: wait until all nodes are Ready and DNS runs  (after 6, 8, 9)
    11. [keep-kubeconfig] here: keep the admin's kubeconfig, sealed  (after 6)
    ");
}

#[test]
fn a_machine_goes_from_the_outside_in() {
    let goal = goal(FILE);
    let seen = done(&goal);
    let mut phase = RemoveMachine {
        address: "10.0.0.3".into(),
        node: Some("h3".into()),
        member: Some("ab".into()),
        drain: true,
        timeout: 300,
        stays: false,
        reached: true,
        through: Some("10.0.0.1".into()),
        other_member: Some("10.0.0.2".into()),
    };
    insta::assert_snapshot!(shown(&[&phase], &goal, &seen, BOTH), @r"
    1. [remove-machine] h1: evict the pods of node h3, then delete it
    2. [remove-machine] h3: take Kubernetes off the host (nodeadm reset)  (after 1)
    3. [remove-machine] h3: leave etcd and take it off the host (etcdadm reset)  (after 2)
    4. [remove-machine] h3: forget the machine  (after 3)
    ");
    phase.reached = false;
    phase.drain = false;
    insta::assert_snapshot!(shown(&[&phase], &goal, &seen, BOTH), @r"
    1. [remove-machine] h1: delete node h3
    2. [remove-machine] h2: remove etcd member ab  (after 1)
    3. [remove-machine] h3: forget the machine  (after 2)
    ");
    // What comes after it has its place.
    phase.stays = true;
    insta::assert_snapshot!(shown(&[&phase], &goal, &seen, BOTH), @r"
    1. [remove-machine] h1: delete node h3
    2. [remove-machine] h2: remove etcd member ab  (after 1)
    ");
    phase.reached = true;
    insta::assert_snapshot!(shown(&[&phase], &goal, &seen, BOTH), @r"
    1. [remove-machine] h1: delete node h3
    2. [remove-machine] h2: remove etcd member ab  (after 1)
    3. [remove-machine] h3: take Kubernetes off the host (nodeadm reset)  (after 2)
    4. [remove-machine] h3: take etcd off the host, its data set aside (etcdadm reset)  (after 3)
    ");
}

#[test]
fn a_whole_cluster_goes() {
    let goal = goal(FILE);
    let seen: BTreeMap<_, _> = done(&goal)
        .into_iter()
        .filter(|(address, _)| ["10.0.0.1", "10.0.0.4"].contains(&address.as_str()))
        .collect();
    insta::assert_snapshot!(shown(&[&ResetHosts], &goal, &seen, BOTH), @r"
    1. [reset-hosts] h1: take Kubernetes off the host (nodeadm reset)
    2. [reset-hosts] h1: take etcd off the host, its data set aside (etcdadm reset)  (after 1)
    3. [reset-hosts] h1: forget the machine  (after 2)
    4. [reset-hosts] h4: take Kubernetes off the host (nodeadm reset)
    5. [reset-hosts] h4: forget the machine  (after 4)
    ");
}
