//! Hosts on which everything lies that a cluster needs, and nothing is begun: programs installed, containerd running, all
//! images imported, the kernel set. Made once a run; each contender boots a copy of the very same hosts.
//!
//! `nodeadm prepare` and one phase of `etcdadm init` make them. What those leave is no different from what packages and
//! `ctr images import` leave: programs in `/opt/bin`, linked into `/usr/local/bin`; units of containerd and the kubelet;
//! containerd's own folder. The bundle's blobs stay in the host's store, where the tools find them and nobody else looks.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use hosts::VIP;
use lab::{Base, Host, HostSpec, Lab, LabConfig, Wipe};
use parts::catalog::NEWEST;

use super::cluster::{HOSTS, MASTERS, at_once};
use crate::Outcome;
use crate::run::cache;

/// The prepared hosts, off.
#[derive(Debug)]
pub(crate) struct Prepared {
    base: Base,
    checkpoint: PathBuf,
    folder: PathBuf,
}

impl Prepared {
    /// Makes them in the cache; they are some gigabytes, and go with the value.
    pub(crate) fn make(tools: &Path, supplies: &Path) -> Outcome<Self> {
        let base = Base::ensure_in(&cache()?)?;
        let folder = cache()?.join("bench-cluster");
        let prepared = Self {
            base,
            checkpoint: folder.join("prepared"),
            folder,
        };
        prepared.forget();
        std::fs::create_dir_all(&prepared.folder)?;
        println!("\npreparing {HOSTS} hosts: programs, runtime, images");
        let lab = prepared.lab(None)?;
        let hosts = lab.up(HOSTS, HostSpec::default())?;
        let addresses: Vec<String> = hosts.iter().map(|h| h.address().to_string()).collect();
        at_once(&hosts, |host| {
            let is_master = hosts[..MASTERS].iter().any(|h| h.name() == host.name());
            prepare(
                &lab,
                host,
                &addresses[..MASTERS],
                is_master,
                tools,
                supplies,
            )
        })?;
        lab.stop_all()?;
        lab.checkpoint(&prepared.checkpoint)?;
        lab.down(Wipe::Yes)?;
        Ok(prepared)
    }

    fn lab(&self, checkpoint: Option<PathBuf>) -> Outcome<Lab> {
        let config = LabConfig::new("bench-cluster", self.folder.join("lab"), &self.base);
        Ok(Lab::create(LabConfig {
            checkpoint,
            ..config
        })?)
    }

    /// A lab with a copy of the hosts, all up and idle.
    pub(crate) fn boot(&self) -> Outcome<(Lab, Vec<Host>)> {
        let lab = self.lab(Some(self.checkpoint.clone()))?;
        let hosts = lab.boot_all()?;
        at_once(&hosts, idle)?;
        Ok((lab, hosts))
    }

    /// Fresh hosts with sshd and nothing else, in a lab like the others.
    pub(crate) fn bare(&self) -> Outcome<(Lab, Vec<Host>)> {
        let lab = self.lab(None)?;
        let hosts = lab.up(HOSTS, HostSpec::default())?;
        Ok((lab, hosts))
    }

    /// A folder for an admin's files.
    pub(crate) fn folder(&self, name: &str) -> Outcome<PathBuf> {
        let folder = self.folder.join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    fn forget(&self) {
        // What is not there need not go; what cannot go is met by who makes it anew.
        drop(std::fs::remove_dir_all(&self.checkpoint));
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        self.forget();
    }
}

/// Puts on a fresh host what a control plane or a worker needs, and begins nothing.
pub(crate) fn prepare(
    lab: &Lab,
    host: &Host,
    masters: &[String],
    is_master: bool,
    tools: &Path,
    supplies: &Path,
) -> Outcome {
    host.put_tree(&supplies.join("bundle.oci"), "/var/cache/klusterkit")?;
    // cctl keeps the tools that it runs under their digests.
    for tool in ["etcdadm", "nodeadm"] {
        let digest = parts::files::sha256_of(&tools.join(tool))?.0;
        let folder = format!("/var/cache/klusterkit/bin/{digest}/{tool}");
        host.put(&tools.join(tool), &folder, 0o755)?;
        host.put(&tools.join(tool), &format!("/root/{tool}"), 0o755)?;
    }
    let document = document(lab, host, masters, is_master)?;
    host.nsexec(["/root/nodeadm", "prepare", "--config", "-"])?
        .stdin(document)
        .timeout(super::cluster::LIMIT)
        .check()?;
    if is_master {
        let version = format!("v{}", NEWEST.etcd);
        let words = ["/root/etcdadm", "init", "phase", "install-binaries"];
        host.nsexec(words.into_iter().chain(["--version", &version]))?
            .check()?;
    }
    host.nsexec(["rm", "/root/etcdadm", "/root/nodeadm"])?
        .check()?;
    Ok(())
}

/// Leaves a prepared host up, and with nothing to do.
pub(crate) fn idle(host: &Host) -> Outcome {
    // It would start and fail once a second until it has a configuration: no host that was just prepared does.
    host.nsexec(["systemctl", "stop", "kubelet"])?.check()?;
    host.nsexec(["systemctl", "start", "containerd"])?.check()?;
    Ok(())
}

/// What `nodeadm prepare` is told; it decides about images and about containerd's configuration.
fn document(lab: &Lab, host: &Host, masters: &[String], is_master: bool) -> Outcome<String> {
    let vip = lab.net().address(VIP);
    let mut text = format!(
        "apiVersion: klusterkit.dev/v1alpha1\n\
         kind: NodeConfiguration\n\
         kubernetesVersion: v{}\n\
         address: {}\n\
         controlPlaneEndpoint: {vip}\n\
         ignorePreflightErrors: [SystemVerification]\n\
         containerdPatch: |\n  [plugins.'io.containerd.cri.v1.runtime']\n  restrict_oom_score_adj = true\n",
        NEWEST.kubernetes,
        host.address()
    );
    if is_master {
        let peers = masters.join(", ");
        writeln!(
            text,
            "role: master\nvip: {{address: {vip}, peers: [{peers}]}}"
        )?;
    } else {
        text.push_str("role: node\n");
    }
    text.push_str(
        "---\n\
         apiVersion: kubelet.config.k8s.io/v1beta1\n\
         kind: KubeletConfiguration\n\
         failCgroupV1: false\n",
    );
    Ok(text)
}
