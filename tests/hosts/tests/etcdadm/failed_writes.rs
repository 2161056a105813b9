//! Verbs whose disk is full, or fails, at one of their writes: each ends with an error that says what went wrong, the cluster
//! serves as before, and the next run, with room again, ends as one that nobody disturbed.

use std::collections::BTreeMap;
use std::fmt;

use hosts::{Members, Sweep};
use lab::{Base, Host, Output};

use crate::strace::{self, SYNC, TRACE};
use crate::{Ground, NEWEST, timed};

/// Points of the sweep that a run takes by default, of each verb.
const SAMPLE: usize = 2;
const CAPSULE: &str = "/root/etcd.capsule";
const SAVED: &str = "/root/saved.capsule";

/// What etcdadm calls to change files, and how that may fail.
const CALLS: [(&str, &[&str]); 5] = [
    ("write", &["ENOSPC", "EIO"]),
    (SYNC, &["EIO"]),
    ("fsync", &["EIO"]),
    ("/^rename", &["ENOSPC"]),
    ("/^mkdir", &["ENOSPC"]),
];

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn sweep_etcdadm_writes_that_fail_are_told_and_nothing_is_lost() {
    let cache = Base::ensure().unwrap().root().parent().unwrap().to_owned();
    let ground = Ground::new("failed-writes", 3);
    let members = ground.members(NEWEST);
    let [first, _, third] = ground.hosts.as_slice() else {
        unreachable!("three hosts were made")
    };
    members.equip_all(&ground.hosts).unwrap();
    members.form(&ground.hosts[..2]).unwrap();
    members.share_authority(first, &[]).unwrap();
    let put = ["put", "kept", "yes"];
    members.etcdctl(&ground.hosts[..1], put).check().unwrap();
    let version = format!("v{NEWEST}");
    let join = members.join_words(first);
    // A third one may be known to them already.
    let of_two = || {
        let health = members.etcdctl(&ground.hosts[..2], ["endpoint", "health"]);
        health.check().map(drop).unwrap();
    };
    let trials = [
        Trial {
            name: "join",
            host: third,
            words: join,
            before: &|| members.share_authority(first, &ground.hosts[2..]).unwrap(),
            untouched: &of_two,
            done: &|| members.check_healthy(&ground.hosts).unwrap(),
            after: &|| reset(&members, third),
        },
        Trial {
            name: "snapshot",
            host: first,
            words: words(&["snapshot", "save", SAVED]),
            before: &|| (),
            untouched: &|| {
                // Written whole before its last note in the journal failed, or not there.
                if lines(first, "saved.capsule") > 0 {
                    let verify = ["snapshot", "verify", SAVED];
                    members.etcdadm(first, verify).check().unwrap();
                }
                of_two();
            },
            done: &|| assert_eq!(lines(first, "saved.capsule"), 1),
            after: &|| first.exec(["rm", SAVED]).check().map(drop).unwrap(),
        },
        Trial {
            name: "init",
            host: third,
            words: words(&["init", "--version", &version]),
            before: &|| (),
            untouched: &of_two,
            done: &|| serves(third),
            after: &|| reset(&members, third),
        },
        Trial {
            name: "restore",
            host: third,
            words: words(&["restore", CAPSULE, "--force"]),
            before: &|| {
                let init = ["init", "--version", &version];
                members.etcdadm(third, init).check().unwrap();
                let save = ["snapshot", "save", CAPSULE];
                members.etcdadm(third, save).check().unwrap();
            },
            // What was set aside is there, if not in its place.
            untouched: &|| assert!(lines(third, "etcd") >= 1, "the data is gone"),
            done: &|| serves(third),
            after: &|| {
                reset(&members, third);
                third.exec(["rm", CAPSULE]).check().unwrap();
            },
        },
    ];
    let tool = members.equipment().tool("etcdadm");
    let subject = hosts::sha256(&tool).unwrap();
    for trial in trials {
        let sweep = Sweep::from_environment("etcdadm-writes", trial.name, &cache).unwrap();
        let points = trial.points();
        sweep
            .run(&subject, &points, SAMPLE, |_, point| {
                timed("  all of it", || trial.fails_at(point));
            })
            .unwrap();
    }
}

/// A verb on a host, again and again.
struct Trial<'t> {
    name: &'static str,
    host: &'t Host,
    words: Vec<String>,
    before: &'t dyn Fn(),
    /// What must be so where it ended with an error.
    untouched: &'t dyn Fn(),
    /// What must be so where it ended well.
    done: &'t dyn Fn(),
    /// Takes it back.
    after: &'t dyn Fn(),
}

