//! CoreDNS on hosts without a resolver.

use serde_json::{Value, json};

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
