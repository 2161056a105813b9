//! Verbs whose host loses power before one of their changes: the next run ends as one that nobody disturbed, and no key is
//! lost. Each point begins with copies of the same hosts.

use std::fmt;

use hosts::{Equipment, Members, Sweep, shuffled};
use lab::{Base, Host};

use crate::rotated::{copy_next, rotate};
use crate::strace::{self, JOURNAL, SYNC};
use crate::{BESIDE, Ground, NEWEST, timed};

/// Points of the sweep that a run takes by default, of one verb.
const SAMPLE: usize = 1;
const CAPSULE: &str = "/root/etcd.capsule";
/// Keys that every member has before, and has afterwards.
const KEYS: usize = 20;

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn sweep_etcdadm_power_a_verb_whose_host_lost_power_is_finished_by_the_next() {
    let cache = Base::ensure().unwrap().root().parent().unwrap().to_owned();
    let sweep = |verb: &Verb| Sweep::from_environment("etcdadm-power", verb.name, &cache).unwrap();
    let chosen = shuffled(VERBS.len(), sweep(&VERBS[0]).seed())[0];
    for (number, verb) in VERBS.iter().enumerate() {
        let sweep = sweep(verb);
        if number != chosen && !sweep.is_whole() {
            println!("*** not {verb}: only the whole sweep strikes it ***");
            continue;
        }
        verb.sweep(&sweep);
    }
}

/// A verb, done on the first of a few hosts.
struct Verb {
    name: &'static str,
    hosts: u8,
    /// How many of them, the first ones, serve before it and afterwards.
    serving: usize,
    version: &'static str,
    words: &'static [&'static str],
    /// What is done before, on hosts that form a cluster.
    prepare: fn(&Members<'_>, &[Host]),
    /// What is done after it, and what must be so then.
    finish: fn(&Members<'_>, &[Host]),
}

const VERBS: [Verb; 6] = [
    Verb {
        name: "restore",
        hosts: 1,
        serving: 1,
        version: NEWEST,
        words: &["restore", CAPSULE, "--force"],
        prepare: |members, hosts| {
            let words = ["snapshot", "save", CAPSULE];
            members.etcdadm(&hosts[0], words).check().unwrap();
            let late = ["put", "late", "x"];
            members.etcdctl(hosts, late).check().unwrap();
        },
        finish: |members, hosts| {
            assert_eq!(members.etcdctl(hosts, ["get", "late"]).text().unwrap(), "");
        },
    },
    Verb {
        name: "upgrade",
        hosts: 3,
        serving: 3,
        version: BESIDE,
        words: &["upgrade", "--version", "v3.7.3"],
        prepare: |members, hosts| {
            let name = Equipment::etcd_name(NEWEST);
            let path = format!("/var/cache/etcdadm/etcd/v{NEWEST}/{name}.tar.gz");
            let archive = members.equipment().etcd(NEWEST);
            hosts[0].put(&archive, &path, 0o644).unwrap();
        },
        finish: |_, hosts| {
            let words = ["/opt/bin/etcd", "--version"];
            let version = hosts[0].exec(words).text().unwrap();
            assert!(version.contains(NEWEST), "{version}");
        },
    },
    Verb {
        name: "trust",
        hosts: 3,
        serving: 3,
        version: NEWEST,
        words: &["certs", "rotate-ca", "trust"],
        prepare: |_, _| (),
        finish: |members, hosts| steps(members, hosts, &["trust", "reissue", "finish"]),
    },
    Verb {
        name: "reissue",
        hosts: 3,
        serving: 3,
        version: NEWEST,
        words: &["certs", "rotate-ca", "reissue"],
        prepare: |members, hosts| steps(members, hosts, &["trust"]),
        finish: |members, hosts| steps(members, hosts, &["reissue", "finish"]),
    },
    Verb {
        name: "finish",
        hosts: 3,
        serving: 3,
        version: NEWEST,
        words: &["certs", "rotate-ca", "finish"],
        prepare: |members, hosts| steps(members, hosts, &["trust", "reissue"]),
        finish: |members, hosts| steps(members, hosts, &["finish"]),
    },
    Verb {
        name: "remove",
        hosts: 3,
        serving: 2,
        version: NEWEST,
        words: &["member", "remove", "h3"],
        prepare: |_, hosts| {
            let words = ["systemctl", "disable", "--now", "etcd"];
            hosts[2].exec(words).check().unwrap();
        },
        finish: |members, hosts| {
            assert_eq!(members.list(&hosts[0]).unwrap().len(), 2);
        },
    },
];

/// The steps of a change of authorities, each on every host.
fn steps(members: &Members<'_>, hosts: &[Host], names: &[&str]) {
    for step in names {
        for (number, host) in hosts.iter().enumerate() {
            if *step == "trust" && number > 0 {
                copy_next(&hosts[0], host);
            }
            let done = rotate(members, host, step);
            assert!(done.success(), "{step}: {}", done.error_text());
        }
        members.follow_authority(&hosts[0]).unwrap();
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "etcdadm {}", self.words.join(" "))
    }
}

