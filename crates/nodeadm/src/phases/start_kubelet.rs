//! Lets kubeadm write the kubelet's configuration and start it: with it the control plane comes up.

use std::path::{Path, PathBuf};

use host::{Phase, UnitAction, UnitActivity};

use crate::change::Change;
use crate::{Error, Node, kubeadm, paths};

const UNIT: &str = "kubelet.service";

/// See the module.
pub struct StartKubelet;

impl Phase<Node> for StartKubelet {
    fn name(&self) -> &'static str {
        "start-kubelet"
    }

    fn about(&self) -> &'static str {
        "write the kubelet's configuration and start it (kubeadm init phase kubelet-start)"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let seen = node.host();
        let files: Vec<PathBuf> = ["config.yaml", "kubeadm-flags.env"]
            .iter()
            .map(|name| Path::new(paths::KUBELET).join(name))
            .collect();
        let args = ["init", "phase", "kubelet-start"];
        let mut plan = kubeadm::plan_files(seen, node.settings(), "kubelet-start", &args, &files)?;
        // kubeadm only warns when it does not start.
        if plan.is_empty()
            && !matches!(
                seen.unit(UNIT)?.activity,
                UnitActivity::Active | UnitActivity::Activating
            )
        {
            plan.push(host::Change::unit(UNIT, UnitAction::Start).into());
        }
        Ok(plan)
    }
}
