//! Removes what nodeadm knew of this node. Last of all: as long as it is there, a reset that was cut off goes on.

use std::path::Path;

use host::Phase;

use crate::change::Change;
use crate::found::FOUND;
use crate::{Error, Node, paths};

/// See the module.
pub struct RemoveRecord;

impl Phase<Node> for RemoveRecord {
    fn name(&self) -> &'static str {
        "remove-record"
    }

    fn about(&self) -> &'static str {
        "forget this node"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let seen = node.host();
        let mut plan: Vec<Change> = Vec::new();
        for path in [paths::RECEIPTS, paths::PATCHES] {
            if seen.stat(Path::new(path))?.is_some() {
                plan.push(host::Change::RemoveTree { path: path.into() }.into());
            }
        }
        for path in [
            paths::KUBEADM_CONFIG,
            paths::DISCOVERY,
            FOUND,
            paths::RECORD,
        ] {
            if seen.stat(Path::new(path))?.is_some() {
                plan.push(host::Change::Remove { path: path.into() }.into());
            }
        }
        Ok(plan)
    }
}
