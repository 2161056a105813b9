//! `kind: NodeConfiguration`: what nodeadm needs to know about a host.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{API_VERSION, Endpoint, Metadata, Network, Role, Version};

/// A Kubernetes node. What is not said has a default that nodeadm prints (`nodeadm config print`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeConfiguration {
    /// `klusterkit.dev/v1alpha1`.
    pub api_version: String,
    /// `NodeConfiguration`.
    pub kind: String,
    /// The Node's name; the host's unless said.
    #[serde(default)]
    pub metadata: Metadata,
    /// The cluster's name.
    #[serde(default = "cluster_name")]
    pub cluster_name: String,
    /// Control plane or worker.
    #[serde(default = "master")]
    pub role: Role,
    /// As `v1.37.2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes_version: Option<Version>,
    /// The host's address; that of the default route unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Where all reach the API; this host unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane_endpoint: Option<Endpoint>,
    /// keepalived on this control plane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vip: Option<NodeVip>,
    /// The networks inside the cluster.
    #[serde(default)]
    pub network: Network,
    /// The etcd cluster of a control plane.
    #[serde(default)]
    pub etcd: NodeEtcd,
    /// Labels of the Node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Taints of the Node as `key=value:Effect`; a control plane's usual one unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taints: Option<Vec<String>>,
    /// Further names and addresses in the API server's certificate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_sans: Vec<String>,
    /// Where programs are installed.
    #[serde(default = "install_dir")]
    pub install_dir: PathBuf,
    /// Versions of the other components, by name (`containerd`, `runc`, `cni-plugins`, `flannel`): the newest in the
    /// host's store unless said.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub components: BTreeMap<String, String>,
    /// A TOML document merged over containerd's configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub containerd_patch: Option<String>,
    /// Names of preflight checks that may fail, ours and kubeadm's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore_preflight_errors: Vec<String>,
}

impl Default for NodeConfiguration {
    fn default() -> Self {
        Self {
            api_version: API_VERSION.to_owned(),
            kind: "NodeConfiguration".to_owned(),
            metadata: Metadata::default(),
            cluster_name: cluster_name(),
            role: master(),
            kubernetes_version: None,
            address: None,
            control_plane_endpoint: None,
            vip: None,
            network: Network::default(),
            etcd: NodeEtcd::default(),
            labels: BTreeMap::new(),
            taints: None,
            extra_sans: Vec::new(),
            install_dir: install_dir(),
            components: BTreeMap::new(),
            containerd_patch: None,
            ignore_preflight_errors: Vec::new(),
        }
    }
}

/// keepalived as one control plane runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeVip {
    /// The address that it holds together with its peers.
    pub address: IpAddr,
    /// The network interface; that of the default route unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// VRRP's virtual router id, 1 to 255.
    #[serde(default = "router_id")]
    pub router_id: u8,
    /// The addresses of the other control planes.
    #[serde(default)]
    pub peers: Vec<IpAddr>,
    /// keepalived's image; the newest in the host's store unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// The etcd cluster that a control plane uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NodeEtcd {
    /// Client URLs; the member on this host unless said.
    pub endpoints: Vec<String>,
    /// The authority's certificate; from the credentials unless said, else etcdadm's on this host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The API server's client certificate; as `caFile`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// Its key; as `caFile`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
}

impl Default for NodeEtcd {
    fn default() -> Self {
        Self {
            endpoints: vec!["https://127.0.0.1:2379".to_owned()],
            ca_file: None,
            cert_file: None,
            key_file: None,
        }
    }
}

/// Who connects pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Cni {
    /// flannel, applied by nodeadm.
    Flannel,
    /// The admin's own.
    None,
}

fn cluster_name() -> String {
    "kubernetes".to_owned()
}

fn master() -> Role {
    Role::Master
}

fn router_id() -> u8 {
    51
}

fn install_dir() -> PathBuf {
    "/opt/bin".into()
}
