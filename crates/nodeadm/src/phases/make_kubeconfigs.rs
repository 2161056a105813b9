//! Lets kubeadm write the kubeconfigs of admin, kubelet, controller manager and scheduler.

use std::path::{Path, PathBuf};

use host::Phase;

use crate::change::Change;
use crate::{Error, Node, kubeadm, paths};

/// See the module.
pub struct MakeKubeconfigs;

impl Phase<Node> for MakeKubeconfigs {
    fn name(&self) -> &'static str {
        "make-kubeconfigs"
    }

    fn about(&self) -> &'static str {
        "write the control plane's kubeconfigs (kubeadm init phase kubeconfig)"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let (seen, settings) = (node.host(), node.settings());
        let file =
            |name: &str| -> PathBuf { Path::new(paths::KUBERNETES).join(format!("{name}.conf")) };
        let each = ["admin", "kubelet", "controller-manager", "scheduler"];
        if settings.first {
            let files: Vec<PathBuf> = each
                .iter()
                .chain(&["super-admin"])
                .map(|name| file(name))
                .collect();
            let args = ["init", "phase", "kubeconfig", "all"];
            return kubeadm::plan_files(seen, settings, "kubeconfig", &args, &files);
        }
        // Only the first control plane has a super-admin, and `all` would make one.
        let mut plan = Vec::new();
        for name in each {
            let args = ["init", "phase", "kubeconfig", name];
            let receipt = format!("kubeconfig-{name}");
            plan.extend(kubeadm::plan_files(
                seen,
                settings,
                &receipt,
                &args,
                &[file(name)],
            )?);
        }
        Ok(plan)
    }
}
