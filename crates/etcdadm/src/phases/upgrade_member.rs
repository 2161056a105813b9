//! The member, running the release that is installed: leadership handed over first, restarted, in sync again.

use std::cell::Cell;
use std::time::Duration;

use etcd::Waits;
use host::{Phase, UnitActivity};

use crate::phases::restart_member::hand_over;
use crate::start::Start;
use crate::survey::Reach;
use crate::{Change, Error, Machine, View, paths};

/// How long a member may take to be in sync again.
const LIMIT: Duration = Duration::from_secs(600);

/// Restarts the member.
pub(crate) struct UpgradeMember<'c> {
    reach: Reach<'c>,
    /// In a dry run nobody becomes another release: it is told once.
    told: Cell<bool>,
}

impl<'c> UpgradeMember<'c> {
    /// Asks the cluster through `reach`.
    pub(crate) fn new(reach: Reach<'c>) -> Self {
        let told = Cell::new(false);
        Self { reach, told }
    }
}

impl<'a> Phase<Machine<'a>> for UpgradeMember<'_> {
    fn name(&self) -> &'static str {
        "upgrade-member"
    }

    fn about(&self) -> &'static str {
        "hand leadership over, restart etcd as the new release, wait until it serves again"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let configuration = self.reach.configuration;
        let credentials = self.reach.credentials(seen)?;
        let local = configuration.local_url();
        let active = seen.host().unit(paths::UNIT)?.activity == UnitActivity::Active;
        let status = seen.etcd().status(&local, &credentials);
        let wanted = configuration.version.bare();
        let start = |restart| start(restart, wanted.to_string());
        let mut plan = Vec::new();
        match status {
            _ if !active => plan.push(start(false)),
            Ok(status) if status.version == wanted => return Ok(plan),
            Ok(_) => {
                plan.extend(hand_over(&self.reach, seen, &local)?);
                plan.push(start(true));
            }
            Err(_) => {
                let (endpoint, waits) = (local, Waits::seconds(120));
                plan.push(etcd::Change::AwaitHealthy { endpoint, waits }.into());
            }
        }
        let dry = seen.host().is_dry_run() && matches!(plan.first(), Some(Change::Start(_)));
        if dry && self.told.replace(true) {
            return Ok(Vec::new());
        }
        Ok(plan)
    }
}

/// The start of a member that has data, as a release that is `told` so that another one is another change.
pub(super) fn start(restart: bool, told: String) -> Change {
    Change::Start(Start {
        unit: paths::UNIT.to_owned(),
        restart,
        told,
        after: None,
        limit: LIMIT,
        first: false,
    })
}
