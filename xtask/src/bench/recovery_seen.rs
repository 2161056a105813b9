//! Watching a cluster come back from outside, alike for every contender: when the API answers at the common address, and
//! when every node runs a pod that was not there before. A kubelet that is blind looks Ready; it runs no new pod.
//!
//! The pods are the watcher's own, one for each node, put there by the scheduler. What the contender itself says or
//! proves is not asked for.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use lab::Lab;
use parts::catalog::NEWEST;
use serde_json::{Value, json};

use super::observe::{SOMETIMES, Times, agent, api, beside, client, until, url};
use crate::Outcome;

const PODS: &str = "/api/v1/namespaces/default/pods";

/// Runs `contender` and notes when what it brings back serves. `nodes` are the names of all that are to run a new pod;
/// [`Times::pods`] is when they do.
pub(crate) fn observe(
    lab: &Lab,
    kubeconfig: &str,
    nodes: &[String],
    contender: impl FnOnce() -> Outcome,
) -> Outcome<Times> {
    let watch = |start, over: &AtomicBool| watch(lab, kubeconfig, nodes, start, over);
    beside(lab, watch, contender)
}

fn watch(
    lab: &Lab,
    kubeconfig: &str,
    nodes: &[String],
    start: Instant,
    over: &AtomicBool,
) -> Result<Times, String> {
    let mut times = Times {
        api: api(lab, start, over)?,
        ..Times::default()
    };
    let admin = agent(client(kubeconfig));
    for node in nodes {
        // What it is refused for in the first seconds passes: roles that are not read yet, no account to run as.
        until("a new pod to be taken", SOMETIMES, over, || {
            let answer = admin.post(url(lab, PODS)).send(pod(node).to_string());
            matches!(answer, Ok(answer) if [201, 409].contains(&answer.status().as_u16()))
        })?;
    }
    until("every node to run a new pod", SOMETIMES, over, || {
        let list = admin.get(url(lab, &format!("{PODS}?labelSelector=bench%3Dnew")));
        let Ok(mut answer) = list.call() else {
            return false;
        };
        let text = answer.body_mut().read_to_string().unwrap_or_default();
        let list: Value = serde_json::from_str(&text).unwrap_or_default();
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let runs = |node: &&String| {
            items.iter().any(|pod| {
                pod["metadata"]["name"] == name(node) && pod["status"]["phase"] == "Running"
            })
        };
        let lacking: Vec<&str> = nodes
            .iter()
            .filter(|node| !runs(node))
            .map(String::as_str)
            .collect();
        if !lacking.is_empty() {
            times.last = lacking.join(" ");
        }
        lacking.is_empty()
    })?;
    times.pods = start.elapsed().as_secs_f64();
    Ok(times)
}

fn name(node: &str) -> String {
    format!("new-{node}")
}

fn pod(node: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name(node), "labels": {"bench": "new"}},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node},
            "tolerations": [{"operator": "Exists"}],
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "pause",
                "image": format!("registry.k8s.io/pause:{}", NEWEST.pause),
                "imagePullPolicy": "IfNotPresent",
            }],
        },
    })
}
