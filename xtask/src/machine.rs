//! What this machine needs: looked at all together before anything starts, installed after one yes.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use crate::Outcome;
use crate::run::Task;

/// What a task is going to do, as far as the machine is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Building the workspace and running the tests without hosts.
    Build,
    /// Hosts, and the real programs on them.
    Hosts,
}

/// A program and the package of Debian and Ubuntu that brings it.
const BUILD: [(&str, &str); 5] = [
    ("cc", "build-essential"),
    ("protoc", "protobuf-compiler"),
    ("ssh-keygen", "openssh-client"),
    ("openssl", "openssl"),
    ("skopeo", "skopeo"),
];
const HOSTS: [(&str, &str); 7] = [
    ("mmdebstrap", "mmdebstrap"),
    ("iptables", "iptables"),
    ("nft", "nftables"),
    ("ip", "iproute2"),
    ("mkfs.ext4", "e2fsprogs"),
    ("pkg-config", "pkg-config"),
    ("ssh", "openssh-client"),
];
/// Files that a package brings instead of a program.
const FILES: [(&str, &str); 2] = [
    ("/usr/include/seccomp.h", "libseccomp-dev"),
    (
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "debian-archive-keyring",
    ),
];

/// Looks at everything, reports all of it together, installs what packages can mend.
pub(crate) fn prepare(need: Need, yes: bool) -> Outcome {
    let packages = missing_packages(need);
    if !packages.is_empty() {
        install(&packages, yes)?;
    }
    if need == Need::Hosts {
        load_modules()?;
    }
    let faults = faults(need);
    if faults.is_empty() {
        Ok(())
    } else {
        Err(format!("this machine lacks:\n  - {}", faults.join("\n  - ")).into())
    }
}

fn missing_packages(need: Need) -> Vec<&'static str> {
    let mut missing: Vec<&str> = Vec::new();
    let programs: Vec<_> = if need == Need::Hosts {
        BUILD.iter().chain(&HOSTS).collect()
    } else {
        BUILD.iter().collect()
    };
    missing.extend(
        programs
            .iter()
            .filter(|(program, _)| !on_path(program))
            .map(|(_, package)| *package),
    );
    if need == Need::Hosts {
        missing.extend(
            FILES
                .iter()
                .filter(|(file, _)| !Path::new(file).exists())
                .map(|(_, package)| *package),
        );
    }
    missing
}

fn on_path(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/sbin"])
        .any(|folder| Path::new(folder).join(program).is_file())
}

fn install(packages: &[&str], yes: bool) -> Outcome {
    println!(
        "This needs packages that are not here: {}",
        packages.join(" ")
    );
    let root = nix::unistd::geteuid().is_root();
    let somebody = std::io::stdin().is_terminal();
    if !yes && (somebody || !root) {
        if !somebody {
            return Err(
                "nobody is at the terminal to ask: run it with --yes, or install them first".into(),
            );
        }
        print!(
            "Install them with apt-get{}? [Y/n] ",
            if root { "" } else { " (through sudo)" }
        );
        std::io::stdout().flush()?;
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer)?;
        if !matches!(
            answer.trim().to_ascii_lowercase().as_str(),
            "" | "y" | "yes"
        ) {
            return Err("not without these packages".into());
        }
    }
    let apt = |args: &[&str]| {
        Task::as_root("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(args)
    };
    apt(&["update", "--quiet=2"]).run()?;
    apt(&["install", "--yes", "--quiet=2", "--no-install-recommends"])
        .args(packages)
        .run()
}

/// Loads what this kernel has as modules and has not loaded, and says so.
fn load_modules() -> Outcome {
    for (module, sign) in [
        ("overlay", "/sys/module/overlay"),
        ("br_netfilter", "/proc/sys/net/bridge"),
        ("nf_conntrack", "/proc/sys/net/netfilter"),
        ("vxlan", "/sys/module/vxlan"),
    ] {
        let there = Path::new("/lib/modules")
            .join(kernel())
            .join("modules.dep")
            .exists();
        if !Path::new(sign).exists() && there && on_path("modprobe") {
            println!("loading the kernel module {module}");
            Task::as_root("modprobe").args(["--quiet", module]).run()?;
        }
    }
    Ok(())
}

fn kernel() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn faults(need: Need) -> Vec<String> {
    let mut faults = Vec::new();
    if need == Need::Build {
        return faults;
    }
    let gib = |kib: u64| kib as f64 / 1024.0 / 1024.0;
    let memory = memory_kib();
    if memory < 6 << 20 {
        faults.push(format!(
            "memory: {:.1} GiB, five hosts with Kubernetes want 6",
            gib(memory)
        ));
    }
    if let Ok(stat) = nix::sys::statvfs::statvfs("/var/tmp") {
        let free = stat.blocks_available() * stat.fragment_size() / 1024;
        if free < 20 << 20 {
            faults.push(format!(
                "disk: {:.1} GiB free in /var/tmp, 20 are wanted",
                gib(free)
            ));
        }
    }
    if nix::unistd::geteuid().is_root() {
        let missing = lab::requirements();
        faults.extend(missing.into_iter().map(|missing| match missing.package {
            Some(package) => format!("{} (package {package})", missing.what),
            None => missing.what,
        }));
    } else if !on_path("sudo") {
        faults.push("root, or sudo: hosts are made of namespaces and mounts".to_owned());
    }
    faults
}

fn memory_kib() -> u64 {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}
