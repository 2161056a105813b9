//! How a host's member runs: whether it does, as which process, and what ends it.
//!
//! Phases ask here and nowhere else, so none of them knows what keeps the member alive.

use std::path::Path;

use host::{Inspect, UnitAction, UnitActivity};
use serde::Serialize;

use crate::pod::{self, Pod};
use crate::{Change, Configuration, Error, View, paths, unit};

/// What keeps the member running.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Runs {
    /// A unit of systemd.
    Unit,
    /// A static pod of the host's kubelet.
    Pod(Pod),
}

/// A member as it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Running {
    /// Whether it does. One that is on its way to serving is activating.
    pub(crate) activity: UnitActivity,
    /// etcd's process, 0 where there is none.
    pub(crate) pid: u32,
}

impl Running {
    pub(crate) fn is_active(self) -> bool {
        self.activity == UnitActivity::Active
    }

    /// Whether nothing of it is left, and nothing will come up by itself.
    pub(crate) fn has_ended(self) -> bool {
        matches!(self.activity, UnitActivity::Inactive | UnitActivity::Failed)
    }
}

/// This host's member as it runs.
pub(crate) fn member(seen: &dyn View, configuration: &Configuration) -> Result<Running, Error> {
    let (host, runs) = (seen.host(), configuration.runs());
    let running = runs.observe(host)?;
    // systemd is told by etcd when it is ready; who is none of its units is asked.
    if let Runs::Pod(pod) = &runs
        && running.is_active()
        && !host.is_dry_run()
        && let Ok(credentials) = crate::machine::credentials(host, configuration.certs_dir())
        && !pod.answers(seen.etcd(), &credentials)
    {
        let activity = UnitActivity::Activating;
        return Ok(Running {
            activity,
            ..running
        });
    }
    Ok(running)
}

impl Runs {
    /// What it is called in messages.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Unit => paths::UNIT,
            Self::Pod(_) => "etcd's pod",
        }
    }

    /// The member as the host alone shows it.
    pub(crate) fn observe(&self, host: &dyn Inspect) -> Result<Running, Error> {
        match self {
            Self::Unit => {
                let unit = host.unit(paths::UNIT)?;
                let (activity, pid) = (unit.activity, unit.main_pid);
                Ok(Running { activity, pid })
            }
            Self::Pod(pod) => {
                let there = host.stat(&pod::place(host)?)?.is_some();
                let pid = pod.process(host)?;
                let activity = match (there, pid) {
                    (true, Some(_)) => UnitActivity::Active,
                    // In a dry run nobody comes of what is planned.
                    (true, None) if host.is_dry_run() => UnitActivity::Active,
                    (true, None) => UnitActivity::Activating,
                    (false, Some(_)) => UnitActivity::Deactivating,
                    (false, None) => UnitActivity::Inactive,
                };
                let pid = pid.unwrap_or(0);
                Ok(Running { activity, pid })
            }
        }
    }

    /// The file besides etcd's environment that it is started from: a member that was started before this was written
    /// runs with what stood there before.
    pub(crate) fn started_from(&self) -> &'static Path {
        match self {
            Self::Unit => Path::new(paths::UNIT_FILE),
            Self::Pod(_) => Path::new(paths::POD),
        }
    }

    /// What makes right what it is started from. Only where all else is `settled` it is asked what systemd has read.
    pub(crate) fn files(
        &self,
        host: &dyn Inspect,
        configuration: &Configuration,
        settled: bool,
    ) -> Result<Vec<Change>, Error> {
        match self {
            Self::Unit => {
                let mut plan = unit::files(host, configuration)?;
                if settled && plan.is_empty() && host.unit(paths::UNIT)?.needs_reload {
                    plan.push(host::Change::ReloadUnits.into());
                }
                Ok(plan)
            }
            Self::Pod(_) => pod::files(host, configuration),
        }
    }

    /// What ends it; nothing where it does not run.
    pub(crate) fn stop(&self, host: &dyn Inspect) -> Result<Option<Change>, Error> {
        match self {
            Self::Unit => {
                let action = match self.observe(host)?.activity {
                    UnitActivity::Inactive => return Ok(None),
                    UnitActivity::Failed => UnitAction::ResetFailed,
                    _ => UnitAction::Stop,
                };
                Ok(Some(host::Change::unit(paths::UNIT, action).into()))
            }
            Self::Pod(pod) => {
                let ended = self.observe(host)?.has_ended();
                Ok((!ended).then(|| Change::End(pod.clone())))
            }
        }
    }
}
