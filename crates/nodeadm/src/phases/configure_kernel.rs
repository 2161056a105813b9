//! Loads the modules and sets the kernel parameters that pods' networks need, now and at every boot.

use std::path::Path;

use host::{Phase, Run};

use super::plan_file;
use crate::change::Change;
use crate::found::{KERNEL, kernel};
use crate::{Error, Node, paths};

/// Each module, and what is there once it is loaded or built in.
const MODULES: [(&str, &str); 2] = [
    ("overlay", "/proc/filesystems"),
    (
        "br_netfilter",
        "/proc/sys/net/bridge/bridge-nf-call-iptables",
    ),
];

/// See the module.
pub struct ConfigureKernel;

impl Phase<Node> for ConfigureKernel {
    fn name(&self) -> &'static str {
        "configure-kernel"
    }

    fn about(&self) -> &'static str {
        "load modules and set kernel parameters, now and at every boot"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let seen = node.host();
        let names: String = MODULES
            .iter()
            .map(|(name, _)| format!("{name}\n"))
            .collect();
        let mut plan = plan_file(
            seen,
            Path::new(paths::MODULES),
            0o644,
            &format!("# Written by nodeadm.\n{names}"),
        )?;
        for (name, sign) in MODULES {
            let there = match name {
                "overlay" => seen
                    .read_text(Path::new(sign))?
                    .is_some_and(|text| text.contains("\toverlay\n")),
                _ => seen.stat(Path::new(sign))?.is_some(),
            };
            // A dry run cannot tell what the module brings.
            if !there && !seen.is_dry_run() {
                let sign = host::Condition::Exists(sign.into());
                plan.push(
                    host::Change::Run(Run::new("modprobe", ["--", name]).making(sign)).into(),
                );
            }
        }
        // Two protocols; which of them pods use is the cluster's business, and forwarding harms neither.
        let ipv6 = node.settings().config.network.pod_subnet.contains(':');
        let wanted = || {
            KERNEL
                .iter()
                .filter(|(key, _)| ipv6 || !key.contains("ipv6"))
        };
        let lines: String = wanted()
            .map(|(key, value)| format!("{key} = {value}\n"))
            .collect();
        plan.extend(plan_file(
            seen,
            Path::new(paths::SYSCTLS),
            0o644,
            &format!("# Written by nodeadm.\n{lines}"),
        )?);
        for (key, value) in wanted() {
            let now = kernel(seen, key)?;
            let needed = now.is_some() || *key == "net.ipv4.ip_forward";
            if needed && now.as_deref() != Some(value) {
                let (key, value) = ((*key).to_owned(), (*value).to_owned());
                plan.push(host::Change::Sysctl { key, value }.into());
            }
        }
        Ok(plan)
    }
}
