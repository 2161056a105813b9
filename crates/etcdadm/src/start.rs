//! Starting the member and waiting until it is ready.
//!
//! etcd tells systemd when it has joined its cluster, which takes as long as the data is large. A member that joins beside
//! others may find that the cluster has changed since its configuration was written; it says so and ends. That is no
//! failure: the next look sees the new member list.

use std::fmt;
use std::time::{Duration, Instant};

use host::{Host, Query, UnitAction, UnitActivity};
use serde::Serialize;

use crate::Error;

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

impl Start {
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
        // systemd tells at once when it is ready or has failed, but not beyond the limit of a single program.
        match host.apply(&host::Change::unit(&self.unit, UnitAction::Start)) {
            Err(host::Error::Unit { .. }) => return self.failed(host),
            Err(host::Error::Timeout { .. }) => {}
            other => return Ok(other?),
        }
        let begun = Instant::now();
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

    fn failed(&self, host: &mut dyn Host) -> Result<(), Error> {
        let log = log(host, &self.unit);
        // It would be started over and over with what it cannot use. The failure itself is what there is to tell.
        for action in [UnitAction::Stop, UnitAction::ResetFailed] {
            let _ = host.apply(&host::Change::unit(&self.unit, action));
        }
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
    let text = output.text();
    let telling: Vec<&str> = text
        .lines()
        .filter(|line| !line.contains("\"level\":\"info\""))
        .collect();
    telling[telling.len().saturating_sub(8)..].join("\n")
}
