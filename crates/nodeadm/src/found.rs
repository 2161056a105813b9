//! The host as it was found, written down once, before anything is changed: by it `reset` knows what to give back.
//!
//! What lay where nodeadm's own files go is moved beside its place ([`before`]), never overwritten.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use host::{Inspect, Output, Query};
use serde::{Deserialize, Serialize};

use crate::phases::reset::trees;
use crate::settings::Settings;
use crate::{Error, paths};

/// Where it is written.
pub(crate) const FOUND: &str = "/var/lib/nodeadm/found.json";

/// The programs that are installed.
pub(crate) const PROGRAMS: [&str; 8] = [
    "containerd",
    "containerd-shim-runc-v2",
    "ctr",
    "kubeadm",
    "kubectl",
    "kubelet",
    "nodeadm",
    "runc",
];
/// Those that are linked into a folder that is in every PATH.
pub(crate) const LINKED: [&str; 5] = ["ctr", "kubeadm", "kubectl", "kubelet", "nodeadm"];
/// Upstream's CNI plugins, and flannel's, which its pod installs.
pub(crate) const PLUGINS: [&str; 20] = [
    "bandwidth",
    "bridge",
    "dhcp",
    "dummy",
    "firewall",
    "flannel",
    "host-device",
    "host-local",
    "ipvlan",
    "loopback",
    "macvlan",
    "portmap",
    "ptp",
    "sbr",
    "static",
    "tap",
    "tuning",
    "vlan",
    "vrf",
    "tc-redirect-tap",
];
/// The units.
pub(crate) const UNITS: [&str; 2] = ["containerd.service", "kubelet.service"];
/// Kernel parameters that Kubernetes needs.
pub(crate) const KERNEL: [(&str, &str); 4] = [
    ("net.ipv4.ip_forward", "1"),
    ("net.ipv6.conf.all.forwarding", "1"),
    ("net.bridge.bridge-nf-call-iptables", "1"),
    ("net.bridge.bridge-nf-call-ip6tables", "1"),
];

/// The host as it was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Found {
    /// Files, links and folders that were there, of those that nodeadm writes.
    pub paths: Vec<PathBuf>,
    /// What was in folders that are emptied by `reset`.
    #[serde(default)]
    pub inside: BTreeMap<PathBuf, Vec<String>>,
    /// Their permission bits.
    #[serde(default)]
    pub modes: BTreeMap<PathBuf, u32>,
    /// Which of them were mount points.
    #[serde(default)]
    pub mounts: Vec<PathBuf>,
    /// Kernel parameters' values.
    pub kernel: BTreeMap<String, String>,
    /// nftables' tables, as `ip nat`; `None` where nobody could be asked.
    #[serde(default)]
    pub tables: Option<Vec<String>>,
    /// Units that started at boot.
    pub enabled: Vec<String>,
}

/// Where what lay at `path` is kept.
#[must_use]
pub(crate) fn before(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".before-nodeadm");
    name.into()
}

/// All files and links that nodeadm or what it runs may write outside its own and Kubernetes' folders.
#[must_use]
pub(crate) fn files(install_dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = PROGRAMS.iter().map(|name| install_dir.join(name)).collect();
    files.extend(LINKED.iter().map(|name| Path::new(paths::LINKS).join(name)));
    files.extend(
        PLUGINS
            .iter()
            .map(|name| Path::new(paths::CNI_BIN).join(name)),
    );
    files.extend(
        [
            paths::CONTAINERD_CONFIG,
            paths::CONTAINERD_UNIT,
            paths::KUBELET_UNIT,
            paths::KUBELET_DROPIN,
            paths::MODULES,
            paths::SYSCTLS,
            paths::TMPFILES,
        ]
        .map(PathBuf::from),
    );
    files
}

