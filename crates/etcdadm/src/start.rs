//! Starting the member and waiting until it is ready.
//!
//! etcd tells systemd when it has joined its cluster, which takes as long as the data is large. A member that joins beside
//! others may find that the cluster has changed since its configuration was written; it says so and ends. That is no
//! failure: the next look sees the new member list.

use std::cell::Cell;
use std::fmt;
use std::time::{Duration, Instant};

use host::{Host, Inspect, Query, UnitAction, UnitActivity};
use serde::Serialize;

use crate::{Change, Error, paths};

/// How often the unit is looked at.
const POLL: Duration = Duration::from_millis(100);
/// What etcd says when the member list that it was given is no longer the cluster's.
const OUTDATED: [&str; 2] = [
    "member count is unequal",
    "unmatched member while checking PeerURLs",
];

/// Start a unit and wait until it is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Start {
    /// The unit.
    pub unit: String,
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
            self.unit
        )
    }
}

/// How long a member that has data may take to be in sync again.
const LIMIT: Duration = Duration::from_secs(600);

impl Start {
    /// The start of a member that has data. What it is `told` makes another change of another start.
    pub(crate) fn of_member(restart: bool, told: impl Into<String>) -> Self {
        Self {
            unit: paths::UNIT.to_owned(),
            restart,
            told: told.into(),
            after: None,
            limit: LIMIT,
            first: false,
        }
    }

    /// Makes the change.
    ///
    /// # Errors
    /// [`Error::Start`] with the end of the unit's log.
    pub(crate) fn apply(
        &self,
        host: &mut dyn Host,
        note: &mut dyn FnMut(&str),
    ) -> Result<(), Error> {
        if self.restart {
            host.apply(&host::Change::unit(&self.unit, UnitAction::Stop))?;
        }
        let begun = Instant::now();
        // systemd tells at once when it is ready or has failed, but not beyond the limit of a single program.
        let start = if self.first && !host.is_dry_run() {
            let start = ["--quiet", "start", self.unit.as_str()];
            host::Change::Run(host::Run::new("systemctl", start).within(self.limit))
        } else {
            host::Change::unit(&self.unit, UnitAction::Start)
        };
        match host.apply(&start) {
            Err(host::Error::Unit { .. } | host::Error::Failed { .. }) => return self.failed(host),
            Err(host::Error::Timeout { .. }) => {}
            other => return Ok(other?),
        }
        if self.first {
            return self.given_up(host);
        }
        note(&format!(
            "{} is still not ready, waiting (at most {} s)",
            self.unit,
            self.limit.as_secs()
        ));
        loop {
            let unit = host.unit(&self.unit)?;
            match unit.activity {
                UnitActivity::Active => return Ok(()),
                // Without a process it waits to be restarted: it has ended.
                UnitActivity::Activating if unit.main_pid != 0 => {}
                _ => return self.failed(host),
            }
            if begun.elapsed() > self.limit {
                let (unit, what) = (self.unit.clone(), "not ready in time");
                return Err(Error::Start {
                    unit,
                    what,
                    log: log(host, &self.unit),
                });
            }
            std::thread::sleep(POLL);
        }
    }

    /// A first member that is never ready waits for itself: a majority of one.
    fn given_up(&self, host: &mut dyn Host) -> Result<(), Error> {
        let log = log(host, &self.unit);
        self.stop(host);
        Err(Error::NeverReady {
            unit: self.unit.clone(),
            seconds: self.limit.as_secs(),
            log,
        })
    }

    /// It would be started over and over with what it cannot use. The failure itself is what there is to tell.
    fn stop(&self, host: &mut dyn Host) {
        for action in [UnitAction::Stop, UnitAction::ResetFailed] {
            let _ = host.apply(&host::Change::unit(&self.unit, action));
        }
    }

    fn failed(&self, host: &mut dyn Host) -> Result<(), Error> {
        let log = log(host, &self.unit);
        self.stop(host);
        if OUTDATED.iter().any(|text| log.contains(text)) {
            return Ok(());
        }
        Err(Error::Start {
            unit: self.unit.clone(),
            what: "ended",
            log,
        })
    }
}

/// The end of a unit's log, without what etcd says when all goes well.
fn log(host: &dyn Host, unit: &str) -> String {
    let arguments = [
        "--no-pager",
        "--quiet",
        "--output=cat",
        "--lines=60",
        "--unit",
        unit,
    ];
    let Ok(output) = host.query(&Query::new("journalctl", arguments)) else {
        return String::new();
    };
    telling(&output.text())
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
