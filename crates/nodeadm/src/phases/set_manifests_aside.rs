//! Takes the control plane's static pods from the kubelet, so that it does not start them again, whoever starts it.

use std::path::Path;

use host::{Digest, Phase};

use crate::change::Change;
use crate::{Error, Node, paths};

/// The static pods that make a control plane. Others are the admin's own.
pub(crate) const CONTROL_PLANE: [&str; 5] = [
    "kube-apiserver.yaml",
    "kube-controller-manager.yaml",
    "kube-scheduler.yaml",
    "etcd.yaml",
    "keepalived.yaml",
];

/// See the module.
pub struct SetManifestsAside;

impl Phase<Node> for SetManifestsAside {
    fn name(&self) -> &'static str {
        "set-manifests-aside"
    }

    fn about(&self) -> &'static str {
        "set the control plane's static pods aside"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let seen = node.host();
        let mut plan: Vec<Change> = Vec::new();
        for name in CONTROL_PLANE {
            let path = Path::new(paths::MANIFESTS).join(name);
            let Some(content) = seen.read(&path, 4 << 20)? else {
                continue;
            };
            // Named by what is in it: what is set aside twice is there once.
            let digest = Digest::of(&content).to_string();
            let to = Path::new(paths::ASIDE).join(format!("{}-{name}", &digest[..12]));
            if plan.is_empty() && seen.stat(Path::new(paths::ASIDE))?.is_none() {
                let path = paths::ASIDE.into();
                plan.push(host::Change::MakeDir { path, mode: 0o700 }.into());
            }
            let change = if seen.stat(&to)?.is_some() {
                host::Change::Remove { path }
            } else {
                host::Change::SetAside { path, to }
            };
            plan.push(change.into());
        }
        Ok(plan)
    }
}
