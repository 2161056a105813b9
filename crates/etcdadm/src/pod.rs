//! The member as a static pod: what the kubelet is handed, where, and which process came of it.
//!
//! The kubelet starts whatever lies in its folder of static pods, at boot, too, and ends what is taken out. So the pod that is
//! to be lies elsewhere, beside etcd's environment, as a unit's file would: writing it starts nothing. A start puts both
//! together into the kubelet's folder, as one file that appears at once.
//!
//! The pod has no probes. A kubelet kills what fails them, and etcd fails them just when killing it does harm: while it
//! defragments, fetches the cluster's data or goes through a long log. A process that ends is started again without them,
//! and that is all that systemd does for a unit, too.
//!
//! Entry points: [`files`], [`Pod`].

use std::fmt;
use std::path::{Path, PathBuf};

use etcd::{Credentials, Observe};
use host::Inspect;
use serde::Serialize;
use serde_json::{Value, json};

use crate::phases::file;
use crate::{Change, Configuration, Error, paths};

/// The pod's name; the kubelet adds the node's.
const NAME: &str = "etcd";
/// Its namespace, where the host belongs to a cluster of Kubernetes.
const NAMESPACE: &str = "kube-system";
/// The file in the kubelet's folder. Not kubeadm's etcd.yaml, which would be another member.
const FILE: &str = "etcdadm-etcd.json";
/// Says in the pod that is to be which folder the kubelet had: one that does not run just now cannot be asked.
const FOLDER: &str = "klusterkit.dev/static-pods";
/// Another one makes another pod of it: the kubelet then ends the one that runs.
const STARTED: &str = "klusterkit.dev/started";
/// Where the kubelet's configuration lies unless its command line says otherwise, and its folder unless that says.
const KUBELET_CONFIG: &str = "/var/lib/kubelet/config.yaml";
const STATIC_PODS: &str = "/etc/kubernetes/manifests";
const LOGS: &str = "/var/log/pods";
/// A file of the kubelet's or a log is not longer.
const LONGEST: u64 = 64 << 20;

/// A member that is a static pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pod {
    /// Where its data lies: by this its process is known.
    pub data_dir: PathBuf,
    /// Where this host reaches it.
    pub endpoint: String,
}

/// The kubelet that runs.
pub(crate) struct Kubelet {
    /// Its configuration.
    pub(crate) config: PathBuf,
    /// Its folder of static pods, where it has one.
    pub(crate) static_pods: Option<PathBuf>,
}

/// The pod as it is to be, but for etcd's variables.
fn pod(configuration: &Configuration, folder: &Path) -> Value {
    let (data, certs) = (configuration.data_dir(), configuration.certs_dir());
    let volume = |name: &str, path: &Path| json!({"name": name, "hostPath": {"path": path, "type": "Directory"}});
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": NAME,
            "namespace": NAMESPACE,
            "labels": {
                "app.kubernetes.io/name": "etcd",
                "app.kubernetes.io/managed-by": "etcdadm",
            },
            "annotations": {FOLDER: folder},
        },
        "spec": {
            "hostNetwork": true,
            "dnsPolicy": "Default",
            // A Service called etcd would bring variables that etcd takes for its own.
            "enableServiceLinks": false,
            "automountServiceAccountToken": false,
            "priorityClassName": "system-node-critical",
            // As long as systemd waits: clients that watch are seen off first.
            "terminationGracePeriodSeconds": 90,
            "securityContext": {
                "runAsUser": 0,
                "runAsGroup": 0,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": NAME,
                "image": configuration.image,
                // What the store had was checked against its digests; what a registry has by now was not.
                "imagePullPolicy": "Never",
                "command": ["etcd"],
                "resources": {"requests": {"cpu": "100m", "memory": "100Mi"}},
                "securityContext": {
                    "privileged": false,
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [
                    {"name": "data", "mountPath": data},
                    {"name": "certs", "mountPath": certs, "readOnly": true},
                ],
            }],
            "volumes": [volume("data", data), volume("certs", certs)],
        },
    })
}

/// What makes the pod that is to be right.
pub(crate) fn files(
    host: &dyn Inspect,
    configuration: &Configuration,
) -> Result<Vec<Change>, Error> {
    let text = to_text(&pod(configuration, &folder(host)?));
    file(host, Path::new(paths::POD), 0o600, &text)
}

