//! The cluster as its users will see it, after anything was changed.

use crate::plan::{Action, After, Phase, Plan, View};

/// Waits until the whole cluster works.
#[derive(Debug)]
pub struct VerifyCluster;

impl Phase for VerifyCluster {
    fn name(&self) -> &'static str {
        "verify-cluster"
    }

    fn about(&self) -> &'static str {
        "wait until all nodes are Ready and DNS runs"
    }

    fn plan(&self, view: &View<'_>, plan: &mut Plan) {
        let of = |action: &Action| {
            matches!(
                action,
                Action::InitControlPlane | Action::JoinControlPlane | Action::JoinWorker
            )
        };
        let after: Vec<After> = plan
            .which(|step| of(&step.action))
            .map(After::Done)
            .collect();
        let host =
            super::StartControlPlane::host(view).or_else(|| view.goal.masters().first().cloned());
        if let Some(host) = host
            && !after.is_empty()
        {
            plan.add(self.name(), Some(&host), Action::Verify, after);
        }
    }
}
