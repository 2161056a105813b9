//! The plan: steps on hosts, and what each has to wait for.
//!
//! Phases fill it from what is wanted and what was seen; nothing here or there touches a host. What is shown and what is
//! carried out is the same list.

use std::fmt;

use serde::Serialize;
use state::{Recovery, Started};

use crate::Goal;
use crate::goal::{AllSeen, Pending};

/// What is done to a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "action")]
pub enum Action {
    /// Send what an etcd host lacks of the bundle.
    SendEtcd,
    /// Send what a Kubernetes host lacks of the bundle.
    SendKubernetes,
    /// `etcdadm init`: the first member.
    InitMember,
    /// `etcdadm join`: a further member, or one that is not as it should be.
    JoinMember,
    /// `nodeadm prepare`: runtime, programs, images.
    Prepare,
    /// `nodeadm init`: the first control plane.
    InitControlPlane,
    /// `nodeadm join` of a control plane.
    JoinControlPlane,
    /// Make a short-lived token for each of these workers.
    MakeTokens {
        /// Their addresses.
        workers: Vec<String>,
    },
    /// `nodeadm join` of a worker.
    JoinWorker,
    /// Wait until all Nodes are Ready and DNS answers; delete the tokens.
    Verify,
    /// Keep the admin's kubeconfig, sealed.
    KeepKubeconfig,
    /// Evict the pods of this Node, and delete it.
    RemoveNode {
        /// The Node's name.
        name: String,
        /// Whether its pods are evicted first.
        drain: bool,
        /// How long that may take, in seconds.
        timeout: u64,
    },
    /// Take a member that is gone for good out of the member list.
    RemoveMember {
        /// Its id, 16 hexadecimal digits.
        id: String,
    },
    /// `nodeadm reset`.
    ResetNode,
    /// `etcdadm reset`: leaves the cluster first, unless the whole cluster goes.
    ResetMember {
        /// Whether it leaves the cluster first.
        leave: bool,
    },
    /// Forget the machine.
    Forget,
    /// Send the snapshot that a recovery restores.
    SendSnapshot,
    /// `etcdadm snapshot verify`: restore it in a place of its own, serve it, compare.
    ProveSnapshot,
    /// `nodeadm fence`: stop the old control plane for good.
    FenceControlPlane,
    /// `etcdadm reset`: stop the old member for good, its data set aside.
    FenceMember,
    /// `nodeadm files put-back`: the control plane's files of a backup.
    PutFilesBack,
    /// Make a new authority for etcd, sealed in the state.
    MakeEtcdAuthority,
    /// `nodeadm join` of a worker that has joined, for another endpoint.
    PointWorker,
    /// `etcdadm restore`: the first member of a new etcd, with the snapshot's data.
    RestoreMember,
    /// Remove what the snapshot says of who led, and of Nodes that are gone.
    CleanUp,
    /// Have the kubelet look at the API anew; its containers go on.
    RestartKubelet,
    /// Have each Node run a new pod.
    ProveNodes,
}

impl Action {
    /// In words, for the admin.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::SendEtcd => "send etcd".to_owned(),
            Self::SendKubernetes => "send programs and images".to_owned(),
            Self::InitMember => "make the first etcd member (etcdadm init)".to_owned(),
            Self::JoinMember => "join etcd (etcdadm join)".to_owned(),
            Self::Prepare => "install runtime, programs and images (nodeadm prepare)".to_owned(),
            Self::InitControlPlane => "make the first control plane (nodeadm init)".to_owned(),
            Self::JoinControlPlane => "join as a control plane (nodeadm join)".to_owned(),
            Self::MakeTokens { workers } => {
                format!("make a short-lived token for {} worker(s)", workers.len())
            }
            Self::JoinWorker => "join as a worker (nodeadm join)".to_owned(),
            Self::Verify => "wait until all nodes are Ready and DNS runs".to_owned(),
            Self::KeepKubeconfig => "keep the admin's kubeconfig, sealed".to_owned(),
            Self::RemoveNode {
                name, drain: true, ..
            } => format!("evict the pods of node {name}, then delete it"),
            Self::RemoveNode { name, .. } => format!("delete node {name}"),
            Self::RemoveMember { id } => format!("remove etcd member {id}"),
            Self::ResetNode => "take Kubernetes off the host (nodeadm reset)".to_owned(),
            Self::ResetMember { leave: true } => {
                "leave etcd and take it off the host (etcdadm reset)".to_owned()
            }
            Self::ResetMember { leave: false } => {
                "take etcd off the host, its data set aside (etcdadm reset)".to_owned()
            }
            Self::Forget => "forget the machine".to_owned(),
            Self::SendSnapshot => "send the snapshot".to_owned(),
            Self::ProveSnapshot => {
                "restore the snapshot beside all else and compare (etcdadm snapshot verify)"
                    .to_owned()
            }
            Self::FenceControlPlane => {
                "stop the old control plane for good (nodeadm fence)".to_owned()
            }
            Self::FenceMember => {
                "stop the old etcd member for good, its data set aside (etcdadm reset)".to_owned()
            }
            Self::PutFilesBack => {
                "put the files of the backup back (nodeadm files put-back)".to_owned()
            }
            Self::MakeEtcdAuthority => {
                "make a new authority for etcd, sealed in the state".to_owned()
            }
            Self::PointWorker => {
                "point the kubelet to the new endpoint (nodeadm join); containers go on".to_owned()
            }
            Self::RestoreMember => {
                "make the first member of a new etcd of the snapshot (etcdadm restore)".to_owned()
            }
            Self::CleanUp => {
                "remove leases of leaders and Nodes that are gone, with their pods".to_owned()
            }
            Self::RestartKubelet => "restart the kubelet; containers go on".to_owned(),
            Self::ProveNodes => "have each node run a new pod".to_owned(),
        }
    }
}

