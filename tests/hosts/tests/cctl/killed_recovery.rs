//! `cctl recover` killed where it stands, in place, on clones of one cluster. The same command once more ends in the cluster
//! as it was when the snapshot was taken.

use std::path::Path;

use hosts::{Admin, ClusterFile, Next, Sweep};
use lab::{Base, HostSpec, Lab, LabConfig};
use serde_json::Value;

use crate::killed::{Point, Sign, at, subject};
use crate::recovered::{has, mark, text};
use crate::{READY, timed};

/// Points of the sweep that a run takes by default.
const SAMPLE: usize = 1;
const MASTERS: usize = 3;

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
    let cache = base.root().parent().unwrap().to_owned();
    let sweep = Sweep::from_environment("cctl-recover", "in-place", &cache).unwrap();
    let folder = tempfile::Builder::new()
        .prefix("klusterkit-")
        .tempdir_in("/var/tmp")
        .unwrap();
    let saved = Saved::make(folder.path(), &base);
    sweep
        .run(&subject(), &POINTS, SAMPLE, |_, point| {
            saved.killed_at(point)
        })
        .unwrap();
}

/// A cluster of which a snapshot was taken, shut down in order: its hosts and its admin's files.
struct Saved<'a> {
    folder: &'a Path,
    base: &'a Base,
}

impl<'a> Saved<'a> {
    fn make(folder: &'a Path, base: &'a Base) -> Self {
        let lab = Lab::create(LabConfig::new("cctl-recover", folder.join("lab"), base)).unwrap();
        let hosts = lab.up(4, HostSpec::default()).unwrap();
        let admin = admin(&lab, folder);
        let file = ClusterFile::new(&lab, &hosts, MASTERS, "admin");
        timed("apply", || admin.apply(&file).unwrap());
        admin.fetch_kubeconfig().unwrap();
        admin.check_healthy(&hosts, MASTERS, READY).unwrap();
        mark(&admin, "before");
        let snapshot = admin.file("etcd.snapshot");
        let words = ["snapshot", "etcd", text(&snapshot)];
        admin.cctl(words).check().unwrap();
        mark(&admin, "after");
        lab.stop_all().unwrap();
        lab.checkpoint(&folder.join("checkpoint")).unwrap();
        // Its files, too, are the same at every point; paths in them stay true, since all labs lie in one place.
        for name in KEPT {
            std::fs::copy(admin.file(name), folder.join(name)).unwrap();
        }
        Self { folder, base }
    }

    fn killed_at(&self, point: &Point) {
        let mut config = LabConfig::new("cctl-recover", self.folder.join("lab"), self.base);
        config.checkpoint = Some(self.folder.join("checkpoint"));
        let lab = Lab::create(config).unwrap();
        let hosts = lab.boot_all().unwrap();
        let admin = admin(&lab, self.folder);
        for name in KEPT {
            std::fs::copy(self.folder.join(name), admin.file(name)).unwrap();
        }
        let snapshot = admin.file("etcd.snapshot");
        let words = ["recover", "--snapshot", text(&snapshot), "--yes"];
        let owned = words.map(str::to_owned);
        let hear = |told: &Value| {
            if point.is(told) {
                Next::Kill
            } else {
                Next::GoOn
            }
        };
        let killed = timed("  until it was killed", || {
            admin.listen(&owned, hear).unwrap()
        });
        let said = killed.error_text();
        assert_eq!(killed.code, 137, "it did not come by {point}: {said}");
        timed("  the next recover", || {
            admin.cctl(words).check().unwrap();
        });
        admin.check_healthy(&hosts, MASTERS, READY).unwrap();
        assert!(has(&admin, "before") && !has(&admin, "after"));
        let applied = admin.cctl(["apply"]).check().unwrap();
        let right = "cluster lab: all is as it should be, nothing was changed";
        assert_eq!(applied.text(), right);
    }
}

const KEPT: [&str; 3] = ["cctl-state.yaml", "kubeconfig", "etcd.snapshot"];

fn admin<'l>(lab: &'l Lab, folder: &Path) -> Admin<'l> {
    let equipment = hosts::Equipment::from_environment().unwrap();
    Admin::new(lab, equipment, folder.join("admin")).unwrap()
}
