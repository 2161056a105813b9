//! Lets kubeadm configure a worker's kubelet, which then gets its certificate from the cluster.

use std::path::Path;
use std::time::Duration;

use host::{Phase, UnitAction, UnitActivity};

use crate::change::{Await, Awaited, Change};
use crate::{Error, Node, kubeadm, paths};

/// See the module.
pub struct JoinCluster;

impl Phase<Node> for JoinCluster {
    fn name(&self) -> &'static str {
        "join-cluster"
    }

    fn about(&self) -> &'static str {
        "configure and start the kubelet with its bootstrap token (kubeadm join phase kubelet-start)"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let (seen, settings) = (node.host(), node.settings());
        // The kubelet writes its kubeconfig before it has the certificate that this names.
        let certificate = Path::new(paths::KUBELET_CERTIFICATE);
        let bootstrap = Path::new(paths::KUBERNETES).join("bootstrap-kubelet.conf");
        let mut plan = Vec::new();
        if seen.stat(certificate)?.is_none() {
            let inputs = kubeadm::inputs(seen)?;
            if kubeadm::receipted(seen, "join")? != Some(inputs) || seen.stat(&bootstrap)?.is_none()
            {
                let mut change = kubeadm::phase(
                    settings,
                    "join",
                    &["join", "phase", "kubelet-start"],
                    inputs,
                );
                change.run.limit = Duration::from_secs(360);
                change.run.makes.push(host::Condition::Exists(bootstrap));
                plan.push(Change::Kubeadm(change));
            }
            let reason = "the kubelet to get its certificate".to_owned();
            let what = Awaited::File(certificate.to_owned());
            plan.push(Change::Await(Await {
                what,
                reason,
                limit: Duration::from_secs(180),
            }));
            return Ok(plan);
        }
        // The token has served.
        if seen.stat(&bootstrap)?.is_some() {
            plan.push(host::Change::Remove { path: bootstrap }.into());
        }
        let unit = seen.unit("kubelet.service")?;
        if !matches!(
            unit.activity,
            UnitActivity::Active | UnitActivity::Activating
        ) {
            plan.push(host::Change::unit("kubelet.service", UnitAction::Start).into());
        }
        Ok(plan)
    }
}
