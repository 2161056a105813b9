//! Lets kubeadm give joining nodes what they may do, and publish where the cluster is; where that changed since, it is
//! published anew.

use host::Phase;
use serde_json::{Value, json};

use crate::change::{Change, ClusterChange};
use crate::{Error, Node, kubeadm, kubeconfig};

const OBJECT: &str = "/api/v1/namespaces/kube-public/configmaps/cluster-info";

/// See the module.
pub struct AllowJoining;

impl Phase<Node> for AllowJoining {
    fn name(&self) -> &'static str {
        "allow-joining"
    }

    fn about(&self) -> &'static str {
        "let nodes join with a bootstrap token (kubeadm init phase bootstrap-token)"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        // Not with every new configuration: it would bring an ended token back to life.
        let done = kubeadm::receipted(node.host(), "bootstrap-token")?.is_some();
        if done && let Some(published) = node.cluster().get(OBJECT)? {
            return Ok(pointed(&published, &node.settings().endpoint)?
                .into_iter()
                .collect());
        }
        let inputs = kubeadm::inputs(node.host())?;
        let args = ["init", "phase", "bootstrap-token", "--skip-token-print"];
        let mut change = kubeadm::phase(node.settings(), "bootstrap-token", &args, inputs);
        change.objects.push(OBJECT.to_owned());
        Ok(vec![Change::Kubeadm(change)])
    }
}

/// What publishes another endpoint. The signatures beside it, which joining nodes know it by, follow by themselves.
fn pointed(published: &Value, endpoint: &str) -> Result<Option<Change>, Error> {
    let Some(text) = published
        .pointer("/data/kubeconfig")
        .and_then(Value::as_str)
    else {
        return Ok(None);
    };
    let text = kubeconfig::pointed_at(text, endpoint, &[]).map_err(|error| Error::File {
        path: OBJECT.into(),
        what: error.to_string(),
    })?;
    let merge = |text| ClusterChange::Merge {
        what: "ConfigMap kube-public/cluster-info".to_owned(),
        path: OBJECT.to_owned(),
        patch: json!({"data": {"kubeconfig": text}}).to_string().into(),
    };
    Ok(text.map(merge).map(Change::Cluster))
}
