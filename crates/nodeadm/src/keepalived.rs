//! keepalived: the endpoint's address, held by one of the control planes.
//!
//! Unicast VRRP version 3 with an advert every 0.2 s, so that the loss of the holder is noticed in less than a second.
//! All have the same base priority; a living API server adds to it, which the check finds out every second. So a host
//! that comes back takes nothing away from a holder that works. Only peers are listened to: a host that was a peer once, and
//! does not know that it is none any more, cannot make the holder give the address up.

use std::fmt::Write as _;

use api::NodeVip;
use host::Digest;
use serde_json::{Value, json};

use crate::paths;
use crate::settings::Settings;

/// Where nodeadm's own program lies inside the pod.
const PROGRAM: &str = "/klusterkit/nodeadm";

/// keepalived's configuration.
#[must_use]
pub(crate) fn configuration(settings: &Settings, vip: &NodeVip) -> String {
    let interface = vip.interface.as_deref().unwrap_or(&settings.interface);
    let prefix = if vip.address.is_ipv4() { 32 } else { 128 };
    let mut peers = String::new();
    for peer in vip.peers.iter().filter(|peer| **peer != settings.address) {
        let _ = writeln!(peers, "        {peer}");
    }
    let unicast = if peers.is_empty() {
        // With no peer there is nobody to tell; keepalived would fall back to multicast.
        format!(
            "    unicast_src_ip {}\n    unicast_peer {{\n        127.0.0.1\n    }}\n",
            settings.address
        )
    } else {
        format!(
            "    unicast_src_ip {}\n    unicast_peer {{\n{peers}    }}\n",
            settings.address
        )
    };
    format!(
        "\
# Written by nodeadm.
global_defs {{
    router_id {name}
    vrrp_version 3
    vrrp_check_unicast_src
    vrrp_garp_master_delay 1
    vrrp_garp_master_refresh 30
    script_user root
    enable_script_security
}}
vrrp_script api {{
    script \"{PROGRAM} vip-check --at {api} --ca {pki}/ca.crt\"
    interval 1
    timeout 2
    fall 2
    rise 1
    weight 50
}}
vrrp_instance api {{
    state BACKUP
    interface {interface}
    virtual_router_id {id}
    priority 100
    advert_int 0.2
{unicast}    virtual_ipaddress {{
        {address}/{prefix} dev {interface}
    }}
    track_script {{
        api
    }}
}}
",
        name = settings.name,
        api = settings.api,
        pki = paths::PKI,
        id = vip.router_id,
        address = vip.address,
    )
}

/// The static pod. It names the digest of its configuration, so that the kubelet makes it anew when that changes.
///
/// It is ready while this host's API server lives. On the first control plane it runs before there is an API that it
/// could be shown in, and a kubelet tries that again only when something becomes of the pod, or after a minute.
#[must_use]
pub(crate) fn pod(settings: &Settings, image: &str, configuration: &str) -> Value {
    let nodeadm = settings.config.install_dir.join("nodeadm");
    let digest = Digest::of(configuration.as_bytes()).to_string();
    let mount = |name: &str, path: &str| json!({"name": name, "mountPath": path, "readOnly": true});
    let host_path = |name: &str, path: &str, kind: &str| json!({"name": name, "hostPath": {"path": path, "type": kind}});
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "keepalived",
            "namespace": "kube-system",
            "labels": {"component": "keepalived", "tier": "control-plane"},
            "annotations": {"klusterkit.dev/configuration": digest},
        },
        "spec": {
            "hostNetwork": true,
            // A static pod is not given its class's number: without it the API refuses its mirror.
            "priority": 2_000_001_000,
            "priorityClassName": "system-node-critical",
            "terminationGracePeriodSeconds": 5,
            "containers": [{
                "name": "keepalived",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "command": ["/usr/sbin/keepalived", "--dont-fork", "--log-console", "--use-file",
                    format!("{}/keepalived.conf", paths::KEEPALIVED)],
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": {"drop": ["ALL"],
                        "add": ["NET_ADMIN", "NET_BROADCAST", "NET_RAW", "SETUID", "SETGID", "KILL"]},
                },
                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
                "readinessProbe": {
                    "httpGet": {"scheme": "HTTPS", "host": settings.address, "port": settings.api_port(), "path": "/livez"},
                    "periodSeconds": 2,
                    "timeoutSeconds": 1,
                    "failureThreshold": 2,
                },
                "volumeMounts": [
                    mount("configuration", paths::KEEPALIVED),
                    mount("nodeadm", PROGRAM),
                    mount("ca", &format!("{}/ca.crt", paths::PKI)),
                ],
            }],
            "volumes": [
                host_path("configuration", paths::KEEPALIVED, "Directory"),
                host_path("nodeadm", &nodeadm.display().to_string(), "File"),
                host_path("ca", &format!("{}/ca.crt", paths::PKI), "File"),
            ],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::settings_of;

    #[test]
    fn all_peers_are_equal() {
        let settings = settings_of(
            "\
apiVersion: klusterkit.dev/v1alpha1
kind: NodeConfiguration
kubernetesVersion: v1.37.2
controlPlaneEndpoint: 10.77.0.100
vip: {address: 10.77.0.100, peers: [10.77.0.11, 10.77.0.12, 10.77.0.13]}
",
        );
        insta::assert_snapshot!(configuration(&settings, settings.config.vip.as_ref().unwrap()), @r#"
        # Written by nodeadm.
        global_defs {
            router_id h1
            vrrp_version 3
            vrrp_check_unicast_src
            vrrp_garp_master_delay 1
            vrrp_garp_master_refresh 30
            script_user root
            enable_script_security
        }
        vrrp_script api {
            script "/klusterkit/nodeadm vip-check --at 10.77.0.11:6443 --ca /etc/kubernetes/pki/ca.crt"
            interval 1
            timeout 2
            fall 2
            rise 1
            weight 50
        }
        vrrp_instance api {
            state BACKUP
            interface eth0
            virtual_router_id 51
            priority 100
            advert_int 0.2
            unicast_src_ip 10.77.0.11
            unicast_peer {
                10.77.0.12
                10.77.0.13
            }
            virtual_ipaddress {
                10.77.0.100/32 dev eth0
            }
            track_script {
                api
            }
        }
        "#);
    }

    #[test]
    fn an_address_of_the_newer_kind() {
        let settings = Settings {
            address: "fd00:77::11".parse().unwrap(),
            api: "[fd00:77::11]:6443".to_owned(),
            ..settings_of(
                "\
apiVersion: klusterkit.dev/v1alpha1
kind: NodeConfiguration
kubernetesVersion: v1.37.2
controlPlaneEndpoint: '[fd00:77::100]:6443'
vip: {address: 'fd00:77::100', peers: ['fd00:77::11', 'fd00:77::12']}
",
            )
        };
        let text = configuration(&settings, settings.config.vip.as_ref().unwrap());
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("fd00"))
            .map(str::trim)
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        script "/klusterkit/nodeadm vip-check --at [fd00:77::11]:6443 --ca /etc/kubernetes/pki/ca.crt"
        unicast_src_ip fd00:77::11
        fd00:77::12
        fd00:77::100/128 dev eth0
        "#);
    }
}
