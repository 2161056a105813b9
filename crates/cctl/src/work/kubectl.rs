//! What the cluster is asked and told through kubectl and etcdctl on a control plane.

use std::sync::PoisonError;
use std::time::Duration;

use api::{Cni, NodeConfiguration, Secret};
use serde::Deserialize;
use serde_json::Value;

use super::Hear;
use crate::Error;
use crate::execute::{Outcome, Shared};
use crate::fleet::{Remote, on_all};
use crate::goal::name_of;
use crate::tool::{self, Event, ToolCall};

/// Where kubeadm leaves the admin's kubeconfig on control planes.
const ADMIN: &str = "/etc/kubernetes/admin.conf";
/// Where kubectl keeps what it learnt of the API; in root's home folder unless said, which is not ours.
const CACHE: &str = "/run/klusterkit/kubectl";
const LIMIT: Duration = Duration::from_secs(60);
/// How long nodes and DNS may take to become ready.
const READY_LIMIT: Duration = Duration::from_secs(300);
/// How long a worker's token lives.
const TOKEN_LIFE: &str = "15m";

fn program(shared: &Shared<'_>, name: &str) -> String {
    let template = shared.goal.documents.iter().find(|handed| {
        handed.document.get("kind").and_then(Value::as_str) == Some("NodeConfiguration")
    });
    let configuration: NodeConfiguration = template
        .and_then(|handed| serde_json::from_value(handed.document.clone()).ok())
        .unwrap_or_default();
    configuration.install_dir.join(name).display().to_string()
}

