//! Workers, all at once, each with a token of its own.

use super::JOINING_ALLOWED;
use super::send_artifacts::node_wanted;
use super::start_control_plane::ready;
use crate::plan::{Action, After, Phase, Plan, View};

/// Joins workers.
#[derive(Debug)]
pub struct JoinWorkers;

impl Phase for JoinWorkers {
    fn name(&self) -> &'static str {
        "join-workers"
    }

    fn about(&self) -> &'static str {
        "join all workers at once, each with a short-lived token"
    }

    fn plan(&self, view: &View<'_>, plan: &mut Plan) {
        let wanted: Vec<String> = view
            .goal
            .nodes()
            .into_iter()
            .filter(|host| node_wanted(view.seen.get(host)))
            .collect();
        if wanted.is_empty() {
            return;
        }
        let allowed: Vec<After> = plan
            .which(|step| step.action == Action::InitControlPlane)
            .map(|number| After::Reached(number, JOINING_ALLOWED))
            .collect();
        // Tokens are made where an API server is: on the first control plane, else on any.
        let on =
            super::StartControlPlane::host(view).or_else(|| view.goal.masters().first().cloned());
        let Some(on) = on else { return };
        // A worker that has its certificate needs no token.
        let tokenless = |host: &String| {
            let changes = view.seen.get(host).and_then(|seen| seen.node.as_ref());
            changes.is_some_and(|all| !all.iter().any(|change| change.phase == "join-cluster"))
        };
        let workers: Vec<String> = wanted
            .iter()
            .filter(|host| !tokenless(host))
            .cloned()
            .collect();
        let tokens = (!workers.is_empty()).then(|| {
            plan.add(
                self.name(),
                Some(&on),
                Action::MakeTokens { workers },
                allowed,
            )
        });
        for host in wanted {
            let mut after = ready(plan, &host);
            after.extend(tokens.filter(|_| !tokenless(&host)).map(After::Done));
            let number = plan.add(self.name(), Some(&host), Action::JoinWorker, after);
            plan.steps[number].changes = view
                .seen
                .get(&host)
                .and_then(|seen| seen.node.clone())
                .unwrap_or_default();
        }
    }
}
