//! What hosts lack of the bundle goes out: etcd first, since all else waits for it.

use crate::goal::Seen;
use crate::plan::{Action, Phase, Plan, View};

/// Sends what hosts lack.
#[derive(Debug)]
pub struct SendArtifacts;

/// Whether the tool has work to do on this host; one that was never looked at has.
pub(super) fn etcd_wanted(seen: Option<&Seen>) -> bool {
    seen.is_none_or(|seen| {
        seen.member.is_none() || seen.etcd.as_ref().is_none_or(|changes| !changes.is_empty())
    })
}

pub(super) fn node_wanted(seen: Option<&Seen>) -> bool {
    seen.and_then(|seen| seen.node.as_ref())
        .is_none_or(|changes| !changes.is_empty())
}

impl Phase for SendArtifacts {
    fn name(&self) -> &'static str {
        "send-artifacts"
    }

    fn about(&self) -> &'static str {
        "send hosts what they lack of the bundle"
    }

    fn plan(&self, view: &View<'_>, plan: &mut Plan) {
        if view.goal.artifacts.is_none() {
            return;
        }
        for host in view.goal.members() {
            if etcd_wanted(view.seen.get(&host)) {
                plan.add(self.name(), Some(&host), Action::SendEtcd, Vec::new());
            }
        }
        for host in view.goal.kubernetes() {
            if node_wanted(view.seen.get(&host)) {
                // One stream a host at a time, and etcd's before.
                let after = plan.done(&host, &[Action::SendEtcd]);
                plan.add(self.name(), Some(&host), Action::SendKubernetes, after);
            }
        }
    }
}
