//! What can be seen of a host without changing it.

use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use api::{NodeFacts, Role};
use host::{Digest, Inspect};

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

    /// The host's below `root`. A folder that only stands for a host has none.
    #[must_use]
    pub fn of(root: &Path) -> Self {
        if root == Path::new("/") {
            Self::read()
        } else {
            Self::default()
        }
    }

    /// The first address of the other kind (IPv6 beside IPv4, and the other way round) that the interface of `address`
    /// has.
    #[must_use]
    pub fn other_kind(&self, address: IpAddr) -> Option<IpAddr> {
        let interface = self.interface_of(address)?;
        self.addresses
            .iter()
            .find(|(name, own)| *name == interface && own.is_ipv4() != address.is_ipv4())
            .map(|(_, own)| *own)
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
        // Of virtual interfaces only the one that others reach this host by: bridges have the same on many hosts.
        let by_it = network.default_address.is_some_and(|address| {
            network.interface_of(address).as_deref() == Some(interface.as_str())
        });
        if (physical || by_it) && !mac.is_empty() && mac != "00:00:00:00:00:00" {
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
        machine_id: machine(&text("/etc/machine-id")?),
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

/// Stands for a machine id, which is nothing to be shown around (machine-id(5)): equal for equal ones, and of no use to
/// anybody else. Empty where there is none.
/// The processes of containerd's shims that look after Kubernetes' containers.
pub(crate) fn shims(seen: &dyn Inspect) -> Result<Vec<i32>, Error> {
    let mut found = Vec::new();
    for name in seen.list(Path::new("/proc"))?.unwrap_or_default() {
        let Ok(number) = name.parse::<i32>() else {
            continue;
        };
        // A process may end while it is looked at.
        let words = seen
            .read_text(&Path::new("/proc").join(&name).join("cmdline"))
            .ok()
            .flatten()
            .unwrap_or_default();
        let mut words = words.split('\0');
        let is_shim = words
            .next()
            .and_then(|program| program.rsplit('/').next())
            .is_some_and(|program| program.starts_with("containerd-shim"));
        if is_shim && words.any(|word| word == "k8s.io") {
            found.push(number);
        }
    }
    Ok(found)
}

fn machine(id: &str) -> String {
    if id.is_empty() || id == "uninitialized" {
        return String::new();
    }
    let digest = Digest::of(format!("klusterkit {id}").as_bytes()).to_string();
    digest[..32].to_owned()
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
    fn facts_tell_hosts_apart() {
        use host::{Change, Host, Memory, Nothing};
        let mut host = Memory::new(Nothing);
        for (path, content) in [
            ("/etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
            ("/proc/sys/kernel/hostname", "h1\n"),
            (
                "/sys/class/dmi/id/product_uuid",
                "4C4C4544-0033-3510-8057-B4C04F4D5732\n",
            ),
            ("/sys/class/net/eth0/address", "52:54:00:12:34:56\n"),
            ("/sys/class/net/eth1/address", "52:54:00:12:34:57\n"),
            ("/sys/class/net/eth1/device/vendor", ""),
            ("/sys/class/net/docker0/address", "02:42:00:00:00:01\n"),
            ("/sys/class/net/lo/address", "00:00:00:00:00:00\n"),
        ] {
            host.apply(&Change::file(path, content)).unwrap();
        }
        let v6 = "fd00:77::11".parse().unwrap();
        let network = Network {
            addresses: vec![
                ("docker0".to_owned(), "172.17.0.1".parse().unwrap()),
                ("eth0".to_owned(), "10.77.0.11".parse().unwrap()),
                ("eth0".to_owned(), v6),
            ],
            default_address: Some("10.77.0.11".parse().unwrap()),
        };
        assert_eq!(network.other_kind("10.77.0.11".parse().unwrap()), Some(v6));
        assert_eq!(network.other_kind("172.17.0.1".parse().unwrap()), None);
        let facts = collect(&host, &network).unwrap();
        assert_eq!(facts.macs, ["52:54:00:12:34:56", "52:54:00:12:34:57"]);
        assert_eq!(facts.product_uuid, "4c4c4544-0033-3510-8057-b4c04f4d5732");
        assert!(facts.clock > 1_600_000_000_000);
        // The id itself is not told, but what stands for it is the same each time.
        assert_eq!(facts.machine_id.len(), 32);
        assert!(!facts.machine_id.contains("0123456789abcdef"));
        assert_eq!(
            facts.machine_id,
            machine("0123456789abcdef0123456789abcdef")
        );
        assert_ne!(
            facts.machine_id,
            machine("0123456789abcdef0123456789abcdee")
        );
        assert_eq!(machine("uninitialized"), "");
    }

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(
            memory("MemTotal:       24689764 kB\nMemFree: 1 kB\n"),
            24_689_764 * 1024
        );
        assert_eq!(memory(""), 0);
    }
}
