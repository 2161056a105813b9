//! What the node tools print as JSON, and `cctl` reads: the contract between them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How a preflight check ended. Failing and not being able to tell are different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it should be.
    Passed,
    /// Not as it should be; nothing may be changed.
    Failed,
    /// Not as it should be, and the admin said that it may be so.
    Ignored,
    /// It could not be told; nothing may be changed.
    Unknown,
}

/// One preflight check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// Its name, by which it can be ignored.
    pub name: String,
    /// How it ended.
    pub verdict: Verdict,
    /// What was found.
    pub message: String,
    /// What to do about it, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// What `etcdadm init`, `join` and `info` print.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberResult {
    /// The member's name.
    pub name: String,
    /// Its id, 16 hexadecimal digits.
    pub member_id: String,
    /// The cluster's id, 16 hexadecimal digits.
    pub cluster_id: String,
    /// Its peer URLs.
    pub peer_urls: Vec<String>,
    /// Its client URLs.
    pub client_urls: Vec<String>,
    /// Whether it does not vote yet.
    pub learner: bool,
    /// The changes that this run made.
    #[serde(default)]
    pub changes: usize,
}

/// A digest over all keys and their history that one etcd member has, up to a revision (`HashKV` of its
/// maintenance API).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KvHash {
    /// The digest.
    pub hash: u32,
    /// Up to this revision.
    pub revision: i64,
    /// What is older than this revision had been compacted.
    pub compact_revision: i64,
}

/// What `nodeadm init` and `join` print.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeResult {
    /// The Node's name.
    pub name: String,
    /// The changes that this run made.
    pub changes: usize,
    /// Their words, phase by phase.
    #[serde(default)]
    pub phases: BTreeMap<String, Vec<String>>,
    /// For clusters made by hand: the document that a worker joins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<String>,
}

/// What `nodeadm facts` prints: what can be seen of a host without changing it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct NodeFacts {
    /// Its host name.
    pub hostname: String,
    /// As Go and OCI name it: `amd64`, `arm64`.
    pub architecture: String,
    /// The kernel's release.
    pub kernel: String,
    /// Stands for /etc/machine-id, which is not told itself: equal for equal ones, empty where there is none.
    pub machine_id: String,
    /// The firmware's product UUID, empty where there is none.
    pub product_uuid: String,
    /// MAC addresses of the physical network interfaces, and of the one with the default route.
    pub macs: Vec<String>,
    /// Addresses, without loopback and link-local ones.
    pub addresses: Vec<String>,
    /// Memory in bytes.
    pub memory: u64,
    /// Processors.
    pub cpus: usize,
    /// Clock, milliseconds since 1970.
    pub clock: u64,
    /// 1 or 2.
    pub cgroup_version: u8,
    /// The Kubernetes version that is installed, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes_version: Option<String>,
    /// Whether it is the control plane that its cluster began with.
    #[serde(default)]
    pub first: bool,
    /// Whether nodeadm has set this host up, and as what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}
