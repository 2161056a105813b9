//! Checks the host before anything is changed; all that is wrong is reported together.

use api::Verdict;
use host::Phase;

use crate::change::Change;
use crate::{Error, Node, checks};

/// See the module.
pub struct CheckHost;

impl Phase<Node> for CheckHost {
    fn name(&self) -> &'static str {
        "check-host"
    }

    fn about(&self) -> &'static str {
        "check the host before anything is changed"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let checks = checks::run(node.host(), node.settings());
        let bad = checks
            .iter()
            .any(|check| matches!(check.verdict, Verdict::Failed | Verdict::Unknown));
        if bad {
            Err(Error::Preflight(checks))
        } else {
            Ok(Vec::new())
        }
    }
}
