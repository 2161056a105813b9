//! What must be true of a host before it becomes a node: checks as data, all run, all reported together.
//!
//! That a check failed and that it could not be made are different results; neither lets the work begin, unless its
//! name is among those to be ignored. kubeadm's own checks come later, in their own phase, with the same list.

use std::path::Path;

use api::{Check, Role, Verdict};
use host::{Inspect, Kind, Query, UnitActivity};
use serde_json::Value;

use crate::settings::Settings;
use crate::{Error, observe, paths};

/// A check.
pub(crate) struct HostCheck {
    /// By which it is ignored.
    pub name: &'static str,
    /// What it looks for, for the help text.
    pub about: &'static str,
    look: fn(&dyn Inspect, &Settings) -> Result<Outcome, Error>,
}

enum Outcome {
    Fine(String),
    Bad {
        message: String,
        hint: Option<String>,
    },
}

fn fine(message: impl Into<String>) -> Result<Outcome, Error> {
    Ok(Outcome::Fine(message.into()))
}

fn bad(message: impl Into<String>, hint: impl Into<String>) -> Result<Outcome, Error> {
    Ok(Outcome::Bad {
        message: message.into(),
        hint: Some(hint.into()).filter(|hint: &String| !hint.is_empty()),
    })
}

/// All checks, in the order in which they are reported.
pub(crate) const CHECKS: [HostCheck; 14] = [
    HostCheck {
        name: "root",
        about: "runs as root",
        look: root,
    },
    HostCheck {
        name: "systemd",
        about: "systemd runs the host",
        look: systemd,
    },
    HostCheck {
        name: "kernel",
        about: "Linux 4.19 or later",
        look: kernel,
    },
    HostCheck {
        name: "cgroups",
        about: "cgroups that this kubelet takes",
        look: cgroups,
    },
    HostCheck {
        name: "machine-id",
        about: "a machine id",
        look: machine_id,
    },
    HostCheck {
        name: "hostname",
        about: "a name that a Node may have",
        look: hostname,
    },
    HostCheck {
        name: "address",
        about: "this host has the address",
        look: address,
    },
    HostCheck {
        name: "clock",
        about: "a clock that is not years behind",
        look: clock,
    },
    HostCheck {
        name: "swap",
        about: "no swap, or a kubelet that takes it",
        look: swap,
    },
    HostCheck {
        name: "memory",
        about: "enough memory",
        look: memory,
    },
    HostCheck {
        name: "disk",
        about: "room for images",
        look: disk,
    },
    HostCheck {
        name: "ports",
        about: "free ports",
        look: ports,
    },
    HostCheck {
        name: "runtime",
        about: "no other container runtime",
        look: runtime,
    },
    HostCheck {
        name: "leftovers",
        about: "nothing of another cluster",
        look: leftovers,
    },
];

/// Runs all checks.
#[must_use]
pub(crate) fn run(seen: &dyn Inspect, settings: &Settings) -> Vec<Check> {
    CHECKS
        .iter()
        .map(|check| one(check, seen, settings))
        .collect()
}

/// The checks, a line each, for a help text.
#[must_use]
pub(crate) fn list() -> String {
    CHECKS
        .iter()
        .map(|check| format!("  {:<11} {}\n", check.name, check.about))
        .collect()
}

fn one(check: &HostCheck, seen: &dyn Inspect, settings: &Settings) -> Check {
    let ignored = settings
        .config
        .ignore_preflight_errors
        .iter()
        .any(|name| name.eq_ignore_ascii_case(check.name));
    let unless_ignored = |verdict| if ignored { Verdict::Ignored } else { verdict };
    let (verdict, message, hint) = match (check.look)(seen, settings) {
        Ok(Outcome::Fine(message)) => (Verdict::Passed, message, None),
        Ok(Outcome::Bad { message, hint }) => (unless_ignored(Verdict::Failed), message, hint),
        Err(error) => (unless_ignored(Verdict::Unknown), error.to_string(), None),
    };
    Check {
        name: check.name.to_owned(),
        verdict,
        message,
        hint,
    }
}

fn text(seen: &dyn Inspect, path: &str) -> Result<String, Error> {
    Ok(seen
        .read_text(Path::new(path))?
        .unwrap_or_default()
        .trim()
        .to_owned())
}

/// Whether the kubelet is configured here already, by us: then ports are taken and memory is used by what we made.
fn set_up(seen: &dyn Inspect) -> Result<bool, Error> {
    let kubelet = seen.stat(&Path::new(paths::KUBERNETES).join("kubelet.conf"))?;
    Ok(kubelet.is_some() && seen.stat(Path::new(paths::RECORD))?.is_some())
}

fn root(seen: &dyn Inspect, _: &Settings) -> Result<Outcome, Error> {
    match seen.stat(Path::new("/proc/self"))?.map(|stat| stat.uid) {
        Some(0) | None => fine("runs as root"),
        Some(uid) => bad(
            format!("runs as user {uid}"),
            "run it as root, or with sudo",
        ),
    }
}

