//! The documents that Klusterkit reads and writes: what the admin writes, what the tools hand each other.
//!
//! # Purpose
//! Versioned documents (`apiVersion: klusterkit.dev/v1alpha1`, `kind`), their defaults and their validation; the
//! YAML that they come in; the results that the tools print as JSON. Unknown fields are errors that name the line, the
//! column and the nearest known field.
//!
//! # What it does not do
//! It reads no file and knows no host. What other programs read (kubeadm, kubelet, containerd) is passed through as
//! [`Foreign`] documents and merged field by field.
//!
//! # Where to enter
//! [`Documents::parse`].

mod cluster;
mod documents;
mod etcd;
mod files;
mod merge;
mod node;
mod rehearsal;
mod result;
#[cfg(test)]
mod schema;
mod secret;
mod version;
pub mod yaml;

pub use cluster::{ClusterConfiguration, Machine, Network, Role, Ssh, Versioned, Vip, VipSetting};
pub use documents::{DocumentError, Documents, Foreign, Metadata};
pub use etcd::{Endpoint, EtcdConfiguration, ExpectedMember, InitSystem};
pub use files::{FilesPutBack, HostFile, HostFiles, HostFolder, LeftOut};
pub use merge::merge;
pub use node::{Cni, NodeConfiguration, NodeEtcd, NodeVip};
pub use rehearsal::Rehearsal;
pub use result::{Check, KvHash, MemberResult, NodeFacts, NodeResult, Verdict};
pub use secret::{Credentials, Secret};
pub use version::{Version, VersionError};

/// The version of all documents of this project.
pub const API_VERSION: &str = "klusterkit.dev/v1alpha1";
