//! The old control planes and members, stopped for good: whoever still listens to one of them must hear nothing, and no
//! write may go to what is lost.

use crate::plan::{Action, After, Phase, Plan, View};

/// Fences all hosts that may serve the old data.
#[derive(Debug)]
pub struct FenceControlPlanes;

impl Phase for FenceControlPlanes {
    fn name(&self) -> &'static str {
        "fence-control-planes"
    }

    fn about(&self) -> &'static str {
        "stop the old control planes and members for good, all at once"
    }

    fn plan(&self, view: &View<'_>, plan: &mut Plan) {
        let Some(recovery) = view.recovery.filter(|recovery| !recovery.restored) else {
            return;
        };
        let proven: Vec<After> = plan
            .which(|step| step.action == Action::ProveSnapshot)
            .map(After::Done)
            .collect();
        let (masters, members) = (view.goal.masters(), view.goal.members());
        for host in view
            .seen
            .keys()
            .filter(|host| !recovery.fenced.contains(host))
        {
            let mut after = proven.clone();
            let replaced = recovery.replaced.contains_key(host);
            if replaced || masters.contains(host) {
                let number = plan.add(self.name(), Some(host), Action::FenceControlPlane, after);
                after = vec![After::Done(number)];
            }
            if replaced || members.contains(host) {
                plan.add(self.name(), Some(host), Action::FenceMember, after);
            }
        }
    }
}
