//! One file, many documents: ours, and those of kubeadm, kubelet and kube-proxy that are handed on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    API_VERSION, ClusterConfiguration, Credentials, EtcdConfiguration, NodeConfiguration, yaml,
};

/// Name and annotations.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Metadata {
    /// The name; empty when a default fits.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Annotations, such as `klusterkit.dev/for: node`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A document of another program's, as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Foreign {
    /// As `kubeadm.k8s.io/v1beta4`.
    pub api_version: String,
    /// As `ClusterConfiguration`.
    pub kind: String,
    /// The role or address that the annotation `klusterkit.dev/for` names, which is taken out.
    pub applies_to: Option<String>,
    /// The document.
    pub value: Value,
}

/// The API groups whose documents are handed on.
const FOREIGN: [&str; 3] = [
    "kubeadm.k8s.io/",
    "kubelet.config.k8s.io/",
    "kubeproxy.config.k8s.io/",
];

/// A file could not be understood.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It is not YAML, or not of the shape of its kind.
    #[error(transparent)]
    Yaml(#[from] yaml::YamlError),
    /// A document without `apiVersion` and `kind`.
    #[error("document {number} has no {missing}")]
    Untyped {
        /// Which, counted from 1.
        number: usize,
        /// `apiVersion` or `kind`.
        missing: &'static str,
    },
    /// A kind that nobody here reads.
    #[error(
        "document {number} is {api_version} {kind}, which is neither Klusterkit's nor kubeadm's, kubelet's or kube-proxy's"
    )]
    UnknownKind {
        /// Which, counted from 1.
        number: usize,
        /// Its apiVersion.
        api_version: String,
        /// Its kind.
        kind: String,
    },
    /// The same kind twice where one is meant.
    #[error("document {number} is a second {kind}")]
    Twice {
        /// Which, counted from 1.
        number: usize,
        /// Its kind.
        kind: String,
    },
}

/// All documents of one file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Documents {
    /// `ClusterConfiguration`, for cctl.
    pub cluster: Option<ClusterConfiguration>,
    /// `EtcdConfiguration`, for etcdadm.
    pub etcd: Option<EtcdConfiguration>,
    /// `NodeConfiguration`, for nodeadm.
    pub node: Option<NodeConfiguration>,
    /// `Credentials`, for either.
    pub credentials: Option<Credentials>,
    /// All others.
    pub foreign: Vec<Foreign>,
}

impl Documents {
    /// Reads a multi-document YAML (JSON is YAML, too).
    ///
    /// # Errors
    /// [`DocumentError`], with line and column where the text is at fault.
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        let mut documents = Self::default();
        for (index, part) in yaml::split(text).into_iter().enumerate() {
            documents.add(index + 1, &part)?;
        }
        Ok(documents)
    }

    fn add(&mut self, number: usize, part: &yaml::Part<'_>) -> Result<(), DocumentError> {
        let value: Value = part.parse()?;
        if value.is_null() {
            return Ok(());
        }
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let api_version = text("apiVersion").ok_or(DocumentError::Untyped {
            number,
            missing: "apiVersion",
        })?;
        let kind = text("kind").ok_or(DocumentError::Untyped {
            number,
            missing: "kind",
        })?;
        let twice = |kind: &str| DocumentError::Twice {
            number,
            kind: kind.to_owned(),
        };
        match (api_version.as_str(), kind.as_str()) {
            (API_VERSION, "ClusterConfiguration") => {
                if self.cluster.replace(part.parse()?).is_some() {
                    return Err(twice(&kind));
                }
            }
            (API_VERSION, "EtcdConfiguration") => {
                if self.etcd.replace(part.parse()?).is_some() {
                    return Err(twice(&kind));
                }
            }
            (API_VERSION, "NodeConfiguration") => {
                if self.node.replace(part.parse()?).is_some() {
                    return Err(twice(&kind));
                }
            }
            (API_VERSION, "Credentials") => {
                if self.credentials.replace(part.parse()?).is_some() {
                    return Err(twice(&kind));
                }
            }
            (group, _) if FOREIGN.iter().any(|foreign| group.starts_with(foreign)) => {
                self.foreign.push(foreign(api_version, kind, value));
            }
            _ => {
                return Err(DocumentError::UnknownKind {
                    number,
                    api_version,
                    kind,
                });
            }
        }
        Ok(())
    }

    /// The other programs' documents that apply to a machine of this role (`master`, `node`, `etcd`) and address.
    pub fn foreign_for<'a>(
        &'a self,
        role: &'a str,
        address: &'a str,
    ) -> impl Iterator<Item = &'a Foreign> {
        let applies = move |to: &str| to == role || to == address;
        self.foreign
            .iter()
            .filter(move |foreign| foreign.applies_to.as_deref().is_none_or(applies))
    }
}