/// What a step waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum After {
    /// The end of another step, by its number.
    Done(usize),
    /// The end of one phase of the node tool that another step runs; the step itself goes on.
    Reached(usize, &'static str),
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The phase that it belongs to.
    pub phase: &'static str,
    /// The host that it is done on; `None` for here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What is done.
    #[serde(flatten)]
    pub action: Action,
    /// What it waits for.
    pub after: Vec<After>,
    /// The changes that the node tool says it would make, where it could be asked.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_words")]
    pub changes: Vec<Pending>,
}

impl Step {
    /// In words: what is done, or that something which is done already is brought up to date.
    #[must_use]
    pub fn words(&self) -> String {
        let tool = match self.action {
            Action::JoinMember => "etcdadm join",
            Action::InitControlPlane => "nodeadm init",
            Action::JoinControlPlane | Action::JoinWorker => "nodeadm join",
            _ => return self.action.words(),
        };
        match self.changes.len() {
            0 => self.action.words(),
            1 => format!("bring it up to date, 1 change ({tool})"),
            n => format!("bring it up to date, {n} changes ({tool})"),
        }
    }
}

fn as_words<S: serde::Serializer>(changes: &[Pending], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(
        changes
            .iter()
            .map(|pending| format!("{}: {}", pending.phase, pending.change)),
    )
}

/// All steps, in an order in which they could be done one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Plan {
    /// The steps; others name them by their number here.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Adds a step and gives its number.
    pub fn add(
        &mut self,
        phase: &'static str,
        host: Option<&str>,
        action: Action,
        after: Vec<After>,
    ) -> usize {
        self.steps.push(Step {
            phase,
            host: host.map(str::to_owned),
            action,
            after,
            changes: Vec::new(),
        });
        self.steps.len() - 1
    }

    /// The numbers of the steps that do such things.
    pub fn which<'a>(
        &'a self,
        of: impl Fn(&Step) -> bool + 'a,
    ) -> impl Iterator<Item = usize> + 'a {
        self.steps
            .iter()
            .enumerate()
            .filter(move |(_, step)| of(step))
            .map(|(number, _)| number)
    }

    /// The steps on a host that do one of these things, as what to wait for.
    #[must_use]
    pub fn done(&self, host: &str, actions: &[Action]) -> Vec<After> {
        self.which(|step| step.host.as_deref() == Some(host) && actions.contains(&step.action))
            .map(After::Done)
            .collect()
    }
}

/// What a phase plans from.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// What is wanted.
    pub goal: &'a Goal,
    /// What was seen.
    pub seen: &'a AllSeen,
    /// What exists by now, as the state knows.
    pub started: Started,
    /// The recovery that is under way.
    pub recovery: Option<&'a Recovery>,
}

/// A phase of a verb: it adds the steps that are still to be done. It cannot do them.
pub trait Phase {
    /// Verb-object, as `form-etcd`.
    fn name(&self) -> &'static str;

    /// One line for people.
    fn about(&self) -> &'static str;

    /// Adds its steps; none when all is right.
    fn plan(&self, view: &View<'_>, plan: &mut Plan);
}

/// The plan of these phases.
#[must_use]
pub(crate) fn make(phases: &[&dyn Phase], view: &View<'_>) -> Plan {
    let mut plan = Plan::default();
    for phase in phases {
        phase.plan(view, &mut plan);
    }
    plan
}

/// A plan as people read it.
pub(crate) struct Shown<'a> {
    pub plan: &'a Plan,
    /// How a host is called.
    pub label: &'a dyn Fn(&str) -> String,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.plan.steps.is_empty() {
            return writeln!(f, "nothing to change");
        }
        for (number, step) in self.plan.steps.iter().enumerate() {
            let host = step
                .host
                .as_deref()
                .map_or_else(|| "here".to_owned(), self.label);
            write!(
                f,
                "{:3}. [{}] {host}: {}",
                number + 1,
                step.phase,
                step.words()
            )?;
            if !step.after.is_empty() {
                let after = |after: &After| match after {
                    After::Done(other) => (other + 1).to_string(),
                    After::Reached(other, phase) => format!("{phase} of {}", other + 1),
                };
                write!(
                    f,
                    "  (after {})",
                    step.after.iter().map(after).collect::<Vec<_>>().join(", ")
                )?;
            }
            writeln!(f)?;
            for pending in &step.changes {
                writeln!(f, "       {}: {}", pending.phase, pending.change)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
