//! Starting the member and waiting until it is ready.
//!
//! That takes as long as the data is large. A member that joins beside others may find that the cluster has changed since
//! its configuration was written; it says so and ends. That is no failure: the next look sees the new member list.

pub(crate) mod pod;
mod unit;

use std::cell::Cell;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use etcd::Observe;
use host::{Host, Inspect};
use serde::Serialize;

use crate::runs::Runs;
use crate::{Change, Configuration, Error};

/// How often the member is looked at.
const POLL: Duration = Duration::from_millis(100);
/// What etcd says when the member list that it was given is no longer the cluster's.
const OUTDATED: [&str; 2] = [
    "member count is unequal",
    "unmatched member while checking PeerURLs",
];

/// Start the member and wait until it is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Start {
    /// What keeps it running.
    pub runs: Runs,
    /// Stop it first, if it runs.
    pub restart: bool,
    /// The members that it was told of; another list makes it another change.
    pub told: String,
    /// Members that are waited for first.
    pub after: Option<etcd::Change>,
    /// When to give up.
    #[serde(skip)]
    pub limit: Duration,
    /// Nothing of the member's is worth waiting for longer: where it is given up, it is stopped.
    #[serde(skip)]
    pub first: bool,
}

/// In a dry run nothing becomes of a start, and it would be planned again and again: it is told once.
#[derive(Debug, Default)]
pub(crate) struct ToldOnce(Cell<bool>);

impl ToldOnce {
    /// The plan; nothing where it begins with a start that a dry run has told of.
    pub(crate) fn leave(&self, seen: &dyn Inspect, plan: Vec<Change>) -> Vec<Change> {
        let rehearsed = seen.is_dry_run() && matches!(plan.first(), Some(Change::Start(_)));
        if rehearsed && self.0.replace(true) {
            Vec::new()
        } else {
            plan
        }
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} and wait until it is ready",
            if self.restart { "restart" } else { "start" },
            self.runs.name()
        )
    }
}

/// How long a member that has data may take to be in sync again.
const LIMIT: Duration = Duration::from_secs(600);

impl Start {
    /// The start of a member that has data. What it is `told` makes another change of another start.
    pub(crate) fn of_member(
        configuration: &Configuration,
        restart: bool,
        told: impl Into<String>,
    ) -> Self {
        Self {
            runs: configuration.runs(),
            restart,
            told: told.into(),
            after: None,
            limit: LIMIT,
            first: false,
        }
    }

    /// Makes the change. `ask`: the member, shown the pair in this folder, where nobody else tells whether it is ready.
    ///
    /// # Errors
    /// [`Error::Start`] with the end of its log.
    pub(crate) fn apply(
        &self,
        host: &mut dyn Host,
        ask: (&dyn Observe, &Path),
        note: &mut dyn FnMut(&str),
    ) -> Result<(), Error> {
        match &self.runs {
            Runs::Unit => unit::start(self, host, note),
            Runs::Pod(pod) => pod::start(self, pod, host, ask, note),
        }
    }
}

/// Whether a member that ended says that it must be told of other members.
fn was_told_wrong(log: &str) -> bool {
    OUTDATED.iter().any(|text| log.contains(text))
}

/// The last lines that tell something: neither what goes well nor the calls that led to a panic.
fn telling(log: &str) -> String {
    let call = |line: &str| {
        line.starts_with(['\t', ' '])
            || line.starts_with("goroutine ")
            || line.starts_with("created by ")
            || line.ends_with(')')
                && line
                    .split_once('(')
                    .is_some_and(|(called, _)| called.contains('.') && !called.contains([' ', '{']))
    };
    let lines: Vec<String> = log
        .lines()
        .filter(|line| {
            !line.trim().is_empty() && !line.contains("\"level\":\"info\"") && !call(line)
        })
        .map(|line| match line.split_once(",\"stacktrace\":") {
            Some((before, _)) => format!("{before}}}"),
            None => line.to_owned(),
        })
        .collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

#[cfg(test)]
mod tests {
    #[test]
    fn of_a_panic_the_reason_is_told() {
        let log = concat!(
            "{\"level\":\"info\",\"msg\":\"starting\"}\n",
            "{\"level\":\"fatal\",\"msg\":\"failed to commit tx\",\"error\":\"no space left on device\",\"stacktrace\":\"go.etcd.io/x\\n\"}\n",
            "panic: failed to create WAL\n\n",
            "goroutine 1 [running]:\n",
            "go.uber.org/zap/zapcore.CheckWriteAction.OnWrite(0x2, 0x0?, {0x0?, 0x0?, 0x1?})\n",
            "\tgo.uber.org/zap@v1.27.0/zapcore/entry.go:196 +0x54\n",
            "main.main()\n",
            "etcd.service: Main process exited, code=exited, status=2/INVALIDARGUMENT\n",
        );
        insta::assert_snapshot!(super::telling(log), @r#"
        {"level":"fatal","msg":"failed to commit tx","error":"no space left on device"}
        panic: failed to create WAL
        etcd.service: Main process exited, code=exited, status=2/INVALIDARGUMENT
        "#);
    }
}
