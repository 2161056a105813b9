//! Stops the kubelet, so that nothing is started any more.

use host::{Phase, UnitAction, UnitActivity};

use crate::change::Change;
use crate::{Error, Node};

const UNIT: &str = "kubelet.service";

/// See the module.
pub struct StopKubelet;

impl Phase<Node> for StopKubelet {
    fn name(&self) -> &'static str {
        "stop-kubelet"
    }

    fn about(&self) -> &'static str {
        "stop the kubelet"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let unit = node.host().unit(UNIT)?;
        let mut plan: Vec<Change> = Vec::new();
        if matches!(
            unit.activity,
            UnitActivity::Active | UnitActivity::Activating | UnitActivity::Deactivating
        ) {
            plan.push(host::Change::unit(UNIT, UnitAction::Stop).into());
        }
        if unit.enabled && unit.loaded {
            plan.push(host::Change::unit(UNIT, UnitAction::Disable).into());
        }
        Ok(plan)
    }
}
