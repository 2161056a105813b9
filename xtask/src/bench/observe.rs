//! Watching a cluster come up from outside, alike for every contender: when the API answers at the common address, when
//! all Nodes are Ready, when all pods are.
//!
//! One thread with one open connection, which asks four times a second once there is somebody to ask: that costs the
//! hosts a few milliseconds of CPU a second. What the contender itself says is not asked for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hosts::VIP;
use lab::{Host, Lab};
use serde_json::Value;
use ureq::Agent;
use ureq::tls::{ClientCert, PemItem, PrivateKey, TlsConfig, parse_pem};

use crate::Outcome;

/// While the API does not answer, a look costs next to nothing.
const OFTEN: Duration = Duration::from_millis(50);
pub(crate) const SOMETIMES: Duration = Duration::from_millis(250);
/// After the contender has said that it is done.
const LIMIT: Duration = Duration::from_secs(300);

/// Seconds since the contender's start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Times {
    /// `/readyz` says yes at the common address.
    pub(crate) api: f64,
    /// All Nodes are Ready.
    pub(crate) nodes: f64,
    /// And all pods of kube-system and of flannel.
    pub(crate) pods: f64,
    /// The pods that were Ready last.
    pub(crate) last: String,
    /// The contender's commands have ended.
    pub(crate) done: f64,
    /// CPU seconds of all hosts together until then: what does not depend on who else uses the machine.
    pub(crate) cpu: f64,
}

/// What makes a cluster complete.
#[derive(Debug, Clone, Copy)]
struct Whole {
    nodes: usize,
    /// API server, controller manager, scheduler and keepalived of each control plane, kube-proxy of each host, two CoreDNS.
    system: usize,
    /// flannel of each host.
    network: usize,
}

/// Runs `contender` and notes when what it makes comes up. The first `masters` of `hosts` are control planes.
pub(crate) fn observe(
    lab: &Lab,
    hosts: &[Host],
    masters: usize,
    contender: impl FnOnce() -> Outcome,
) -> Outcome<Times> {
    let whole = Whole {
        nodes: hosts.len(),
        system: masters * 4 + hosts.len() + 2,
        network: hosts.len(),
    };
    let watch = |start, over: &AtomicBool| watch(lab, &hosts[0], whole, start, over);
    beside(lab, watch, contender)
}

/// Runs `contender`, and `watch` in the lab's network beside it, which is told when it began, and is told to give up when
/// the contender failed, or ended long ago.
pub(crate) fn beside(
    lab: &Lab,
    watch: impl FnOnce(Instant, &AtomicBool) -> Result<Times, String> + Send,
    contender: impl FnOnce() -> Outcome,
) -> Outcome<Times> {
    let over = AtomicBool::new(false);
    let cpu = cpu_seconds(lab)?;
    let start = Instant::now();
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            lab.in_net(|| watch(start, &over))
                .map_err(|error| error.to_string())
                .and_then(|seen| seen)
        });
        let made = contender();
        let done = start.elapsed().as_secs_f64();
        if made.is_err() {
            over.store(true, Ordering::SeqCst);
        }
        while !watching.is_finished() {
            if start.elapsed().as_secs_f64() > done + LIMIT.as_secs_f64() {
                over.store(true, Ordering::SeqCst);
            }
            std::thread::sleep(OFTEN);
        }
        let cpu = cpu_seconds(lab)? - cpu;
        let seen = watching.join().map_err(|_| "the watcher panicked")?;
        made?;
        Ok(Times { done, cpu, ..seen? })
    })
}

