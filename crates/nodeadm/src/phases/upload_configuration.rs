//! Lets kubeadm keep its configuration in the cluster, where joining nodes and upgrades look for it.

use host::Phase;

use crate::change::Change;
use crate::{Error, Node, kubeadm};

const OBJECT: &str = "/api/v1/namespaces/kube-system/configmaps/kubeadm-config";

/// See the module.
pub struct UploadConfiguration;

impl Phase<Node> for UploadConfiguration {
    fn name(&self) -> &'static str {
        "upload-configuration"
    }

    fn about(&self) -> &'static str {
        "keep kubeadm's configuration in the cluster (kubeadm init phase upload-config)"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let inputs = kubeadm::inputs(node.host())?;
        let done = kubeadm::receipted(node.host(), "upload-config")? == Some(inputs);
        if done && node.cluster().get(OBJECT)?.is_some() {
            return Ok(Vec::new());
        }
        let args = ["init", "phase", "upload-config", "all"];
        let mut change = kubeadm::phase(node.settings(), "upload-config", &args, inputs);
        change.objects.push(OBJECT.to_owned());
        Ok(vec![Change::Kubeadm(change)])
    }
}
