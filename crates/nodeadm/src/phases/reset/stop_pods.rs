//! Ends all containers of Kubernetes.

use host::{Phase, UnitAction, UnitActivity};

use crate::change::Change;
use crate::observe::shims;
use crate::{Error, Node};

/// See the module.
pub struct StopPods;

impl Phase<Node> for StopPods {
    fn name(&self) -> &'static str {
        "stop-pods"
    }

    fn about(&self) -> &'static str {
        "end all containers of Kubernetes"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let seen = node.host();
        let containerd = seen.unit("containerd.service")?;
        if containerd.activity != UnitActivity::Active {
            // An earlier reset was cut off: the containers can be ended only through their runtime.
            if containerd.loaded && !shims(seen)?.is_empty() {
                return Ok(vec![
                    host::Change::unit("containerd.service", UnitAction::Start).into(),
                ]);
            }
            return Ok(Vec::new());
        }
        let count = node.containers()?.len();
        Ok(if count == 0 {
            Vec::new()
        } else {
            vec![Change::EndContainers { count }]
        })
    }
}
