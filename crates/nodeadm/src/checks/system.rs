//! The host's system: who runs it, on what machine, with what kernel, at what time.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use host::{Inspect, Query};
use pki::Certificate;
use serde_json::Value;

use super::{Outcome, bad, fine, noted, text, there, unknown, users_kubelet};
use crate::found::ask;
use crate::settings::{Settings, architecture as built_for};
use crate::{Error, paths};

pub(super) fn root(seen: &dyn Inspect, _: &Settings) -> Result<Outcome, Error> {
    match seen.stat(Path::new("/proc/self"))?.map(|stat| stat.uid) {
        Some(0) => fine("runs as root"),
        Some(uid) => bad(
            format!("runs as user {uid}"),
            "run it as root, or with sudo",
        ),
        None => unknown("/proc/self is not there"),
    }
}

pub(super) fn systemd(seen: &dyn Inspect, _: &Settings) -> Result<Outcome, Error> {
    if there(seen, "/run/systemd/system")? {
        return fine("systemd runs this host");
    }
    bad(
        "/run/systemd/system is not there: systemd does not run this host",
        "",
    )
}

/// Images and programs of another machine's kind may even run, by emulation, a hundred times slower.
pub(super) fn architecture(seen: &dyn Inspect, settings: &Settings) -> Result<Outcome, Error> {
    // Kernels before 6.1 do not tell; then this program's own is all that is known.
    let machine = match text(seen, "/proc/sys/kernel/arch")?.as_str() {
        "" => built_for().to_owned(),
        "x86_64" => "amd64".to_owned(),
        "aarch64" => "arm64".to_owned(),
        other => other.to_owned(),
    };
    if !matches!(machine.as_str(), "amd64" | "arm64") {
        return bad(
            format!("{machine} is neither amd64 nor arm64"),
            "there are no programs for it",
        );
    }
    if machine != settings.arch {
        return bad(
            format!(
                "this machine is {machine}, what would be installed is for {}",
                settings.arch
            ),
            format!("use the nodeadm for {machine}"),
        );
    }
    fine(machine)
}

pub(super) fn kernel(seen: &dyn Inspect, _: &Settings) -> Result<Outcome, Error> {
    let release = text(seen, "/proc/sys/kernel/osrelease")?;
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|n| n.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) >= (4, 19) => fine(format!("Linux {release}")),
        (Some(_), Some(_)) => bad(
            format!("Linux {release} is older than 4.19"),
            "upgrade the kernel",
        ),
        _ => unknown(format!(
            "/proc/sys/kernel/osrelease tells no version ({release:?})"
        )),
    }
}

/// Namespaces that every pod is made of.
const NAMESPACES: [&str; 5] = ["ipc", "mnt", "net", "pid", "uts"];

pub(super) fn kernel_features(seen: &dyn Inspect, _: &Settings) -> Result<Outcome, Error> {
    let mut missing = Vec::new();
    let mut untold = Vec::new();
    for name in NAMESPACES {
        if !there(seen, &format!("/proc/self/ns/{name}"))? {
            missing.push(format!("{name} namespaces"));
        }
    }
    if !there(seen, "/proc/sys/kernel/seccomp")? {
        missing.push("seccomp".to_owned());
    }
    let modules = Modules::read(seen)?;
    let overlay = text(seen, "/proc/filesystems")?
        .lines()
        .any(|line| line.split_whitespace().next_back() == Some("overlay"));
    let bridge = there(seen, "/proc/sys/net/bridge/bridge-nf-call-iptables")?;
    for (module, works, what) in [
        ("overlay", overlay, "the file system overlay"),
        (
            "br_netfilter",
            bridge,
            "br_netfilter, by which bridges are filtered",
        ),
    ] {
        match (works, modules.can_be_loaded(module)) {
            (true, _) | (false, Some(true)) => {}
            (false, Some(false)) => missing.push(what.to_owned()),
            (false, None) => untold.push(format!(
                "{what} is not there, and /lib/modules does not tell whether it can be loaded"
            )),
        }
    }
    if !missing.is_empty() {
        return bad(
            format!("this kernel lacks {}", missing.join(", ")),
            "install the kernel's modules, or another kernel; a container's host must load them for it",
        );
    }
    if untold.is_empty() {
        fine("namespaces, seccomp, overlay, br_netfilter")
    } else {
        unknown(untold.join("; "))
    }
}

/// The modules that lie ready for the running kernel; `None` where there is no list.
struct Modules(Option<String>);

impl Modules {
    fn read(seen: &dyn Inspect) -> Result<Self, Error> {
        let release = text(seen, "/proc/sys/kernel/osrelease")?;
        let mut known: Option<String> = None;
        for list in ["modules.dep", "modules.builtin"] {
            let path = Path::new("/lib/modules").join(&release).join(list);
            if let Some(bytes) = seen.read(&path, 16 << 20)? {
                known
                    .get_or_insert_default()
                    .push_str(&String::from_utf8_lossy(&bytes));
            }
        }
        Ok(Self(known))
    }

    fn can_be_loaded(&self, name: &str) -> Option<bool> {
        let list = self.0.as_ref()?;
        // As `kernel/fs/overlayfs/overlay.ko.xz: …`; a dash in a file's name stands for an underscore.
        let named = |line: &str| {
            let file = line.split(':').next()?.rsplit('/').next()?;
            Some(file.split_once(".ko")?.0.replace('-', "_") == name)
        };
        Some(list.lines().any(|line| named(line) == Some(true)))
    }
}

