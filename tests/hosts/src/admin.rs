//! An admin's machine: a folder with a cluster's files, and the commands typed there, inside the lab's network.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lab::{Host, Lab, Output, Run, wait_until};
use serde_json::Value;

use crate::{ClusterFile, Equipment, Error};

/// How long a whole cluster may take on a busy machine.
const APPLY: Duration = Duration::from_secs(900);

/// The admin of one cluster.
#[derive(Debug)]
pub struct Admin<'l> {
    lab: &'l Lab,
    equipment: Equipment,
    folder: PathBuf,
}

/// What becomes of a program that is listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It goes on.
    GoOn,
    /// It is killed at once.
    Kill,
}

impl<'l> Admin<'l> {
    /// An admin who works in `folder`.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(lab: &'l Lab, equipment: Equipment, folder: PathBuf) -> Result<Self, Error> {
        std::fs::create_dir_all(&folder).map_err(|source| Error::File {
            action: "make",
            path: folder.clone(),
            source,
        })?;
        Ok(Self {
            lab,
            equipment,
            folder,
        })
    }

    /// The lab.
    #[must_use]
    pub fn lab(&self) -> &'l Lab {
        self.lab
    }

    /// What the admin was equipped with.
    #[must_use]
    pub fn equipment(&self) -> &Equipment {
        &self.equipment
    }

    /// A file of the admin's.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a file of the admin's.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        let path = self.file(name);
        std::fs::write(&path, text).map_err(|source| Error::File {
            action: "write",
            path: path.clone(),
            source,
        })?;
        Ok(path)
    }

    /// `cctl` with these words and the cluster's state file.
    pub fn cctl<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Run {
        let (cctl, state) = (self.equipment.tool("cctl"), self.file("cctl-state.yaml"));
        self.lab
            .run([text(&cctl)])
            .args(words)
            .args(["--state", text(&state)])
            .timeout(APPLY)
    }

    /// The words of `cctl apply` for this cluster file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn apply_words(&self, file: &ClusterFile) -> Result<Vec<String>, Error> {
        let cluster = self.write("cluster.yaml", file.text())?;
        let bundle = self.equipment.bundle();
        let words = [
            "apply",
            "-f",
            text(&cluster),
            "--bundle",
            text(&bundle),
            "--accept-new-host-keys",
        ];
        Ok(words.map(str::to_owned).to_vec())
    }

    /// Makes the cluster so.
    ///
    /// # Errors
    /// `cctl apply` fails.
    pub fn apply(&self, file: &ClusterFile) -> Result<Output, Error> {
        let words = self.apply_words(file)?;
        Ok(self.cctl(words.iter().map(String::as_str)).check()?)
    }

    /// Fetches the admin's kubeconfig out of the state.
    ///
    /// # Errors
    /// There is none.
    pub fn fetch_kubeconfig(&self) -> Result<PathBuf, Error> {
        let config = self.cctl(["get", "kubeconfig"]).text()?;
        self.write("kubeconfig", &config)
    }

    /// `kubectl` with these words. What it keeps lies in the admin's folder, not at home: it may be root that runs it.
    ///
    /// # Errors
    /// There is no kubectl among the supplies.
    pub fn kubectl<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Result<Run, Error> {
        let (kubectl, config) = (self.equipment.kubectl()?, self.file("kubeconfig"));
        let cache = self.file("kubectl-cache");
        Ok(self
            .lab
            .run([text(&kubectl)])
            .args(["--kubeconfig", text(&config), "--cache-dir", text(&cache)])
            .args(words))
    }

    /// What `kubectl get WHAT -o json` tells.
    ///
    /// # Errors
    /// It fails or prints no JSON.
    pub fn get(&self, what: &[&str]) -> Result<Value, Error> {
        let words = ["get"]
            .into_iter()
            .chain(what.iter().copied())
            .chain(["-o", "json"]);
        let text = self.kubectl(words)?.text()?;
        serde_json::from_str(&text).map_err(|_| Error::Printed {
            argv: format!("kubectl get {}", what.join(" ")),
            text,
        })
    }

    /// Waits until `expected` nodes are there and Ready, and every pod of kube-system is.
    ///
    /// # Errors
    /// Not in time.
    pub fn wait_ready(&self, expected: usize, limit: Duration) -> Result<(), Error> {
        wait_all_ready(expected, limit, |what| self.get(what).ok())
    }

    /// Waits until this host's own etcd member is healthy and its own API server ready.
    ///
    /// # Errors
    /// Not in time.
    pub fn wait_serving(&self, host: &Host, limit: Duration) -> Result<(), Error> {
        let what = format!("{}'s member and API server", host.name());
        let server = format!("https://{}:6443", host.address());
        let words = [
            "--server",
            &server,
            "get",
            "--raw",
            "/readyz",
            "--request-timeout",
            "5s",
        ];
        Ok(wait_until(&what, limit, || {
            let health = host.exec(["/opt/bin/etcdctl.sh", "endpoint", "health"]);
            let ready = self.kubectl(words).map(Run::output);
            Ok(health.output()?.success() && matches!(ready, Ok(Ok(ready)) if ready.success()))
        })?)
    }

    /// What `cctl WORDS -o json` prints.
    ///
    /// # Errors
    /// It fails or prints no JSON.
    pub fn told<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Result<Value, Error> {
        let words: Vec<&str> = words.into_iter().chain(["--output", "json"]).collect();
        let text = self.cctl(words.iter().copied()).text()?;
        serde_json::from_str(&text).map_err(|_| Error::Printed {
            argv: format!("cctl {}", words.join(" ")),
            text,
        })
    }

    /// `cctl` with these words, its progress heard: `hear` gets each event as it comes, and may have the program killed
    /// (SIGKILL) right there; its exit code is 137 then.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn listen(
        &self,
        words: &[String],
        mut hear: impl FnMut(&Value) -> Next,
    ) -> Result<Output, Error> {
        let error = |source| Error::File {
            action: "run",
            path: self.equipment.tool("cctl"),
            source,
        };
        let words = words.iter().map(String::as_str);
        let mut child = self.cctl(words.chain(["--output", "json"])).spawn()?;
        drop(child.stdin.take());
        let stdout = child.stdout.take();
        // It prints its one result at the end: less than a pipe holds.
        let mut said = String::new();
        if let Some(stderr) = child.stderr.take() {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let event: Value = serde_json::from_str(&line).unwrap_or_default();
                said += &format!("{line}\n");
                if hear(&event) == Next::Kill {
                    child.kill().map_err(error)?;
                    break;
                }
            }
        }
        let status = child.wait().map_err(error)?;
        let mut printed = Vec::new();
        if let Some(mut stdout) = stdout {
            stdout.read_to_end(&mut printed).map_err(error)?;
        }
        let signal = status.signal().unwrap_or(0);
        Ok(Output {
            code: status.code().unwrap_or(128 + signal),
            stdout: printed,
            stderr: said.into_bytes(),
        })
    }

    /// Shows that the whole cluster is healthy, as `cctl` and Kubernetes see it: these hosts as its nodes, and this many
    /// voting members.
    ///
    /// # Errors
    /// It is not, not in time, or has other machines.
    pub fn check_healthy(
        &self,
        hosts: &[Host],
        members: usize,
        limit: Duration,
    ) -> Result<(), Error> {
        let start = Instant::now();
        self.wait_ready(hosts.len(), limit)?;
        let mut names: Vec<&str> = hosts.iter().map(Host::name).collect();
        names.sort_unstable();
        let well = |status: &Value| {
            let machines = status["machines"].as_array().cloned().unwrap_or_default();
            let mut found: Vec<&str> = machines
                .iter()
                .filter_map(|machine| machine["name"].as_str())
                .collect();
            found.sort_unstable();
            let voters = status["etcd"].as_array().cloned().unwrap_or_default();
            let votes = |member: &Value| member["healthy"] == true && member["learner"] == false;
            status["healthy"] == true
                && found == names
                && voters.len() == members
                && voters.iter().all(votes)
        };
        // A host that came back is a Ready node in Kubernetes' memory for a while, whatever runs on it.
        loop {
            let output = self.cctl(["status", "--output", "json"]).output()?;
            if well(&serde_json::from_slice(&output.stdout).unwrap_or_default()) {
                return self.wait_ready(hosts.len(), limit);
            }
            if start.elapsed() > limit {
                return Err(Error::Printed {
                    argv: "cctl status".to_owned(),
                    text: format!("{}\n{}", output.text(), output.error_text()),
                });
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// The host that holds the control planes' common address, if one does.
    ///
    /// # Errors
    /// A host cannot be looked at.
    pub fn vip_holder<'h>(&self, hosts: &'h [Host]) -> Result<Option<&'h Host>, Error> {
        let vip = format!("{}/", self.lab.net().address(crate::VIP));
        for host in hosts {
            if host
                .nsexec(["ip", "-brief", "address"])?
                .text()?
                .contains(&vip)
            {
                return Ok(Some(host));
            }
        }
        Ok(None)
    }
}

