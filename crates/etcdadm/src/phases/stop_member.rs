//! The member, neither running nor started at boot.

use std::path::Path;

use host::Phase;

use crate::{Change, Configuration, Error, Machine, View, paths};

/// Stops the member.
pub(crate) struct StopMember<'c>(pub(crate) &'c Configuration);

impl<'a> Phase<Machine<'a>> for StopMember<'_> {
    fn name(&self) -> &'static str {
        "stop-member"
    }

    fn about(&self) -> &'static str {
        "stop etcd, and no longer start it at boot"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let mut plan: Vec<Change> = Vec::new();
        plan.extend(self.0.runs().stop(seen.host())?);
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