/// What is handed to the kubelet: the pod that is to be, with etcd's environment as it is written now.
pub(crate) fn manifest(host: &dyn Inspect, started: &str) -> Result<String, Error> {
    let path = Path::new(paths::POD);
    let bytes = host.read(path, LONGEST)?.unwrap_or_default();
    let mut pod: Value = serde_json::from_slice(&bytes).map_err(|source| Error::Record {
        path: path.to_owned(),
        source,
    })?;
    let text = host.read_text(Path::new(paths::ENVIRONMENT))?;
    let variables: Vec<Value> = systemd::parse_environment(&text.unwrap_or_default())
        .iter()
        // The kubelet puts other variables into a value where it says $(NAME).
        .map(|(name, value)| json!({"name": name, "value": value.replace('$', "$$")}))
        .collect();
    pod["spec"]["containers"][0]["env"] = variables.into();
    pod["metadata"]["annotations"][STARTED] = started.into();
    Ok(to_text(&pod))
}

/// Whether two manifests are of the same pod, whenever it was started.
pub(crate) fn same(one: &str, other: &str) -> bool {
    let read = |text: &str| -> Option<Value> {
        let mut pod: Value = serde_json::from_str(text).ok()?;
        let annotations = pod.pointer_mut("/metadata/annotations")?.as_object_mut()?;
        annotations.remove(STARTED);
        Some(pod)
    };
    read(one).is_some_and(|one| Some(one) == read(other))
}

fn to_text(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("plain data becomes JSON");
    text.push('\n');
    text
}

/// Where the kubelet looks for the pod.
pub(crate) fn place(host: &dyn Inspect) -> Result<PathBuf, Error> {
    Ok(folder(host)?.join(FILE))
}

/// The kubelet's folder of static pods; that of one which does not run is the one that it had.
fn folder(host: &dyn Inspect) -> Result<PathBuf, Error> {
    if let Some(folder) = kubelet(host)?.and_then(|kubelet| kubelet.static_pods) {
        return Ok(folder);
    }
    let had = host.read(Path::new(paths::POD), LONGEST)?;
    let had = had.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let folder = had.and_then(|pod| {
        let folder = &pod["metadata"]["annotations"][FOLDER];
        Some(PathBuf::from(folder.as_str()?))
    });
    match folder {
        Some(folder) => Ok(folder),
        None => {
            Ok(static_pods(host, Path::new(KUBELET_CONFIG))?.unwrap_or_else(|| STATIC_PODS.into()))
        }
    }
}

/// The kubelet that systemd runs, by its command line.
pub(crate) fn kubelet(host: &dyn Inspect) -> Result<Option<Kubelet>, Error> {
    let of_unit = |pid: &u32| {
        let groups = text(host, *pid, "cgroup");
        groups
            .lines()
            .any(|line| line.ends_with("/kubelet.service"))
    };
    let Some(pid) = processes(host, "kubelet")?.into_iter().find(of_unit) else {
        return Ok(None);
    };
    let line = text(host, pid, "cmdline");
    let words: Vec<&str> = line.split('\0').collect();
    let value = |flag: &str| {
        let at = words.iter().position(|word| {
            word.trim_start_matches('-')
                .strip_prefix(flag)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        })?;
        match words[at].split_once('=') {
            Some((_, value)) => Some(PathBuf::from(value)),
            None => words.get(at + 1).map(PathBuf::from),
        }
    };
    let config = value("config").unwrap_or_else(|| KUBELET_CONFIG.into());
    let static_pods = match value("pod-manifest-path") {
        Some(folder) => Some(folder),
        None => static_pods(host, &config)?,
    };
    Ok(Some(Kubelet {
        config,
        static_pods,
    }))
}

/// The folder of static pods that a kubelet's configuration names.
fn static_pods(host: &dyn Inspect, config: &Path) -> Result<Option<PathBuf>, Error> {
    let text = host.read_text(config)?.unwrap_or_default();
    // What the kubelet itself cannot read names none.
    let value: Value = api::yaml::from_str(&text).unwrap_or_default();
    let named = value["staticPodPath"]
        .as_str()
        .filter(|path| !path.is_empty());
    // It reads one that is not absolute from where its configuration lies.
    Ok(named.map(|path| config.parent().unwrap_or(config).join(path)))
}

