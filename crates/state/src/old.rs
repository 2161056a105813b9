//! Hosts that were given up with an old control plane or member on them: named dead in a recovery, replaced, or taken out
//! of the cluster without being reached. They may come back, and are looked for until they were stopped.

use api::Role;
use host::Digest;
use serde::{Deserialize, Serialize};

use crate::State;

/// A host that may come back with an old control plane or member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OldHost {
    /// As it stood in the cluster file: by this it is reached.
    pub machine: api::Machine,
    /// The keys that it has to show: others are another installation's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_keys: Vec<String>,
    /// Its host name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// As `amd64`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub architecture: String,
    /// The certificate of etcd's authority at that time.
    pub etcd_authority: Digest,
    /// When it was given up, RFC 3339.
    pub given_up_at: String,
}

impl OldHost {
    /// Its address.
    #[must_use]
    pub fn address(&self) -> String {
        self.machine.address.to_string()
    }
}

impl State {
    /// Remembers that a host is given up, if a control plane or member of the cluster may be on it: one that was stopped or
    /// reset first is nobody's concern any more.
    pub fn give_up(&mut self, address: &str, at: &str) {
        let in_file = |machine: &&api::Machine| machine.address.to_string() == address;
        let machine = self.configuration().machines.iter().find(in_file).cloned();
        let Some(known) = self.machine(address) else {
            return;
        };
        let serves = [Role::Master, Role::Etcd]
            .iter()
            .any(|role| known.spec.roles.contains(role));
        let left = known.status.set_up || known.status.etcd_member_id.is_some();
        if !serves || !left || self.old_host(address).is_some() {
            return;
        }
        let Some(machine) = machine.or_else(|| plain(address, &known.spec.roles)) else {
            return;
        };
        let old = OldHost {
            machine,
            host_keys: known.spec.host_keys.clone(),
            hostname: known.status.hostname.clone(),
            architecture: known.status.architecture.clone(),
            etcd_authority: Digest::of(self.authorities.etcd.as_bytes()),
            given_up_at: at.to_owned(),
        };
        self.old_hosts.push(old);
    }

    /// The host with this address, where it was given up.
    #[must_use]
    pub fn old_host(&self, address: &str) -> Option<&OldHost> {
        self.old_hosts.iter().find(|old| old.address() == address)
    }

    /// It was stopped, or is gone for good: it is looked for no more. Whether it was.
    pub fn settle(&mut self, address: &str) -> bool {
        let before = self.old_hosts.len();
        self.old_hosts.retain(|old| old.address() != address);
        self.old_hosts.len() < before
    }
}

/// A host that is not in the cluster file any more, reached as all others are.
fn plain(address: &str, roles: &[Role]) -> Option<api::Machine> {
    Some(api::Machine {
        address: address.parse().ok()?,
        name: None,
        roles: roles.to_vec(),
        labels: Default::default(),
        taints: None,
        ssh: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AuthorityCertificates;

    const FILE: &str = "\
apiVersion: klusterkit.dev/v1alpha1
kind: ClusterConfiguration
metadata: {name: prod}
kubernetes: {version: v1.37.2}
etcd: {version: v3.7.3}
controlPlaneEndpoint: 10.0.0.100
machines:
  - {address: 10.0.0.1, roles: [master], name: a}
  - {address: 10.0.0.2, roles: [master]}
  - {address: 10.0.0.4, roles: [node]}
";

    fn state() -> State {
        let documents = api::Documents::parse(FILE).unwrap();
        let configuration = documents.cluster.unwrap();
        let mut state = State::new(configuration, Vec::new(), AuthorityCertificates::default());
        for address in ["10.0.0.1", "10.0.0.4"] {
            let machine = state.machine_mut(address).unwrap();
            machine.spec.host_keys = vec!["ssh-ed25519 AAAA".into()];
            machine.status.set_up = true;
        }
        state
    }

    #[test]
    fn only_what_may_still_serve_is_looked_for() {
        let mut state = state();
        for address in ["10.0.0.1", "10.0.0.2", "10.0.0.4", "10.0.0.9"] {
            state.give_up(address, "2026-11-24T03:00:00Z");
        }
        let found: Vec<String> = state.old_hosts.iter().map(OldHost::address).collect();
        assert_eq!(
            found,
            ["10.0.0.1"],
            "nothing was on the second, the third is a worker"
        );
        let old = &state.old_hosts[0];
        assert_eq!(old.machine.name.as_deref(), Some("a"));
        assert_eq!(old.host_keys, ["ssh-ed25519 AAAA"]);
    }

    #[test]
    fn it_is_given_up_once_and_remembered_beyond_its_machine() {
        let mut state = state();
        state.give_up("10.0.0.1", "2026-11-24T03:00:00Z");
        state.give_up("10.0.0.1", "2026-11-24T04:00:00Z");
        state.forget("10.0.0.1");
        assert_eq!(state.old_hosts.len(), 1);
        assert_eq!(state.old_hosts[0].given_up_at, "2026-11-24T03:00:00Z");
        assert!(state.settle("10.0.0.1") && !state.settle("10.0.0.1"));
        assert!(state.old_hosts.is_empty());
    }

    #[test]
    fn one_that_left_the_file_before_is_reached_as_all_others() {
        let mut state = state();
        let mut configuration = state.configuration().clone();
        configuration
            .machines
            .retain(|machine| machine.address.to_string() != "10.0.0.1");
        state.set_configuration(configuration, Vec::new());
        state.give_up("10.0.0.1", "2026-11-24T03:00:00Z");
        assert_eq!(state.old_hosts[0].machine.roles, [Role::Master]);
    }
}
