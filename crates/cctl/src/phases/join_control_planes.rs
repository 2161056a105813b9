//! The other control planes, all at once, as soon as the first API answers.

use super::API_READY;
use super::send_artifacts::node_wanted;
use super::start_control_plane::{StartControlPlane, waits};
use crate::plan::{Action, After, Phase, Plan, View};

/// Joins the other control planes.
#[derive(Debug)]
pub struct JoinControlPlanes;

impl Phase for JoinControlPlanes {
    fn name(&self) -> &'static str {
        "join-control-planes"
    }

    fn about(&self) -> &'static str {
        "join the other control planes, all at once"
    }

    fn plan(&self, view: &View<'_>, plan: &mut Plan) {
        let first = StartControlPlane::host(view);
        for host in view.goal.masters() {
            if Some(&host) == first.as_ref() || !node_wanted(view.seen.get(&host)) {
                continue;
            }
            let mut after = waits(view, plan, &host);
            after.extend(
                plan.which(|step| step.action == Action::InitControlPlane)
                    .map(|number| After::Reached(number, API_READY)),
            );
            let number = plan.add(self.name(), Some(&host), Action::JoinControlPlane, after);
            plan.steps[number].changes = view
                .seen
                .get(&host)
                .and_then(|seen| seen.node.clone())
                .unwrap_or_default();
        }
    }
}
