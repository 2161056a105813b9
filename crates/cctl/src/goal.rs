//! What is wanted, and what was seen: all that planning knows.

use std::collections::BTreeMap;

use api::{ClusterConfiguration, MemberResult, NodeFacts, Role};
use serde::Deserialize;

use crate::Error;
use crate::artifacts::Artifacts;
use state::HandedOn;

/// What is wanted of all hosts together.
#[derive(Debug, Clone)]
pub struct Goal {
    /// The cluster's configuration.
    pub configuration: ClusterConfiguration,
    /// Documents that are handed on.
    pub documents: Vec<HandedOn>,
    /// What the bundle brings, if one is named.
    pub artifacts: Option<Artifacts>,
}

impl Goal {
    /// Refuses a host in a machine's place that cannot be there.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub(crate) fn may_replace(&self, old: &str, new: &str) -> Result<(), Error> {
        if self.machine(new).is_some() {
            return Err(Error::Refused(format!(
                "{new} is a machine of the cluster already"
            )));
        }
        if self.is_endpoint(old) {
            return Err(Error::Refused(format!(
                "{old} is where all reach the API: another address for it is told to the nodes by `cctl recover --endpoint` alone"
            )));
        }
        Ok(())
    }

    /// Whether this host's own address is where all reach the API.
    pub(crate) fn is_endpoint(&self, host: &str) -> bool {
        let endpoint = self.configuration.control_plane_endpoint.address();
        endpoint.is_some_and(|endpoint| endpoint.to_string() == host)
    }

    /// New hosts in the places of old ones: new addresses by the old ones.
    pub(crate) fn replace(&mut self, replaced: &BTreeMap<String, String>) {
        for machine in &mut self.configuration.machines {
            let new = replaced.get(&machine.address.to_string());
            if let Some(new) = new.and_then(|new| new.parse().ok()) {
                machine.address = new;
            }
        }
    }

    /// The machine with this address.
    #[must_use]
    pub fn machine(&self, address: &str) -> Option<&api::Machine> {
        self.configuration
            .machines
            .iter()
            .find(|machine| machine.address.to_string() == address)
    }

    /// The addresses of all members of etcd, in the file's order.
    #[must_use]
    pub fn members(&self) -> Vec<String> {
        self.configuration
            .etcd_machines()
            .map(|machine| machine.address.to_string())
            .collect()
    }

    /// The addresses of the control planes.
    #[must_use]
    pub fn masters(&self) -> Vec<String> {
        self.configuration
            .masters()
            .map(|machine| machine.address.to_string())
            .collect()
    }

    /// The addresses of the workers.
    #[must_use]
    pub fn nodes(&self) -> Vec<String> {
        self.configuration
            .nodes()
            .map(|machine| machine.address.to_string())
            .collect()
    }

    /// The addresses of all that nodeadm works on.
    #[must_use]
    pub fn kubernetes(&self) -> Vec<String> {
        let of = |machine: &&api::Machine| machine.is(Role::Master) || machine.is(Role::Node);
        self.configuration
            .machines
            .iter()
            .filter(of)
            .map(|machine| machine.address.to_string())
            .collect()
    }
}

/// A change that a node tool would make.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Pending {
    /// The tool's phase.
    pub phase: String,
    /// In words.
    pub change: String,
}

/// What was seen of one host.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Facts.
    pub facts: NodeFacts,
    /// Its member, if it has one.
    pub member: Option<MemberResult>,
    /// What etcdadm would still change; `None` where it has set nothing up.
    pub etcd: Option<Vec<Pending>>,
    /// What nodeadm would still change; `None` where it has set nothing up.
    pub node: Option<Vec<Pending>>,
}

/// What was seen of all hosts, by address.
pub(crate) type AllSeen = BTreeMap<String, Seen>;

/// The name of a machine's member and Node.
#[must_use]
pub(crate) fn name_of(machine: &api::Machine, seen: Option<&Seen>) -> String {
    let hostname = seen
        .map(|seen| seen.facts.hostname.to_lowercase())
        .unwrap_or_default();
    machine.name.clone().unwrap_or(hostname)
}
