//! The root file system that all hosts share: Debian with systemd, sshd and the tools an administrator expects.
//!
//! Nothing that Klusterkit installs is in it: no etcd, no container runtime, no CNI plugins. It is made once (half a minute,
//! from the Debian mirror that the machine's apt uses or Debian's own), and then only read. What belongs to one host or one
//! lab (keys, names, machine id) is written on the host's first boot.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::files;
use crate::run::Run;

/// Debian 12: its systemd is the last that still runs on a machine with cgroup v1.
const SUITE: &str = "bookworm";

const PACKAGES: &[&str] = &[
    "systemd",
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "sudo",
    "ca-certificates",
    // What kubeadm's preflight looks for, and kube-proxy and flannel use on a host.
    "iproute2",
    "iptables",
    "nftables",
    "ebtables",
    "ipset",
    "conntrack",
    "socat",
    "ethtool",
    "kmod",
    "mount",
    "util-linux",
    // For the person who looks what went wrong.
    "procps",
    "iputils-ping",
    "netcat-openbsd",
    "curl",
    "jq",
    "less",
    "strace",
    "tcpdump",
    "busybox-static",
];

/// Units that have no place on a host: timers of apt and its like, consoles, and whatever would write to the settings of the
/// machine's one kernel.
const MASKED: &[&str] = &[
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty.target",
    "console-getty.service",
    "systemd-modules-load.service",
    "systemd-binfmt.service",
    "systemd-pstore.service",
    "systemd-random-seed.service",
    "systemd-remount-fs.service",
    "proc-sys-fs-binfmt_misc.automount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "sys-kernel-config.mount",
    "sys-fs-fuse-connections.mount",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
];

/// Modules that `modprobe` is to find built in. The hosts cannot load any, and the machine has them already or never will.
const BUILTIN: &[&str] = &[
    "net/bridge/bridge",
    "net/bridge/br_netfilter",
    "fs/overlayfs/overlay",
    "drivers/net/vxlan/vxlan",
    "drivers/net/veth",
    "drivers/net/tun",
    "net/netfilter/nf_conntrack",
    "net/netfilter/nf_nat",
    "net/netfilter/nf_tables",
    "net/netfilter/x_tables",
    "net/netfilter/xt_comment",
    "net/netfilter/ipset/ip_set",
    "net/ipv4/netfilter/ip_tables",
    "net/ipv4/netfilter/iptable_nat",
    "net/ipv4/netfilter/iptable_filter",
    "net/ipv4/netfilter/iptable_mangle",
];

const SSHD: &str = "\
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
UseDNS no
MaxStartups 100:30:200
";

const JOURNALD: &str = "\
[Journal]
Storage=persistent
SystemMaxUse=64M
RateLimitIntervalSec=0
ReadKMsg=no
Audit=no
";

/// Of the kernel's settings those of the network are a host's own, and are set at its boot as on any other.
const SYSCTL: &str = "\
[Service]
ExecStart=
ExecStart=/lib/systemd/systemd-sysctl --prefix=/net
";

/// The shared root, ready for use.
#[derive(Debug, Clone)]
pub struct Base {
    root: PathBuf,
}

impl Base {
    /// The base in the user's cache folder (`$XDG_CACHE_HOME/klusterkit`, else `~/.cache/klusterkit`), made now if it is not
    /// there. Its name carries the digest of the recipe: a change of the recipe makes a new one.
    ///
    /// # Errors
    /// There is no cache folder to name, or the base cannot be made.
    pub fn ensure() -> Result<Self, Error> {
        Self::ensure_in(&cache_dir()?)
    }

    /// As [`Base::ensure`], in a folder of the caller's.
    ///
    /// # Errors
    /// The base cannot be made.
    pub fn ensure_in(cache: &Path) -> Result<Self, Error> {
        Self::ensure_for(cache, &kernel_release())
    }

    /// As [`Base::ensure_in`], for a machine that runs this kernel (as `uname -r` names it).
    ///
    /// # Errors
    /// The base cannot be made.
    pub fn ensure_for(cache: &Path, kernel: &str) -> Result<Self, Error> {
        let root = cache.join(format!("lab-base-{}", recipe_digest(kernel)));
        if root.is_dir() {
            return Ok(Self { root });
        }
        files::make_dir(cache)?;
        // Held by whoever builds; the others wait and find it made.
        let _building = files::lock(&cache.join("lab-base.lock"))?;
        if !root.is_dir() {
            let beside = cache.join("lab-base.new");
            files::remove_tree(&beside)?;
            build(&beside, kernel)?;
            std::fs::rename(&beside, &root).map_err(Error::io("put in its place", &root))?;
        }
        Ok(Self { root })
    }

    /// Where it lies. It is shared and must not be written to.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }
}

