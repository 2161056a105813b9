//! What a host shows of itself: files, units, links, rules, mounts, processes; to be compared with how it was found.
//!
//! Only what stays is looked at: no counters, no times, no numbers of processes.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use lab::Host;

use crate::{Error, Listing};

/// How a host is found or left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footprint {
    files: Listing,
    rest: Vec<(&'static str, BTreeSet<String>)>,
}

/// What is asked, and which lines of the answer count.
struct Question {
    about: &'static str,
    argv: &'static [&'static str],
    counts: fn(&str) -> Option<String>,
}

const QUESTIONS: &[Question] = &[
    Question {
        about: "unit file",
        argv: &[
            "systemctl",
            "list-unit-files",
            "--plain",
            "--no-legend",
            "--no-pager",
        ],
        counts: words,
    },
    Question {
        about: "running unit",
        argv: &[
            "systemctl",
            "list-units",
            "--plain",
            "--no-legend",
            "--no-pager",
            "--state=active,activating,failed",
        ],
        counts: lasting_unit,
    },
    Question {
        about: "link",
        argv: &["ip", "-oneline", "link"],
        counts: link,
    },
    Question {
        about: "address",
        argv: &["ip", "-oneline", "-4", "address"],
        counts: address,
    },
    Question {
        about: "route",
        argv: &["ip", "-oneline", "route"],
        counts: words,
    },
    Question {
        about: "iptables",
        argv: &["iptables-save"],
        counts: rule,
    },
    Question {
        about: "ip6tables",
        argv: &["ip6tables-save"],
        counts: rule,
    },
    Question {
        about: "mount",
        argv: &[
            "findmnt",
            "--raw",
            "--noheadings",
            "--output",
            "TARGET,FSTYPE",
        ],
        counts: words,
    },
    Question {
        about: "process",
        argv: &["ps", "-e", "-o", "comm="],
        counts: lasting_process,
    },
    Question {
        about: "ip_forward",
        argv: &["cat", "/proc/sys/net/ipv4/ip_forward"],
        counts: words,
    },
];

fn words(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// Log-ins and what systemd starts by the clock come and go by themselves.
fn lasting_unit(line: &str) -> Option<String> {
    let mut fields = line.split_whitespace();
    let name = fields.next()?;
    let by_itself = [".scope", ".device", ".timer", ".slice", ".target"]
        .iter()
        .any(|end| name.ends_with(end))
        || [
            "user@",
            "user-runtime-dir@",
            "run-user-",
            "systemd-",
            "session",
        ]
        .iter()
        .any(|start| name.starts_with(start));
    let state = fields.nth(1)?;
    (!by_itself).then(|| format!("{name} {state}"))
}

/// `3: eth0@if2: <BROADCAST,UP> …`; the number of its other end is another after each boot.
fn link(line: &str) -> Option<String> {
    let name = line.split(": ").nth(1)?.split('@').next()?;
    Some(name.to_owned())
}

/// `2: eth0    inet 10.77.0.11/24 brd …`
fn address(line: &str) -> Option<String> {
    let mut fields = line.split_whitespace().skip(1);
    let name = fields.next()?;
    Some(format!("{name} {}", fields.nth(1)?))
}

/// A table's built-in chains are there as soon as somebody has looked at it.
fn rule(line: &str) -> Option<String> {
    let empty = line.starts_with('#')
        || line.starts_with('*')
        || line == "COMMIT"
        || line.contains(" ACCEPT [");
    let line = line.split(" [").next().unwrap_or(line);
    (!empty).then(|| line.to_owned())
}

fn lasting_process(line: &str) -> Option<String> {
    let by_itself = ["ps", "sshd", "systemd-", "(sd-pam)", "systemd", "agetty"];
    let name = line.trim();
    let own = by_itself
        .iter()
        .any(|start| name == *start || (start.ends_with('-') && name.starts_with(start)));
    (!own && !name.is_empty()).then(|| name.to_owned())
}

impl Footprint {
    /// Of this host. Files are told apart by their paths, kinds, modes and owners; those below `leftovers` are left out.
    ///
    /// # Errors
    /// The host is off.
    pub fn of(host: &Host, leftovers: &[&str]) -> Result<Self, Error> {
        let files = Listing::of(host)?.shape().without(leftovers);
        let mut rest = Vec::new();
        for question in QUESTIONS {
            let text = host.nsexec(question.argv.iter().copied())?.text()?;
            rest.push((
                question.about,
                text.lines().filter_map(question.counts).collect(),
            ));
        }
        Ok(Self { files, rest })
    }

    /// A line for each thing that came (`+`), went (`-`) or changed (`~`) since `before`; empty if nothing did.
    #[must_use]
    pub fn since(&self, before: &Self) -> String {
        let mut text = self.files.since(&before.files);
        for ((about, now), (_, then)) in self.rest.iter().zip(&before.rest) {
            for line in now.difference(then) {
                let _ = writeln!(text, "+ {about}: {line}");
            }
            for line in then.difference(now) {
                let _ = writeln!(text, "- {about}: {line}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stays_counts() {
        assert_eq!(
            link("3: cni0@if2: <BROADCAST> mtu 1500"),
            Some("cni0".to_owned())
        );
        assert_eq!(
            address("2: eth0    inet 10.77.0.11/24 brd 10.77.0.255 scope global eth0"),
            Some("eth0 10.77.0.11/24".to_owned())
        );
        assert_eq!(rule(":INPUT ACCEPT [10:20]"), None);
        assert_eq!(
            rule(":KUBE-MARK-DROP - [0:0]"),
            Some(":KUBE-MARK-DROP -".to_owned())
        );
        assert_eq!(
            lasting_unit("etcd.service loaded active running etcd"),
            Some("etcd.service active".to_owned())
        );
        assert_eq!(
            lasting_unit("session-3.scope loaded active running Session"),
            None
        );
        assert_eq!(lasting_process("etcd\n"), Some("etcd".to_owned()));
        assert_eq!(lasting_process("sshd"), None);
    }
}
