//! The unit, neither running nor started at boot.

use host::{Phase, UnitAction, UnitActivity};

use crate::{Change, Error, Machine, View, paths};

/// Stops the member.
pub(crate) struct StopMember;

impl<'a> Phase<Machine<'a>> for StopMember {
    fn name(&self) -> &'static str {
        "stop-member"
    }

    fn about(&self) -> &'static str {
        "stop etcd, and no longer start it at boot"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let unit = seen.host().unit(paths::UNIT)?;
        let mut plan = Vec::new();
        match unit.activity {
            UnitActivity::Inactive => {}
            UnitActivity::Failed => plan.push(UnitAction::ResetFailed),
            _ => plan.push(UnitAction::Stop),
        }
        if unit.enabled {
            plan.push(UnitAction::Disable);
        }
        Ok(plan
            .into_iter()
            .map(|action| host::Change::unit(paths::UNIT, action).into())
            .collect())
    }
}
