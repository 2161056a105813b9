//! A machine taken out of its cluster, from the outside in: its pods, its Node, its member, then what lies on it.

use crate::plan::{Action, After, Phase, Plan, View};

/// Removes one machine.
#[derive(Debug)]
pub struct RemoveMachine {
    /// Its address.
    pub address: String,
    /// Its Node's name, if it has one.
    pub node: Option<String>,
    /// Its member's id, if it has one.
    pub member: Option<String>,
    /// Whether its pods are evicted first.
    pub drain: bool,
    /// How long that may take, in seconds.
    pub timeout: u64,
    /// Whether it can be reached; one that cannot is only taken out of the cluster.
    pub reached: bool,
    /// Whether its place in the cluster stays, for what comes after it.
    pub stays: bool,
    /// A control plane that stays, which the cluster is spoken to through.
    pub through: Option<String>,
    /// The host of a member that stays, which etcd is spoken to through.
    pub other_member: Option<String>,
}

impl Phase for RemoveMachine {
    fn name(&self) -> &'static str {
        "remove-machine"
    }

    fn about(&self) -> &'static str {
        "take a machine out of the cluster and reset it"
    }

    fn plan(&self, _: &View<'_>, plan: &mut Plan) {
        let mut last: Vec<After> = Vec::new();
        let host = Some(self.address.as_str());
        if let (Some(name), Some(through)) = (&self.node, &self.through) {
            let action = Action::RemoveNode {
                name: name.clone(),
                drain: self.drain,
                timeout: self.timeout,
            };
            last = vec![After::Done(plan.add(
                self.name(),
                Some(through),
                action,
                last,
            ))];
        }
        // One that is to be replaced may be past leaving by itself.
        let leaves = self.reached && !self.stays;
        if let (Some(id), Some(through), false) = (&self.member, &self.other_member, leaves) {
            let action = Action::RemoveMember { id: id.clone() };
            last = vec![After::Done(plan.add(
                self.name(),
                Some(through),
                action,
                last,
            ))];
        }
        let mut resets = Vec::new();
        if self.reached && self.node.is_some() {
            resets.push(Action::ResetNode);
        }
        if self.reached && self.member.is_some() {
            resets.push(Action::ResetMember { leave: leaves });
        }
        if !self.stays {
            resets.push(Action::Forget);
        }
        for action in resets {
            last = vec![After::Done(plan.add(self.name(), host, action, last))];
        }
    }
}
