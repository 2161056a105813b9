//! What `nodeadm rehearse` prints: what an API server saw in a backup.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct Rehearsal {
    /// The API server's release.
    pub kubernetes_version: String,
    /// How long it took from its start until it was ready, or said that it cannot be, in milliseconds.
    pub ready_after: u64,
    /// How many objects there are of each kind, as `deployments.apps`.
    pub kinds: BTreeMap<String, u64>,
    /// The names of the Nodes.
    pub nodes: Vec<String>,
    /// The authority that the cluster's pods are told to trust, PEM; empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub root_ca: String,
    /// Kinds that could not be listed, and why not.
    #[serde(default)]
    pub failed: BTreeMap<String, String>,
    /// Kinds that somebody else than this API server serves: they are not in etcd, or not as a kind.
    #[serde(default)]
    pub elsewhere: Vec<String>,
}
