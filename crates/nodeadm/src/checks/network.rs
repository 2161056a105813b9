//! The host's place in the network.

use std::path::Path;

use host::{Inspect, UnitActivity};
use serde_json::Value;

use super::{Outcome, bad, fine, noted, set_up, text, unknown, users_kubelet};
use crate::settings::Settings;
use crate::{Error, resolver as resolvers};

pub(super) fn address(_: &dyn Inspect, settings: &Settings) -> Result<Outcome, Error> {
    let address = settings.address;
    if address.is_loopback() || address.is_unspecified() || address.is_multicast() {
        return bad(
            format!("{address} is no address that others reach this host by"),
            "say the right address",
        );
    }
    if settings.interface.is_empty() {
        return bad(
            format!("no interface of this host has {address}"),
            "say the right address",
        );
    }
    fine(format!("{address} on {}", settings.interface))
}

/// flannel's packets carry others in them.
const VXLAN: u32 = 50;

pub(super) fn mtu(seen: &dyn Inspect, settings: &Settings) -> Result<Outcome, Error> {
    if settings.interface.is_empty() {
        // The check of the address tells.
        return fine("no interface to be looked at");
    }
    let path = format!("/sys/class/net/{}/mtu", settings.interface);
    let Ok(mtu) = text(seen, &path)?.parse::<u32>() else {
        return unknown(format!("{path} does not tell"));
    };
    // IPv6 does not work with less than 1280; IPv4 does, but nothing that is used has less than 576.
    let pods = if settings.config.network.pod_subnet.contains(':') {
        1280
    } else {
        576
    };
    if mtu >= pods + VXLAN {
        return fine(format!("{mtu} on {}", settings.interface));
    }
    bad(
        format!(
            "{} takes packets of {mtu} bytes; pods need {pods}, and {VXLAN} go for the packet around theirs",
            settings.interface
        ),
        "raise the interface's MTU",
    )
}

pub(super) fn resolver(seen: &dyn Inspect, settings: &Settings) -> Result<Outcome, Error> {
    let said = users_kubelet(settings, "resolvConf").and_then(Value::as_str);
    let file = said.unwrap_or("/etc/resolv.conf");
    // An empty name stands for none at all, which the kubelet takes.
    if !file.is_empty() && seen.read_text(Path::new(file))?.is_none() {
        return bad(
            format!("{file} is not there, and without it the kubelet starts no pod"),
            if said.is_some() {
                "say an existing file as resolvConf in the KubeletConfiguration"
            } else {
                "make it, if need be empty: `touch /etc/resolv.conf`"
            },
        );
    }
    let found = resolvers::upstream(seen, said)?;
    if found.is_empty() {
        return fine("none: pods resolve the cluster's own names only");
    }
    let words: Vec<String> = found.iter().map(ToString::to_string).collect();
    if found.len() > 3 {
        return noted(
            words.join(", "),
            "pods are given the first three of them only",
        );
    }
    fine(words.join(", "))
}

const FIREWALLS: [&str; 3] = ["firewalld.service", "ufw.service", "nftables.service"];

pub(super) fn firewall(seen: &dyn Inspect, settings: &Settings) -> Result<Outcome, Error> {
    let active: Vec<&str> = FIREWALLS
        .into_iter()
        .zip(seen.units(&FIREWALLS)?)
        .filter(|(_, unit)| unit.activity == UnitActivity::Active)
        .map(|(name, _)| name)
        .collect();
    if active.is_empty() {
        return fine("none");
    }
    let ports = wanted(settings)
        .iter()
        .map(u16::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    noted(
        format!("{} is at work", active.join(", ")),
        format!(
            "let it pass the ports {ports} (TCP), 8472 (UDP, flannel) and what goes to and from pods"
        ),
    )
}

pub(super) fn ports(seen: &dyn Inspect, settings: &Settings) -> Result<Outcome, Error> {
    if set_up(seen)? {
        return fine("taken by this node itself");
    }
    let wanted = wanted(settings);
    let mut taken: Vec<u16> = Vec::new();
    let mut tables = 0;
    for path in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let Some(table) = seen.read(Path::new(path), 64 << 20)? else {
            continue;
        };
        tables += 1;
        let table = String::from_utf8_lossy(&table);
        taken.extend(listening(&table).filter(|port| wanted.contains(port)));
    }
    if tables == 0 {
        return unknown("/proc/net/tcp is not there");
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

/// The ports that what nodeadm starts will listen on.
fn wanted(settings: &Settings) -> Vec<u16> {
    let (_, api) = settings.api.rsplit_once(':').unwrap_or(("", "6443"));
    // The kubelet's two, kube-proxy's two.
    let mut wanted = vec![10248, 10249, 10250, 10256];
    if settings.is_master() {
        wanted.extend([api.parse().unwrap_or(6443), 10257, 10259]);
    }
    wanted.sort_unstable();
    wanted
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
