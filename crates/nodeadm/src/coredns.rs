//! What CoreDNS is told beyond kubeadm's own: how to run on hosts without a resolver, where the API is, and to be looked at
//! often.

use serde_json::{Value, json};

use crate::cluster;

/// What kubeadm lays over CoreDNS' Deployment (its patch target `corednsdeployment`).
///
/// The API's address, since the Service's leads nowhere until kube-proxy has been there: what is sent before is lost, and
/// CoreDNS notices after 30 s. And a probe every second, since Kubernetes looks at a new pod every 10 s by default, which a
/// cluster waits for when it is made; a pod counts as gone after 30 s without an answer, as before.
#[must_use]
pub(crate) fn deployment_patch(host: &str, port: u16) -> Value {
    let probe = json!({"periodSeconds": 1, "failureThreshold": 30});
    let env = cluster::api_environment(host, port);
    let container = json!({"name": "coredns", "env": env, "readinessProbe": probe});
    json!({"spec": {"template": {"spec": {"containers": [container]}}}})
}

/// CoreDNS' configuration, as a ConfigMap, for a cluster whose hosts have no resolver: kubeadm's own without the
/// plugin `forward`, which ends CoreDNS when /etc/resolv.conf names nobody. kubeadm keeps a configuration that it finds.
#[must_use]
pub(crate) fn without_forward(domain: &str) -> Value {
    let corefile = format!(
        "\
.:53 {{
    errors
    health {{
       lameduck 5s
    }}
    ready
    kubernetes {domain} in-addr.arpa ip6.arpa {{
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }}
    prometheus :9153
    cache 30 {{
       disable success {domain}
       disable denial {domain}
    }}
    loop
    reload
    loadbalance
}}
"
    );
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "coredns", "namespace": "kube-system"},
        "data": {"Corefile": corefile},
    })
}
