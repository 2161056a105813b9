//! kubeadm's configuration: ours, with the user's documents merged over it field by field.
//!
//! Lists of `{name, value}` are merged by name, and the API server's extra names are joined. What is written is JSON, which
//! kubeadm takes, since what we write must be read by another program exactly as it was meant.

use std::path::{Path, PathBuf};

use api::{Foreign, merge};
use serde_json::{Value, json};

use crate::settings::Settings;
use crate::{Error, paths};

/// kubeadm's API that we write.
const API: &str = "kubeadm.k8s.io/v1beta4";
/// The runtime's socket, as kubeadm writes it.
pub(crate) const CRI_SOCKET: &str = "unix:///run/containerd/containerd.sock";

/// Refuses documents of versions that ours cannot be merged with.
///
/// # Errors
/// [`Error::Settings`].
pub(crate) fn check_versions(foreign: &[Foreign]) -> Result<(), Error> {
    for document in foreign {
        let wanted = match document.kind.as_str() {
            "KubeletConfiguration" => "kubelet.config.k8s.io/v1beta1",
            "KubeProxyConfiguration" => "kubeproxy.config.k8s.io/v1alpha1",
            "InitConfiguration" | "ClusterConfiguration" | "JoinConfiguration" => API,
            other => {
                return Err(Error::Settings(format!(
                    "a {other} of {} is not taken by kubeadm's configuration",
                    document.api_version
                )));
            }
        };
        if document.api_version != wanted {
            return Err(Error::Settings(format!(
                "{} is of {}: say {wanted} (`kubeadm config migrate` converts)",
                document.kind, document.api_version
            )));
        }
    }
    Ok(())
}

/// Lays the user's documents of this kind over ours.
fn with_users(settings: &Settings, mut ours: Value) -> Value {
    let kind = ours["kind"].clone();
    for foreign in settings
        .foreign
        .iter()
        .filter(|foreign| kind == foreign.kind.as_str())
    {
        let before = ours.clone();
        merge(&mut ours, &foreign.value);
        join_lists(&before, &mut ours);
    }
    ours
}

/// What a plain merge replaces but must be joined: arguments by name, names of the API server.
fn join_lists(before: &Value, after: &mut Value) {
    let (Some(before), Some(after)) = (before.as_object(), after.as_object_mut()) else {
        return;
    };
    for (key, old) in before {
        let Some(new) = after.get_mut(key) else {
            continue;
        };
        match (old.as_array(), new.as_array_mut()) {
            (Some(old), Some(new))
                if matches!(key.as_str(), "extraArgs" | "kubeletExtraArgs" | "extraEnvs") =>
            {
                for item in old {
                    if !new
                        .iter()
                        .any(|other| other.get("name") == item.get("name"))
                    {
                        new.push(item.clone());
                    }
                }
            }
            (Some(old), Some(new)) if key == "certSANs" => {
                for item in old {
                    if !new.contains(item) {
                        new.push(item.clone());
                    }
                }
            }
            _ => join_lists(old, new),
        }
    }
}

fn node_registration(settings: &Settings) -> Value {
    let config = &settings.config;
    let addresses: Vec<String> = std::iter::once(settings.address)
        .chain(settings.other_address)
        .map(|address| address.to_string())
        .collect();
    let mut args = vec![json!({"name": "node-ip", "value": addresses.join(",")})];
    if !config.labels.is_empty() {
        let labels: Vec<String> = config
            .labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        args.push(json!({"name": "node-labels", "value": labels.join(",")}));
    }
    let taints = taints(settings);
    // kubeadm gives the kubelet a worker's taints by itself. A control plane is to have its own from its first moment,
    // not only when it is marked as one.
    if settings.is_master() && !taints.is_empty() {
        args.push(json!({"name": "register-with-taints", "value": taints.join(",")}));
    }
    json!({
        "name": settings.name,
        "criSocket": CRI_SOCKET,
        // All images are there before: nothing is to be pulled, and nothing to be looked for.
        "imagePullPolicy": "Never",
        "kubeletExtraArgs": args,
        "taints": taints.iter().map(|taint| taint_object(taint)).collect::<Vec<_>>(),
        "ignorePreflightErrors": config.ignore_preflight_errors,
    })
}

/// The Node's taints as `key=value:Effect`.
#[must_use]
pub(crate) fn taints(settings: &Settings) -> Vec<String> {
    match &settings.config.taints {
        Some(taints) => taints.clone(),
        None if settings.is_master() => {
            vec!["node-role.kubernetes.io/control-plane=:NoSchedule".to_owned()]
        }
        None => Vec::new(),
    }
}

/// `key=value:Effect` or `key:Effect` as an object.
#[must_use]
pub(crate) fn taint_object(text: &str) -> Value {
    let (key, effect) = text.rsplit_once(':').unwrap_or((text, "NoSchedule"));
    let (key, value) = key.split_once('=').unwrap_or((key, ""));
    let mut taint = json!({"key": key, "effect": effect});
    if !value.is_empty() {
        taint["value"] = json!(value);
    }
    taint
}