fn cache_dir() -> Result<PathBuf, Error> {
    let from = |name: &str| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    from("XDG_CACHE_HOME")
        .or_else(|| from("HOME").map(|home| home.join(".cache")))
        // A service or a container's first process has no HOME; only root makes labs.
        .or_else(|| {
            nix::unistd::geteuid()
                .is_root()
                .then(|| PathBuf::from("/root/.cache"))
        })
        .map(|cache| cache.join("klusterkit"))
        .ok_or(Error::Config {
            what: "cache folder",
            value: String::new(),
            rule: "XDG_CACHE_HOME or HOME must be set",
        })
}

/// A short name for the recipe: all that decides what the base looks like, this file, and the kernel for `modprobe`'s list.
fn recipe_digest(kernel: &str) -> String {
    let digest = Sha256::new()
        .chain_update(include_bytes!("base.rs"))
        .chain_update(kernel)
        .finalize();
    digest[..6]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn kernel_release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn build(root: &Path, kernel: &str) -> Result<(), Error> {
    let include = format!("--include={}", PACKAGES.join(","));
    Run::here([
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        &include,
        SUITE,
    ])
    .named("base", format!("mmdebstrap {SUITE}"))
    .args([root])
    .timeout(Duration::from_secs(900))
    .check()?;
    let at = |path: &str| root.join(path);

    let units = at("etc/systemd/system");
    for unit in MASKED {
        files::link("/dev/null", &units.join(unit))?;
    }
    files::link(
        "/lib/systemd/system/multi-user.target",
        &units.join("default.target"),
    )?;

    modules(root, kernel)?;

    // Host keys and machine id belong to a host.
    for name in files::names(&at("etc/ssh"))? {
        if name.starts_with("ssh_host_") {
            files::remove(&at("etc/ssh").join(name))?;
        }
    }
    files::write(&at("etc/machine-id"), "", 0o444)?;
    files::link("/etc/machine-id", &at("var/lib/dbus/machine-id"))?;
    files::remove(&at("etc/hostname"))?;

    files::write(&at("etc/ssh/sshd_config.d/lab.conf"), SSHD, 0o644)?;
    let sysctl = units.join("systemd-sysctl.service.d");
    files::make_dir(&sysctl)?;
    files::write(&sysctl.join("lab.conf"), SYSCTL, 0o644)?;
    files::make_dir(&at("etc/systemd/journald.conf.d"))?;
    files::write(&at("etc/systemd/journald.conf.d/lab.conf"), JOURNALD, 0o644)?;
    files::make_dir(&at("var/log/journal"))?;

    // The ordinary administrator of a cloud image: no password, sudo without one.
    chroot(
        root,
        &[
            "useradd",
            "--create-home",
            "--shell",
            "/bin/bash",
            "--groups",
            "sudo",
            "admin",
        ],
    )?;
    files::write(
        &at("etc/sudoers.d/admin"),
        "admin ALL=(ALL:ALL) NOPASSWD: ALL\n",
        0o440,
    )?;
    chroot(
        root,
        &[
            "install",
            "-d",
            "-m",
            "0700",
            "-o",
            "admin",
            "-g",
            "admin",
            "/home/admin/.ssh",
        ],
    )?;
    chroot(root, &["install", "-d", "-m", "0700", "/root/.ssh"])
}

fn modules(root: &Path, kernel: &str) -> Result<(), Error> {
    let dir = root.join("lib/modules").join(kernel);
    files::make_dir(&dir)?;
    let list: String = BUILTIN
        .iter()
        .map(|module| format!("kernel/{module}.ko\n"))
        .collect();
    files::write(&dir.join("modules.builtin"), list, 0o644)?;
    files::write(&dir.join("modules.builtin.modinfo"), "", 0o644)?;
    files::write(&dir.join("modules.order"), "", 0o644)?;
    chroot(root, &["depmod", kernel])
}

fn chroot(root: &Path, argv: &[&str]) -> Result<(), Error> {
    Run::here(["chroot"])
        .args([root])
        .args(argv)
        .check()
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_klusterkit_installs_is_in_the_base() {
        for package in [
            "etcd-server",
            "etcd-client",
            "containerd",
            "runc",
            "containernetworking-plugins",
            "keepalived",
        ] {
            assert!(!PACKAGES.contains(&package), "{package}");
        }
    }

    #[test]
    fn a_base_that_is_there_is_not_made_again() {
        let cache = tempfile::tempdir().unwrap();
        let root = cache
            .path()
            .join(format!("lab-base-{}", recipe_digest(&kernel_release())));
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("mark"), "").unwrap();
        assert_eq!(Base::ensure_in(cache.path()).unwrap().root(), root);
        assert!(root.join("mark").exists());
    }
}
