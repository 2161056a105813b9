//! The snapshot, sent to the host that begins etcd anew, and proven there before anything is touched.

use super::start_control_plane::StartControlPlane;
use crate::plan::{Action, After, Phase, Plan, View};

/// Sends the snapshot and proves it.
#[derive(Debug)]
pub struct ProveSnapshot;

/// The host that begins etcd anew: that of the first control plane, where it has a member.
pub(super) fn first(view: &View<'_>) -> Option<String> {
    let members = view.goal.members();
    StartControlPlane::host(view)
        .filter(|host| members.contains(host))
        .or_else(|| members.into_iter().next())
}

impl Phase for ProveSnapshot {
    fn name(&self) -> &'static str {
        "prove-snapshot"
    }

    fn about(&self) -> &'static str {
        "send the snapshot and prove that it can be restored"
    }

    fn plan(&self, view: &View<'_>, plan: &mut Plan) {
        let (Some(recovery), Some(host)) = (view.recovery, first(view)) else {
            return;
        };
        if recovery.restored {
            return;
        }
        let sent = plan.add(self.name(), Some(&host), Action::SendSnapshot, Vec::new());
        // What was fenced already was proven before.
        if recovery.fenced.is_empty() {
            let mut after = plan.done(&host, &[Action::SendEtcd]);
            after.push(After::Done(sent));
            plan.add(self.name(), Some(&host), Action::ProveSnapshot, after);
        }
    }
}
