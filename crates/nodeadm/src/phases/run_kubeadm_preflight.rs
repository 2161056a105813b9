//! Runs kubeadm's own checks, once, before it has made anything.

use std::path::Path;

use host::Phase;

use crate::change::Change;
use crate::{Error, Node, kubeadm, paths};

/// See the module.
pub struct RunKubeadmPreflight;

impl Phase<Node> for RunKubeadmPreflight {
    fn name(&self) -> &'static str {
        "run-kubeadm-preflight"
    }

    fn about(&self) -> &'static str {
        "run kubeadm's own checks"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let (seen, settings) = (node.host(), node.settings());
        // They ask for a host on which kubeadm has done nothing yet: what it has done is no fault in a later run.
        let begun = seen
            .stat(&Path::new(paths::KUBERNETES).join("kubelet.conf"))?
            .is_some();
        if begun || kubeadm::receipted(seen, "preflight")?.is_some() {
            return Ok(Vec::new());
        }
        let verb = if settings.is_master() { "init" } else { "join" };
        let inputs = kubeadm::inputs(seen)?;
        Ok(vec![Change::Kubeadm(kubeadm::phase(
            settings,
            "preflight",
            &[verb, "phase", "preflight"],
            inputs,
        ))])
    }
}
