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
const POLL: Duration = Duration::from_millis(20);
/// How long a unit may show no life after it was asked to start.
const SETTLE: Duration = Duration::from_secs(3);
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
        host.apply(&host::Change::unit(
            &self.unit,
            UnitAction::StartInBackground,
        ))?;
        let begun = Instant::now();
        let mut ran = false;
        let mut told = false;
        loop {
            let unit = host.unit(&self.unit)?;
            match unit.activity {
                UnitActivity::Active => return Ok(()),
                UnitActivity::Failed => return self.failed(host),
                // Waiting to be restarted: it has run, and ended.
                UnitActivity::Activating if unit.main_pid == 0 && ran => return self.failed(host),
                UnitActivity::Activating => ran |= unit.main_pid != 0,
                UnitActivity::Inactive | UnitActivity::Deactivating if ran => {
                    return self.failed(host);
                }
                UnitActivity::Inactive | UnitActivity::Deactivating if begun.elapsed() > SETTLE => {
                    return self.failed(host);
                }
                UnitActivity::Inactive | UnitActivity::Deactivating => {}
            }
            if begun.elapsed() > self.limit {
                return Err(Error::Start {
                    unit: self.unit.clone(),
                    what: "not ready in time",
                    log: log(host, &self.unit),
                });
            }
            if !told && begun.elapsed() > Duration::from_secs(2) {
                note(&format!(
                    "waiting until {} is ready (at most {} s)",
                    self.unit,
                    self.limit.as_secs()
                ));
                told = true;
            }
            std::thread::sleep(POLL);
        }
    }

    fn failed(&self, host: &mut dyn Host) -> Result<(), Error> {
        let log = log(host, &self.unit);
        // It would be started over and over with what it cannot use.
        host.apply(&host::Change::unit(&self.unit, UnitAction::Stop))?;
        host.apply(&host::Change::unit(&self.unit, UnitAction::ResetFailed))?;
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
