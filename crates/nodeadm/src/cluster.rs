//! The cluster's API, as far as one node needs it: is it ready, read an object, apply one.
//!
//! Plain HTTPS with the certificates that lie on a control plane; a poll costs a millisecond, where a `kubectl` costs a
//! sixth of a processor's second. The server's certificate is always checked against the cluster's own authority.
//! [`Live`] is the cluster, [`Picture`] the one of a dry run and of tests.

mod live;
mod picture;

use std::path::PathBuf;

use serde_json::{Value, json};

pub use live::{Live, look};
pub use picture::{Absent, Picture};

use crate::change::ClusterChange;

/// The variables by which a container's client finds the API: at this address instead of the Service's.
#[must_use]
pub(crate) fn api_environment(host: &str, port: u16) -> [Value; 2] {
    [
        json!({"name": "KUBERNETES_SERVICE_HOST", "value": host}),
        json!({"name": "KUBERNETES_SERVICE_PORT", "value": port.to_string()}),
    ]
}

/// The API could not be asked or told.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A kubeconfig or certificate on this host is at fault.
    #[error("{path} is at fault: {what}")]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The file could not be read.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// No answer.
    #[error("{method} {url} had no answer")]
    Request {
        /// As `GET`.
        method: &'static str,
        /// The address.
        url: String,
        /// Why not.
        source: Box<ureq::Error>,
    },
    /// An answer that is a refusal.
    #[error("{method} {url} was refused ({status}): {message}")]
    Refused {
        /// As `PATCH`.
        method: &'static str,
        /// The address.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What the server said.
        message: String,
    },
    /// An answer that is no JSON.
    #[error("{url} answered something that is no JSON")]
    Answer {
        /// The address.
        url: String,
        /// Why not.
        source: serde_json::Error,
    },
}

/// The API as nodeadm sees it.
pub trait Cluster {
    /// Whether the API server at `HOST:PORT` says that it is ready; else what was seen.
    fn ready(&self, at: &str) -> Result<(), String>;

    /// The object at `path`; `None` where there is none, or no API to be asked yet.
    ///
    /// # Errors
    /// [`ClusterError`].
    fn get(&self, path: &str) -> Result<Option<Value>, ClusterError>;

    /// Makes one change.
    ///
    /// # Errors
    /// [`ClusterError`].
    fn change(&mut self, change: &ClusterChange) -> Result<(), ClusterError>;

    /// For a dry run: from now on there is an object at `path`.
    fn assume(&mut self, path: &str);

    /// For a dry run: from now on the API server at `at` is ready.
    fn assume_ready(&mut self, at: &str);
}

/// The path in the API of an object that names its kind, namespace and name.
#[must_use]
pub fn path(object: &Value) -> String {
    const CLUSTER_WIDE: [&str; 5] = [
        "Namespace",
        "Node",
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
    ];
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (version, kind, name) = (text("/apiVersion"), text("/kind"), text("/metadata/name"));
    let group = if version.contains('/') { "apis" } else { "api" };
    let lower = kind.to_lowercase();
    let plural = match lower.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None if lower.ends_with("class") => format!("{lower}es"),
        None => format!("{lower}s"),
    };
    if CLUSTER_WIDE.contains(&kind) {
        return format!("/{group}/{version}/{plural}/{name}");
    }
    let namespace = match text("/metadata/namespace") {
        "" => "default",
        namespace => namespace,
    };
    format!("/{group}/{version}/namespaces/{namespace}/{plural}/{name}")
}

/// An object in words, as `ConfigMap kube-system/coredns`.
#[must_use]
pub fn words(object: &Value) -> String {
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (kind, namespace, name) = (
        text("/kind"),
        text("/metadata/namespace"),
        text("/metadata/name"),
    );
    if namespace.is_empty() {
        format!("{kind} {name}")
    } else {
        format!("{kind} {namespace}/{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_have_their_paths() {
        let path = |version: &str, kind: &str, namespace: &str| {
            path(
                &json!({"apiVersion": version, "kind": kind, "metadata": {"name": "x", "namespace": namespace}}),
            )
        };
        assert_eq!(
            path("v1", "ConfigMap", "kube-system"),
            "/api/v1/namespaces/kube-system/configmaps/x"
        );
        assert_eq!(path("v1", "Node", ""), "/api/v1/nodes/x");
        assert_eq!(
            path("apps/v1", "DaemonSet", "a"),
            "/apis/apps/v1/namespaces/a/daemonsets/x"
        );
        assert_eq!(
            path("networking.k8s.io/v1", "NetworkPolicy", "a"),
            "/apis/networking.k8s.io/v1/namespaces/a/networkpolicies/x"
        );
    }
}
