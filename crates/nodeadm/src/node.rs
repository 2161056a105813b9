//! This host and its cluster as phases see them, and as changes are made to them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use host::{Effects, Host, Inspect, Query, UnitActivity, poll_until};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::change::{Await, Awaited, Change, Kubeadm};
use crate::cluster::Cluster;
use crate::observe::shims;
use crate::settings::Settings;
use crate::{Error, kubeadm};

/// How often is looked at what is waited for.
const POLL: Duration = Duration::from_millis(50);

/// This host, its cluster, and what is wanted of them.
pub struct Node {
    host: Box<dyn Host>,
    cluster: Box<dyn Cluster>,
    settings: Settings,
    /// What containerd said that it has, until the next change.
    listed: RefCell<Option<BTreeSet<String>>>,
    /// Images that a dry run would have imported.
    imported: BTreeSet<String>,
    /// Whether a dry run would have ended all containers.
    ended: bool,
}

impl Node {
    /// Over this host and this cluster.
    #[must_use]
    pub fn new(host: Box<dyn Host>, cluster: Box<dyn Cluster>, settings: Settings) -> Self {
        Self {
            host,
            cluster,
            settings,
            listed: RefCell::new(None),
            imported: BTreeSet::new(),
            ended: false,
        }
    }

    /// The host, to be looked at.
    #[must_use]
    pub fn host(&self) -> &dyn Inspect {
        &*self.host
    }

    /// The cluster, to be looked at by phases.
    #[must_use]
    pub fn cluster(&self) -> &dyn Cluster {
        &*self.cluster
    }

