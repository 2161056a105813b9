//! What the snapshot says of who led and of hosts that are gone is not so any more, and kubelets that listened to the old
//! API believe what they heard last: the leases and Nodes go, every kubelet looks anew, and every Node shows that it runs
//! what it is told to, since one that is blind looks Ready.

use super::API_READY;
use super::start_control_plane::StartControlPlane;
use crate::plan::{Action, After, Phase, Plan, View};

/// Makes the nodes go on with the new control plane.
#[derive(Debug)]
pub struct SettleNodes;

impl Phase for SettleNodes {
    fn name(&self) -> &'static str {
        "settle-nodes"
    }

    fn about(&self) -> &'static str {
        "remove what is no longer so, have kubelets look anew, and every node run a new pod"
    }

    fn plan(&self, view: &View<'_>, plan: &mut Plan) {
        let Some(first) = StartControlPlane::host(view) else {
            return;
        };
        let ready: Vec<After> = plan
            .which(|step| step.action == Action::InitControlPlane)
            .map(|number| After::Reached(number, API_READY))
            .collect();
        plan.add(self.name(), Some(&first), Action::CleanUp, ready.clone());
        for host in view.goal.nodes() {
            // A control plane that is a worker, too, has its kubelet started anew.
            if !view.goal.masters().contains(&host) {
                let mut after = ready.clone();
                after.extend(plan.done(&host, &[Action::PointWorker]));
                plan.add(self.name(), Some(&host), Action::RestartKubelet, after);
            }
        }
        let all = (0..plan.steps.len()).map(After::Done).collect();
        plan.add(self.name(), Some(&first), Action::ProveNodes, all);
    }
}
