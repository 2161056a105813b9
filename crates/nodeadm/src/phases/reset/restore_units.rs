//! Lets systemd see that its units are gone, and starts at boot again what did before.

use host::{Phase, UnitAction, UnitActivity};

use crate::change::Change;
use crate::found::{Found, UNITS};
use crate::{Error, Node};

/// See the module.
pub struct RestoreUnits;

impl Phase<Node> for RestoreUnits {
    fn name(&self) -> &'static str {
        "restore-units"
    }

    fn about(&self) -> &'static str {
        "let systemd read its unit files again"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let seen = node.host();
        let found = Found::read(seen)?.unwrap_or_default();
        let mut plan: Vec<Change> = Vec::new();
        for name in UNITS {
            let unit = seen.unit(name)?;
            if unit.needs_reload && plan.is_empty() {
                plan.push(host::Change::ReloadUnits.into());
            }
            if unit.activity == UnitActivity::Failed {
                plan.push(host::Change::unit(name, UnitAction::ResetFailed).into());
            }
            if unit.loaded && !unit.enabled && found.enabled.iter().any(|enabled| enabled == name) {
                plan.push(host::Change::unit(name, UnitAction::Enable).into());
            }
        }
        Ok(plan)
    }
}
