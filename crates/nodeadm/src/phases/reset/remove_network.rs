//! Removes the interfaces of pods' networks, and the endpoint's address where keepalived left it.

use std::path::Path;

use host::{Phase, Query, Run};

use crate::change::Change;
use crate::found::ask;
use crate::{Error, Node};

/// Interfaces that flannel, the bridge plugin and kube-proxy make.
const INTERFACES: [&str; 5] = [
    "cni0",
    "flannel.1",
    "flannel-v6.1",
    "kube-ipvs0",
    "kube-dummy-if",
];

/// See the module.
pub struct RemoveNetwork;

impl Phase<Node> for RemoveNetwork {
    fn name(&self) -> &'static str {
        "remove-network"
    }

    fn about(&self) -> &'static str {
        "remove the interfaces of pods' networks"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let (seen, config) = (node.host(), &node.settings().config);
        if seen.is_dry_run() {
            return Ok(Vec::new());
        }
        let mut plan: Vec<Change> = Vec::new();
        for name in INTERFACES {
            if seen
                .stat(&Path::new("/sys/class/net").join(name))?
                .is_some()
            {
                plan.push(host::Change::Run(Run::new("ip", ["link", "delete", name])).into());
            }
        }
        if let Some(vip) = &config.vip {
            let prefix = if vip.address.is_ipv4() { 32 } else { 128 };
            let address = format!("{}/{prefix}", vip.address);
            let query = Query::new("ip", ["-oneline", "address", "show", "to", &address]);
            if let Some(output) = ask(seen, &query)?
                && let Some(interface) = output.text().split_whitespace().nth(1)
            {
                let args = ["address", "delete", &address, "dev", interface];
                plan.push(host::Change::Run(Run::new("ip", args)).into());
            }
        }
        Ok(plan)
    }
}
