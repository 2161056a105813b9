//! Lets kubeadm write the static pods of the control plane.

use std::path::{Path, PathBuf};

use host::Phase;

use crate::change::Change;
use crate::{Error, Node, kubeadm, paths};

/// See the module.
pub struct WriteManifests;

impl Phase<Node> for WriteManifests {
    fn name(&self) -> &'static str {
        "write-manifests"
    }

    fn about(&self) -> &'static str {
        "write the control plane's static pods (kubeadm init phase control-plane)"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let names = [
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
        ];
        let files: Vec<PathBuf> = names
            .iter()
            .map(|name| Path::new(paths::MANIFESTS).join(format!("{name}.yaml")))
            .collect();
        let args = ["init", "phase", "control-plane", "all"];
        kubeadm::plan_files(node.host(), node.settings(), "control-plane", &args, &files)
    }
}