    /// What is wanted.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The images that containerd has, by reference; none while it does not run.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn images(&self) -> Result<BTreeSet<String>, Error> {
        if let Some(images) = &*self.listed.borrow() {
            return Ok(images.clone());
        }
        let images = self.list_images()?;
        *self.listed.borrow_mut() = Some(images.clone());
        Ok(images)
    }

    fn list_images(&self) -> Result<BTreeSet<String>, Error> {
        let mut images = self.imported.clone();
        if self.host.unit("containerd.service")?.activity != UnitActivity::Active {
            return Ok(images);
        }
        let ctr = self.settings.program("ctr");
        let query = Query::new(ctr, ["--namespace", "k8s.io", "images", "list", "--quiet"]);
        match self.host.query(&query) {
            Ok(output) if output.success() => {
                images.extend(output.text().lines().map(str::to_owned));
                Ok(images)
            }
            // In a dry run it may be active in the plan alone.
            _ if self.host.is_dry_run() => Ok(images),
            Ok(output) => Err(host::Error::Output {
                argv: query.to_string(),
                detail: format!("exit code {:?}: {}", output.code, output.stderr),
            }
            .into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether what is waited for is there; else what is seen instead.
    ///
    /// # Errors
    /// When it cannot be told, and never will.
    pub fn awaited(&self, what: &Awaited) -> Result<Result<(), String>, Error> {
        match what {
            Awaited::ApiReady(at) => Ok(self.cluster.ready(at)),
            // While the API comes up it may refuse what it grants a moment later.
            Awaited::Object(path) => Ok(match self.cluster.get(path) {
                Ok(Some(_)) => Ok(()),
                Ok(None) => Err(format!("no {path}")),
                Err(error) => Err(error.to_string()),
            }),
            Awaited::File(path) => Ok(match self.host.stat(path)? {
                Some(_) => Ok(()),
                None => Err(format!("no {}", path.display())),
            }),
        }
    }

    fn wait(&mut self, wait: &Await) -> Result<(), Error> {
        if self.host.is_dry_run() {
            match &wait.what {
                Awaited::ApiReady(at) => self.cluster.assume_ready(at),
                Awaited::Object(path) => self.cluster.assume(path),
                Awaited::File(path) => self.host.apply(&host::Change::file(path, ""))?,
            }
            return Ok(());
        }
        poll_until(wait.limit, POLL, || self.awaited(&wait.what))?.map_err(|last| Error::Deadline {
            reason: wait.reason.clone(),
            seconds: wait.limit.as_secs(),
            last,
            log: self.log_of(&wait.what),
        })
    }

    /// The end of the log that may tell why something does not come about.
    fn log_of(&self, what: &Awaited) -> String {
        let own = matches!(what, Awaited::ApiReady(at) if *at == self.settings.api);
        let api_server = if own {
            self.log_of_pod("kube-apiserver")
        } else {
            None
        };
        let said = api_server.map(|text| ("API server", text)).or_else(|| {
            let args = [
                "--no-pager",
                "--quiet",
                "--output=cat",
                "--lines=8",
                "--unit=kubelet.service",
            ];
            let output = self.host.query(&Query::new("journalctl", args)).ok()?;
            Some(("kubelet", output.text()))
        });
        match said {
            Some((who, text)) if !text.trim().is_empty() => {
                format!("\nthe end of the {who}'s log:\n{}", text.trim_end())
            }
            _ => String::new(),
        }
    }

    /// The end of the log of a static pod's container, which is named as the pod; the latest one's.
    fn log_of_pod(&self, name: &str) -> Option<String> {
        let pods = Path::new("/var/log/pods");
        let mut logs = Vec::new();
        for pod in self
            .host
            .list(pods)
            .ok()??
            .iter()
            .filter(|pod| pod.starts_with(&format!("kube-system_{name}-")))
        {
            let folder = pods.join(pod).join(name);
            for file in self.host.list(&folder).ok().flatten().unwrap_or_default() {
                let path = folder.join(file);
                logs.extend(
                    self.host
                        .stat(&path)
                        .ok()
                        .flatten()
                        .map(|stat| (stat.modified, path)),
                );
            }
        }
        let (_, latest) = logs.into_iter().max()?;
        let args = [
            "--lines=5".to_owned(),
            "--".to_owned(),
            latest.display().to_string(),
        ];
        let text = self.host.query(&Query::new("tail", args)).ok()?.text();
        // Each line begins with time, stream and a flag of the runtime's.
        let bare = |line: &str| {
            line.splitn(4, ' ')
                .nth(3)
                .unwrap_or(line)
                .chars()
                .take(300)
                .collect::<String>()
        };
        Some(text.lines().map(bare).collect::<Vec<_>>().join("\n"))
    }

    /// The containers of Kubernetes that run, by id; none while containerd does not.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn containers(&self) -> Result<Vec<String>, Error> {
        if self.ended || self.host.unit("containerd.service")?.activity != UnitActivity::Active {
            return Ok(Vec::new());
        }
        let ctr = self.settings.program("ctr");
        let query = Query::new(ctr, ["--namespace", "k8s.io", "tasks", "list", "--quiet"]);
        let output = match self.host.query(&query) {
            // In a dry run it may be there in the plan alone.
            Err(_) if self.host.is_dry_run() => return Ok(Vec::new()),
            other => other?,
        };
        Ok(output
            .text()
            .lines()
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect())
    }

    fn end_containers(&mut self) -> Result<(), Error> {
        if self.host.is_dry_run() {
            self.ended = true;
            return Ok(());
        }
        let limit = Duration::from_secs(60);
        let ended = poll_until(limit, POLL, || {
            let ids = self.containers()?;
            if ids.is_empty() {
                return Ok(Ok(()));
            }
            let count = ids.len();
            let args = ["--namespace", "k8s.io", "tasks", "delete", "--force"]
                .map(str::to_owned)
                .into_iter()
                .chain(ids);
            // That one of them is gone already makes it fail; what counts is what the next look shows.
            self.host
                .query(&Query::new(self.settings.program("ctr"), args))?;
            Ok::<_, Error>(Err(format!("{count} containers run")))
        })?;
        ended.map_err(|last| Error::Deadline {
            reason: "all containers to end".to_owned(),
            seconds: limit.as_secs(),
            last,
            log: String::new(),
        })
    }

    fn end_shims(&mut self, processes: &[i32]) -> Result<(), Error> {
        if self.host.is_dry_run() {
            return Ok(());
        }
        let limit = Duration::from_secs(10);
        let ended = poll_until(limit, POLL, || {
            // One may have ended by itself, and its number be another process's by now.
            let mut left = shims(&*self.host)?;
            left.retain(|shim| processes.contains(shim));
            for shim in &left {
                // It ends meanwhile, or the next look shows it.
                let _ = signal::kill(Pid::from_raw(*shim), Signal::SIGKILL);
            }
            Ok::<_, Error>(if left.is_empty() {
                Ok(())
            } else {
                Err(format!("processes {left:?} run"))
            })
        })?;
        ended.map_err(|last| Error::Deadline {
            reason: "shims without a container to end".to_owned(),
            seconds: limit.as_secs(),
            last,
            log: String::new(),
        })
    }

    fn kubeadm(&mut self, change: &Kubeadm) -> Result<(), Error> {
        self.host.apply(&host::Change::Run(change.run.clone()))?;
        self.host
            .apply(&kubeadm::receipt(&change.receipt, change.inputs))?;
        for path in &change.objects {
            self.cluster.assume(path);
        }
        Ok(())
    }

    fn import(&self, references: &[String]) -> Result<(), Error> {
        let (store, arch) = (&self.settings.store, self.settings.arch);
        let references: Vec<&str> = references.iter().map(String::as_str).collect();
        let ctr = self.settings.program("ctr");
        Ok(bundle::import(store, &references, arch, &ctr)?)
    }

    fn install_self(&mut self, path: &Path) -> Result<(), Error> {
        let content = self
            .host
            .read(Path::new(SELF), 1 << 30)?
            .unwrap_or_default();
        let write = host::Change::WriteFile {
            path: path.to_owned(),
            mode: 0o755,
            content: content.into(),
        };
        Ok(self.host.apply(&write)?)
    }
}

/// This very program, as the kernel shows it.
pub(crate) const SELF: &str = "/proc/self/exe";

impl Effects for Node {
    type View = Self;
    type Change = Change;
    type Error = Error;

    fn view(&self) -> &Self {
        self
    }

    fn apply(&mut self, change: &Change) -> Result<(), Error> {
        *self.listed.get_mut() = None;
        match change {
            Change::Host(change) => Ok(self.host.apply(change)?),
            Change::Install(install) if self.host.is_dry_run() => {
                Ok(install.rehearse(&mut *self.host)?)
            }
            Change::Install(install) => Ok(install.apply(self.host.root())?),
            Change::ImportImages { references } if self.host.is_dry_run() => {
                self.imported.extend(references.iter().cloned());
                Ok(())
            }
            Change::ImportImages { references } => self.import(references),
            Change::EndContainers { .. } => self.end_containers(),
            Change::EndShims { processes } => self.end_shims(processes),
            Change::Kubeadm(kubeadm) => self.kubeadm(kubeadm),
            Change::InstallSelf { path, .. } => self.install_self(path),
            Change::Cluster(change) => Ok(self.cluster.change(change)?),
            Change::Await(wait) => self.wait(wait),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Absent, Picture};
    use crate::settings::tests::settings;
    use host::{Change as HostChange, Memory, Nothing, Output};

    #[test]
    fn what_the_api_server_said_last_is_told() {
        let mut host = Memory::new(Nothing);
        let log = "/var/log/pods/kube-system_kube-apiserver-h1_0/kube-apiserver/1.log";
        host.apply(&HostChange::file(log, "")).unwrap();
        let stdout = b"2026-11-23T10:00:00Z stderr F connection refused\n".to_vec();
        host.answer(
            Query::new("tail", ["--lines=5", "--", log]),
            Output {
                code: Some(0),
                stdout,
                stderr: String::new(),
            },
        );
        let node = Node::new(Box::new(host), Box::new(Picture::new(Absent)), settings());
        let here = Awaited::ApiReady("10.77.0.11:6443".to_owned());
        assert_eq!(
            node.log_of(&here),
            "\nthe end of the API server's log:\nconnection refused"
        );
        assert_eq!(
            node.log_of(&Awaited::Object("/api/v1/nodes/h1".to_owned())),
            ""
        );
    }
}
