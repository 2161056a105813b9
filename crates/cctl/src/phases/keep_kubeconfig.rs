//! The admin's kubeconfig, sealed in the state once there is a cluster that it leads to.

use crate::plan::{Action, After, Phase, Plan, View};

/// Keeps the kubeconfig.
#[derive(Debug)]
pub struct KeepKubeconfig;

impl Phase for KeepKubeconfig {
    fn name(&self) -> &'static str {
        "keep-kubeconfig"
    }

    fn about(&self) -> &'static str {
        "keep the admin's kubeconfig, sealed in the state"
    }

    fn plan(&self, _: &View<'_>, plan: &mut Plan) {
        let after: Vec<After> = plan
            .which(|step| step.action == Action::InitControlPlane)
            .map(After::Done)
            .collect();
        if !after.is_empty() {
            plan.add(self.name(), None, Action::KeepKubeconfig, after);
        }
    }
}
