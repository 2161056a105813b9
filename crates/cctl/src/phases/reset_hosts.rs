//! The whole cluster taken off its hosts: workers and control planes at once, then etcd, whose data is set aside.

use crate::plan::{Action, After, Phase, Plan, View};

/// Resets all hosts.
#[derive(Debug)]
pub struct ResetHosts;

impl Phase for ResetHosts {
    fn name(&self) -> &'static str {
        "reset-hosts"
    }

    fn about(&self) -> &'static str {
        "take Kubernetes and etcd off all hosts at once"
    }

    fn plan(&self, view: &View<'_>, plan: &mut Plan) {
        for (host, seen) in view.seen {
            let machine = view.goal.machine(host);
            let kubernetes =
                seen.facts.role.is_some() || machine.is_some_and(|m| !m.is(api::Role::Etcd));
            let mut last: Vec<After> = Vec::new();
            if kubernetes {
                last = vec![After::Done(plan.add(
                    self.name(),
                    Some(host),
                    Action::ResetNode,
                    last,
                ))];
            }
            if seen.member.is_some() || view.goal.members().contains(host) {
                last = vec![After::Done(plan.add(
                    self.name(),
                    Some(host),
                    Action::ResetMember { leave: false },
                    last,
                ))];
            }
            plan.add(self.name(), Some(host), Action::Forget, last);
        }
    }
}
