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

/// What tells a CoreDNS that is there of another address of the API; `None` where it knows, or was never told of one.
#[must_use]
pub(crate) fn pointed(deployment: &Value, host: &str, port: u16) -> Option<Value> {
    let containers = deployment.pointer("/spec/template/spec/containers")?;
    let mut told = containers.clone();
    for variable in told.as_array_mut()?.iter_mut().flat_map(|container| {
        let list = container.get_mut("env").and_then(Value::as_array_mut);
        list.into_iter().flatten()
    }) {
        let wanted = cluster::api_environment(host, port)
            .into_iter()
            .find(|wanted| wanted["name"] == variable["name"]);
        if let Some(wanted) = wanted {
            *variable = wanted;
        }
    }
    // A list is replaced as a whole: all of it is handed over.
    (told != *containers).then(|| json!({"spec": {"template": {"spec": {"containers": told}}}}))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_address_of_the_api_is_told_and_all_else_stays() {
        let other = json!({"name": "LEVEL", "value": "1"});
        let deployment = |host: &str| {
            let [address, port] = cluster::api_environment(host, 6443);
            let container =
                json!({"name": "coredns", "env": [other, address, port], "args": ["-conf"]});
            json!({"spec": {"template": {"spec": {"containers": [container]}}}})
        };
        let old = deployment("10.77.0.100");
        assert_eq!(pointed(&old, "10.77.0.100", 6443), None);
        assert_eq!(
            pointed(&old, "10.77.0.101", 6443),
            Some(deployment("10.77.0.101"))
        );
        // An admin's own, or kubeadm's without our patch.
        let plain = json!({"spec": {"template": {"spec": {"containers": [{"name": "coredns"}]}}}});
        assert_eq!(pointed(&plain, "10.77.0.101", 6443), None);
        assert_eq!(pointed(&json!({}), "10.77.0.101", 6443), None);
    }
}
