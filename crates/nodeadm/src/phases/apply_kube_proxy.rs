//! Lets kubeadm apply kube-proxy, once: what an admin changes in it stays.

use host::Phase;

use crate::change::Change;
use crate::{Error, Node, kubeadm};

const OBJECT: &str = "/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy";

/// See the module.
pub struct ApplyKubeProxy;

impl Phase<Node> for ApplyKubeProxy {
    fn name(&self) -> &'static str {
        "apply-kube-proxy"
    }

    fn about(&self) -> &'static str {
        "apply kube-proxy (kubeadm init phase addon kube-proxy)"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        if node.cluster().get(OBJECT)?.is_some() {
            return Ok(Vec::new());
        }
        let args = ["init", "phase", "addon", "kube-proxy"];
        let inputs = kubeadm::inputs(node.host())?;
        let mut change = kubeadm::phase(node.settings(), "kube-proxy", &args, inputs);
        change.objects.push(OBJECT.to_owned());
        Ok(vec![Change::Kubeadm(change)])
    }
}
