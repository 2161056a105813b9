//! Joins that are cut off: killed at a step, or with the host's power. The next run ends in the same healthy cluster, with
//! the same files on the host, as one that nobody disturbed.
//!
//! A point is hit exactly, by letting strace send the signal when etcdadm makes its Nth call of a kind: the journal's sync, of
//! which there is one before each change, or the renaming that gives a written file its place.

use std::fmt;

use hosts::{Listing, Members, Sweep};
use lab::{Base, Host, Run};

use crate::strace::{self, JOURNAL, TRACE};
use crate::{Ground, NEWEST, OLDEST, timed};

/// Points of the sweep that a run takes by default.
const SAMPLE: usize = 6;

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn sweep_etcdadm_join_that_was_killed_is_finished_by_the_next() {
    let cache = Base::ensure().unwrap().root().parent().unwrap().to_owned();
    for version in [NEWEST, OLDEST] {
        let sweep = Sweep::from_environment("etcdadm-join", version, &cache).unwrap();
        if version != NEWEST && !sweep.is_whole() {
            println!("*** not on etcd {version}: only the whole sweep goes there ***");
            continue;
        }
        let ground = Ground::new("killed", 3);
        let trial = Trial::new(&ground, version);
        let subject = trial.subject();
        sweep
            .run(&subject, &trial.points, SAMPLE, |_, point| {
                timed("  all of it", || trial.killed_at(point));
            })
            .unwrap();
    }
}

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn a_join_whose_host_lost_power_is_finished_by_the_next() {
    let ground = Ground::new("power", 3);
    let trial = Trial::new(&ground, NEWEST);
    // In the midst of installing; known to the cluster, and nothing of it written; running as a learner.
    let inside = |point: &&Point| point.call == Call::Rename && point.what == "/opt/bin/etcdctl";
    let first_of =
        |phase: &'static str| move |point: &&Point| point.what.starts_with(&format!("[{phase}]"));
    for point in [
        trial.points.iter().find(inside),
        trial.points.iter().find(first_of("write-configuration")),
        trial.points.iter().find(first_of("promote-member")),
    ] {
        let point = point.expect("a join comes by here");
        println!("{point}");
        timed("  all of it", || trial.lost_power_at(point));
    }
}

/// What etcdadm is about to do when it is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    /// Make a change that stands in the journal already.
    Sync,
    /// Give a file its place that is written beside it.
    Rename,
}

impl Call {
    /// As strace knows it, on all architectures.
    fn pattern(self) -> &'static str {
        match self {
            Self::Sync => strace::SYNC,
            Self::Rename => "/^rename",
        }
    }
}

/// Where a join is cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Point {
    call: Call,
    /// Which call of this kind, from 1.
    nth: usize,
    /// What is not done then: a line of the journal, or the name of a file.
    what: String,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.call {
            Call::Sync => write!(f, "journal line {}, before: {}", self.nth, self.what),
            Call::Rename => write!(f, "renaming {}, before: {}", self.nth, self.what),
        }
    }
}

/// A cluster of two, and a third host that joins it again and again.
struct Trial<'g> {
    ground: &'g Ground,
    members: Members<'g>,
    /// The third host before it joins.
    bare: Listing,
    /// The third host after a join that nobody disturbed.
    joined: Listing,
    /// Where such a join comes by.
    points: Vec<Point>,
}

impl<'g> Trial<'g> {
    fn new(ground: &'g Ground, version: &str) -> Self {
        let members = ground.members(version);
        members.equip_all(&ground.hosts).unwrap();
        members.form(&ground.hosts[..2]).unwrap();
        let mut trial = Self {
            ground,
            members,
            bare: Listing::default(),
            joined: Listing::default(),
            points: Vec::new(),
        };
        trial.prepare();
        trial.bare = trial.listing();
        let trace = format!("trace={},{}", Call::Sync.pattern(), Call::Rename.pattern());
        trial.traced(&["-e", &trace]).check().unwrap();
        trial.check_joined();
        trial.joined = trial.listing();
        trial.points = trial.points_passed();
        trial.reset();
        trial
    }

    fn host(&self) -> &Host {
        &self.ground.hosts[2]
    }

    /// The files that count: all but the insides of data that was set aside, and etcdadm's own lock
    /// and journal.
    fn listing(&self) -> Listing {
        let listing = Listing::of(self.host()).unwrap().shape();
        let listing = listing.without(&["/var/lib/etcdadm/lock", JOURNAL]);
        listing.without_exactly("/var/lib/etcdadm")
    }

