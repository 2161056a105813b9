//! The objects of the state, as Cluster API's `v1beta2` has them.
//!
//! Only what this project has something to say to is here; every object passes the upstream CRD of its kind. What is ours
//! alone stands in `SSHCluster` and `SSHMachine`.

use std::collections::BTreeMap;

use api::ClusterConfiguration;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Cluster API's group and version.
pub(crate) const CAPI: &str = "cluster.x-k8s.io/v1beta2";
/// The group of our infrastructure objects.
pub(crate) const INFRASTRUCTURE_GROUP: &str = "infrastructure.klusterkit.dev";
/// Group and version of our infrastructure objects.
pub(crate) const INFRASTRUCTURE: &str = "infrastructure.klusterkit.dev/v1alpha1";
/// The namespace that all objects are in.
pub(crate) const NAMESPACE: &str = "default";

/// Name, namespace, labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectMeta {
    /// Its name.
    pub name: String,
    /// Always `default`.
    pub namespace: String,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl ObjectMeta {
    pub(crate) fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            namespace: NAMESPACE.to_owned(),
            labels: BTreeMap::new(),
        }
    }
}

/// Names another object of the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reference {
    /// Its API group, without version.
    pub api_group: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// `Cluster`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cluster {
    /// `cluster.x-k8s.io/v1beta2`.
    pub api_version: String,
    /// `Cluster`.
    pub kind: String,
    /// Its name.
    pub metadata: ObjectMeta,
    /// What it is to be.
    pub spec: ClusterSpec,
}

/// What a cluster is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterSpec {
    /// Its networks.
    pub cluster_network: ClusterNetwork,
    /// Where its API is reached.
    pub control_plane_endpoint: ApiEndpoint,
    /// Its `SSHCluster`.
    pub infrastructure_ref: Reference,
}

/// The networks inside a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterNetwork {
    /// Of pods.
    pub pods: CidrBlocks,
    /// Of services.
    pub services: CidrBlocks,
    /// The DNS domain.
    pub service_domain: String,
}

/// Networks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CidrBlocks {
    /// Each as `10.244.0.0/16`.
    pub cidr_blocks: Vec<String>,
}

/// Host and port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiEndpoint {
    /// Address or name.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// `SSHCluster`: what the admin wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SshCluster {
    /// `infrastructure.klusterkit.dev/v1alpha1`.
    pub api_version: String,
    /// `SSHCluster`.
    pub kind: String,
    /// The cluster's name.
    pub metadata: ObjectMeta,
    /// What the admin wrote.
    pub spec: SshClusterSpec,
}

/// What the admin wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SshClusterSpec {
    /// The cluster's configuration.
    pub configuration: ClusterConfiguration,
    /// Documents that are handed on to the node tools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<HandedOn>,
}

/// A document that is handed on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HandedOn {
    /// The role or address that it is for; all of them unless said.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub applies_to: Option<String>,
    /// The document.
    pub document: Value,
}

/// `Machine`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Machine {
    /// `cluster.x-k8s.io/v1beta2`.
    pub api_version: String,
    /// `Machine`.
    pub kind: String,
    /// Its name.
    pub metadata: ObjectMeta,
    /// What it is to be.
    pub spec: MachineSpec,
}

/// What a machine is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MachineSpec {
    /// Its cluster.
    pub cluster_name: String,
    /// Where its bootstrap data would be; Cluster API wants it named.
    pub bootstrap: Bootstrap,
    /// Its `SSHMachine`.
    pub infrastructure_ref: Reference,
    /// Its Kubernetes version.
    pub version: String,
}

/// Where a machine's bootstrap data would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bootstrap {
    /// A secret's name.
    pub data_secret_name: String,
}

/// `SSHMachine`: how a host is reached, and how far it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SshMachine {
    /// `infrastructure.klusterkit.dev/v1alpha1`.
    pub api_version: String,
    /// `SSHMachine`.
    pub kind: String,
    /// The machine's name.
    pub metadata: ObjectMeta,
    /// How it is reached.
    pub spec: SshMachineSpec,
    /// How far it came.
    #[serde(default)]
    pub status: SshMachineStatus,
}

/// How a host is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SshMachineSpec {
    /// Its address.
    pub address: String,
    /// Its SSH port.
    pub port: u16,
    /// Its roles.
    pub roles: Vec<api::Role>,
    /// Its pinned host keys, each as `ssh-ed25519 AAAA…`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_keys: Vec<String>,
}

