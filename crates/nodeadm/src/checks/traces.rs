//! What others did on this host that would be in the way.

use std::path::Path;

use host::{Inspect, Kind, Unit, UnitActivity};

use super::{Outcome, bad, fine, set_up, there};
use crate::settings::{CREDENTIALS, Settings};
use crate::{Error, paths};

/// Units by their names, asked of systemd at once.
struct Units<'n>(Vec<(&'n str, Unit)>);

impl<'n> Units<'n> {
    fn ask(seen: &dyn Inspect, names: &[&'n str]) -> Result<Self, Error> {
        let known = seen.units(names)?;
        Ok(Self(names.iter().copied().zip(known).collect()))
    }

    /// Those that do something now or soon.
    fn working(&self) -> Vec<&'n str> {
        let works = |unit: &Unit| {
            matches!(
                unit.activity,
                UnitActivity::Active | UnitActivity::Activating
            )
        };
        let working = self.0.iter().filter(|(_, unit)| works(unit));
        working.map(|(name, _)| *name).collect()
    }

    fn is_masked(&self, name: &str) -> bool {
        self.0
            .iter()
            .any(|(known, unit)| *known == name && unit.masked)
    }
}

/// Other container runtimes, and what brings them up.
const RUNTIMES: [&str; 6] = [
    "docker.service",
    "docker.socket",
    "cri-docker.service",
    "cri-docker.socket",
    "crio.service",
    "containerd.service",
];

pub(super) fn runtime(seen: &dyn Inspect, _: &Settings) -> Result<Outcome, Error> {
    if set_up(seen)? {
        return fine("this node's own");
    }
    let ours = seen
        .read_text(Path::new(paths::CONTAINERD_UNIT))?
        .is_some_and(|text| text.contains("Written by nodeadm"));
    let units = Units::ask(seen, &RUNTIMES)?;
    let mut others = units.working();
    others.retain(|unit| *unit != "containerd.service" || !ours);
    if !others.is_empty() {
        let hint = if others == ["containerd.service"] {
            "; nodeadm brings its own and gives this one back at reset"
        } else {
            ""
        };
        return bad(
            format!(
                "another container runtime works here: {}",
                others.join(", ")
            ),
            format!(
                "stop it: `systemctl disable --now {}`{hint}",
                others.join(" ")
            ),
        );
    }
    if units.is_masked("containerd.service") {
        return bad(
            "containerd.service is masked",
            "run `systemctl unmask containerd.service`",
        );
    }
    fine("none")
}

/// Units of other ways to Kubernetes.
const ORCHESTRATORS: [&str; 11] = [
    "k3s.service",
    "k3s-agent.service",
    "rke2-server.service",
    "rke2-agent.service",
    "k0scontroller.service",
    "k0sworker.service",
    "snap.microk8s.daemon-kubelite.service",
    "snap.k8s.kubelet.service",
    "nomad.service",
    "pacemaker.service",
    "kubelet.service",
];

pub(super) fn orchestrator(seen: &dyn Inspect, _: &Settings) -> Result<Outcome, Error> {
    let ours = seen.stat(Path::new(paths::RECORD))?.is_some();
    let units = Units::ask(seen, &ORCHESTRATORS)?;
    let mut found = units.working();
    found.retain(|unit| *unit != "kubelet.service" || !ours);
    if !ours && units.is_masked("kubelet.service") {
        return bad(
            "kubelet.service is masked",
            "run `systemctl unmask kubelet.service`",
        );
    }
    if found.is_empty() {
        return fine("none");
    }
    bad(
        format!("{} at work here", found.join(", ")),
        "take it down by its own tool first",
    )
}

/// Files that only a node has.
const FILES: [&str; 6] = [
    "/etc/kubernetes/admin.conf",
    "/etc/kubernetes/kubelet.conf",
    "/etc/kubernetes/bootstrap-kubelet.conf",
    "/var/lib/kubelet/config.yaml",
    "/var/lib/kubelet/kubeadm-flags.env",
    "/var/lib/kubelet/pki/kubelet-client-current.pem",
];
/// Interfaces that pods' networks leave behind.
const INTERFACES: [&str; 7] = [
    "cni0",
    "flannel.1",
    "flannel-v6.1",
    "kube-ipvs0",
    "cilium_host",
    "vxlan.calico",
    "weave",
];

pub(super) fn leftovers(seen: &dyn Inspect, settings: &Settings) -> Result<Outcome, Error> {
    if seen.stat(Path::new(paths::RECORD))?.is_some() {
        return fine("this host is nodeadm's");
    }
    let mut found = Vec::new();
    for file in FILES {
        if there(seen, file)? {
            found.push(file.to_owned());
        }
    }
    // The authorities may lie ready for a control plane to be made of them.
    let ready = |name: &str| {
        let of_authorities = CREDENTIALS
            .iter()
            .any(|known| known.split('/').next() == Some(name));
        name == "ca.crt" || settings.is_master() && of_authorities
    };
    for folder in [paths::MANIFESTS, paths::PKI, paths::CNI_CONF] {
        let names = seen.list(Path::new(folder))?.unwrap_or_default();
        // Packages put a hidden file into an empty folder, so that it stays.
        let foreign = |name: &&String| {
            !(name.starts_with('.') || folder == paths::PKI && ready(name.as_str()))
        };
        if let Some(name) = names.iter().find(foreign) {
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
    for name in INTERFACES {
        if there(seen, &format!("/sys/class/net/{name}"))? {
            found.push(format!("the interface {name}"));
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