fn foreign(api_version: String, kind: String, mut value: Value) -> Foreign {
    const FOR: &str = "klusterkit.dev/for";
    let annotations = value
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut);
    let applies_to = annotations
        .and_then(|map| map.remove(FOR))
        .and_then(|to| to.as_str().map(str::to_owned));
    // kubeadm's own kinds have no metadata and refuse it: what held only our annotation goes with it.
    let empty = |value: Option<&Value>| {
        value
            .and_then(Value::as_object)
            .is_some_and(serde_json::Map::is_empty)
    };
    if empty(value.pointer("/metadata/annotations"))
        && let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut)
    {
        metadata.remove("annotations");
    }
    if empty(value.get("metadata"))
        && let Some(fields) = value.as_object_mut()
    {
        fields.remove("metadata");
    }
    let applies_to = applies_to.map(|to| match to.as_str() {
        "control-plane" => "master".to_owned(),
        "worker" => "node".to_owned(),
        _ => to,
    });
    Foreign {
        api_version,
        kind,
        applies_to,
        value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
apiVersion: klusterkit.dev/v1alpha1
kind: ClusterConfiguration
metadata: {name: prod}
kubernetes: {version: v1.37.2}
etcd: {version: v3.7.3}
controlPlaneEndpoint: 10.77.0.100
machines:
  - {address: 10.77.0.11, roles: [master]}
  - {address: 10.77.0.14, roles: [worker], labels: {disk: ssd}, taints: []}
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
metadata: {annotations: {klusterkit.dev/for: worker}}
failCgroupV1: false
";

    #[test]
    fn the_small_file_has_all_defaults() {
        let documents = Documents::parse(FILE).unwrap();
        let cluster = documents.cluster.as_ref().unwrap();
        assert_eq!(cluster.faults(), Vec::<String>::new());
        assert!(cluster.keepalived().is_some());
        assert_eq!(
            cluster.control_plane_endpoint.with_api_port(),
            "10.77.0.100:6443"
        );
        assert_eq!(cluster.etcd_machines().count(), 1);
        assert_eq!(documents.foreign_for("master", "10.77.0.11").count(), 0);
        let kubelet = documents.foreign_for("node", "10.77.0.14").next().unwrap();
        assert_eq!(kubelet.value.get("metadata"), None);
    }

    fn error(text: &str) -> String {
        Documents::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn faults_are_named_with_their_place() {
        insta::assert_snapshot!(error(&FILE.replace("roles: [worker], labels", "roles: [worker], lables")), @"machines[1]: unknown field `lables`, did you mean `labels`? (line 9, column 44)");
        insta::assert_snapshot!(error(&FILE.replace("metadata: {name: prod}", "metdata: {name: prod}")), @"unknown field `metdata`, did you mean `metadata`? (line 3, column 1)");
        insta::assert_snapshot!(error(&FILE.replace("etcd: {version: v3.7.3}", "etcd: {version: three}")), @r#"etcd: not a version such as v1.37.2: "three" (line 5, column 7)"#);
        insta::assert_snapshot!(error(&FILE.replace("failCgroupV1: false", " failCgroupV1: false")), @"did not find expected key (line 14, column 2)");
        insta::assert_snapshot!(error("apiVersion: v1\nkind: Pod\n"), @"document 1 is v1 Pod, which is neither Klusterkit's nor kubeadm's, kubelet's or kube-proxy's");
        insta::assert_snapshot!(error("kind: Pod\n"), @"document 1 has no apiVersion");
    }
}