/// Controllers without which the kubelet does not start.
const CONTROLLERS: [&str; 4] = ["cpu", "cpuset", "memory", "pids"];

pub(super) fn cgroups(seen: &dyn Inspect, settings: &Settings) -> Result<Outcome, Error> {
    const V2: &str = "/sys/fs/cgroup/cgroup.controllers";
    let version = if there(seen, V2)? { 2 } else { 1 };
    let controllers: Vec<String> = if version == 2 {
        text(seen, V2)?
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    } else {
        // Name, hierarchy, number of groups, whether it is enabled.
        let table = text(seen, "/proc/cgroups")?;
        let enabled = |line: &str| {
            let mut words = line.split_whitespace();
            let name = words.next().filter(|name| !name.starts_with('#'))?;
            (words.nth(2) == Some("1")).then(|| name.to_owned())
        };
        table.lines().filter_map(enabled).collect()
    };
    if controllers.is_empty() {
        return unknown("no cgroup controllers are to be seen");
    }
    let missing: Vec<&str> = CONTROLLERS
        .into_iter()
        .filter(|wanted| !controllers.iter().any(|have| have == wanted))
        .collect();
    if !missing.is_empty() {
        return bad(
            format!("cgroup v{version} without {}", missing.join(", ")),
            "enable them at boot (as `cgroup_enable=memory`)",
        );
    }
    if version == 2 {
        return fine("cgroup v2");
    }
    let taken = !settings.version.at_least(1, 35)
        || users_kubelet(settings, "failCgroupV1").and_then(Value::as_bool) == Some(false);
    if taken {
        return noted(
            "cgroup v1",
            "Kubernetes is about to give cgroup v1 up: boot with cgroup v2",
        );
    }
    bad(
        format!(
            "cgroup v1, with which the kubelet {} does not start",
            settings.version
        ),
        "boot with cgroup v2, or say failCgroupV1: false in a KubeletConfiguration (and ignore SystemVerification)",
    )
}

/// Called by the kubelet, and by nodeadm's own work.
const PROGRAMS: [&str; 4] = ["mount", "umount", "modprobe", "ip"];

pub(super) fn programs(seen: &dyn Inspect, _: &Settings) -> Result<Outcome, Error> {
    let mut missing = Vec::new();
    for name in PROGRAMS {
        let mut found = false;
        for folder in host::process::PATH.split(':') {
            found |= seen.stat(&Path::new(folder).join(name))?.is_some();
        }
        if !found {
            missing.push(name);
        }
    }
    if missing.is_empty() {
        return fine("there");
    }
    bad(
        format!("not found: {}", missing.join(", ")),
        "install them (Debian and Ubuntu: mount, kmod, iproute2)",
    )
}

pub(super) fn clock(seen: &dyn Inspect, settings: &Settings) -> Result<Outcome, Error> {
    clock_at(seen, settings, SystemTime::now())
}

/// With this time of day.
pub(super) fn clock_at(
    seen: &dyn Inspect,
    settings: &Settings,
    now: SystemTime,
) -> Result<Outcome, Error> {
    // When this was written: a clock that was never set shows a time before it. Certificates are issued for now, so
    // such a clock makes ones that have ended, and one far ahead makes ones that are not valid yet.
    const WRITTEN: u64 = 1_760_000_000;
    const DECADES: u64 = 20 * 365 * 86_400;
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let year = 1970 + seconds / 31_556_952;
    if seconds < WRITTEN {
        return bad(
            format!("the clock shows the year {year}, which is past"),
            "set the clock",
        );
    }
    if seconds > WRITTEN + DECADES {
        return bad(format!("the clock shows the year {year}"), "set the clock");
    }
    if let Some(authority) = authority(seen, settings)? {
        let begins = authority.not_before;
        if now + Duration::from_secs(5) < begins {
            let late = begins.duration_since(now).unwrap_or_default().as_secs();
            return bad(
                format!(
                    "by this clock the cluster's authority becomes valid in {late} s: the clock is slow"
                ),
                "set the clock",
            );
        }
        if now >= authority.not_after {
            return bad(
                "by this clock the cluster's authority has ended",
                "set the clock; if it is right, the authority must be renewed",
            );
        }
    }
    let query = Query::new(
        "timedatectl",
        ["show", "--property=NTPSynchronized", "--value"],
    );
    let synchronised = match ask(seen, &query) {
        Ok(Some(output)) => Some(output.text().trim() == "yes"),
        Ok(None) | Err(_) => None,
    };
    match synchronised {
        Some(true) => fine(format!("the year {year}, synchronised")),
        // An air gap may have no source of time; what counts is that the hosts agree, which `cctl` looks at.
        Some(false) => noted(
            format!("the year {year}; not synchronised"),
            "let systemd-timesyncd or chrony keep the clock, all hosts by the same source",
        ),
        None => noted(
            format!("the year {year}; nobody tells whether it is synchronised"),
            "let systemd-timesyncd or chrony keep the clock, all hosts by the same source",
        ),
    }
}

/// The cluster's authority, handed over or there already.
fn authority(seen: &dyn Inspect, settings: &Settings) -> Result<Option<Certificate>, Error> {
    let pem = match settings.credentials.get("ca.crt") {
        Some(handed) => Some(handed.reveal().as_bytes().to_vec()),
        None => seen.read(&Path::new(paths::PKI).join("ca.crt"), 1 << 20)?,
    };
    // That it is no certificate is told by whoever uses it.
    Ok(pem.and_then(|pem| Certificate::parse(&pem).ok()))
}