fn watch(
    lab: &Lab,
    first: &Host,
    whole: Whole,
    start: Instant,
    over: &AtomicBool,
) -> Result<Times, String> {
    let url = |path: &str| url(lab, path);
    let mut times = Times {
        api: api(lab, start, over)?,
        ..Times::default()
    };

    let mut admin = None;
    until("an admin's kubeconfig", SOMETIMES, over, || {
        admin = first
            .read("/etc/kubernetes/admin.conf")
            .ok()
            .and_then(|text| client(&text));
        admin.is_some()
    })?;
    let admin = agent(admin);
    let get = |path: &str| -> Option<Value> {
        // What the API server has in memory is new enough, and cheap.
        let mut answer = admin
            .get(url(&format!("{path}?resourceVersion=0")))
            .call()
            .ok()?;
        let body = answer.body_mut().with_config().limit(16 << 20);
        let value: Value = serde_json::from_slice(&body.read_to_vec().ok()?).ok()?;
        value.get("items").is_some().then_some(value)
    };
    let look = |path: &str| get(path).map(|list| ready_of(&list));
    until("all Nodes to be Ready", SOMETIMES, over, || {
        look("/api/v1/nodes")
            .is_some_and(|(count, lacking)| count >= whole.nodes && lacking.is_empty())
    })?;
    times.nodes = start.elapsed().as_secs_f64();
    until("all pods to be Ready", SOMETIMES, over, || {
        let (Some(system), Some(network)) = (
            look("/api/v1/namespaces/kube-system/pods"),
            look("/api/v1/namespaces/kube-flannel/pods"),
        ) else {
            return false;
        };
        let lacking = [system.1, network.1].concat();
        let complete = system.0 >= whole.system && network.0 >= whole.network;
        if complete && lacking.is_empty() {
            return true;
        }
        times.last = lacking.join(" ");
        false
    })?;
    times.pods = start.elapsed().as_secs_f64();
    Ok(times)
}

/// A place of the API at the common address.
pub(crate) fn url(lab: &Lab, path: &str) -> String {
    format!("https://{}:6443{path}", lab.net().address(VIP))
}

/// When the API was ready at the common address.
pub(crate) fn api(lab: &Lab, start: Instant, over: &AtomicBool) -> Result<f64, String> {
    let (anybody, url) = (agent(None), url(lab, "/readyz"));
    let ready = || matches!(anybody.get(&url).call(), Ok(a) if a.status() == 200);
    until("the API", OFTEN, over, ready)?;
    Ok(start.elapsed().as_secs_f64())
}

pub(crate) fn until(
    what: &str,
    pause: Duration,
    over: &AtomicBool,
    mut question: impl FnMut() -> bool,
) -> Result<(), String> {
    while !question() {
        if over.load(Ordering::SeqCst) {
            return Err(format!("the cluster never came so far: {what}"));
        }
        std::thread::sleep(pause);
    }
    Ok(())
}

/// How many items there are, and which are not Ready.
fn ready_of(list: &Value) -> (usize, Vec<String>) {
    let none = Vec::new();
    let items = list["items"].as_array().unwrap_or(&none);
    let is_ready = |item: &&Value| {
        let conditions = item["status"]["conditions"].as_array().unwrap_or(&none);
        conditions
            .iter()
            .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    };
    let lacking = items.iter().filter(|item| !is_ready(item));
    let name = |item: &Value| {
        item["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    (items.len(), lacking.map(name).collect())
}

/// The watcher asks nothing that it would act on: whose certificate answers is not its business.
pub(crate) fn agent(client: Option<ClientCert>) -> Agent {
    let tls = TlsConfig::builder()
        .disable_verification(true)
        .client_cert(client)
        .build();
    Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(Duration::from_secs(2)))
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into()
}

/// The client certificate in a kubeconfig, be it YAML or JSON.
pub(crate) fn client(kubeconfig: &str) -> Option<ClientCert> {
    let pem = |name: &str| {
        let (_, rest) = kubeconfig.split_once(name)?;
        let rest = rest.trim_start_matches(['"', ':', ' ']);
        let end = rest.find(['"', '\n', ' ']).unwrap_or(rest.len());
        STANDARD.decode(rest[..end].trim()).ok()
    };
    let certificates: Vec<_> = parse_pem(&pem("client-certificate-data")?)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    let key = PrivateKey::from_pem(&pem("client-key-data")?).ok()?;
    Some(ClientCert::new_with_certs(&certificates, key))
}

/// What the lab's hosts have used of the machine's processors.
fn cpu_seconds(lab: &Lab) -> Outcome<f64> {
    let group = format!("klusterkit.{}", lab.name());
    let first = std::path::Path::new("/sys/fs/cgroup/cpuacct")
        .join(&group)
        .join("cpuacct.usage");
    if first.exists() {
        return Ok(std::fs::read_to_string(first)?.trim().parse::<f64>()? / 1e9);
    }
    let second = std::path::Path::new("/sys/fs/cgroup")
        .join(&group)
        .join("cpu.stat");
    let text = std::fs::read_to_string(second)?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("usage_usec "))
        .ok_or("the hosts' cgroup has no usage_usec")?;
    Ok(line.parse::<f64>()? / 1e6)
}
