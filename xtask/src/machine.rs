//! What this machine needs: looked at all together before anything starts, installed after one yes.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use crate::Outcome;
use crate::run::{Task, cache, target};

/// What a task is going to do, as far as the machine is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Building the workspace and running the tests without hosts.
    Build,
    /// Hosts, and the real programs on them.
    Hosts,
    /// The same in a virtual machine.
    Machine,
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
const MACHINE: (&str, &str) = ("qemu-system-x86_64", "qemu-system-x86");
/// Files that a package brings instead of a program.
const FILES: [(&str, &str); 2] = [
    ("/usr/include/seccomp.h", "libseccomp-dev"),
    (
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "debian-archive-keyring",
    ),
];

/// What makes images' roots as a user.
const USER: (&str, &str) = ("newuidmap", "uidmap");
/// Kernel modules, and what is there when each is loaded or built in.
const MODULES: [(&str, &str); 6] = [
    ("overlay", "/sys/module/overlay"),
    ("loop", "/dev/loop-control"),
    ("br_netfilter", "/proc/sys/net/bridge"),
    ("nf_conntrack", "/proc/sys/net/netfilter"),
    ("nf_tables", "/sys/module/nf_tables"),
    ("vxlan", "/sys/module/vxlan"),
];

/// How many programs of root's may watch files at once. A host has some twenty: systemd, containerd, the kubelet.
const WATCHERS: (&str, &str, u32) = (
    "fs.inotify.max_user_instances",
    "/proc/sys/fs/inotify/max_user_instances",
    1024,
);

/// Looks at everything and says what it found; all that nothing here can mend is one error. Then installs packages, after
/// one yes, and loads modules.
pub(crate) fn prepare(need: Need, yes: bool) -> Outcome {
    let packages = missing_packages(need);
    if need == Need::Build {
        return if packages.is_empty() {
            Ok(())
        } else {
            install(&packages, yes)
        };
    }
    let modules = missing_modules();
    println!("This machine: {}", description()?);
    let faults = faults()?;
    if !packages.is_empty() {
        println!(
            "It needs packages that are not here: {}",
            packages.join(" ")
        );
    }
    if !modules.is_empty() {
        println!(
            "It has kernel modules that are not loaded: {}",
            modules.join(" ")
        );
    }
    lacks(&faults)?;
    if !packages.is_empty() {
        install(&packages, yes)?;
    }
    for module in modules {
        Task::as_root("modprobe").args(["--quiet", module]).run()?;
    }
    raise_watchers();
    // Only now can it be told what neither packages nor modules have brought.
    let root = is_root();
    let missing = lab::requirements().into_iter();
    let faults: Vec<String> = missing
        .filter(|missing| root || missing.what != "root's rights")
        .map(|missing| match missing.package {
            Some(package) => format!("{} (package {package})", missing.what),
            None => missing.what,
        })
        .collect();
    lacks(&faults)
}

/// Containerd comes up without its interface to the kubelet where it may not watch files. What cannot be raised is said:
/// one cluster of five hosts fits into what Linux allows by itself.
fn raise_watchers() {
    let (name, path, wanted) = WATCHERS;
    let allowed = std::fs::read_to_string(path).unwrap_or_default();
    let allowed = allowed.trim().parse().unwrap_or(wanted);
    if allowed >= wanted {
        return;
    }
    println!("{name} is {allowed}: raised to {wanted} until the next boot");
    let assignment = format!("{name}={wanted}");
    let raised = Task::as_root("sysctl").args(["--quiet", "--write", &assignment]);
    if raised.run().is_err() {
        println!("it could not be raised: have one lab at a time");
    }
}

fn lacks(faults: &[String]) -> Outcome {
    if faults.is_empty() {
        Ok(())
    } else {
        Err(format!("this machine lacks:\n  - {}", faults.join("\n  - ")).into())
    }
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn missing_packages(need: Need) -> Vec<&'static str> {
    let mut missing: Vec<&str> = Vec::new();
    let programs: Vec<_> = match need {
        Need::Build => BUILD.iter().collect(),
        Need::Hosts => BUILD.iter().chain(&HOSTS).collect(),
        Need::Machine => BUILD.iter().chain(&HOSTS).chain([&MACHINE]).collect(),
    };
    missing.extend(
        programs
            .iter()
            .filter(|(program, _)| !on_path(program))
            .map(|(_, package)| *package),
    );
    if need != Need::Build {
        missing.extend(
            FILES
                .iter()
                .filter(|(file, _)| !Path::new(file).exists())
                .map(|(_, package)| *package),
        );
        if !is_root() && !on_path(USER.0) {
            missing.push(USER.1);
        }
    }
    missing.sort_unstable();
    missing.dedup();
    missing
}

fn on_path(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/sbin"])
        .any(|folder| Path::new(folder).join(program).is_file())
}