/// Before which change of its run the power goes. Who leads the cluster is chance, and so is whether one of the changes is
/// to hand leadership over.
struct Point {
    verb: &'static str,
    /// The journal's line, from 1.
    nth: usize,
    /// What stood there when nobody disturbed it.
    words: String,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, before: {}", self.verb, self.nth, self.words)
    }
}

impl Verb {
    fn sweep(&self, sweep: &Sweep) {
        let name = format!("struck-{}", self.name);
        let kept = crate::folder();
        let checkpoint = kept.path().join("checkpoint");
        let subject = {
            let ground = Ground::new(&name, self.hosts);
            let members = ground.members(self.version);
            members.equip_all(&ground.hosts).unwrap();
            members.form(&ground.hosts).unwrap();
            for number in 0..KEYS {
                let words = ["put", &format!("kept-{number}"), "x"];
                members.etcdctl(&ground.hosts, words).check().unwrap();
            }
            (self.prepare)(&members, &ground.hosts);
            for host in &ground.hosts {
                host.exec(["rm", "-f", JOURNAL]).check().unwrap();
                host.nsexec(["sync"]).unwrap().check().unwrap();
                host.power_loss().unwrap();
            }
            ground.lab.checkpoint(&checkpoint).unwrap();
            let tool = members.equipment().tool("etcdadm");
            hosts::sha256(&tool).unwrap()
        };

        let points = {
            let ground = Ground::copy(&name, &checkpoint);
            let members = self.awake(&ground);
            let trace = format!("trace={SYNC}");
            let words = self.words.iter().copied();
            let run = strace::traced(&ground.hosts[0], &["-e", &trace], words);
            run.check().unwrap();
            let journal = strace::journal(&ground.hosts[0]);
            self.check(&members, &ground.hosts);
            journal
        };
        let points: Vec<Point> = points
            .into_iter()
            .enumerate()
            .filter(|(_, words)| words.starts_with('['))
            .map(|(line, words)| Point {
                verb: self.name,
                nth: line + 1,
                words,
            })
            .collect();
        println!("{self} makes {} changes", points.len());
        sweep
            .run(&subject, &points, SAMPLE, |_, point| {
                let ground = Ground::copy(&name, &checkpoint);
                timed("  all of it", || self.strike(&ground, point));
            })
            .unwrap();
    }

    /// The members of these copies, when all that are to serve do.
    fn awake<'g>(&self, ground: &'g Ground) -> Members<'g> {
        let members = ground.members(self.version);
        members.follow_authority(&ground.hosts[0]).unwrap();
        let serve = || {
            let health = members.etcdctl(self.serving(&ground.hosts), ["endpoint", "health"]);
            Ok(health.output()?.success())
        };
        lab::wait_until("the copies to serve", crate::BOOT, serve).unwrap();
        members
    }

    /// Those of the hosts whose members serve in the end.
    fn serving<'h>(&self, hosts: &'h [Host]) -> &'h [Host] {
        &hosts[..self.serving]
    }

    fn strike(&self, ground: &Ground, point: &Point) {
        let members = self.awake(ground);
        let host = &ground.hosts[0];
        let words = || self.words.iter().copied();
        let run = strace::disturbed(host, SYNC, point.nth, "signal=SIGSTOP", words());
        let mut run = run.spawn().unwrap();
        if strace::is_stopped(host, &point.to_string()) {
            let last = strace::journal(host).pop().unwrap_or_default();
            println!("  the power goes before: {last}");
        } else {
            println!("  it had less to do this time, and came to its end");
        }
        host.power_loss().unwrap();
        drop(run.wait());
        host.boot().unwrap();
        host.wait_ssh().unwrap();
        let again = members.etcdadm(host, words());
        timed("  the next run", || again.check())
            .unwrap_or_else(|error| panic!("{point}: {error}"));
        self.check(&members, &ground.hosts);
    }

    /// That it ended well: the cluster is healthy, and nothing is lost.
    fn check(&self, members: &Members<'_>, hosts: &[Host]) {
        members.follow_authority(&hosts[0]).unwrap();
        (self.finish)(members, hosts);
        let hosts = self.serving(hosts);
        members.wait_healthy(hosts, crate::BOOT).unwrap();
        for host in hosts {
            let words = ["get", "--prefix", "kept-", "--keys-only"];
            let keys = members.etcdctl(std::slice::from_ref(host), words);
            let keys = keys.text().unwrap();
            let keys = keys.lines().filter(|line| !line.is_empty()).count();
            assert_eq!(keys, KEYS, "on {}", host.name());
        }
    }
}