/// All folders that come to be, the inner ones first.
#[must_use]
pub(crate) fn folders(install_dir: &Path) -> Vec<PathBuf> {
    let mut folders = [
        "/etc/systemd/system/kubelet.service.d",
        "/etc/containerd",
        "/etc/modules-load.d",
        "/etc/sysctl.d",
        "/etc/tmpfiles.d",
        paths::CNI_BIN,
        "/opt/cni",
        paths::CNI_CONF,
        "/etc/cni",
        "/var/lib/cni",
        paths::KUBERNETES,
        paths::KUBELET,
        paths::CONTAINERD,
        "/var/log/pods",
        "/var/log/containers",
        "/usr/libexec/kubernetes",
        "/var/lib/calico",
        paths::LINKS,
    ]
    .map(PathBuf::from)
    .to_vec();
    folders.push(install_dir.to_owned());
    folders.extend(install_dir.parent().map(Path::to_owned));
    folders
}

impl Found {
    /// Looks at the host.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn look(seen: &dyn Inspect, settings: &Settings) -> Result<Self, Error> {
        let install_dir = &settings.config.install_dir;
        let mut found = Self::default();
        for path in files(install_dir).into_iter().chain(folders(install_dir)) {
            if seen.stat(&path)?.is_some() {
                found.paths.push(path);
            }
        }
        for tree in trees() {
            if let Some(names) = seen.list(tree)? {
                found.paths.push(tree.to_owned());
                found.inside.insert(tree.to_owned(), names);
                found
                    .modes
                    .extend(seen.stat(tree)?.map(|stat| (tree.to_owned(), stat.mode)));
                if is_mounted(seen, tree)? {
                    found.mounts.push(tree.to_owned());
                }
            }
        }
        for (key, _) in KERNEL {
            if let Some(value) = kernel(seen, key)? {
                found.kernel.insert(key.to_owned(), value);
            }
        }
        found.tables = tables(seen)?;
        for unit in UNITS {
            if seen.unit(unit)?.enabled {
                found.enabled.push(unit.to_owned());
            }
        }
        Ok(found)
    }

    /// As it was written down; `None` if it never was, or makes no sense.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn read(seen: &dyn Inspect) -> Result<Option<Self>, Error> {
        let bytes = seen.read(Path::new(FOUND), 1 << 20)?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// Whether something lay at `path`.
    #[must_use]
    pub(crate) fn had(&self, path: &Path) -> bool {
        self.paths.iter().any(|known| known == path)
    }

    /// As it is written.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("plain data becomes JSON");
        text.push('\n');
        text
    }
}

/// nftables' tables, as `ip nat`; `None` where there is no nft to be asked.
///
/// # Errors
/// When it cannot be run.
pub(crate) fn tables(seen: &dyn Inspect) -> Result<Option<Vec<String>>, Error> {
    let output = ask(seen, &Query::new("nft", ["list", "tables"]))?;
    let name = |line: &str| {
        line.strip_prefix("table ")
            .map(|name| name.trim().to_owned())
    };
    Ok(output.map(|output| output.text().lines().filter_map(name).collect()))
}

/// Asks a program that may not be installed: then there is nothing that it could tell of.
///
/// # Errors
/// When it is there and cannot be run.
pub(crate) fn ask(seen: &dyn Inspect, query: &Query) -> Result<Option<Output>, Error> {
    match seen.query(query) {
        Ok(output) => Ok(Some(output).filter(Output::success)),
        Err(host::Error::Spawn { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Ok(None)
        }
        // A folder that only stands for a host runs nothing.
        Err(host::Error::NotRunning { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether something is mounted at `path`.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn is_mounted(seen: &dyn Inspect, path: &Path) -> Result<bool, Error> {
    let mounts = seen
        .read(Path::new("/proc/self/mounts"), 64 << 20)?
        .unwrap_or_default();
    let path = path.display().to_string();
    Ok(String::from_utf8_lossy(&mounts)
        .lines()
        .any(|line| line.split(' ').nth(1) == Some(&path)))
}

/// A kernel parameter's value; `None` where this kernel has none.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn kernel(seen: &dyn Inspect, key: &str) -> Result<Option<String>, Error> {
    let path = Path::new("/proc/sys").join(key.replace('.', "/"));
    Ok(seen.read_text(&path)?.map(|text| text.trim().to_owned()))
}
