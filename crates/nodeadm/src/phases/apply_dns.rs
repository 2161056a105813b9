//! Lets kubeadm apply CoreDNS, once the network is up here: a pod that is made before waits 10 to 15 s for its next try.
//! Where the endpoint is another one than when it was applied, CoreDNS is told.

use std::path::PathBuf;
use std::time::Duration;

use api::Cni;
use host::Phase;

use crate::change::{Await, Awaited, Change, ClusterChange};
use crate::{Error, Node, coredns, kubeadm, resolver};

const OBJECT: &str = "/apis/apps/v1/namespaces/kube-system/deployments/coredns";
const CONFIGURATION: &str = "/api/v1/namespaces/kube-system/configmaps/coredns";
/// flannel writes it when it has this node's network.
const NETWORK: &str = "/run/flannel/subnet.env";

/// See the module.
pub struct ApplyDns;

impl Phase<Node> for ApplyDns {
    fn name(&self) -> &'static str {
        "apply-dns"
    }

    fn about(&self) -> &'static str {
        "apply CoreDNS once the network is up (kubeadm init phase addon coredns)"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let (seen, settings) = (node.host(), node.settings());
        if let Some(deployment) = node.cluster().get(OBJECT)? {
            let (host, port) = settings.endpoint_parts();
            let patch = coredns::pointed(&deployment, &host, port);
            let merge = |patch: serde_json::Value| ClusterChange::Merge {
                what: "Deployment kube-system/coredns".to_owned(),
                path: OBJECT.to_owned(),
                patch: patch.to_string().into(),
            };
            return Ok(patch.map(merge).map(Change::Cluster).into_iter().collect());
        }
        let mut plan = Vec::new();
        let network = Awaited::File(PathBuf::from(NETWORK));
        if settings.config.network.cni == Cni::Flannel && node.awaited(&network)?.is_err() {
            let reason = "flannel to connect this node".to_owned();
            plan.push(Change::Await(Await {
                what: network,
                reason,
                limit: Duration::from_secs(180),
            }));
        }
        let kubelet = settings
            .foreign
            .iter()
            .rfind(|foreign| foreign.kind == "KubeletConfiguration");
        let said = kubelet.and_then(|foreign| foreign.value.get("resolvConf")?.as_str());
        if resolver::upstream(seen, said)?.is_empty()
            && node.cluster().get(CONFIGURATION)?.is_none()
        {
            plan.push(Change::apply(&coredns::without_forward(
                &settings.config.network.dns_domain,
            )));
        }
        let args = ["init", "phase", "addon", "coredns"];
        let mut change = kubeadm::phase(settings, "coredns", &args, kubeadm::inputs(seen)?);
        change.objects.push(OBJECT.to_owned());
        plan.push(Change::Kubeadm(change));
        Ok(plan)
    }
}
