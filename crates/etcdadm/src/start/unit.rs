//! The start of a unit. etcd tells systemd when it has joined its cluster.

use std::time::Instant;

use host::{Host, Query, UnitAction, UnitActivity};

use super::{POLL, Start, telling, was_told_wrong};
use crate::{Error, paths};

const UNIT: &str = paths::UNIT;

pub(super) fn start(
    start: &Start,
    host: &mut dyn Host,
    note: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    if start.restart {
        host.apply(&host::Change::unit(UNIT, UnitAction::Stop))?;
    }
    let begun = Instant::now();
    // systemd tells at once when it is ready or has failed, but not beyond the limit of a single program.
    let change = if start.first && !host.is_dry_run() {
        let run = host::Run::new("systemctl", ["--quiet", "start", UNIT]);
        host::Change::Run(run.within(start.limit))
    } else {
        host::Change::unit(UNIT, UnitAction::Start)
    };
    match host.apply(&change) {
        Err(host::Error::Unit { .. } | host::Error::Failed { .. }) => return failed(host),
        Err(host::Error::Timeout { .. }) => {}
        other => return Ok(other?),
    }
    if start.first {
        return given_up(start, host);
    }
    note(&format!(
        "{UNIT} is still not ready, waiting (at most {} s)",
        start.limit.as_secs()
    ));
    loop {
        let unit = host.unit(UNIT)?;
        match unit.activity {
            UnitActivity::Active => return Ok(()),
            // Without a process it waits to be restarted: it has ended.
            UnitActivity::Activating if unit.main_pid != 0 => {}
            _ => return failed(host),
        }
        if begun.elapsed() > start.limit {
            return Err(Error::Start {
                unit: UNIT.to_owned(),
                what: "not ready in time",
                log: log(host),
            });
        }
        std::thread::sleep(POLL);
    }
}

/// A first member that is never ready waits for itself: a majority of one.
fn given_up(start: &Start, host: &mut dyn Host) -> Result<(), Error> {
    let log = log(host);
    stop(host);
    Err(Error::NeverReady {
        unit: UNIT.to_owned(),
        seconds: start.limit.as_secs(),
        log,
    })
}

/// It would be started over and over with what it cannot use. The failure itself is what there is to tell.
fn stop(host: &mut dyn Host) {
    for action in [UnitAction::Stop, UnitAction::ResetFailed] {
        let _ = host.apply(&host::Change::unit(UNIT, action));
    }
}

fn failed(host: &mut dyn Host) -> Result<(), Error> {
    let log = log(host);
    stop(host);
    if was_told_wrong(&log) {
        return Ok(());
    }
    Err(Error::Start {
        unit: UNIT.to_owned(),
        what: "ended",
        log,
    })
}

/// The end of the unit's log, without what etcd says when all goes well.
fn log(host: &dyn Host) -> String {
    let arguments = [
        "--no-pager",
        "--quiet",
        "--output=cat",
        "--lines=60",
        "--unit",
        UNIT,
    ];
    let Ok(output) = host.query(&Query::new("journalctl", arguments)) else {
        return String::new();
    };
    telling(&output.text())
}