/// Processes of this name, by number. What cannot be read has ended meanwhile.
fn processes(host: &dyn Inspect, name: &str) -> Result<Vec<u32>, Error> {
    let all = host.list(Path::new("/proc"))?.unwrap_or_default();
    let numbers = all.iter().filter_map(|entry| entry.parse().ok());
    Ok(numbers
        .filter(|pid| text(host, *pid, "comm").trim_end() == name)
        .collect())
}

fn text(host: &dyn Inspect, pid: u32, name: &str) -> String {
    let path = PathBuf::from(format!("/proc/{pid}/{name}"));
    let bytes = host.read(&path, 1 << 20).ok().flatten();
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}

impl fmt::Display for Pod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("take etcd's pod from the kubelet and wait until it has ended")
    }
}

impl Pod {
    /// Whether the member takes requests: one that does not like us does, too.
    pub(crate) fn answers(&self, etcd: &dyn Observe, credentials: &Credentials) -> bool {
        use etcd::Error::{Rejected, Untrusted};
        let answer = etcd.status(&self.endpoint, credentials);
        matches!(answer, Ok(_) | Err(Rejected { .. } | Untrusted { .. }))
    }

    /// etcd's process: one in a pod, with this member's data directory.
    pub(crate) fn process(&self, host: &dyn Inspect) -> Result<Option<u32>, Error> {
        let mine = format!("ETCD_DATA_DIR={}", self.data_dir.display());
        let all = processes(host, NAME)?;
        Ok(all.into_iter().find(|pid| {
            text(host, *pid, "cgroup").contains("/kubepods")
                && text(host, *pid, "environ")
                    .split('\0')
                    .any(|entry| entry == mine)
        }))
    }
}

/// The control group of the pod that a process belongs to. It is gone when the kubelet has done with the pod.
pub(crate) fn group(host: &dyn Inspect, pid: u32) -> Option<PathBuf> {
    let groups = text(host, pid, "cgroup");
    let found = groups.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let root = match controllers {
            "" => "/sys/fs/cgroup",
            "memory" => "/sys/fs/cgroup/memory",
            _ => return None,
        };
        let path = path.contains("/kubepods").then(|| Path::new(path))?;
        Some(PathBuf::from(format!("{root}{}", path.parent()?.display())))
    })?;
    let there = host.stat(&found).ok().flatten();
    there.map(|_| found)
}

/// The folders of the logs of this pod, one for each time that it was started, the newest first.
pub(crate) fn logs(host: &dyn Inspect) -> Result<Vec<PathBuf>, Error> {
    let prefix = format!("{NAMESPACE}_{NAME}-");
    let mut found = Vec::new();
    for name in host.list(Path::new(LOGS))?.unwrap_or_default() {
        let path = Path::new(LOGS).join(&name);
        if name.starts_with(&prefix)
            && let Some(stat) = host.stat(&path)?
        {
            found.push((stat.changed, path));
        }
    }
    found.sort();
    Ok(found.into_iter().rev().map(|(_, path)| path).collect())
}

/// How often the container was started anew in the pod whose logs are there, and the text of its last log.
pub(crate) fn last_log(host: &dyn Inspect, logs: &Path) -> Result<(usize, String), Error> {
    let folder = logs.join(NAME);
    let names = host.list(&folder)?.unwrap_or_default();
    let number = |name: &String| name.strip_suffix(".log")?.parse::<usize>().ok();
    let Some(last) = names.iter().filter_map(number).max() else {
        return Ok((0, String::new()));
    };
    let bytes = host.read(&folder.join(format!("{last}.log")), LONGEST)?;
    let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
    // Before what was said stand when, where to, and whether the line is whole.
    let said = |line: &str| line.splitn(4, ' ').nth(3).unwrap_or_default().to_owned();
    let lines: Vec<String> = text.lines().map(said).collect();
    Ok((last, lines.join("\n")))
}

/// What the kubelet complains of about this pod.
pub(crate) fn complaints(host: &dyn Inspect) -> String {
    let arguments = [
        "--no-pager",
        "--quiet",
        "--output=cat",
        "--lines=300",
        "--unit=kubelet.service",
    ];
    let Ok(output) = host.query(&host::Query::new("journalctl", arguments)) else {
        return String::new();
    };
    let text = output.text();
    let about = format!("{NAMESPACE}/{NAME}-");
    let lines = text.lines();
    let lines: Vec<&str> = lines
        .filter(|line| line.starts_with('E') && line.contains(&about))
        .collect();
    lines[lines.len().saturating_sub(3)..].join("\n")
}
