//! The member, running the release that is installed: leadership handed over first, restarted, in sync again.

use etcd::Waits;
use host::Phase;

use crate::phases::restart_member::hand_over;
use crate::start::{Start, ToldOnce};
use crate::survey::Reach;
use crate::{Change, Error, Machine, View, runs};

/// Restarts the member.
pub(crate) struct UpgradeMember<'c> {
    reach: Reach<'c>,
    told: ToldOnce,
}

impl<'c> UpgradeMember<'c> {
    /// Asks the cluster through `reach`.
    pub(crate) fn new(reach: Reach<'c>) -> Self {
        Self {
            reach,
            told: ToldOnce::default(),
        }
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
        let active = runs::member(seen, configuration)?.is_active();
        let status = seen.etcd().status(&local, &credentials);
        let wanted = configuration.version.bare();
        let start =
            |restart| Change::Start(Start::of_member(configuration, restart, wanted.to_string()));
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
        Ok(self.told.leave(seen.host(), plan))
    }
}
