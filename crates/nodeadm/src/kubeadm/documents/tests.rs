//! What is written for kubeadm.

use super::*;
use crate::settings::tests::{settings, settings_of};

#[test]
fn the_users_documents_are_merged_field_by_field() {
    let documents = "\
apiVersion: klusterkit.dev/v1alpha1
kind: NodeConfiguration
kubernetesVersion: v1.37.2
controlPlaneEndpoint: 10.77.0.100
labels: {disk: ssd}
extraSans: [api.example.org]
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
apiServer:
  certSANs: [other.example.org]
  extraArgs: [{name: audit-log-path, value: /var/log/audit}]
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
nodeRegistration:
  kubeletExtraArgs: [{name: v, value: '4'}]
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
conntrack: {maxPerCore: 0, min: 0}
";
    insta::assert_snapshot!(init_documents(&settings_of(documents), "abcdef.0123456789abcdef"), @r#"
        {
          "apiVersion": "kubeadm.k8s.io/v1beta4",
          "kind": "InitConfiguration",
          "bootstrapTokens": [
            {
              "token": "abcdef.0123456789abcdef",
              "ttl": "15m0s",
              "usages": [
                "signing",
                "authentication"
              ],
              "groups": [
                "system:bootstrappers:kubeadm:default-node-token"
              ]
            }
          ],
          "localAPIEndpoint": {
            "advertiseAddress": "10.77.0.11",
            "bindPort": 6443
          },
          "nodeRegistration": {
            "name": "h1",
            "criSocket": "unix:///run/containerd/containerd.sock",
            "imagePullPolicy": "Never",
            "kubeletExtraArgs": [
              {
                "name": "v",
                "value": "4"
              },
              {
                "name": "node-ip",
                "value": "10.77.0.11"
              },
              {
                "name": "node-labels",
                "value": "disk=ssd"
              },
              {
                "name": "register-with-taints",
                "value": "node-role.kubernetes.io/control-plane=:NoSchedule"
              }
            ],
            "taints": [
              {
                "key": "node-role.kubernetes.io/control-plane",
                "effect": "NoSchedule"
              }
            ],
            "ignorePreflightErrors": []
          },
          "patches": {
            "directory": "/var/lib/nodeadm/patches"
          }
        }
        ---
        {
          "apiVersion": "kubeadm.k8s.io/v1beta4",
          "kind": "ClusterConfiguration",
          "clusterName": "kubernetes",
          "kubernetesVersion": "v1.37.2",
          "controlPlaneEndpoint": "10.77.0.100:6443",
          "encryptionAlgorithm": "ECDSA-P256",
          "networking": {
            "podSubnet": "10.244.0.0/16",
            "serviceSubnet": "10.96.0.0/12",
            "dnsDomain": "cluster.local"
          },
          "apiServer": {
            "certSANs": [
              "other.example.org",
              "api.example.org"
            ],
            "extraArgs": [
              {
                "name": "audit-log-path",
                "value": "/var/log/audit"
              }
            ]
          },
          "controllerManager": {
            "extraArgs": [
              {
                "name": "kube-api-qps",
                "value": "100"
              },
              {
                "name": "kube-api-burst",
                "value": "200"
              },
              {
                "name": "leader-elect-retry-period",
                "value": "1s"
              }
            ]
          },
          "scheduler": {
            "extraArgs": [
              {
                "name": "leader-elect-retry-period",
                "value": "1s"
              }
            ]
          },
          "etcd": {
            "external": {
              "endpoints": [
                "https://127.0.0.1:2379"
              ],
              "caFile": "/etc/etcd/pki/ca.crt",
              "certFile": "/etc/etcd/pki/apiserver-etcd-client.crt",
              "keyFile": "/etc/etcd/pki/apiserver-etcd-client.key"
            }
          }
        }
        ---
        {
          "apiVersion": "kubelet.config.k8s.io/v1beta1",
          "kind": "KubeletConfiguration",
          "cgroupDriver": "systemd",
          "failCgroupV1": false
        }
        ---
        {
          "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
          "kind": "KubeProxyConfiguration",
          "mode": "iptables",
          "conntrack": {
            "maxPerCore": 0,
            "min": 0
          }
        }
        "#);
}

#[test]
fn the_token_is_found_again() {
    let text = init_documents(&settings(), "abcdef.0123456789abcdef");
    assert_eq!(token_in(&text).as_deref(), Some("abcdef.0123456789abcdef"));
    assert_eq!(token_in("nothing"), None);
}

#[test]
fn taints_become_objects() {
    assert_eq!(
        taint_object("a/b=c:NoExecute"),
        json!({"key": "a/b", "value": "c", "effect": "NoExecute"})
    );
    assert_eq!(
        taint_object("node-role.kubernetes.io/control-plane=:NoSchedule"),
        json!({"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"})
    );
}

fn dual_stack() -> Settings {
    Settings {
        other_address: Some("fd00:77::11".parse().unwrap()),
        ..settings_of(
            "\
apiVersion: klusterkit.dev/v1alpha1
kind: NodeConfiguration
kubernetesVersion: v1.37.2
network: {podSubnet: '10.244.0.0/16,fd00:244::/56', serviceSubnet: '10.96.0.0/16,fd00:96::/112', cni: none}
",
        )
    }
}

/// One document of a kubeadm configuration, by kind.
fn document(text: &str, kind: &str) -> Value {
    text.split("---\n")
        .map(|part| serde_json::from_str::<Value>(part).unwrap())
        .find(|value| value["kind"] == kind)
        .unwrap()
}

#[test]
fn two_kinds_of_addresses() {
    let settings = dual_stack();
    let text = init_documents(&settings, "abcdef.0123456789abcdef");
    insta::assert_snapshot!(document(&text, "ClusterConfiguration")["networking"], @r#"{"podSubnet":"10.244.0.0/16,fd00:244::/56","serviceSubnet":"10.96.0.0/16,fd00:96::/112","dnsDomain":"cluster.local"}"#);
    let args = document(&text, "InitConfiguration")["nodeRegistration"]["kubeletExtraArgs"].clone();
    insta::assert_snapshot!(args[0], @r#"{"name":"node-ip","value":"10.77.0.11,fd00:77::11"}"#);
    let worker = Settings {
        config: api::NodeConfiguration {
            role: api::Role::Node,
            ..settings.config.clone()
        },
        ..settings
    };
    let text = join_documents(&worker, "abcdef.0123456789abcdef");
    let args = document(&text, "JoinConfiguration")["nodeRegistration"]["kubeletExtraArgs"].clone();
    insta::assert_snapshot!(args[0], @r#"{"name":"node-ip","value":"10.77.0.11,fd00:77::11"}"#);
}

#[test]
fn addresses_of_the_newer_kind_alone() {
    let settings = Settings {
        address: "fd00:77::11".parse().unwrap(),
        api: "[fd00:77::11]:6443".to_owned(),
        ..settings_of(
            "\
apiVersion: klusterkit.dev/v1alpha1
kind: NodeConfiguration
kubernetesVersion: v1.37.2
controlPlaneEndpoint: '[fd00:77::100]:6443'
network: {podSubnet: 'fd00:244::/56', serviceSubnet: 'fd00:96::/112'}
etcd: {endpoints: ['https://[::1]:2379']}
",
        )
    };
    let text = init_documents(&settings, "abcdef.0123456789abcdef");
    let cluster = document(&text, "ClusterConfiguration");
    insta::assert_snapshot!(cluster["networking"], @r#"{"podSubnet":"fd00:244::/56","serviceSubnet":"fd00:96::/112","dnsDomain":"cluster.local"}"#);
    insta::assert_snapshot!(cluster["controlPlaneEndpoint"], @r#""[fd00:77::100]:6443""#);
    insta::assert_snapshot!(cluster["etcd"]["external"]["endpoints"], @r#"["https://[::1]:2379"]"#);
    let init = document(&text, "InitConfiguration");
    insta::assert_snapshot!(init["localAPIEndpoint"], @r#"{"advertiseAddress":"fd00:77::11","bindPort":6443}"#);
    insta::assert_snapshot!(init["nodeRegistration"]["kubeletExtraArgs"][0], @r#"{"name":"node-ip","value":"fd00:77::11"}"#);
    assert!(discovery(&settings, "").contains("https://[fd00:77::100]:6443"));
}
