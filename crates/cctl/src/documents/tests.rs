//! What each host is handed, by its role.

use api::NodeFacts;

use super::*;
use crate::goal::Seen;

const FILE: &str = "\
apiVersion: klusterkit.dev/v1alpha1
kind: ClusterConfiguration
metadata: {name: prod}
kubernetes: {version: v1.37.2}
etcd: {version: v3.7.3}
controlPlaneEndpoint: 10.0.0.100
vip: {routerId: 77}
ignorePreflightErrors: [Swap]
machines:
  - {address: 10.0.0.1, roles: [master]}
  - {address: 10.0.0.2, roles: [master], name: second}
  - {address: 10.0.0.4, roles: [node], labels: {disk: ssd}, taints: []}
---
apiVersion: klusterkit.dev/v1alpha1
kind: NodeConfiguration
installDir: /usr/local/k8s
containerdPatch: |
  version = 3
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
metadata: {annotations: {klusterkit.dev/for: worker}}
maxPods: 50
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
";

fn goal() -> Goal {
    let documents = Documents::parse(FILE).unwrap();
    Goal {
        configuration: documents.cluster.clone().unwrap(),
        documents: handed_on(&documents),
        artifacts: None,
    }
}

fn seen() -> AllSeen {
    let of = |address: &str, hostname: &str| {
        let facts = NodeFacts {
            hostname: hostname.into(),
            architecture: "amd64".into(),
            ..NodeFacts::default()
        };
        let seen = Seen {
            facts,
            ..Seen::default()
        };
        (address.to_owned(), seen)
    };
    AllSeen::from([of("10.0.0.1", "H1"), of("10.0.0.4", "h4")])
}

/// What is written is read as the node tools read it.
fn read(text: &str) -> Documents {
    Documents::parse(text).unwrap()
}

#[test]
fn members_are_told_of_all_members() {
    let etcd = read(&etcd(&goal(), &seen(), "10.0.0.2", None))
        .etcd
        .unwrap();
    assert_eq!(etcd.metadata.name, "second");
    assert_eq!(etcd.version.unwrap().to_string(), "v3.7.3");
    assert_eq!(
        etcd.endpoints,
        ["https://10.0.0.1:2379", "https://10.0.0.2:2379"]
    );
    assert_eq!(etcd.expected_members.len(), 1);
    assert_eq!(etcd.expected_members[0].peer_url, "https://10.0.0.2:2380");
    assert_eq!(etcd.ignore_preflight_errors, ["Swap"]);
}

#[test]
fn a_control_plane_is_told_of_its_peers() {
    let documents = read(&node(&goal(), &seen(), "10.0.0.1", None));
    let node = documents.node.unwrap();
    assert_eq!(
        (node.metadata.name.as_str(), node.role),
        ("h1", Role::Master)
    );
    assert_eq!(node.cluster_name, "prod");
    let vip = node.vip.unwrap();
    assert_eq!(
        (vip.address.to_string(), vip.router_id),
        ("10.0.0.100".to_owned(), 77)
    );
    assert_eq!(vip.peers, ["10.0.0.2".parse::<IpAddr>().unwrap()]);
    assert_eq!(node.etcd, NodeEtcd::default(), "its own member");
    let kinds: Vec<&str> = documents.foreign.iter().map(|f| f.kind.as_str()).collect();
    assert_eq!(kinds, ["KubeProxyConfiguration"]);
}

#[test]
fn a_worker_gets_what_is_for_workers() {
    let documents = read(&node(&goal(), &seen(), "10.0.0.4", None));
    let node = documents.node.unwrap();
    assert_eq!(node.role, Role::Node);
    assert_eq!(node.vip, None);
    assert_eq!(node.labels["disk"], "ssd");
    assert_eq!(node.taints, Some(Vec::new()));
    assert_eq!(node.install_dir.to_str(), Some("/usr/local/k8s"));
    assert_eq!(node.containerd_patch.as_deref(), Some("version = 3\n"));
    let kinds: Vec<&str> = documents.foreign.iter().map(|f| f.kind.as_str()).collect();
    assert_eq!(kinds, ["KubeletConfiguration", "KubeProxyConfiguration"]);
}

#[test]
fn masters_beside_dedicated_members_use_all_of_them() {
    let mut goal = goal();
    goal.configuration.machines[1].roles = vec![Role::Etcd];
    let node = read(&node(&goal, &seen(), "10.0.0.1", None)).node.unwrap();
    assert_eq!(node.etcd.endpoints, ["https://10.0.0.2:2379"]);
}

#[test]
fn each_host_gets_the_keys_that_it_needs_and_no_other() {
    let now = SystemTime::now();
    let made = pki::kubernetes::Authorities::generate(now).unwrap();
    let text = |secret: &pki::Secret| Secret::new(String::from_utf8_lossy(secret.expose()));
    let pair = |authority: &Authority| authority.pair();
    let (kubernetes, front_proxy, etcd) = (
        pair(&made.kubernetes),
        pair(&made.front_proxy),
        pair(&made.etcd),
    );
    let certificates = state::AuthorityCertificates {
        kubernetes: kubernetes.certificate,
        front_proxy: front_proxy.certificate,
        etcd: etcd.certificate,
    };
    let secrets = Secrets {
        kubernetes_key: text(&kubernetes.key),
        front_proxy_key: text(&front_proxy.key),
        etcd_key: text(&etcd.key),
        service_account_key: text(&made.service_account.private),
        admin_kubeconfig: None,
        signing_key: Secret::default(),
    };
    let goal = goal();
    let state = State::new(goal.configuration.clone(), Vec::new(), certificates);
    let issuer = Issuer::new(&state, &secrets).unwrap();
    let names = |credentials: Credentials| credentials.files.into_keys().collect::<Vec<_>>();
    let address = "10.0.0.1".parse().unwrap();
    assert_eq!(
        names(issuer.member("h1", address).unwrap()),
        [
            "apiserver-etcd-client.crt",
            "apiserver-etcd-client.key",
            "ca.crt",
            "etcdctl-etcd-client.crt",
            "etcdctl-etcd-client.key",
            "peer.crt",
            "peer.key",
            "server.crt",
            "server.key"
        ],
        "no authority's key"
    );
    assert_eq!(
        names(issuer.master("h1", address).unwrap()),
        [
            "apiserver-etcd-client.crt",
            "apiserver-etcd-client.key",
            "ca.crt",
            "ca.key",
            "etcd/ca.crt",
            "front-proxy-ca.crt",
            "front-proxy-ca.key",
            "sa.key",
            "sa.pub"
        ]
    );
    assert_eq!(names(issuer.worker("t")), ["ca.crt", "token"]);
}
