//! Old control planes that are back after the cluster went on without them: stopped for good, as a recovery would have done
//! had it reached them.

use crate::plan::{Action, After, Phase, Plan, View};

/// Fences hosts that were given up.
#[derive(Debug)]
pub struct FenceOldHosts {
    /// Those that are back, by address.
    pub hosts: Vec<String>,
}

impl Phase for FenceOldHosts {
    fn name(&self) -> &'static str {
        "fence-old-hosts"
    }

    fn about(&self) -> &'static str {
        "stop old control planes and members that are back, all at once"
    }

    fn plan(&self, _: &View<'_>, plan: &mut Plan) {
        for host in &self.hosts {
            // What answers at the endpoint's address goes first.
            let action = Action::FenceControlPlane;
            let stopped = plan.add(self.name(), Some(host), action, Vec::new());
            let after = vec![After::Done(stopped)];
            plan.add(self.name(), Some(host), Action::FenceMember, after);
        }
    }
}
