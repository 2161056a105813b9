//! etcd begun anew from the snapshot on one host; the others join it with empty hands.

use super::prove_snapshot::first;
use crate::plan::{Action, After, Phase, Plan, View};

/// Restores etcd.
#[derive(Debug)]
pub struct RestoreEtcd;

impl Phase for RestoreEtcd {
    fn name(&self) -> &'static str {
        "restore-etcd"
    }

    fn about(&self) -> &'static str {
        "begin etcd anew from the snapshot, then join all others at once"
    }

    fn plan(&self, view: &View<'_>, plan: &mut Plan) {
        let (Some(recovery), Some(first)) = (view.recovery, first(view)) else {
            return;
        };
        let mut before: Vec<After> = Vec::new();
        if !recovery.restored {
            let hindering = [
                Action::MakeEtcdAuthority,
                Action::SendSnapshot,
                Action::ProveSnapshot,
                Action::FenceControlPlane,
                Action::FenceMember,
            ];
            let after = plan
                .which(|step| hindering.contains(&step.action))
                .map(After::Done)
                .chain(plan.done(&first, &[Action::SendEtcd]))
                .collect();
            let number = plan.add(self.name(), Some(&first), Action::RestoreMember, after);
            before.push(After::Done(number));
        }
        for host in view.goal.members().iter().filter(|host| **host != first) {
            let mut after = plan.done(host, &[Action::SendEtcd]);
            after.extend(before.iter().copied());
            plan.add(self.name(), Some(host), Action::JoinMember, after);
        }
    }
}