fn kubectl(
    shared: &Shared<'_>,
    remote: &Remote,
    args: &[&str],
    input: &str,
    limit: Duration,
) -> Result<String, Error> {
    let all: Vec<&str> = ["--kubeconfig", ADMIN, "--cache-dir", CACHE]
        .into_iter()
        .chain(args.iter().copied())
        .collect();
    let bytes = tool::feed(remote, &program(shared, "kubectl"), &all, input, limit)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The token of a worker.
pub(super) fn token(shared: &Shared<'_>, address: &str) -> Option<String> {
    let tokens = shared.tokens.lock().unwrap_or_else(PoisonError::into_inner);
    tokens.get(address).map(|token| token.reveal().to_owned())
}

#[derive(Deserialize)]
struct Created {
    token: Secret,
}

/// Makes a token for each of `workers`, which nobody but this run knows.
pub(super) fn make_tokens(
    shared: &Shared<'_>,
    remote: &Remote,
    workers: &[String],
) -> Result<Outcome, Error> {
    let args = [
        "token",
        "create",
        "--ttl",
        TOKEN_LIFE,
        "--description",
        "for one worker, by cctl",
    ];
    let tokens = on_all(workers, Clone::clone, |_| {
        let call = ToolCall {
            tool: "nodeadm",
            args: &args,
            input: "",
            limit: LIMIT,
        };
        tool::run::<Created>(remote, &call, &mut |_| {})
    })?;
    let tokens = workers
        .iter()
        .cloned()
        .zip(tokens.into_iter().map(|created| created.token));
    shared
        .tokens
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .extend(tokens);
    Ok(Outcome::default())
}

/// Waits until all Nodes are there and Ready and what runs on them is ready; deletes the tokens.
pub(super) fn verify(
    shared: &Shared<'_>,
    remote: &Remote,
    hear: Hear<'_>,
) -> Result<Outcome, Error> {
    let names = names(shared);
    let timeout = format!("--timeout={}s", READY_LIMIT.as_secs());
    let nodes: Vec<String> = names.iter().map(|name| format!("node/{name}")).collect();
    // A worker's kubelet registers its Node a moment after it got its certificate.
    let mut there = vec!["wait", "--for=create", timeout.as_str()];
    there.extend(nodes.iter().map(String::as_str));
    kubectl(shared, remote, &there, "", READY_LIMIT + LIMIT)?;
    let mut waits: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut ready = vec!["wait", "--for=condition=Ready", timeout.as_str()];
    ready.extend(nodes.iter().map(String::as_str));
    waits.push(("all nodes to be Ready", ready));
    let dns = [
        "-n",
        "kube-system",
        "rollout",
        "status",
        "deployment/coredns",
        timeout.as_str(),
    ];
    let has_dns = shared.goal.configuration.network.cni == Cni::Flannel;
    if has_dns {
        waits.push(("DNS to run", dns.to_vec()));
    }
    for (what, _) in &waits {
        hear(Event::Note {
            note: format!("waiting for {what}"),
        });
    }
    on_all(
        &waits,
        |(what, _)| (*what).to_owned(),
        |(_, args)| kubectl(shared, remote, args, "", READY_LIMIT + LIMIT),
    )?;
    if has_dns && names.len() > 1 && spread_dns(shared, remote)? {
        hear(Event::Note {
            note: "DNS gets a second node".to_owned(),
        });
        kubectl(shared, remote, &dns, "", READY_LIMIT + LIMIT)?;
    }
    delete_tokens(shared, remote)?;
    Ok(Outcome {
        note: Some(format!("{} nodes Ready", names.len())),
        ..Outcome::default()
    })
}

/// Whether one of CoreDNS' pods was sent to look for another node: those that were made while there was one node only are
/// both on it, and DNS would be lost with it.
fn spread_dns(shared: &Shared<'_>, remote: &Remote) -> Result<bool, Error> {
    const WHERE: &str = r#"jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName}{"\n"}{end}"#;
    let mut list = vec!["-n", "kube-system", "get", "pods"];
    list.extend(["-l", "k8s-app=kube-dns", "-o", WHERE]);
    let pods = kubectl(shared, remote, &list, "", LIMIT)?;
    let Some(pod) = crowded(&pods) else {
        return Ok(false);
    };
    let delete = ["-n", "kube-system", "delete", "pod", pod, "--wait=false"];
    kubectl(shared, remote, &delete, "", LIMIT)?;
    Ok(true)
}

/// One of several pods, each a line with its node, that are all on the same one.
fn crowded(pods: &str) -> Option<&str> {
    let mut pods = pods.lines().filter_map(|line| line.split_once(' '));
    let (name, node) = pods.next()?;
    let mut others = pods.peekable();
    (others.peek().is_some() && others.all(|(_, other)| other == node)).then_some(name)
}

/// The tokens have served.
fn delete_tokens(shared: &Shared<'_>, remote: &Remote) -> Result<(), Error> {
    let tokens: Vec<Secret> = shared
        .tokens
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .values()
        .cloned()
        .collect();
    let id = |token: &Secret| {
        token
            .reveal()
            .split('.')
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    on_all(&tokens, id, |token| {
        let id = id(token);
        let args = ["token", "delete", id.as_str()];
        let call = ToolCall {
            tool: "nodeadm",
            args: &args,
            input: "",
            limit: LIMIT,
        };
        tool::run_raw(
            remote,
            &call,
            &mut || Box::new(std::io::empty()),
            &mut |_| {},
        )
    })?;
    Ok(())
}

/// Evicts a Node's pods and deletes it.
pub(super) fn remove_node(
    shared: &Shared<'_>,
    remote: &Remote,
    name: &str,
    drain: bool,
    timeout: u64,
    hear: Hear<'_>,
) -> Result<Outcome, Error> {
    let there = kubectl(
        shared,
        remote,
        &["get", "node", name, "--ignore-not-found", "-o", "name"],
        "",
        LIMIT,
    )?;
    if there.trim().is_empty() {
        return Ok(Outcome {
            note: Some("it is gone already".to_owned()),
            ..Outcome::default()
        });
    }
    if drain {
        hear(Event::Note {
            note: format!("evicting the pods of {name}"),
        });
        let limit = format!("--timeout={timeout}s");
        let args = [
            "drain",
            name,
            "--ignore-daemonsets",
            "--delete-emptydir-data",
            &limit,
        ];
        kubectl(
            shared,
            remote,
            &args,
            "",
            Duration::from_secs(timeout) + LIMIT,
        )?;
    }
    kubectl(
        shared,
        remote,
        &["delete", "node", name, "--ignore-not-found"],
        "",
        LIMIT,
    )?;
    Ok(Outcome::default())
}

/// Whoever led is dead, and the others would wait for its lease to end.
const LEADERS: [&str; 2] = ["kube-controller-manager", "kube-scheduler"];
/// What the pods that prove nodes are found by.
const PROOF: &str = "app.kubernetes.io/name=cctl-recovery";
/// How long a node may take to run one.
const PROOF_LIMIT: Duration = Duration::from_secs(180);

fn names(shared: &Shared<'_>) -> Vec<String> {
    let name = |address: &String| {
        let machine = shared.goal.machine(address)?;
        Some(name_of(machine, shared.seen.get(address)))
    };
    shared.goal.kubernetes().iter().filter_map(name).collect()
}

/// Removes what the snapshot says of leaders and of Nodes that are gone, with the pods that are said to run there.
pub(super) fn clean_up(
    shared: &Shared<'_>,
    remote: &Remote,
    hear: Hear<'_>,
) -> Result<Outcome, Error> {
    let mut leases = vec!["delete", "lease", "-n", "kube-system", "--ignore-not-found"];
    leases.extend(LEADERS);
    kubectl(shared, remote, &leases, "", LIMIT)?;
    let wanted = names(shared);
    let nodes = kubectl(shared, remote, &["get", "nodes", "-o", "name"], "", LIMIT)?;
    let gone: Vec<&str> = nodes
        .lines()
        .filter_map(|line| line.strip_prefix("node/"))
        .filter(|name| !wanted.iter().any(|wanted| wanted == name))
        .collect();
    for name in &gone {
        hear(Event::Note {
            note: format!("node {name} is gone: it and its pods are removed"),
        });
        let node = format!("node/{name}");
        kubectl(
            shared,
            remote,
            &["delete", &node, "--ignore-not-found"],
            "",
            LIMIT,
        )?;
        let on = format!("spec.nodeName={name}");
        let pods = [
            "delete",
            "pods",
            "--all-namespaces",
            "--field-selector",
            &on,
            "--force",
            "--grace-period=0",
        ];
        kubectl(shared, remote, &pods, "", LIMIT)?;
    }
    Ok(Outcome {
        note: Some(format!("{} nodes removed", gone.len())),
        ..Outcome::default()
    })
}

/// Has each Node run a new pod to its end: scheduled, started, reported. Its image is kube-proxy's, which every node has.
pub(super) fn prove_nodes(
    shared: &Shared<'_>,
    remote: &Remote,
    hear: Hear<'_>,
) -> Result<Outcome, Error> {
    let timeout = format!("--timeout={}s", PROOF_LIMIT.as_secs());
    let names = names(shared);
    let image = [
        "get",
        "daemonset/kube-proxy",
        "-n",
        "kube-system",
        "-o",
        "jsonpath={.spec.template.spec.containers[0].image}",
    ];
    let image = kubectl(shared, remote, &image, "", LIMIT)?;
    // What a run that was cut off has left.
    let remove = [
        "delete",
        "pods",
        "-n",
        "kube-system",
        "-l",
        PROOF,
        "--ignore-not-found",
        "--force",
        "--grace-period=0",
    ];
    kubectl(shared, remote, &remove, "", LIMIT)?;
    hear(Event::Note {
        note: format!("waiting for a new pod on each of {} nodes", names.len()),
    });
    let pods: Vec<Value> = names.iter().map(|name| proof(name, image.trim())).collect();
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": pods}).to_string();
    kubectl(shared, remote, &["create", "-f", "-"], &list, LIMIT)?;
    let done = [
        "wait",
        "-n",
        "kube-system",
        "-l",
        PROOF,
        "pods",
        "--for=jsonpath={.status.phase}=Succeeded",
        &timeout,
    ];
    kubectl(shared, remote, &done, "", PROOF_LIMIT + LIMIT)?;
    kubectl(shared, remote, &remove, "", LIMIT)?;
    Ok(Outcome {
        note: Some(format!("{} nodes", names.len())),
        ..Outcome::default()
    })
}

/// A pod that the scheduler puts on this Node, whatever its taints.
fn proof(node: &str, image: &str) -> Value {
    let on = serde_json::json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}]);
    let (key, value) = PROOF.split_once('=').expect("a label");
    serde_json::json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": format!("cctl-recovery-{node}"),
            "namespace": "kube-system",
            "labels": {key: value},
        },
        "spec": {
            "restartPolicy": "Never",
            "tolerations": [{"operator": "Exists"}],
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": on}}},
            "containers": [{
                "name": "proof",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "command": ["/usr/local/bin/kube-proxy", "--version"],
            }],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::crowded;

    #[test]
    fn pods_on_one_node_are_crowded() {
        assert_eq!(crowded("a h1\nb h1\n"), Some("a"));
        assert_eq!(crowded("a h1\nb h2\n"), None);
        assert_eq!(crowded("a h1\nb h1\nc h2\n"), None);
        assert_eq!(crowded("a h1\n"), None);
        assert_eq!(crowded(""), None);
    }
}