/// Waits until this many nodes, DNS among the pods of kube-system, and all of those pods are Ready, as `get` tells it (nothing
/// while the API does not answer).
pub(crate) fn wait_all_ready(
    expected: usize,
    limit: Duration,
    get: impl Fn(&[&str]) -> Option<Value>,
) -> Result<(), Error> {
    let what = format!("{expected} nodes Ready and every pod of kube-system Ready");
    let list = |what: &[&str]| get(what).map(|list| ready(&list)).unwrap_or_default();
    let mut lacking = String::new();
    let waited = wait_until(&what, limit, || {
        let nodes = list(&["nodes"]);
        let pods = list(&["pods", "--namespace", "kube-system"]);
        let dns = pods.iter().any(|(name, _)| name.starts_with("coredns-"));
        let not: Vec<&str> = nodes
            .iter()
            .chain(&pods)
            .filter(|(_, ready)| !ready)
            .map(|(name, _)| name.as_str())
            .collect();
        lacking = format!(
            "{} nodes, {} pods in kube-system, of which these are not Ready: {}",
            nodes.len(),
            pods.len(),
            not.join(" ")
        );
        Ok(nodes.len() == expected && dns && not.is_empty())
    });
    waited.map_err(|source| Error::NotReady { lacking, source })
}

/// Names of the items of a list and whether each is Ready.
pub(crate) fn ready(list: &Value) -> Vec<(String, bool)> {
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let is_ready = |item: &Value| {
        let conditions = item["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        conditions
            .iter()
            .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    };
    items
        .iter()
        .map(|item| {
            (
                item["metadata"]["name"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
                is_ready(item),
            )
        })
        .collect()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("the task runner's folders are UTF-8")
}
