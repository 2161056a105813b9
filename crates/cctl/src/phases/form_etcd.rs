//! etcd: its first member, then all others at once. A cluster that exists is never begun anew, whatever its hosts show.

use super::send_artifacts::etcd_wanted;
use crate::plan::{Action, After, Phase, Plan, View};

/// Forms etcd.
#[derive(Debug)]
pub struct FormEtcd;

impl Phase for FormEtcd {
    fn name(&self) -> &'static str {
        "form-etcd"
    }

    fn about(&self) -> &'static str {
        "make etcd's first member, then join all others at once"
    }

    fn plan(&self, view: &View<'_>, plan: &mut Plan) {
        let members = view.goal.members();
        let exists = view.started.etcd || view.seen.values().any(|seen| seen.member.is_some());
        let (mut first, mut before) = (None, None);
        for host in members {
            if !etcd_wanted(view.seen.get(&host)) {
                continue;
            }
            let before_it = [
                Action::SendEtcd,
                Action::FenceControlPlane,
                Action::FenceMember,
            ];
            let mut after = plan.done(&host, &before_it);
            let own = view.seen.get(&host);
            if !exists && first.is_none() {
                first = Some(plan.add(self.name(), Some(&host), Action::InitMember, after));
                continue;
            }
            after.extend(first.map(After::Done));
            // A member that serves may have to be restarted: one after the other, or quorum is lost.
            let serves = own.is_some_and(|seen| seen.member.is_some());
            if serves {
                after.extend(before.map(After::Done));
            }
            let number = plan.add(self.name(), Some(&host), Action::JoinMember, after);
            plan.steps[number].changes = own.and_then(|seen| seen.etcd.clone()).unwrap_or_default();
            if serves {
                before = Some(number);
            }
        }
    }
}
