//! Configures and starts the container runtime.

use std::path::Path;

use host::{Phase, UnitAction, UnitActivity};

use super::plan_file;
use crate::change::Change;
use crate::{Error, Node, containerd, paths, units};

const UNIT: &str = "containerd.service";

/// What CNI plugins note of a pod's network (flannel what it told the next plugin, libcni the result, host-local the
/// address) says nothing any more once the host has booted: network namespaces do not outlive it. Nobody syncs these
/// files, and one that a power loss left empty keeps its pod from ever being taken down, and so from coming back.
const FORGOTTEN_AT_BOOT: &str = "\
# Written by nodeadm.
R! /var/lib/cni/flannel
R! /var/lib/cni/results
R! /var/lib/cni/networks/cbr0
";

/// See the module.
pub struct StartContainerd;

impl Phase<Node> for StartContainerd {
    fn name(&self) -> &'static str {
        "start-containerd"
    }

    fn about(&self) -> &'static str {
        "configure and start the container runtime"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let (seen, config) = (node.host(), &node.settings().config);
        let pause = &node.settings().artifacts.images.pause;
        let text = containerd::configuration(
            &config.install_dir,
            pause,
            config.containerd_patch.as_deref(),
        )?;
        let files = plan_file(seen, Path::new(paths::CONTAINERD_CONFIG), 0o644, &text)?;
        let units = plan_file(
            seen,
            Path::new(paths::CONTAINERD_UNIT),
            0o644,
            &units::containerd(&config.install_dir)?,
        )?;
        let unit = seen.unit(UNIT)?;
        let mut plan: Vec<Change> = Vec::new();
        let running = unit.activity == UnitActivity::Active;
        // Stopped first: a kill after the files were written would leave the old configuration running unnoticed.
        // Containers go on without it.
        if running && !(files.is_empty() && units.is_empty()) {
            plan.push(host::Change::unit(UNIT, UnitAction::Stop).into());
        }
        plan.extend(files);
        let reload = !units.is_empty() || unit.needs_reload || !unit.loaded;
        plan.extend(units);
        if reload {
            plan.push(host::Change::ReloadUnits.into());
        }
        if !unit.enabled {
            plan.push(host::Change::unit(UNIT, UnitAction::Enable).into());
        }
        if !running || !plan.is_empty() {
            plan.push(host::Change::unit(UNIT, UnitAction::Start).into());
        }
        // First of all, so that no pod has a network before it.
        let forgotten = plan_file(seen, Path::new(paths::TMPFILES), 0o644, FORGOTTEN_AT_BOOT)?;
        plan.splice(0..0, forgotten);
        Ok(plan)
    }
}
