//! Stops the container runtime, and the slice that pods ran in.

use std::path::Path;

use host::{Phase, UnitAction, UnitActivity};

use crate::change::Change;
use crate::{Error, Node, paths};

/// See the module.
pub struct StopContainerd;

impl Phase<Node> for StopContainerd {
    fn name(&self) -> &'static str {
        "stop-containerd"
    }

    fn about(&self) -> &'static str {
        "stop the container runtime"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let seen = node.host();
        let mut plan: Vec<Change> = Vec::new();
        let ours = seen.stat(Path::new(paths::CONTAINERD_UNIT))?.is_some();
        let unit = seen.unit("containerd.service")?;
        if ours && matches!(unit.activity, UnitActivity::Active | UnitActivity::Activating | UnitActivity::Deactivating) {
            plan.push(host::Change::unit("containerd.service", UnitAction::Stop).into());
        }
        if ours && unit.enabled {
            plan.push(host::Change::unit("containerd.service", UnitAction::Disable).into());
        }
        if seen.unit("kubepods.slice")?.activity == UnitActivity::Active {
            plan.push(host::Change::unit("kubepods.slice", UnitAction::Stop).into());
        }
        Ok(plan)
    }
}