fn install(packages: &[&str], yes: bool) -> Outcome {
    let root = is_root();
    let somebody = std::io::stdin().is_terminal();
    if !yes && (somebody || !root) {
        if !somebody {
            return Err(
                "nobody is at the terminal to ask: run it with --yes, or install them first".into(),
            );
        }
        print!(
            "Install {} with apt-get{}? [Y/n] ",
            packages.join(" "),
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

/// What this kernel has as modules and has not loaded.
fn missing_modules() -> Vec<&'static str> {
    let there = Path::new("/lib/modules").join(kernel()).join("modules.dep");
    if !there.exists() || !on_path("modprobe") {
        return Vec::new();
    }
    MODULES
        .iter()
        .filter(|(_, sign)| !Path::new(sign).exists())
        .map(|(module, _)| *module)
        .collect()
}

fn kernel() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn gib(kib: u64) -> f64 {
    kib as f64 / 1024.0 / 1024.0
}

/// The machine in one line.
fn description() -> Outcome<String> {
    let cargo = Task::cargo().args(["--version"]).text()?;
    let rust = cargo.split(' ').nth(1).unwrap_or("of no known version");
    let system = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = system
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .unwrap_or("not known to us")
        .trim_matches('"');
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let cgroups = match Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        true => "v2",
        false => "v1",
    };
    let container =
        container().map_or_else(String::new, |kind| format!(", in a container ({kind})"));
    Ok(format!(
        "{name}, Linux {}, cgroup {cgroups}{container}; {processors} processors, {:.1} GiB of memory, {:.0} GiB of disk free; Rust {rust}",
        kernel(),
        gib(memory_kib()),
        gib(free_kib(&cache()?)),
    ))
}

/// What kind of container this is, if it is one.
fn container() -> Option<String> {
    let told = std::fs::read_to_string("/run/systemd/container").ok();
    let sign = |path: &str, kind: &str| Path::new(path).exists().then(|| kind.to_owned());
    told.map(|kind| kind.trim().to_owned())
        .or_else(|| sign("/.dockerenv", "docker"))
        .or_else(|| sign("/run/.containerenv", "podman"))
}

/// What nothing here can mend.
fn faults() -> Outcome<Vec<String>> {
    let mut faults = Vec::new();
    let memory = memory_kib();
    // What the kernel keeps for itself is not in the sum.
    if memory < 6 * 1024 * 1000 {
        faults.push(format!(
            "memory: {:.1} GiB, five hosts with Kubernetes want 6",
            gib(memory)
        ));
    }
    let cache = cache()?;
    let wanted = if cache.join("parts").exists() { 10 } else { 20 };
    for folder in [cache, target(), "/var/tmp".into()] {
        let free = free_kib(&folder);
        if free < wanted << 20 {
            faults.push(format!(
                "disk: {:.1} GiB free in {}, {wanted} are wanted",
                gib(free),
                folder.display()
            ));
        }
    }
    if !is_root() && !on_path("sudo") {
        faults.push("root, or sudo: hosts are made of namespaces and mounts".to_owned());
    }
    if !is_root() && !has_user_ids() {
        faults.push(
            "user ids for namespaces: `sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER` gives them"
                .to_owned(),
        );
    }
    if is_root() && !may_make_hosts() {
        faults.push(
            "the rights to make namespaces, mounts and networks (CAP_SYS_ADMIN, CAP_NET_ADMIN): a container has them only when it is privileged"
                .to_owned(),
        );
    }
    Ok(faults)
}

/// Whether this user has ids for a namespace of its own, in which images' roots are made.
fn has_user_ids() -> bool {
    let uid = nix::unistd::getuid().to_string();
    let name = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    let ours = |line: &str| {
        let owner = line.split(':').next().unwrap_or_default();
        owner == uid || name.as_deref().is_ok_and(|name| owner == name)
    };
    ["/etc/subuid", "/etc/subgid"]
        .iter()
        .all(|path| std::fs::read_to_string(path).is_ok_and(|text| text.lines().any(ours)))
}

/// Whether root is allowed here what a lab does.
fn may_make_hosts() -> bool {
    const NET_ADMIN: u64 = 1 << 12;
    const SYS_ADMIN: u64 = 1 << 21;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    mask & (NET_ADMIN | SYS_ADMIN) == NET_ADMIN | SYS_ADMIN
}

/// What is free where `folder` is, or is to be.
fn free_kib(folder: &Path) -> u64 {
    let there = folder.ancestors().find(|folder| folder.exists());
    there
        .and_then(|folder| nix::sys::statvfs::statvfs(folder).ok())
        .map_or(0, |stat| {
            stat.blocks_available() * stat.fragment_size() / 1024
        })
}

fn memory_kib() -> u64 {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}
