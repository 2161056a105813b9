//! Marks a control plane's Node as one, and gives it its labels and taints.

use std::time::Duration;

use host::Phase;
use serde_json::{Map, Value, json};

use crate::change::{Await, Awaited, Change, ClusterChange};
use crate::{Error, Node, kubeadm};

const ROLE: &str = "node-role.kubernetes.io/control-plane";
const UNBALANCED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// See the module.
pub struct LabelNode;

impl Phase<Node> for LabelNode {
    fn name(&self) -> &'static str {
        "label-node"
    }

    fn about(&self) -> &'static str {
        "mark the Node as a control plane, with its labels and taints"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let settings = node.settings();
        let path = format!("/api/v1/nodes/{}", settings.name);
        let Some(object) = node.cluster().get(&path)? else {
            let reason = format!("the kubelet to register the Node {}", settings.name);
            let limit = Duration::from_secs(120);
            return Ok(vec![Change::Await(Await {
                what: Awaited::Object(path),
                reason,
                limit,
            })]);
        };
        let label = |key: &str| {
            object
                .pointer("/metadata/labels")
                .and_then(|labels| labels.get(key))
        };
        let new = label(ROLE).is_none();
        let mut wanted: Vec<(&str, &str)> = vec![(ROLE, ""), (UNBALANCED, "")];
        wanted.extend(
            settings
                .config
                .labels
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str())),
        );
        let labels: Map<String, Value> = wanted
            .into_iter()
            .filter(|(key, value)| label(key).and_then(Value::as_str) != Some(*value))
            .map(|(key, value)| (key.to_owned(), json!(value)))
            .collect();
        let mut patch = json!({});
        if !labels.is_empty() {
            patch["metadata"] = json!({"labels": labels});
        }
        // Taints that an admin took away later stay away, unless the document names them.
        if (new || settings.config.taints.is_some())
            && let Some(taints) = with_taints(&object, &kubeadm::taints(settings))
        {
            patch["spec"] = json!({"taints": taints});
        }
        if patch.as_object().is_some_and(Map::is_empty) {
            return Ok(Vec::new());
        }
        let what = format!("Node {}", settings.name);
        Ok(vec![Change::Cluster(ClusterChange::Merge {
            what,
            path,
            patch: patch.to_string().into(),
        })])
    }
}

/// All taints, when one of `wanted` is missing among those that are there.
fn with_taints(object: &Value, wanted: &[String]) -> Option<Vec<Value>> {
    let mut taints = object
        .pointer("/spec/taints")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let before = taints.len();
    for taint in wanted.iter().map(|text| kubeadm::taint_object(text)) {
        let same = |other: &Value| {
            other.get("key") == taint.get("key") && other.get("effect") == taint.get("effect")
        };
        if !taints.iter().any(same) {
            taints.push(taint);
        }
    }
    (taints.len() > before).then_some(taints)
}
