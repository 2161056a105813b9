//! `kind: ClusterConfiguration`: the small file from which `cctl apply` makes a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Cni, Endpoint, Metadata, Version};

/// A whole cluster, as the admin writes it down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterConfiguration {
    /// `klusterkit.dev/v1alpha1`.
    pub api_version: String,
    /// `ClusterConfiguration`.
    pub kind: String,
    /// The cluster's name.
    pub metadata: Metadata,
    /// Kubernetes' version.
    pub kubernetes: Versioned,
    /// etcd's version.
    pub etcd: Versioned,
    /// Where all reach the API: `ADDRESS[:PORT]` or `NAME[:PORT]`, port 6443 unless said.
    pub control_plane_endpoint: Endpoint,
    /// Who holds that address.
    #[serde(default)]
    pub vip: VipSetting,
    /// Pods and services.
    #[serde(default)]
    pub network: Network,
    /// How the hosts are reached.
    #[serde(default)]
    pub ssh: Ssh,
    /// The hosts.
    pub machines: Vec<Machine>,
    /// Names of preflight checks that may fail, ours and kubeadm's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore_preflight_errors: Vec<String>,
}

/// A program at a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Versioned {
    /// As `v1.37.2`.
    pub version: Version,
}

/// `none`, `keepalived`, or keepalived with details. By default keepalived holds an address that no machine has, and
/// nobody holds a name or a machine's own address.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum VipSetting {
    /// Decided from the endpoint.
    #[default]
    Default,
    /// `none` or `keepalived`.
    Word(String),
    /// keepalived, with details.
    Keepalived(Vip),
}

/// keepalived's details.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Vip {
    /// The network interface on the control planes; that of the default route unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// VRRP's virtual router id, 1 to 255, unique in the network; 51 unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub router_id: Option<u8>,
}

/// The networks inside the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Network {
    /// Where pods get addresses.
    pub pod_subnet: String,
    /// Where services get addresses.
    pub service_subnet: String,
    /// The cluster's DNS domain.
    pub dns_domain: String,
    /// Who connects pods.
    pub cni: Cni,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            pod_subnet: "10.244.0.0/16".to_owned(),
            service_subnet: "10.96.0.0/12".to_owned(),
            dns_domain: "cluster.local".to_owned(),
            cni: Cni::Flannel,
        }
    }
}

/// How hosts are reached over SSH.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Ssh {
    /// The user; others than root need `sudo -n`.
    pub user: String,
    /// The port.
    pub port: u16,
    /// The private key's path; OpenSSH's own choice (agent, default keys) unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_file: Option<String>,
    /// OpenSSH options, of an allow-list: none that runs a command or loosens the checks of host keys.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

impl Default for Ssh {
    fn default() -> Self {
        Self {
            user: "root".to_owned(),
            port: 22,
            identity_file: None,
            options: BTreeMap::new(),
        }
    }
}

/// What a machine is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// An etcd member alone.
    Etcd,
    /// A control plane, and an etcd member unless machines with role `etcd` exist.
    #[serde(alias = "control-plane")]
    Master,
    /// A worker.
    #[serde(alias = "worker")]
    Node,
}

/// A host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Machine {
    /// Its address, which the other machines reach it by, too.
    pub address: IpAddr,
    /// The name of its Node and member; its host name unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is for.
    pub roles: Vec<Role>,
    /// Labels of its Node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Taints of its Node as `key=value:Effect`; a control plane's usual one unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taints: Option<Vec<String>>,
    /// SSH settings that differ from the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<Ssh>,
}

impl Machine {
    /// Whether it has this role.
    #[must_use]
    pub fn is(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

impl ClusterConfiguration {
    /// The machines that carry an etcd member: those with role `etcd` if there are any, else the masters.
    pub fn etcd_machines(&self) -> impl Iterator<Item = &Machine> {
        let dedicated = self.machines.iter().any(|machine| machine.is(Role::Etcd));
        self.machines
            .iter()
            .filter(move |machine| machine.is(if dedicated { Role::Etcd } else { Role::Master }))
    }

    /// The control planes.
    pub fn masters(&self) -> impl Iterator<Item = &Machine> {
        self.machines
            .iter()
            .filter(|machine| machine.is(Role::Master))
    }

    /// The workers.
    pub fn nodes(&self) -> impl Iterator<Item = &Machine> {
        self.machines
            .iter()
            .filter(|machine| machine.is(Role::Node))
    }

    /// keepalived's details, if it is to hold the endpoint's address.
    #[must_use]
    pub fn keepalived(&self) -> Option<Vip> {
        match &self.vip {
            VipSetting::Keepalived(vip) => Some(vip.clone()),
            VipSetting::Word(word) if word == "keepalived" => Some(Vip::default()),
            VipSetting::Word(_) => None,
            VipSetting::Default => {
                let address = self.control_plane_endpoint.address()?;
                let taken = self
                    .machines
                    .iter()
                    .any(|machine| machine.address == address);
                (!taken).then(Vip::default)
            }
        }
    }

    /// What is wrong with it, each a sentence; empty when nothing is.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut say = |fault: String| faults.push(fault);
        if !valid_name(&self.metadata.name) {
            say(format!(
                "metadata.name {:?} is not a DNS label",
                self.metadata.name
            ));
        }
        if let VipSetting::Word(word) = &self.vip
            && !matches!(word.as_str(), "none" | "keepalived")
        {
            say(format!(
                "vip is {word:?}: say `none`, `keepalived`, or keepalived's details"
            ));
        }
        if self.keepalived().is_some() && self.control_plane_endpoint.address().is_none() {
            say(
                "vip is keepalived, which holds an address, but controlPlaneEndpoint is a name"
                    .to_owned(),
            );
        }
        if self
            .keepalived()
            .is_some_and(|vip| vip.router_id == Some(0))
        {
            say("vip.routerID is 0: VRRP's ids go from 1 to 255".to_owned());
        }
        let mut addresses = BTreeSet::new();
        let mut names = BTreeSet::new();
        for machine in &self.machines {
            let address = machine.address;
            if !addresses.insert(address) {
                say(format!("machine {address} stands there twice"));
            }
            if let Some(name) = &machine.name
                && (!valid_name(name) || !names.insert(name))
            {
                say(format!(
                    "machine {address}: name {name:?} is not a DNS label, or another machine's"
                ));
            }
            if machine.roles.is_empty() {
                say(format!("machine {address} has no role"));
            }
            if machine.is(Role::Master) && machine.is(Role::Node) {
                say(format!(
                    "machine {address} is master and node: a master with `taints: []` runs all pods"
                ));
            }
            if machine.is(Role::Etcd) && machine.roles.len() > 1 {
                say(format!(
                    "machine {address}: role `etcd` is for machines that carry nothing else"
                ));
            }
            if self.keepalived().is_some() && self.control_plane_endpoint.address() == Some(address)
            {
                say(format!(
                    "controlPlaneEndpoint is machine {address}'s own address, which keepalived cannot move"
                ));
            }
        }
        if self.masters().next().is_none() {
            say("no machine has role `master`".to_owned());
        }
        faults
    }
}

/// A DNS label as Kubernetes wants names of nodes and clusters.
fn valid_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    name.len() <= 63
        && name.chars().all(inner)
        && edge(name.chars().next())
        && edge(name.chars().last())
}
