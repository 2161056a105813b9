//! Lets kubeadm apply kube-proxy, once; where the endpoint is another one than when it was applied, points it there.
//!
//! Its pods read where the API is only when they start. So the ConfigMap says where it was pointed to, and the DaemonSet's
//! pods are made anew until they say the same: a run that is cut off between the two is finished by the next.

use host::Phase;
use serde_json::{Value, json};

use crate::change::{Change, ClusterChange};
use crate::{Error, Node, kubeadm, kubeconfig};

const OBJECT: &str = "/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy";
const CONFIGURATION: &str = "/api/v1/namespaces/kube-system/configmaps/kube-proxy";
/// The kubeconfig among the ConfigMap's data.
const KUBECONFIG: &str = "kubeconfig.conf";
/// Where it was pointed to since it was applied.
const POINTED: &str = "klusterkit.dev/endpoint";

/// See the module.
pub struct ApplyKubeProxy;

impl Phase<Node> for ApplyKubeProxy {
    fn name(&self) -> &'static str {
        "apply-kube-proxy"
    }

    fn about(&self) -> &'static str {
        "apply kube-proxy (kubeadm init phase addon kube-proxy), and point it to the endpoint"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let Some(daemons) = node.cluster().get(OBJECT)? else {
            let args = ["init", "phase", "addon", "kube-proxy"];
            let inputs = kubeadm::inputs(node.host())?;
            let mut change = kubeadm::phase(node.settings(), "kube-proxy", &args, inputs);
            change.objects.push(OBJECT.to_owned());
            return Ok(vec![Change::Kubeadm(change)]);
        };
        let Some(configuration) = node.cluster().get(CONFIGURATION)? else {
            return Ok(Vec::new());
        };
        if let Some(patch) = pointed(&configuration, &node.settings().endpoint)? {
            return Ok(vec![merge("ConfigMap", CONFIGURATION, &patch)]);
        }
        let wanted = configuration
            .pointer("/metadata/annotations")
            .and_then(|all| all.get(POINTED));
        let has = daemons
            .pointer("/spec/template/metadata/annotations")
            .and_then(|all| all.get(POINTED));
        if wanted.is_none() || has == wanted {
            return Ok(Vec::new());
        }
        let patch = json!({"spec": {"template": {"metadata": {"annotations": {POINTED: wanted}}}}});
        Ok(vec![merge("DaemonSet", OBJECT, &patch)])
    }
}

/// What changes the ConfigMap, where it leads to another endpoint.
fn pointed(configuration: &Value, endpoint: &str) -> Result<Option<Value>, Error> {
    let data = configuration
        .pointer("/data")
        .and_then(|data| data.get(KUBECONFIG));
    let Some(text) = data.and_then(Value::as_str) else {
        return Ok(None);
    };
    let text = kubeconfig::pointed_at(text, endpoint, &[]).map_err(|error| Error::File {
        path: CONFIGURATION.into(),
        what: error.to_string(),
    })?;
    let patch = |text| json!({"metadata": {"annotations": {POINTED: endpoint}}, "data": {KUBECONFIG: text}});
    Ok(text.map(patch))
}

fn merge(kind: &str, path: &str, patch: &Value) -> Change {
    Change::Cluster(ClusterChange::Merge {
        what: format!("{kind} kube-system/kube-proxy"),
        path: path.to_owned(),
        patch: patch.to_string().into(),
    })
}