fn systemd(seen: &dyn Inspect, _: &Settings) -> Result<Outcome, Error> {
    match seen.stat(Path::new("/run/systemd/system"))? {
        Some(_) => fine("systemd runs this host"),
        None => bad(
            "/run/systemd/system is not there: systemd does not run this host",
            "",
        ),
    }
}

fn kernel(seen: &dyn Inspect, _: &Settings) -> Result<Outcome, Error> {
    let release = text(seen, "/proc/sys/kernel/osrelease")?;
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|n| n.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) >= (4, 19) => fine(format!("Linux {release}")),
        _ => bad(
            format!("Linux {release:?} is older than 4.19"),
            "upgrade the kernel",
        ),
    }
}

fn users_kubelet<'s>(settings: &'s Settings, field: &str) -> Option<&'s Value> {
    let documents = settings
        .foreign
        .iter()
        .filter(|foreign| foreign.kind == "KubeletConfiguration");
    documents
        .filter_map(|foreign| foreign.value.get(field))
        .next_back()
}

fn cgroups(seen: &dyn Inspect, settings: &Settings) -> Result<Outcome, Error> {
    if seen
        .stat(Path::new("/sys/fs/cgroup/cgroup.controllers"))?
        .is_some()
    {
        return fine("cgroup v2");
    }
    let taken = !settings.version.at_least(1, 35)
        || users_kubelet(settings, "failCgroupV1").and_then(Value::as_bool) == Some(false);
    if taken {
        return fine("cgroup v1");
    }
    bad(
        format!(
            "cgroup v1, with which the kubelet {} does not start",
            settings.version
        ),
        "boot with cgroup v2, or say failCgroupV1: false in a KubeletConfiguration (and ignore SystemVerification)",
    )
}

fn machine_id(seen: &dyn Inspect, _: &Settings) -> Result<Outcome, Error> {
    let id = text(seen, "/etc/machine-id")?;
    if id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return fine(id);
    }
    bad(
        "/etc/machine-id has no machine id",
        "run `systemd-machine-id-setup`",
    )
}

fn hostname(_: &dyn Inspect, settings: &Settings) -> Result<Outcome, Error> {
    let name = &settings.name;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let valid = name.len() <= 63
        && name.chars().all(plain)
        && edge(name.chars().next())
        && edge(name.chars().last());
    if valid && name != "localhost" {
        return fine(name.clone());
    }
    bad(
        format!("{name:?} is no name for a Node: lower-case letters, digits, `-`"),
        "say metadata.name or --name",
    )
}

fn address(_: &dyn Inspect, settings: &Settings) -> Result<Outcome, Error> {
    if settings.interface.is_empty() {
        return bad(
            format!("no interface of this host has {}", settings.address),
            "say the right address",
        );
    }
    fine(format!("{} on {}", settings.address, settings.interface))
}

fn clock(_: &dyn Inspect, _: &Settings) -> Result<Outcome, Error> {
    // Certificates are issued for now: a clock that was never set makes ones that have ended.
    const BUILT: u64 = 1_760_000_000;
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    if now >= BUILT {
        return fine(format!("{now} seconds since 1970"));
    }
    bad(
        format!("the clock says {now} seconds since 1970, which is years ago"),
        "set the clock",
    )
}

fn swap(seen: &dyn Inspect, settings: &Settings) -> Result<Outcome, Error> {
    let swaps = text(seen, "/proc/swaps")?;
    let devices: Vec<&str> = swaps
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let taken = users_kubelet(settings, "failSwapOn").and_then(Value::as_bool) == Some(false);
    if devices.is_empty() || taken {
        return fine(if devices.is_empty() {
            "no swap"
        } else {
            "swap, which the kubelet is told to take"
        });
    }
    bad(
        format!("swap is on: {}", devices.join(", ")),
        "switch swap off (`swapoff -a`, and in /etc/fstab), or say failSwapOn: false in a KubeletConfiguration",
    )
}

fn memory(seen: &dyn Inspect, settings: &Settings) -> Result<Outcome, Error> {
    let have = observe::memory(&text(seen, "/proc/meminfo")?) >> 20;
    let need = if settings.config.role == Role::Master {
        1700
    } else {
        700
    };
    if have >= need {
        return fine(format!("{have} MiB"));
    }
    bad(
        format!("{have} MiB of memory, of {need} that are needed"),
        "give the host more memory",
    )
}

