//! Ends all containers of Kubernetes.

use std::path::Path;

use host::{Inspect, Phase, UnitAction, UnitActivity};

use crate::change::Change;
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
            if containerd.loaded && shims(seen)? {
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

/// Whether some container's shim runs.
fn shims(seen: &dyn Inspect) -> Result<bool, Error> {
    for name in seen.list(Path::new("/proc"))?.unwrap_or_default() {
        if name.bytes().all(|b| b.is_ascii_digit()) {
            // A process may end while it is looked at.
            let comm = seen
                .read_text(&Path::new("/proc").join(&name).join("comm"))
                .ok()
                .flatten();
            if comm.is_some_and(|comm| comm.starts_with("containerd-shim")) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
