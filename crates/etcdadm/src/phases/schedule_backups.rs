//! Backups by the clock: a timer of systemd's that runs `etcdadm backup run`, and what it is told.

use std::path::{Path, PathBuf};

use host::{Inspect, Phase, UnitAction, UnitActivity};
use systemd::{Command, Unit, Value};

use crate::phases::{file, folder};
use crate::schedule::{Log, Order, seconds};
use crate::{Change, Configuration, Error, Machine, View, paths};

/// Programs that stay where they are are run from there; from elsewhere they are copied.
const LASTING: [&str; 6] = [
    "/usr/bin",
    "/usr/sbin",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/bin",
    "/opt/bin",
];

/// Orders backups.
pub(crate) struct ScheduleBackups {
    pub(crate) order: Order,
    /// This program.
    pub(crate) program: PathBuf,
}

impl<'a> Phase<Machine<'a>> for ScheduleBackups {
    fn name(&self) -> &'static str {
        "schedule-backups"
    }

    fn about(&self) -> &'static str {
        "write what backups are to be and a timer for them, and start it"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let host = seen.host();
        let mut plan = folder(host, &self.order.folder, 0o700)?;
        plan.extend(self.copy(host)?);
        let program = self.order.copy.as_ref().unwrap_or(&self.program);
        plan.extend(file(
            host,
            Path::new(paths::BACKUP_ORDER),
            0o644,
            &self.order.to_text(),
        )?);
        let mut log = Log::read(host)?;
        if log.since == 0 {
            log.since = seconds(seen.now());
            let path = Path::new(paths::BACKUP_LOG);
            plan.extend(file(host, path, 0o644, &log.to_text())?);
        }
        for (path, unit) in [
            (paths::BACKUP_SERVICE, service(&self.order, program)),
            (paths::BACKUP_TIMER, timer(&self.order)),
        ] {
            let text = unit.render().map_err(Error::Unit)?;
            plan.extend(file(host, &units(path), 0o644, &text)?);
        }
        let (link, target) = (Path::new(paths::BACKUP_LINK), units(paths::BACKUP_TIMER));
        if host.read_link(link)?.as_deref() != Some(&target) {
            let above = link.parent().expect("the link lies in a folder");
            plan.extend(folder(host, above, 0o755)?);
            let path = link.to_owned();
            plan.push(host::Change::Link { path, target }.into());
        }
        if !plan.is_empty() {
            return Ok(plan);
        }
        for unit in [paths::BACKUP_SERVICE, paths::BACKUP_TIMER] {
            if host.unit(unit)?.needs_reload {
                return Ok(vec![host::Change::ReloadUnits.into()]);
            }
        }
        if host.unit(paths::BACKUP_TIMER)?.activity != UnitActivity::Active {
            let start = host::Change::unit(paths::BACKUP_TIMER, UnitAction::Start);
            plan.push(start.into());
        }
        Ok(plan)
    }
}

/// Where the program is to be copied to for the timer: nowhere, where it stays as it is.
pub(crate) fn copy_of(program: &Path, configuration: &Configuration) -> Option<PathBuf> {
    let stays = |place: &str| program.parent() == Some(Path::new(place));
    let copy = || configuration.install_dir().join("etcdadm");
    (!LASTING.iter().any(|place| stays(place))).then(copy)
}

impl ScheduleBackups {
    /// Makes the program's copy, where there is to be one.
    fn copy(&self, host: &dyn Inspect) -> Result<Vec<Change>, Error> {
        let Some(copy) = &self.order.copy else {
            return Ok(Vec::new());
        };
        let same = match host.stat(copy)? {
            None => false,
            Some(_) if host.is_dry_run() => true,
            Some(_) => host.digest(copy)? == host.digest(&self.program)?,
        };
        if same || *copy == self.program {
            return Ok(Vec::new());
        }
        let mut plan = folder(host, copy.parent().unwrap_or(copy), 0o755)?;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        // A program that runs cannot be written over, but another can take its place.
        let words = ["-p", "--remove-destination", "--"].map(str::to_owned);
        let words = words.into_iter().chain([text(&self.program), text(copy)]);
        let exists = host::Condition::Exists(copy.clone());
        plan.push(host::Change::Run(host::Run::new("cp", words).making(exists)).into());
        Ok(plan)
    }
}

fn units(name: &str) -> PathBuf {
    Path::new("/etc/systemd/system").join(name)
}

fn service(order: &Order, program: &Path) -> Unit {
    let utf8 = |path: &Path| path.to_string_lossy().into_owned();
    let run = Command::new(utf8(program), ["backup", "run"]);
    let unit = Unit::new("Written by etcdadm.")
        .with("Unit", "Description", "Backup of the etcd cluster")
        .with("Unit", "After", "etcd.service")
        .with(
            "Unit",
            "RequiresMountsFor",
            Value::words([utf8(&order.folder)]),
        )
        .with("Service", "Type", "oneshot")
        .with("Service", "ExecStart", run)
        .with("Service", "TimeoutStartSec", "2h")
        // etcd's own needs come first.
        .with("Service", "Nice", "10")
        .with("Service", "IOSchedulingClass", "idle");
    systemd::harden(unit, &[&utf8(&order.folder), paths::FOLDER])
        // setpriv, which sees to it that a proof's etcd ends with us, sets the capabilities that it has.
        .with("Service", "SystemCallFilter", "capset")
}

fn timer(order: &Order) -> Unit {
    Unit::new("Written by etcdadm.")
        .with(
            "Unit",
            "Description",
            "Backups of the etcd cluster, by whoever leads",
        )
        .with("Timer", "OnCalendar", order.every.calendar())
        // All members look at the same second, so that one of them finds itself leading.
        .with("Timer", "AccuracySec", "1s")
        .with("Timer", "Persistent", "yes")
        .with("Install", "WantedBy", "timers.target")
}

/// Ends backups; those that were taken stay.
pub(crate) struct CancelBackups;

impl<'a> Phase<Machine<'a>> for CancelBackups {
    fn name(&self) -> &'static str {
        "cancel-backups"
    }

    fn about(&self) -> &'static str {
        "stop the timer of backups and remove it; backups stay where they are"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let host = seen.host();
        let mut plan: Vec<Change> = Vec::new();
        let there = |path: &Path| -> Result<bool, Error> { Ok(host.stat(path)?.is_some()) };
        let [service, timer] = [paths::BACKUP_SERVICE, paths::BACKUP_TIMER].map(units);
        if there(&timer)? && host.unit(paths::BACKUP_TIMER)?.activity == UnitActivity::Active {
            plan.push(host::Change::unit(paths::BACKUP_TIMER, UnitAction::Stop).into());
        }
        let mut all: Vec<PathBuf> = vec![paths::BACKUP_LINK.into(), timer];
        all.extend(Order::read(host)?.and_then(|order| order.copy));
        all.push(service);
        all.extend([paths::BACKUP_ORDER, paths::BACKUP_LOG].map(PathBuf::from));
        for path in all {
            if there(&path)? {
                plan.push(host::Change::Remove { path }.into());
            }
        }
        if plan.is_empty() && host.unit(paths::BACKUP_TIMER)?.needs_reload {
            plan.push(host::Change::ReloadUnits.into());
        }
        Ok(plan)
    }
}