/// How far a machine came. It is what was last seen: hosts are asked before it is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Phase {
    /// Nothing was changed on it yet.
    #[default]
    Pending,
    /// Some of the work is done.
    Provisioning,
    /// All of it is done.
    Running,
    /// It is on its way out.
    Deleting,
}

/// What was last seen of a host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SshMachineStatus {
    /// How far it came.
    pub phase: Phase,
    /// Its host name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// As `amd64`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub architecture: String,
    /// /etc/machine-id: another one is another installation.
    #[serde(rename = "machineID", skip_serializing_if = "String::is_empty")]
    pub machine_id: String,
    /// Its etcd member's id, 16 hexadecimal digits.
    #[serde(rename = "etcdMemberID", skip_serializing_if = "Option::is_none")]
    pub etcd_member_id: Option<String>,
    /// Whether nodeadm has finished with it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub set_up: bool,
    /// Whether it is the control plane that the cluster began with.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub first: bool,
    /// The step that was done last.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_step: String,
}

impl Cluster {
    /// The `Cluster` of a configuration.
    #[must_use]
    pub fn of(configuration: &ClusterConfiguration) -> Self {
        let name = &configuration.metadata.name;
        let block = |text: &str| CidrBlocks {
            cidr_blocks: text.split(',').map(str::to_owned).collect(),
        };
        Self {
            api_version: CAPI.to_owned(),
            kind: "Cluster".to_owned(),
            metadata: ObjectMeta::named(name),
            spec: ClusterSpec {
                cluster_network: ClusterNetwork {
                    pods: block(&configuration.network.pod_subnet),
                    services: block(&configuration.network.service_subnet),
                    service_domain: configuration.network.dns_domain.clone(),
                },
                control_plane_endpoint: ApiEndpoint {
                    host: configuration.control_plane_endpoint.host.clone(),
                    port: configuration.control_plane_endpoint.port_or_api(),
                },
                infrastructure_ref: Reference {
                    api_group: INFRASTRUCTURE_GROUP.to_owned(),
                    kind: "SSHCluster".to_owned(),
                    name: name.clone(),
                },
            },
        }
    }
}

impl Machine {
    /// The `Machine` of a host of the configuration.
    #[must_use]
    pub fn of(configuration: &ClusterConfiguration, machine: &api::Machine) -> Self {
        let cluster = &configuration.metadata.name;
        let name = object_name(cluster, machine);
        let mut metadata = ObjectMeta::named(&name);
        metadata
            .labels
            .insert("cluster.x-k8s.io/cluster-name".to_owned(), cluster.clone());
        if machine.is(api::Role::Master) {
            metadata
                .labels
                .insert("cluster.x-k8s.io/control-plane".to_owned(), String::new());
        }
        Self {
            api_version: CAPI.to_owned(),
            kind: "Machine".to_owned(),
            metadata,
            spec: MachineSpec {
                cluster_name: cluster.clone(),
                bootstrap: Bootstrap {
                    data_secret_name: format!("{name}-bootstrap"),
                },
                infrastructure_ref: Reference {
                    api_group: INFRASTRUCTURE_GROUP.to_owned(),
                    kind: "SSHMachine".to_owned(),
                    name,
                },
                version: configuration.kubernetes.version.to_string(),
            },
        }
    }
}

impl SshMachine {
    /// The `SSHMachine` of a host of the configuration, of which nothing is known yet.
    #[must_use]
    pub fn of(configuration: &ClusterConfiguration, machine: &api::Machine) -> Self {
        let ssh = machine.ssh.as_ref().unwrap_or(&configuration.ssh);
        Self {
            api_version: INFRASTRUCTURE.to_owned(),
            kind: "SSHMachine".to_owned(),
            metadata: ObjectMeta::named(&object_name(&configuration.metadata.name, machine)),
            spec: SshMachineSpec {
                address: machine.address.to_string(),
                port: ssh.port,
                roles: machine.roles.clone(),
                host_keys: Vec::new(),
            },
            status: SshMachineStatus::default(),
        }
    }
}

/// An object's name has no colon, which IPv6 addresses have.
fn object_name(cluster: &str, machine: &api::Machine) -> String {
    let own = machine
        .name
        .clone()
        .unwrap_or_else(|| machine.address.to_string().replace([':', '.'], "-"));
    format!("{cluster}-{own}")
}
