//! Runtime, programs and images on all hosts, while etcd forms.

use crate::goal::{Pending, Seen};
use crate::plan::{Action, After, Phase, Plan, View};

/// The phases of `nodeadm prepare`; what else is to be changed, `init` and `join` do.
const PREPARING: [&str; 6] = [
    "install-binaries",
    "configure-kernel",
    "start-containerd",
    "install-kubelet-unit",
    "import-images",
    "import-remaining-images",
];

fn wanted(seen: Option<&Seen>) -> bool {
    let preparing = |change: &Pending| PREPARING.contains(&change.phase.as_str());
    seen.and_then(|seen| seen.node.as_ref())
        .is_none_or(|changes| changes.iter().any(preparing))
}

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
            if wanted(view.seen.get(&host)) {
                let own = [
                    Action::SendKubernetes,
                    Action::FenceControlPlane,
                    Action::FenceMember,
                ];
                let mut after = plan.done(&host, &own);
                // In a recovery, nothing is touched before the snapshot is proven.
                after.extend(
                    plan.which(|step| step.action == Action::ProveSnapshot)
                        .map(After::Done),
                );
                plan.add(self.name(), Some(&host), Action::Prepare, after);
            }
        }
    }
}