fn disk(seen: &dyn Inspect, settings: &Settings) -> Result<Outcome, Error> {
    if set_up(seen)? {
        return fine("images are there");
    }
    let images = &settings.artifacts.images;
    let mut packed = 0;
    for entry in settings.store.entries(seen)? {
        if let bundle::Entry::Image(image) = entry
            && (images.first.contains(&image.reference) || images.later.contains(&image.reference))
        {
            packed += image.layers.iter().map(|layer| layer.size).sum::<u64>();
        }
    }
    // containerd keeps the packed layers, and the unpacked ones are up to four times as large; the programs come on top.
    let need = (packed * 5 + (600 << 20)) >> 20;
    let folder = if seen.stat(Path::new(paths::CONTAINERD))?.is_some() {
        paths::CONTAINERD
    } else {
        "/var/lib"
    };
    let query = Query::new("df", ["--output=avail", "--block-size=1M", "--", folder]);
    let output = seen.query(&query)?;
    let have: Option<u64> = output
        .text()
        .lines()
        .nth(1)
        .and_then(|line| line.trim().parse().ok());
    match have {
        Some(have) if have >= need => {
            fine(format!("{have} MiB free for {folder}, {need} are needed"))
        }
        Some(have) => bad(
            format!("{have} MiB free for {folder}, of {need} that are needed"),
            "make room",
        ),
        None => Err(host::Error::Output {
            argv: query.to_string(),
            detail: output.stderr,
        }
        .into()),
    }
}

fn ports(seen: &dyn Inspect, settings: &Settings) -> Result<Outcome, Error> {
    if set_up(seen)? {
        return fine("taken by this node itself");
    }
    let (_, api) = settings.api.rsplit_once(':').unwrap_or(("", "6443"));
    let mut wanted = vec![10250];
    if settings.config.role == Role::Master {
        wanted.extend([api.parse().unwrap_or(6443), 10257, 10259]);
    } else {
        wanted.push(10256);
    }
    let mut taken: Vec<u16> = Vec::new();
    for path in ["/proc/net/tcp", "/proc/net/tcp6"] {
        taken.extend(listening(&text(seen, path)?).filter(|port| wanted.contains(port)));
    }
    taken.sort_unstable();
    taken.dedup();
    if taken.is_empty() {
        return fine("free");
    }
    let ports: Vec<String> = taken.iter().map(u16::to_string).collect();
    bad(
        format!("in use: {}", ports.join(", ")),
        "stop what listens there (`ss -ltnp` shows it)",
    )
}

/// The ports that are listened on, out of /proc/net/tcp.
fn listening(table: &str) -> impl Iterator<Item = u16> + '_ {
    table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (_, port) = fields.next()?.rsplit_once(':')?;
        let listens = fields.nth(1)? == "0A";
        listens.then(|| u16::from_str_radix(port, 16).ok())?
    })
}

fn runtime(seen: &dyn Inspect, _: &Settings) -> Result<Outcome, Error> {
    if set_up(seen)? {
        return fine("this node's own");
    }
    for unit in ["docker.service", "crio.service", "cri-docker.service"] {
        if seen.unit(unit)?.activity == UnitActivity::Active {
            return bad(
                format!("{unit} runs"),
                format!("stop it and take it away: `systemctl disable --now {unit}`"),
            );
        }
    }
    let unit = seen.unit("containerd.service")?;
    let running = unit.activity == UnitActivity::Active;
    let ours = seen
        .read_text(Path::new(paths::CONTAINERD_UNIT))?
        .is_some_and(|text| text.contains("Written by nodeadm"));
    if running && !ours {
        return bad(
            "a containerd runs here that nodeadm did not install",
            "stop it: `systemctl disable --now containerd.service`; nodeadm brings its own and gives this one back at reset",
        );
    }
    if unit.masked {
        return bad(
            "containerd.service is masked",
            "run `systemctl unmask containerd.service`",
        );
    }
    fine("none")
}

fn leftovers(seen: &dyn Inspect, _: &Settings) -> Result<Outcome, Error> {
    if seen.stat(Path::new(paths::RECORD))?.is_some() {
        return fine("this host is nodeadm's");
    }
    let mut found = Vec::new();
    for file in [
        "/etc/kubernetes/admin.conf",
        "/etc/kubernetes/kubelet.conf",
        "/var/lib/kubelet/config.yaml",
    ] {
        if seen.stat(Path::new(file))?.is_some() {
            found.push(file.to_owned());
        }
    }
    for folder in [paths::MANIFESTS, paths::PKI, paths::CNI_CONF] {
        if let Some(name) = seen.list(Path::new(folder))?.unwrap_or_default().first() {
            found.push(format!("{folder}/{name}"));
        }
    }
    for program in ["/usr/bin/kubelet", "/usr/bin/kubeadm"] {
        if seen
            .stat(Path::new(program))?
            .is_some_and(|stat| stat.kind == Kind::File)
        {
            found.push(program.to_owned());
        }
    }
    if found.is_empty() {
        return fine("none");
    }
    bad(
        format!("found {}", found.join(", ")),
        "take the other cluster down first (its tool's reset), and its packages away",
    )
}

#[cfg(test)]
mod tests;
