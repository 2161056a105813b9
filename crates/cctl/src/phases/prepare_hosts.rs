//! Runtime, programs and images on all hosts, while etcd forms.

use super::send_artifacts::node_wanted;
use crate::plan::{Action, Phase, Plan, View};

/// Prepares hosts that nodeadm has not finished yet.
#[derive(Debug)]
pub struct PrepareHosts;

impl Phase for PrepareHosts {
    fn name(&self) -> &'static str {
        "prepare-hosts"
    }

    fn about(&self) -> &'static str {
        "install runtime, programs and images on all hosts at once"
    }

    fn plan(&self, view: &View<'_>, plan: &mut Plan) {
        for host in view.goal.kubernetes() {
            if node_wanted(view.seen.get(&host)) {
                let after = plan.done(&host, &[Action::SendKubernetes]);
                plan.add(self.name(), Some(&host), Action::Prepare, after);
            }
        }
    }
}