    /// Program and release, by which earlier results count or do not.
    fn subject(&self) -> String {
        let programs = [
            self.members.equipment().tool("etcdadm"),
            self.members.archive(),
        ];
        programs.map(|file| hosts::sha256(&file).unwrap()).join(" ")
    }

    /// The host as an admin prepares it: the authority is there, and nothing that an earlier join and reset left.
    fn prepare(&self) {
        let host = self.host();
        crate::remove_set_aside(host);
        host.exec(["rm", "-f", JOURNAL, TRACE]).check().unwrap();
        self.members
            .share_authority(&self.ground.hosts[0], &self.ground.hosts[2..])
            .unwrap();
    }

    fn words(&self) -> Vec<String> {
        self.members.join_words(&self.ground.hosts[0])
    }

    /// `etcdadm join` under strace.
    fn traced(&self, how: &[&str]) -> Run {
        let words = self.words();
        strace::traced(self.host(), how, words.iter().map(String::as_str))
    }

    /// `etcdadm join` that gets a signal at this point.
    fn struck(&self, point: &Point, signal: &str) -> Run {
        let (what, words) = (format!("signal={signal}"), self.words());
        let words = words.iter().map(String::as_str);
        strace::disturbed(self.host(), point.call.pattern(), point.nth, &what, words)
    }

    fn points_passed(&self) -> Vec<Point> {
        let journal = strace::journal(self.host());
        let steps = journal.iter().enumerate().map(|(n, what)| Point {
            call: Call::Sync,
            nth: n + 1,
            what: what.clone(),
        });
        let trace = self.host().read(TRACE).unwrap();
        // rename("…/.name.12-3.tmp", "…/name") = 0
        let renamed = trace
            .lines()
            .filter(|line| line.starts_with("rename"))
            .filter_map(|line| line.split('"').nth(3));
        let renamings = renamed.enumerate().map(|(n, name)| Point {
            call: Call::Rename,
            nth: n + 1,
            what: name.to_owned(),
        });
        let points: Vec<Point> = steps.chain(renamings).collect();
        let synced = trace
            .lines()
            .filter(|line| line.starts_with("fdatasync"))
            .count();
        assert_eq!(
            synced,
            journal.len(),
            "one sync for each line of the journal"
        );
        println!(
            "a join makes {} journaled steps and {} renamings",
            journal.len(),
            points.len() - journal.len()
        );
        points
    }

    fn check_joined(&self) {
        self.members.check_healthy(&self.ground.hosts).unwrap();
    }

    /// Makes sure that the run was cut off at `point` and not elsewhere.
    fn check_cut_off(&self, point: &Point) {
        let journal = strace::journal(self.host());
        assert_ne!(
            journal.last().map(String::as_str),
            Some("failed"),
            "{journal:?}"
        );
        match point.call {
            Call::Sync => assert_eq!(
                (journal.len(), journal.last()),
                (point.nth, Some(&point.what))
            ),
            Call::Rename => {
                assert_ne!(
                    journal.last().map(String::as_str),
                    Some("end"),
                    "{journal:?}"
                );
            }
        }
    }

    fn killed_at(&self, point: &Point) {
        let output = self.struck(point, "SIGKILL").output().unwrap();
        assert!(!output.success(), "it was not killed");
        self.check_cut_off(point);
        self.finish(point);
    }

    fn lost_power_at(&self, point: &Point) {
        let host = self.host();
        let mut join = self.struck(point, "SIGSTOP").spawn().unwrap();
        assert!(strace::is_stopped(host, &point.to_string()));
        self.check_cut_off(point);
        host.power_loss().unwrap();
        drop(join.wait());
        host.boot().unwrap();
        host.wait_ssh().unwrap();
        self.finish(point);
    }

    /// The second run: the same cluster, the same files; and the host is made ready for the next point.
    fn finish(&self, point: &Point) {
        let join = self.members.join(self.host(), &self.ground.hosts[0]);
        let joined = timed("  the next join", || join.check());
        joined.unwrap_or_else(|error| panic!("{point}: {error}"));
        self.check_joined();
        let differs = self.listing().since(&self.joined);
        assert_eq!(differs, "", "cut off at {point}, it ended with other files");
        self.reset();
    }

    fn reset(&self) {
        timed("  reset", || {
            self.members.etcdadm(self.host(), ["reset"]).check()
        })
        .unwrap();
        self.members.check_healthy(&self.ground.hosts[..2]).unwrap();
        self.prepare();
        assert_eq!(
            self.listing().since(&self.bare),
            "",
            "the reset left something behind"
        );
    }
}
