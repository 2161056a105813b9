//! Workers pointed to the endpoint that the cluster has from now on, as soon as nobody serves at the old one any more.

use crate::plan::{Action, After, Phase, Plan, View};

/// Points workers to another endpoint.
#[derive(Debug)]
pub struct PointWorkers;

impl Phase for PointWorkers {
    fn name(&self) -> &'static str {
        "point-workers"
    }

    fn about(&self) -> &'static str {
        "point the workers' kubelets to the endpoint, where it is another one from now on"
    }

    fn plan(&self, view: &View<'_>, plan: &mut Plan) {
        if view
            .recovery
            .is_none_or(|recovery| recovery.moved_from.is_none())
        {
            return;
        }
        const BEFORE: [Action; 3] = [
            Action::ProveSnapshot,
            Action::FenceControlPlane,
            Action::FenceMember,
        ];
        let after: Vec<After> = plan
            .which(|step| BEFORE.contains(&step.action))
            .map(After::Done)
            .collect();
        let masters = view.goal.masters();
        for host in view.goal.nodes() {
            // A control plane that is a worker, too, is made anew.
            if !masters.contains(&host) {
                plan.add(self.name(), Some(&host), Action::PointWorker, after.clone());
            }
        }
    }
}
