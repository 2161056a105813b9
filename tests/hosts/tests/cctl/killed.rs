//! `cctl apply` killed where it stands, or hosts that lose power under it. The next one ends in the same healthy cluster,
//! with nothing left to do.
//!
//! A point is what `cctl` tells of its progress: the blow falls as soon as it has said that.

use std::fmt;

use hosts::{Admin, ClusterFile, Next, Sweep};
use lab::Base;
use serde_json::Value;

use crate::{Ground, READY, power, timed};

/// Points of the sweep that a run takes by default: each costs a cluster.
const SAMPLE: usize = 1;

/// Something that is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    /// The number of the host that it is told of.
    pub host: u8,
    pub sign: Sign,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Sign {
    /// A note, while hosts are looked at.
    Note(&'static str),
    /// A step that begins, by its phase and the beginning of its words.
    Begins(&'static str, &'static str),
    /// A step that is done.
    Done(&'static str, &'static str),
    /// A change that a node tool is about to make, by the step's phase and the tool's.
    Change(&'static str, &'static str),
}

/// What befalls an apply.
#[derive(Debug, Clone, Copy)]
enum Blow {
    /// It is killed here.
    Kill(Point),
    /// Each of the two hosts loses power when this is told of it.
    PowerLoss([Point; 2]),
}

/// Spread over an apply, in the order in which it comes by.
const BLOWS: [Blow; 11] = [
    kill(3, Sign::Note("bring nodeadm")),
    kill(1, Sign::Begins("send-artifacts", "send etcd")),
    kill(1, Sign::Change("form-etcd", "start-member")),
    kill(2, Sign::Change("form-etcd", "promote-member")),
    kill(1, Sign::Done("send-artifacts", "send programs")),
    kill(4, Sign::Change("prepare-hosts", "import-images")),
    kill(1, Sign::Change("start-control-plane", "start-kubelet")),
    kill(2, Sign::Change("join-control-planes", "write-manifests")),
    kill(5, Sign::Change("join-workers", "join-cluster")),
    kill(1, Sign::Begins("verify-cluster", "wait")),
    Blow::PowerLoss([
        at(3, Sign::Change("join-control-planes", "start-kubelet")),
        at(5, Sign::Change("join-workers", "join-cluster")),
    ]),
];

pub(crate) const fn at(host: u8, sign: Sign) -> Point {
    Point { host, sign }
}

const fn kill(host: u8, sign: Sign) -> Blow {
    Blow::Kill(at(host, sign))
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(point) => point.fmt(f),
            Self::PowerLoss([one, other]) => write!(f, "power lost at {one}, and at {other}"),
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host;
        match self.sign {
            Sign::Note(note) => write!(f, "h{host}: {note}"),
            Sign::Begins(step, words) => write!(f, "h{host}: [{step}] begins: {words}"),
            Sign::Done(step, words) => write!(f, "h{host}: [{step}] done: {words}"),
            Sign::Change(step, phase) => write!(f, "h{host}: [{step}] in {phase}"),
        }
    }
}

impl Point {
    /// Whether this is what is told.
    pub(crate) fn is(&self, told: &Value) -> bool {
        let text = |key: &str| told[key].as_str().unwrap_or_default();
        let step = |event: &str, step: &str, words: &str| {
            text("event") == event && text("step") == step && text("words").starts_with(words)
        };
        text("host") == format!("10.77.0.{}", 10 + self.host)
            && match self.sign {
                Sign::Note(note) => text("event") == "note" && text("note") == note,
                Sign::Begins(phase, words) => step("step", phase, words),
                Sign::Done(phase, words) => step("step-done", phase, words),
                Sign::Change(phase, inner) => step("change", phase, "") && text("phase") == inner,
            }
    }
}

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn sweep_cctl_kill_an_apply_is_finished_by_the_next() {
    let cache = Base::ensure().unwrap().root().parent().unwrap().to_owned();
    let sweep = Sweep::from_environment("cctl-kill", "apply", &cache).unwrap();
    let subject = subject();
    sweep
        .run(&subject, &BLOWS, SAMPLE, |_, blow| match blow {
            Blow::Kill(point) => killed_at(point),
            Blow::PowerLoss(points) => power::lost_at(points),
        })
        .unwrap();
}

/// The tools, by which earlier results count or do not.
pub(crate) fn subject() -> String {
    let equipment = hosts::Equipment::from_environment().unwrap();
    let digest = |name: &str| hosts::sha256(&equipment.tool(name)).unwrap();
    ["cctl", "etcdadm", "nodeadm"].map(digest).join(" ")
}

fn killed_at(point: &Point) {
    let ground = Ground::new("killed", 5);
    let admin = ground.admin("admin");
    let file = ClusterFile::new(&ground.lab, &ground.hosts, 3, "admin");
    let words = admin.apply_words(&file).unwrap();
    kill_at(&admin, &words, point);
    finish(&admin, &file, &ground);
}

/// Runs `cctl` with these words until it comes by this point, and kills it there.
pub(crate) fn kill_at(admin: &Admin<'_>, words: &[String], point: &Point) {
    let hear = |told: &Value| {
        if point.is(told) {
            Next::Kill
        } else {
            Next::GoOn
        }
    };
    let killed = timed("  until it was killed", || {
        admin.listen(words, hear).unwrap()
    });
    let said = killed.error_text();
    assert_eq!(killed.code, 137, "it did not come by {point}: {said}");
}

/// The next apply ends in a healthy cluster, and the one after that finds nothing to do.
pub(crate) fn finish(admin: &Admin<'_>, file: &ClusterFile, ground: &Ground) {
    timed("  the next apply", || admin.apply(file).unwrap());
    admin.fetch_kubeconfig().unwrap();
    admin.check_healthy(&ground.hosts, 3, READY).unwrap();
    let output = admin.apply(file).unwrap();
    assert_eq!(
        output.text(),
        "cluster lab: all is as it should be, nothing was changed"
    );
}
