//! What must be true of a host before it becomes a node: checks as data, all run, all reported together.
//!
//! That a check failed and that it could not be made are different results; neither lets the work begin, unless its
//! name is among those to be ignored. What is no fault but good to know is told with a check that passes. kubeadm's own
//! checks come later, in their own phase, with the same list of names; what needs several hosts is `cctl`'s.

mod identity;
mod network;
mod resources;
mod system;
mod traces;

use std::path::Path;

use api::{Check, Verdict};
use host::Inspect;
use serde_json::Value;

use crate::settings::Settings;
use crate::{Error, paths};

/// A check.
pub(crate) struct HostCheck {
    /// By which it is ignored.
    pub name: &'static str,
    /// What it looks for, for the help text.
    pub about: &'static str,
    look: fn(&dyn Inspect, &Settings) -> Result<Outcome, Error>,
}

const fn check(
    name: &'static str,
    about: &'static str,
    look: fn(&dyn Inspect, &Settings) -> Result<Outcome, Error>,
) -> HostCheck {
    HostCheck { name, about, look }
}

/// All checks, in the order in which they are reported.
pub(crate) const CHECKS: [HostCheck; 24] = [
    check("root", "runs as root", system::root),
    check("systemd", "systemd runs the host", system::systemd),
    check(
        "architecture",
        "programs for this machine",
        system::architecture,
    ),
    check("kernel", "Linux 4.19 or later", system::kernel),
    check(
        "kernel-features",
        "what containers and pods' networks need of the kernel",
        system::kernel_features,
    ),
    check(
        "cgroups",
        "cgroups that this kubelet takes",
        system::cgroups,
    ),
    check(
        "programs",
        "programs that the kubelet calls",
        system::programs,
    ),
    check(
        "machine-id",
        "a machine id of the host's own",
        identity::machine_id,
    ),
    check(
        "product-uuid",
        "no product UUID that many machines share",
        identity::product_uuid,
    ),
    check("mac", "a MAC address of the host's own", identity::mac),
    check(
        "hostname",
        "a name that a Node may have",
        identity::hostname,
    ),
    check("address", "this host has the address", network::address),
    check("mtu", "packets large enough for pods", network::mtu),
    check("clock", "a clock that is right", system::clock),
    check(
        "resolver",
        "a resolver's file that pods can be given",
        network::resolver,
    ),
    check(
        "firewall",
        "whether a firewall is at work",
        network::firewall,
    ),
    check(
        "swap",
        "no swap, or a kubelet that takes it",
        resources::swap,
    ),
    check("memory", "enough memory", resources::memory),
    check("disk", "room for images and programs", resources::disk),
    check(
        "paths",
        "folders that can be written and run from",
        resources::paths,
    ),
    check("ports", "free ports", network::ports),
    check("runtime", "no other container runtime", traces::runtime),
    check(
        "orchestrator",
        "no other Kubernetes at work",
        traces::orchestrator,
    ),
    check("leftovers", "nothing of another cluster", traces::leftovers),
];

/// What a check found.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// As it should be; perhaps with something that the admin may want to know.
    Fine {
        message: String,
        hint: Option<String>,
    },
    /// Not as it should be.
    Bad {
        message: String,
        hint: Option<String>,
    },
}

fn fine(message: impl Into<String>) -> Result<Outcome, Error> {
    Ok(Outcome::Fine {
        message: message.into(),
        hint: None,
    })
}

fn noted(message: impl Into<String>, hint: impl Into<String>) -> Result<Outcome, Error> {
    Ok(Outcome::Fine {
        message: message.into(),
        hint: Some(hint.into()),
    })
}

fn bad(message: impl Into<String>, hint: impl Into<String>) -> Result<Outcome, Error> {
    Ok(Outcome::Bad {
        message: message.into(),
        hint: Some(hint.into()).filter(|hint: &String| !hint.is_empty()),
    })
}

/// It cannot be told, for this reason.
fn unknown(what: impl Into<String>) -> Result<Outcome, Error> {
    Err(Error::Untold(what.into()))
}

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
        .map(|check| format!("  {:<15} {}\n", check.name, check.about))
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
        Ok(Outcome::Fine { message, hint }) => (Verdict::Passed, message, hint),
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

/// A file's text without the space around it; empty where there is none.
fn text(seen: &dyn Inspect, path: &str) -> Result<String, Error> {
    Ok(seen
        .read_text(Path::new(path))?
        .unwrap_or_default()
        .trim()
        .to_owned())
}

fn there(seen: &dyn Inspect, path: &str) -> Result<bool, Error> {
    Ok(seen.stat(Path::new(path))?.is_some())
}

/// Whether the kubelet is configured here already, by us: then ports are taken and memory is used by what we made.
fn set_up(seen: &dyn Inspect) -> Result<bool, Error> {
    let kubelet = seen.stat(&Path::new(paths::KUBERNETES).join("kubelet.conf"))?;
    Ok(kubelet.is_some() && seen.stat(Path::new(paths::RECORD))?.is_some())
}

/// What the user says in this field of the kubelet's configuration.
fn users_kubelet<'s>(settings: &'s Settings, field: &str) -> Option<&'s Value> {
    let documents = settings
        .foreign
        .iter()
        .filter(|foreign| foreign.kind == "KubeletConfiguration");
    documents
        .filter_map(|foreign| foreign.value.get(field))
        .next_back()
}

#[cfg(test)]
mod tests;
