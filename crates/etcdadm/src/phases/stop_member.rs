//! The unit, neither running nor started at boot.

use std::path::Path;

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
        let mut plan: Vec<Change> = Vec::new();
        let action = match unit.activity {
            UnitActivity::Inactive => None,
            UnitActivity::Failed => Some(UnitAction::ResetFailed),
            _ => Some(UnitAction::Stop),
        };
        plan.extend(action.map(|action| host::Change::unit(paths::UNIT, action).into()));
        let link = Path::new(paths::UNIT_LINK);
        if seen.host().stat(link)?.is_some() {
            plan.push(
                host::Change::Remove {
                    path: link.to_owned(),
                }
                .into(),
            );
        }
        Ok(plan)
    }
}