/// Where the API server finds its etcd's certificates: those handed over, else etcdadm's on this host.
#[must_use]
pub(crate) fn etcd_files(settings: &Settings) -> [PathBuf; 3] {
    let etcd = &settings.config.etcd;
    let handed = settings.etcd_handed;
    let or = |said: &Option<PathBuf>, pki: &str, etcdadm: &str| match said {
        Some(path) => path.clone(),
        None if handed => Path::new(paths::PKI).join(pki),
        None => Path::new("/etc/etcd/pki").join(etcdadm),
    };
    [
        or(&etcd.ca_file, "etcd/ca.crt", "ca.crt"),
        or(
            &etcd.cert_file,
            "apiserver-etcd-client.crt",
            "apiserver-etcd-client.crt",
        ),
        or(
            &etcd.key_file,
            "apiserver-etcd-client.key",
            "apiserver-etcd-client.key",
        ),
    ]
}

fn cluster_configuration(settings: &Settings) -> Value {
    let config = &settings.config;
    let [ca, cert, key] = etcd_files(settings);
    with_users(
        settings,
        json!({
            "apiVersion": API,
            "kind": "ClusterConfiguration",
            "clusterName": config.cluster_name,
            "kubernetesVersion": settings.version.to_string(),
            "controlPlaneEndpoint": settings.endpoint,
            "encryptionAlgorithm": "ECDSA-P256",
            "networking": {
                "podSubnet": config.network.pod_subnet,
                "serviceSubnet": config.network.service_subnet,
                "dnsDomain": config.network.dns_domain,
            },
            "apiServer": {"certSANs": config.extra_sans},
            // When it takes over, the controller manager makes some hundred requests before its controllers run, and by
            // default 20 a second. And whoever waits to lead looks every 2 to 4 s.
            "controllerManager": {"extraArgs": [
                {"name": "kube-api-qps", "value": "100"},
                {"name": "kube-api-burst", "value": "200"},
                {"name": "leader-elect-retry-period", "value": "1s"},
            ]},
            "scheduler": {"extraArgs": [{"name": "leader-elect-retry-period", "value": "1s"}]},
            "etcd": {"external": {
                "endpoints": config.etcd.endpoints,
                "caFile": ca,
                "certFile": cert,
                "keyFile": key,
            }},
        }),
    )
}

/// kubeadm's configuration of a control plane. `token` is the bootstrap token that `init` creates.
#[must_use]
pub(crate) fn init_documents(settings: &Settings, token: &str) -> String {
    let (_, port) = settings.api.rsplit_once(':').unwrap_or(("", "6443"));
    let init = with_users(
        settings,
        json!({
            "apiVersion": API,
            "kind": "InitConfiguration",
            "bootstrapTokens": [{
                "token": token,
                "ttl": "15m0s",
                "usages": ["signing", "authentication"],
                "groups": ["system:bootstrappers:kubeadm:default-node-token"],
            }],
            "localAPIEndpoint": {
                "advertiseAddress": settings.address.to_string(),
                "bindPort": port.parse::<u16>().unwrap_or(6443),
            },
            "nodeRegistration": node_registration(settings),
            "patches": {"directory": paths::PATCHES},
        }),
    );
    let kubelet = with_users(
        settings,
        json!({"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", "cgroupDriver": "systemd"}),
    );
    let proxy = with_users(
        settings,
        json!({"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "iptables"}),
    );
    render(&[init, cluster_configuration(settings), kubelet, proxy])
}

/// kubeadm's configuration of a worker. `token` is its bootstrap token.
#[must_use]
pub(crate) fn join_documents(settings: &Settings, token: &str) -> String {
    let join = with_users(
        settings,
        json!({
            "apiVersion": API,
            "kind": "JoinConfiguration",
            "discovery": {
                "file": {"kubeConfigPath": paths::DISCOVERY},
                "tlsBootstrapToken": token,
                "timeout": "5m0s",
            },
            "nodeRegistration": node_registration(settings),
            "patches": {"directory": paths::PATCHES},
        }),
    );
    render(&[join])
}

/// A worker's kubelet takes the cluster's configuration; what the user says of this one is laid over it as a patch.
#[must_use]
pub(crate) fn kubelet_patch(settings: &Settings) -> Option<Value> {
    let mut patch = Value::Null;
    for foreign in settings
        .foreign
        .iter()
        .filter(|foreign| foreign.kind == "KubeletConfiguration")
    {
        merge(&mut patch, &foreign.value);
    }
    let fields = patch.as_object_mut()?;
    fields.remove("apiVersion");
    fields.remove("kind");
    if fields.is_empty() { None } else { Some(patch) }
}

/// The file by which a worker finds the API and knows that it is the right one: no secret is in it.
#[must_use]
pub(crate) fn discovery(settings: &Settings, ca: &str) -> String {
    use base64::Engine as _;
    let ca = base64::engine::general_purpose::STANDARD.encode(ca);
    let file = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": {
            "server": format!("https://{}", settings.endpoint),
            "certificate-authority-data": ca,
        }}],
        "users": [{"name": "nobody", "user": {}}],
        "contexts": [{"name": "cluster", "context": {"cluster": "cluster", "user": "nobody"}}],
        "current-context": "cluster",
    });
    format!("{file:#}\n")
}

fn render(documents: &[Value]) -> String {
    let texts: Vec<String> = documents
        .iter()
        .map(|document| format!("{document:#}\n"))
        .collect();
    texts.join("---\n")
}

/// The bootstrap token in a configuration that was written before.
#[must_use]
pub(crate) fn token_in(text: &str) -> Option<String> {
    text.split("---\n").find_map(|part| {
        let value: Value = serde_json::from_str(part).ok()?;
        let token = value
            .pointer("/bootstrapTokens/0/token")
            .or_else(|| value.pointer("/discovery/tlsBootstrapToken"));
        token?.as_str().map(str::to_owned)
    })
}

#[cfg(test)]
mod tests;