/// Which call fails, and how.
struct Point {
    call: &'static str,
    /// Which one of its kind, from 1.
    nth: usize,
    error: &'static str,
    path: String,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (call, path) = (self.call.trim_start_matches("/^"), &self.path);
        write!(f, "{call} {path}: {} (call {})", self.error, self.nth)
    }
}

impl Trial<'_> {
    fn words(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(String::as_str)
    }

    /// The calls of an undisturbed run that change files: of many writes to one file the first and the last.
    fn points(&self) -> Vec<Point> {
        let calls: Vec<&str> = CALLS.iter().map(|(call, _)| *call).collect();
        let trace = format!("trace={}", calls.join(","));
        (self.before)();
        let run = strace::traced(self.host, &["-y", "-e", &trace], self.words());
        run.check().unwrap();
        let text = self.host.read(TRACE).unwrap();
        (self.done)();
        (self.after)();
        let mut points = Vec::new();
        for (call, errors) in CALLS {
            let mut seen: BTreeMap<String, Vec<usize>> = BTreeMap::new();
            let name = call.trim_start_matches("/^");
            let made = text.lines().filter(|line| line.starts_with(name));
            for (number, line) in made.enumerate() {
                if let Some(path) = path_of(line) {
                    let first_and_last = seen.entry(path).or_default();
                    first_and_last.truncate(1);
                    first_and_last.push(number + 1);
                }
            }
            for (path, numbers) in seen {
                for nth in numbers {
                    points.extend(errors.iter().map(|error| Point {
                        call,
                        nth,
                        error,
                        path: path.clone(),
                    }));
                }
            }
        }
        println!("{}: {} writes that may fail", self.name, points.len());
        points
    }

    fn fails_at(&self, point: &Point) {
        (self.before)();
        let what = format!("error={}", point.error);
        let run = strace::disturbed(self.host, point.call, point.nth, &what, self.words());
        let output = run.output().unwrap();
        let said = output.error_text();
        if !output.success() {
            assert!(is_told(&output), "{point}: {}: {said}", output.code);
            (self.untouched)();
        }
        // What is done is done: a second snapshot of this name is refused.
        let there = self.name == "snapshot" && lines(self.host, "saved.capsule") > 0;
        let again = [hosts::ETCDADM].into_iter().chain(self.words());
        let again = self.host.exec(again).output().unwrap();
        let told = again.error_text();
        assert!(again.success() || there, "{point}: {said}\nthen: {told}");
        (self.done)();
        (self.after)();
    }
}

/// An error as an admin is to get it: no signal, no panic.
fn is_told(output: &Output) -> bool {
    let said = output.error_text();
    (1..100).contains(&output.code) && said.contains("error: ") && !said.contains("panicked")
}

/// The file that a traced call is about, without what is another each time; nothing for pipes and sockets.
fn path_of(line: &str) -> Option<String> {
    let between = |from: char, to: char| {
        let rest = line.split_once(from)?.1;
        Some(rest.split_once(to)?.0.to_owned())
    };
    // write(5</etc/.name.12-3.tmp>, …) or rename("/etc/.name.12-3.tmp", "/etc/name")
    let named = line.starts_with("rename") || line.starts_with("mkdir");
    let path = if named {
        between('"', '"')
    } else {
        between('<', '>')
    }?;
    if !path.starts_with('/') || path.starts_with("/dev/") || path.starts_with("/proc/") {
        return None;
    }
    // Numbers of processes and times.
    let digits: String = path
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    let mut short = digits;
    while short.contains("00") {
        short = short.replace("00", "0");
    }
    Some(short)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// How many files of this name, or that begin so, there are in root's home and below `/var/lib`.
fn lines(host: &Host, name: &str) -> usize {
    let (exact, aside) = (name.to_owned(), format!("{name}.*"));
    let find = [
        "find",
        "/root",
        "/var/lib",
        "-maxdepth",
        "1",
        "-name",
        &exact,
    ];
    let find = find.into_iter().chain(["-o", "-name", &aside]);
    host.exec(find).text().unwrap().lines().count()
}

fn serves(host: &Host) {
    let words = ["/opt/bin/etcdctl.sh", "endpoint", "health"];
    host.exec(words).check().unwrap();
}

fn reset(members: &Members<'_>, host: &Host) {
    members.etcdadm(host, ["reset"]).check().unwrap();
    crate::remove_set_aside(host);
}
