//! What can be seen of a host without changing it.

use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use api::{NodeFacts, Role};
use host::Inspect;

use crate::Error;
use crate::record::Record;
use crate::settings::architecture;

/// The host's addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// Interface and address, without loopback and link-local ones.
    pub addresses: Vec<(String, IpAddr)>,
    /// The address that packets to the world leave with.
    pub default_address: Option<IpAddr>,
}

impl Network {
    /// This host's, as the kernel tells them.
    #[must_use]
    pub fn read() -> Self {
        let mut addresses = Vec::new();
        for entry in nix::ifaddrs::getifaddrs().into_iter().flatten() {
            let Some(address) = entry.address else {
                continue;
            };
            let ip = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
                (Some(v4), _) => IpAddr::from(v4.ip()),
                (_, Some(v6)) => IpAddr::from(v6.ip()),
                _ => continue,
            };
            let local = match ip {
                IpAddr::V4(v4) => v4.is_link_local(),
                IpAddr::V6(v6) => v6.is_unicast_link_local(),
            };
            if !ip.is_loopback() && !local {
                addresses.push((entry.interface_name, ip));
            }
        }
        Self {
            addresses,
            default_address: default_address(),
        }
    }

    /// The interface that has `address`.
    #[must_use]
    pub fn interface_of(&self, address: IpAddr) -> Option<String> {
        self.addresses
            .iter()
            .find(|(_, own)| *own == address)
            .map(|(name, _)| name.clone())
    }
}

/// The kernel's own choice. Nothing is sent: a UDP socket is only given its route.
fn default_address() -> Option<IpAddr> {
    let towards = |own: &str, far: &str| {
        let socket = UdpSocket::bind((own, 0)).ok()?;
        socket.connect((far, 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    // Addresses of documentation, which nobody has.
    towards("0.0.0.0", "192.0.2.1").or_else(|| towards("::", "2001:db8::1"))
}

/// Collects the facts.
///
/// # Errors
/// When the host cannot be read.
pub(crate) fn collect(seen: &dyn Inspect, network: &Network) -> Result<NodeFacts, Error> {
    let text = |path: &str| -> Result<String, Error> {
        // Some of these may be read by root alone; a fact that cannot be had is empty.
        Ok(seen
            .read_text(Path::new(path))
            .ok()
            .flatten()
            .unwrap_or_default()
            .trim()
            .to_owned())
    };
    let mut macs = Vec::new();
    for interface in seen.list(Path::new("/sys/class/net"))?.unwrap_or_default() {
        let physical = seen
            .stat(&Path::new("/sys/class/net").join(&interface).join("device"))?
            .is_some();
        let mac = text(&format!("/sys/class/net/{interface}/address"))?;
        // Of virtual interfaces only those that carry addresses: bridges and pods' ends are no identity.
        let named = network.addresses.iter().any(|(name, _)| *name == interface);
        if (physical || named)
            && !mac.is_empty()
            && mac != "00:00:00:00:00:00"
            && !made_by_us(&interface)
        {
            macs.push(mac);
        }
    }
    let record = Record::read(seen)?;
    let v2 = seen
        .stat(Path::new("/sys/fs/cgroup/cgroup.controllers"))?
        .is_some();
    Ok(NodeFacts {
        hostname: text("/proc/sys/kernel/hostname")?,
        architecture: architecture().to_owned(),
        kernel: text("/proc/sys/kernel/osrelease")?,
        machine_id: text("/etc/machine-id")?,
        product_uuid: text("/sys/class/dmi/id/product_uuid")?.to_lowercase(),
        macs,
        addresses: network
            .addresses
            .iter()
            .map(|(_, address)| address.to_string())
            .collect(),
        memory: memory(&text("/proc/meminfo")?),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        clock: u64::try_from(
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_millis(),
        )
        .unwrap_or(u64::MAX),
        cgroup_version: if v2 { 2 } else { 1 },
        kubernetes_version: record
            .as_ref()
            .and_then(|record| record.configuration.kubernetes_version)
            .map(|version| version.to_string()),
        first: record.as_ref().is_some_and(|record| record.first),
        role: record.map(|record| {
            if record.configuration.role == Role::Node {
                "node"
            } else {
                "master"
            }
            .to_owned()
        }),
    })
}

fn made_by_us(interface: &str) -> bool {
    ["cni0", "flannel.", "kube-", "veth"]
        .iter()
        .any(|prefix| interface.starts_with(prefix))
}

/// Bytes of memory, out of /proc/meminfo.
pub(crate) fn memory(meminfo: &str) -> u64 {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(
            memory("MemTotal:       24689764 kB\nMemFree: 1 kB\n"),
            24_689_764 * 1024
        );
        assert_eq!(memory(""), 0);
    }
}
