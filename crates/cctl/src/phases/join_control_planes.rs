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
        let starting = plan
            .which(|step| step.action == Action::InitControlPlane)
            .next();
        let mut before = starting;
        for host in view.goal.masters() {
            if Some(&host) == first.as_ref() || !node_wanted(view.seen.get(&host)) {
                continue;
            }
            let mut after = waits(view, plan, &host);
            let own = view.seen.get(&host).and_then(|seen| seen.node.clone());
            if own.is_some() {
                // One that serves may have to be restarted: one after the other, or nobody answers.
                after.extend(before.map(After::Done));
            } else {
                after.extend(starting.map(|number| After::Reached(number, API_READY)));
            }
            let serves = own.is_some();
            let number = plan.add(self.name(), Some(&host), Action::JoinControlPlane, after);
            plan.steps[number].changes = own.unwrap_or_default();
            if serves {
                before = Some(number);
            }
        }
    }
}
