//! Points the kubeconfigs on this host to the endpoint, where they lead to one that the cluster had before. kubeadm keeps a
//! kubeconfig that is there, wherever it leads.
//!
//! The kubelet reads its own only when it starts: it is stopped first, and whoever is to run it starts it afterwards, so
//! that a run which is cut off leaves no kubelet that listens to the old place. Its containers go on.

use std::path::Path;

use host::{Phase, UnitAction, UnitActivity};

use crate::change::Change;
use crate::{Error, Node, kubeconfig, paths};

const UNIT: &str = "kubelet.service";
const KUBELET: &str = "kubelet";
/// Controller manager, scheduler and kubelet of a control plane ask the API server of their own host.
const NAMES: [&str; 5] = [
    "admin",
    "super-admin",
    "controller-manager",
    "scheduler",
    KUBELET,
];

/// See the module.
pub struct PointKubeconfigs;

impl Phase<Node> for PointKubeconfigs {
    fn name(&self) -> &'static str {
        "point-kubeconfigs"
    }

    fn about(&self) -> &'static str {
        "point kubeconfigs that are there to the endpoint, if it is another one now"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let (seen, settings) = (node.host(), node.settings());
        let own: &[&str] = if settings.is_master() {
            &[&settings.api]
        } else {
            &[]
        };
        let mut plan: Vec<Change> = Vec::new();
        for name in NAMES {
            let path = Path::new(paths::KUBERNETES).join(format!("{name}.conf"));
            // One that a power loss emptied is made anew by whoever makes it.
            let Some(text) = seen.read_text(&path)?.filter(|text| !text.is_empty()) else {
                continue;
            };
            let pointed = kubeconfig::pointed_at(&text, &settings.endpoint, own);
            let pointed = pointed.map_err(|error| Error::File {
                path: path.clone(),
                what: error.to_string(),
            })?;
            let Some(text) = pointed else { continue };
            let runs = matches!(
                seen.unit(UNIT)?.activity,
                UnitActivity::Active | UnitActivity::Activating
            );
            if name == KUBELET && runs {
                plan.push(host::Change::unit(UNIT, UnitAction::Stop).into());
            }
            plan.push(host::Change::private_file(&path, text).into());
        }
        Ok(plan)
    }
}
