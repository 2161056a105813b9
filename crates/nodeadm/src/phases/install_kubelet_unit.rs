//! Installs the kubelet's unit and kubeadm's drop-in for it. kubeadm starts it once it has a configuration.

use std::path::Path;

use host::{Phase, UnitAction};

use super::plan_file;
use crate::change::Change;
use crate::{Error, Node, paths, units};

const UNIT: &str = "kubelet.service";

/// See the module.
pub struct InstallKubeletUnit;

impl Phase<Node> for InstallKubeletUnit {
    fn name(&self) -> &'static str {
        "install-kubelet-unit"
    }

    fn about(&self) -> &'static str {
        "install the kubelet's unit"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let seen = node.host();
        let folder = &node.settings().config.install_dir;
        let mut plan = plan_file(
            seen,
            Path::new(paths::KUBELET_UNIT),
            0o644,
            &units::kubelet(folder)?,
        )?;
        plan.extend(plan_file(
            seen,
            Path::new(paths::KUBELET_DROPIN),
            0o644,
            &units::kubelet_drop_in(folder)?,
        )?);
        let unit = seen.unit(UNIT)?;
        if !plan.is_empty() || unit.needs_reload || !unit.loaded {
            plan.push(host::Change::ReloadUnits.into());
        }
        if !unit.enabled {
            plan.push(host::Change::unit(UNIT, UnitAction::Enable).into());
        }
        Ok(plan)
    }
}
