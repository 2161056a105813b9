//! The changes that nodeadm makes: those of files and units, and those of its own.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use host::{Content, Digest, Run};
use serde::Serialize;
use serde_json::Value;

/// A change to this host, or to the cluster through its API.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// To files, units, kernel parameters; a program run.
    Host(host::Change),
    /// Members of a blob of the store put into their places.
    Install(bundle::Install),
    /// Images of the store handed to containerd, in this order.
    ImportImages {
        /// Their full references.
        references: Vec<String>,
    },
    /// The end of all containers of Kubernetes.
    EndContainers {
        /// How many there are.
        count: usize,
    },
    /// The end of shims that no container belongs to any more.
    EndShims {
        /// Their process ids.
        processes: Vec<i32>,
    },
    /// A phase of kubeadm, and the receipt that it was run with this configuration.
    Kubeadm(Kubeadm),
    /// A copy of this very program, for what the host runs itself.
    InstallSelf {
        /// Where it goes.
        path: PathBuf,
        /// Its digest.
        digest: Digest,
    },
    /// An object of the cluster.
    Cluster(ClusterChange),
    /// A wait for something that the cluster shows.
    Await(Await),
}

/// A phase of kubeadm.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Kubeadm {
    /// The program and its arguments.
    pub run: Run,
    /// Where the receipt lies.
    pub receipt: PathBuf,
    /// What it was run with.
    pub inputs: Digest,
    /// Objects of the cluster that exist afterwards, by path, for the dry run.
    pub objects: Vec<String>,
}

/// A change to an object of the cluster. Contents are journaled as digests.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClusterChange {
    /// Server-side apply of a whole object.
    Apply {
        /// As `ConfigMap kube-flannel/kube-flannel-cfg`.
        what: String,
        /// Its path in the API.
        path: String,
        /// The object as JSON.
        object: Content,
    },
    /// A merge of some fields.
    Merge {
        /// As `Node h1`.
        what: String,
        /// Its path in the API.
        path: String,
        /// The fields as JSON (RFC 7386).
        patch: Content,
    },
    /// The object's end.
    Delete {
        /// As `Secret kube-system/bootstrap-token-abcdef`.
        what: String,
        /// Its path in the API.
        path: String,
    },
}

impl ClusterChange {
    /// The object's path in the API.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::Apply { path, .. } | Self::Merge { path, .. } | Self::Delete { path, .. } => path,
        }
    }
}

/// Something that the cluster is to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Await {
    /// What.
    pub what: Awaited,
    /// Why, as shown to the admin.
    pub reason: String,
    /// How long at most.
    #[serde(skip)]
    pub limit: Duration,
}

/// What can be waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Awaited {
    /// The API server at this `HOST:PORT` says that it is ready.
    ApiReady(String),
    /// The object at this path exists.
    Object(String),
    /// A file exists.
    File(PathBuf),
}

impl From<host::Change> for Change {
    fn from(change: host::Change) -> Self {
        Self::Host(change)
    }
}

impl Change {
    /// Server-side apply of `object`.
    #[must_use]
    pub fn apply(object: &Value) -> Self {
        let bytes = serde_json::to_vec(object).expect("plain data becomes JSON");
        Self::Cluster(ClusterChange::Apply {
            what: crate::cluster::words(object),
            path: crate::cluster::path(object),
            object: bytes.into(),
        })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(change) => change.fmt(f),
            Self::Install(install) => install.fmt(f),
            Self::ImportImages { references } => write!(f, "import {}", references.join(", ")),
            Self::EndContainers { count } => write!(f, "end {count} containers"),
            Self::EndShims { processes } => {
                write!(f, "end {} shims without a container", processes.len())
            }
            Self::Kubeadm(kubeadm) => write!(f, "run {}", kubeadm.run.argv()),
            Self::InstallSelf { path, digest } => {
                write!(
                    f,
                    "install this program (sha256 {}…) as {}",
                    &digest.to_string()[..12],
                    path.display()
                )
            }
            Self::Cluster(change) => match change {
                ClusterChange::Apply { what, object, .. } => write!(f, "apply {what} ({object})"),
                ClusterChange::Merge { what, patch, .. } => write!(f, "change {what} ({patch})"),
                ClusterChange::Delete { what, .. } => write!(f, "delete {what}"),
            },
            Self::Await(Await { reason, limit, .. }) => {
                write!(f, "wait for {reason} (at most {}s)", limit.as_secs())
            }
        }
    }
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ApiReady(at) => write!(f, "https://{at}/readyz says ok"),
            Self::Object(path) => write!(f, "{path} exists"),
            Self::File(path) => write!(f, "{} exists", path.display()),
        }
    }
}
