//! The first control plane, as soon as its host's member serves.

use super::send_artifacts::node_wanted;
use crate::plan::{Action, After, Phase, Plan, View};

/// Starts the first control plane, or makes it right where it exists.
#[derive(Debug)]
pub struct StartControlPlane;

impl StartControlPlane {
    /// The host of the first control plane: the one that says so, else, while there is none yet, the first.
    pub(super) fn host(view: &View<'_>) -> Option<String> {
        let masters = view.goal.masters();
        let says = |host: &&String| view.seen.get(*host).is_some_and(|seen| seen.facts.first);
        let found = masters.iter().find(says).cloned();
        let exists = view.started.control_plane;
        found.or_else(|| masters.first().filter(|_| !exists).cloned())
    }
}

impl Phase for StartControlPlane {
    fn name(&self) -> &'static str {
        "start-control-plane"
    }

    fn about(&self) -> &'static str {
        "make the first control plane, with network and DNS"
    }

    fn plan(&self, view: &View<'_>, plan: &mut Plan) {
        let Some(host) = Self::host(view) else { return };
        if !node_wanted(view.seen.get(&host)) {
            return;
        }
        let number = plan.add(
            self.name(),
            Some(&host),
            Action::InitControlPlane,
            waits(view, plan, &host),
        );
        plan.steps[number].changes = view
            .seen
            .get(&host)
            .and_then(|seen| seen.node.clone())
            .unwrap_or_default();
    }
}

/// What makes `host` ready for `nodeadm init` or `join`.
pub(super) fn ready(plan: &Plan, host: &str) -> Vec<After> {
    let prepared = plan.done(host, &[Action::Prepare]);
    if prepared.is_empty() {
        plan.done(host, &[Action::SendKubernetes])
    } else {
        prepared
    }
}

/// What a control plane on `host` waits for: the host itself, and etcd: its own member, or all where it has none.
pub(super) fn waits(view: &View<'_>, plan: &Plan, host: &str) -> Vec<After> {
    let mut after = ready(plan, host);
    after.extend(plan.done(host, &[Action::PutFilesBack]));
    const MEMBER: [Action; 3] = [
        Action::InitMember,
        Action::JoinMember,
        Action::RestoreMember,
    ];
    let own = plan.done(host, &MEMBER);
    if view.goal.members().iter().any(|member| member == host) {
        after.extend(own);
    } else {
        after.extend(
            plan.which(|step| MEMBER.contains(&step.action))
                .map(After::Done),
        );
    }
    after
}
