//! Lets kubeadm give joining nodes what they may do, and publish where the cluster is.

use host::Phase;

use crate::change::Change;
use crate::{Error, Node, kubeadm};

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
        if done && node.cluster().get(OBJECT)?.is_some() {
            return Ok(Vec::new());
        }
        let inputs = kubeadm::inputs(node.host())?;
        let args = ["init", "phase", "bootstrap-token", "--skip-token-print"];
        let mut change = kubeadm::phase(node.settings(), "bootstrap-token", &args, inputs);
        change.objects.push(OBJECT.to_owned());
        Ok(vec![Change::Kubeadm(change)])
    }
}
