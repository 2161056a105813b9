//! `cctl recover` killed where it stands, in place, on clones of one cluster. The same command once more ends in the cluster
//! as it was when the snapshot was taken.

use hosts::Sweep;
use lab::Base;

use crate::killed::{Point, Sign, at, kill_at, subject};
use crate::recovered::text;
use crate::saved::{MASTERS, SNAPSHOT, Saved, has};
use crate::{READY, timed};

/// Points of the sweep that a run takes by default.
const SAMPLE: usize = 1;

const POINTS: [Point; 24] = [
    at(1, Sign::Begins("prove-snapshot", "send")),
    at(1, Sign::Done("prove-snapshot", "send")),
    at(1, Sign::Begins("prove-snapshot", "restore")),
    at(1, Sign::Change("fence-control-planes", "stop-kubelet")),
    at(
        2,
        Sign::Change("fence-control-planes", "set-manifests-aside"),
    ),
    at(3, Sign::Change("fence-control-planes", "stop-pods")),
    at(2, Sign::Change("fence-control-planes", "stop-member")),
    at(1, Sign::Change("fence-control-planes", "set-data-aside")),
    at(3, Sign::Change("fence-control-planes", "remove-files")),
    at(1, Sign::Begins("restore-etcd", "make")),
    at(1, Sign::Change("restore-etcd", "record-member")),
    at(1, Sign::Change("restore-etcd", "install-binaries")),
    at(1, Sign::Change("restore-etcd", "issue-certificates")),
    at(1, Sign::Change("restore-etcd", "restore-data")),
    at(1, Sign::Change("restore-etcd", "put-in-place")),
    at(1, Sign::Change("restore-etcd", "start-member")),
    at(1, Sign::Done("restore-etcd", "make")),
    at(2, Sign::Change("restore-etcd", "add-learner")),
    at(3, Sign::Change("restore-etcd", "start-member")),
    at(1, Sign::Change("start-control-plane", "write-manifests")),
    at(1, Sign::Change("start-control-plane", "start-kubelet")),
    at(3, Sign::Change("join-control-planes", "start-kubelet")),
    at(4, Sign::Begins("settle-nodes", "restart")),
    at(1, Sign::Begins("settle-nodes", "have")),
];

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn sweep_cctl_recover_is_finished_by_the_next() {
    let base = Base::ensure().unwrap();
    let cache = base.root().parent().unwrap();
    let sweep = Sweep::from_environment("cctl-recover", "in-place", cache).unwrap();
    let saved = Saved::ensure();
    sweep
        .run(&subject(), &POINTS, SAMPLE, |_, point| {
            killed_at(&saved, point, &[])
        })
        .unwrap();
}

/// Where it is begun with another authority for etcd and another address for the API.
const MOVED: [Point; 9] = [
    at(1, Sign::Change("fence-control-planes", "stop-kubelet")),
    at(4, Sign::Begins("point-workers", "point")),
    at(4, Sign::Change("point-workers", "point-kubeconfigs")),
    at(1, Sign::Change("restore-etcd", "issue-certificates")),
    at(2, Sign::Change("restore-etcd", "issue-certificates")),
    at(1, Sign::Change("start-control-plane", "point-kubeconfigs")),
    at(2, Sign::Change("join-control-planes", "write-pki")),
    at(1, Sign::Change("start-control-plane", "apply-kube-proxy")),
    at(1, Sign::Change("start-control-plane", "apply-dns")),
];

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn sweep_cctl_recover_elsewhere_is_finished_by_the_next() {
    let base = Base::ensure().unwrap();
    let cache = base.root().parent().unwrap();
    let sweep = Sweep::from_environment("cctl-recover-moved", "in-place", cache).unwrap();
    let saved = Saved::ensure();
    let words = ["--new-etcd-authority", "--endpoint", "10.77.0.101"];
    sweep
        .run(&subject(), &MOVED, SAMPLE, |_, point| {
            killed_at(&saved, point, &words)
        })
        .unwrap();
}

fn killed_at(saved: &Saved, point: &Point, more: &[&str]) {
    let ground = saved.boot();
    let admin = ground.admin("admin");
    let snapshot = admin.file(SNAPSHOT);
    let plain = ["recover", "--snapshot", text(&snapshot), "--yes"];
    let words: Vec<String> = plain
        .iter()
        .chain(more)
        .copied()
        .map(str::to_owned)
        .collect();
    kill_at(&admin, &words, point);
    // What it began with need not be said again.
    timed("  the next recover", || {
        admin.cctl(plain).check().unwrap();
    });
    admin.fetch_kubeconfig().unwrap();
    admin.check_healthy(&ground.hosts, MASTERS, READY).unwrap();
    assert!(has(&admin, "before") && !has(&admin, "after"));
    let applied = admin.cctl(["apply"]).check().unwrap();
    let right = "cluster lab: all is as it should be, nothing was changed";
    assert_eq!(applied.text(), right);
}
