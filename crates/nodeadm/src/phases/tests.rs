//! The lists of phases against a host and a cluster in memory.

use std::collections::BTreeMap;
use std::path::Path;

use host::{Effects, Inspect, Kind, Memory, Nothing, Phase, Runner, Silent, Summary};
use serde_json::json;

use crate::Node;
use crate::cluster::{Absent, Picture};
use crate::settings::Settings;
use crate::settings::tests::settings_of;
use crate::verbs::Phases;
use crate::{init, join, reset};

const CLUSTER: &str = "\
apiVersion: klusterkit.dev/v1alpha1
kind: NodeConfiguration
kubernetesVersion: v1.37.2
controlPlaneEndpoint: 10.77.0.100
";

const KEYS: &str = "\
---
apiVersion: klusterkit.dev/v1alpha1
kind: Credentials
files: {ca.crt: C, ca.key: K, sa.key: S, token: abcdef.0123456789abcdef}
";

fn first() -> Settings {
    settings_of(&format!(
        "{CLUSTER}vip: {{address: 10.77.0.100, peers: [10.77.0.12]}}\nlabels: {{disk: ssd}}\n{KEYS}"
    ))
}

fn further() -> Settings {
    Settings {
        first: false,
        ..first()
    }
}

fn worker() -> Settings {
    let kubelet =
        "---\napiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nmaxPods: 50\n";
    settings_of(&format!("{CLUSTER}role: node\n{KEYS}{kubelet}"))
}

/// A host as Debian makes it, with a few things in our way.
fn node(settings: Settings) -> Node {
    use host::{Change, Host};
    let mut host = Memory::new(Nothing);
    for change in [
        Change::file("/etc/containerd/config.toml", "version = 2\n"),
        Change::Link {
            path: "/opt/cni/bin/bridge".into(),
            target: "/usr/lib/cni/bridge".into(),
        },
        Change::file("/proc/sys/net/ipv4/ip_forward", "0\n"),
        Change::file("/proc/sys/net/bridge/bridge-nf-call-iptables", "0\n"),
        Change::file("/proc/filesystems", "nodev\toverlay\n"),
        Change::file("/proc/self/exe", "nodeadm"),
    ] {
        host.apply(&change).unwrap();
    }
    Node::new(Box::new(host), Box::new(Picture::new(Absent)), settings)
}

/// Without the checks of the host, which have tests of their own.
fn without_checks(phases: Phases) -> Vec<&'static dyn Phase<Node>> {
    phases
        .iter()
        .copied()
        .filter(|phase| phase.name() != "check-host")
        .collect()
}

fn walk(node: &mut Node, phases: &[&dyn Phase<Node>]) -> Summary {
    Runner::new(&mut Silent, None).run(node, phases).unwrap()
}

fn words(summary: &Summary) -> String {
    let line = |applied: &host::Applied| format!("{}: {}", applied.phase, applied.change);
    // Digests depend on what is drawn at random.
    let plain = |line: String| match line.find(" bytes, sha256") {
        Some(_) => line.split(" (").next().unwrap_or_default().to_owned(),
        None => line,
    };
    summary
        .changes
        .iter()
        .map(line)
        .map(plain)
        .collect::<Vec<_>>()
        .join("\n")
}

/// All paths but those of kernel and processes, with kind and mode.
fn tree(seen: &dyn Inspect, folder: &Path, into: &mut BTreeMap<String, (Kind, u32)>) {
    for name in seen.list(folder).unwrap().unwrap_or_default() {
        let path = folder.join(name);
        if path == Path::new("/proc") {
            continue;
        }
        let stat = seen.stat(&path).unwrap().unwrap();
        into.insert(path.display().to_string(), (stat.kind, stat.mode));
        if stat.kind == Kind::Dir {
            tree(seen, &path, into);
        }
    }
}

fn tree_of(node: &Node) -> BTreeMap<String, (Kind, u32)> {
    let mut paths = BTreeMap::new();
    tree(node.host(), Path::new("/"), &mut paths);
    paths
}

/// On a node that is right, each phase by itself plans nothing.
fn nothing_is_left(node: &Node, phases: &[&dyn Phase<Node>]) {
    for phase in phases {
        assert_eq!(phase.plan(node).unwrap(), [], "{}", phase.name());
    }
}

/// Cuts a run off after each of its changes; whatever was done, the next run comes to the same end.
fn any_cut_is_mended(settings: &Settings, phases: &[&dyn Phase<Node>]) {
    let mut whole = node(settings.clone());
    let changes = walk(&mut whole, phases).changes.len();
    let expected = tree_of(&whole);
    for cut in 0..changes {
        let mut node = node(settings.clone());
        let mut left = cut;
        'run: for phase in phases {
            while let Some(change) = phase.plan(&node).unwrap().into_iter().next() {
                if left == 0 {
                    break 'run;
                }
                left -= 1;
                node.apply(&change).unwrap();
            }
        }
        walk(&mut node, phases);
        assert_eq!(tree_of(&node), expected, "cut off after {cut} changes");
        nothing_is_left(&node, phases);
    }
}

#[test]
fn init_makes_a_control_plane_and_a_second_run_nothing() {
    let phases = without_checks(init::PHASES);
    let mut node = node(first());
    insta::assert_snapshot!(words(&walk(&mut node, &phases)), @r"
    record-host: make folder /var/lib/nodeadm (0700)
    record-host: write /var/lib/nodeadm/found.json
    record-host: write /var/lib/nodeadm/node.json
    install-binaries: make folder /opt/bin (0755)
    install-binaries: make folder /var/lib/nodeadm/receipts (0755)
    install-binaries: make folder /usr/local/bin (0755)
    install-binaries: set /opt/cni/bin/bridge aside as /opt/cni/bin/bridge.before-nodeadm
    install-binaries: install containerd v1.0.0 from sha256 b8509fecc9f7…: /opt/bin/containerd, /opt/bin/containerd-shim-runc-v2, /opt/bin/ctr
    install-binaries: install runc v1.0.0 from sha256 1f9517ce7701…: /opt/bin/runc
    install-binaries: install cni-plugins v1.0.0 from sha256 eda2e450e71d…: programs into /opt/cni/bin
    install-binaries: install kubernetes v1.0.0 from sha256 d5be59665977…: /opt/bin/kubeadm
    install-binaries: install kubernetes v1.0.0 from sha256 1ca4bc7eb9b3…: /opt/bin/kubelet
    install-binaries: install kubernetes v1.0.0 from sha256 7a7f09de08e3…: /opt/bin/kubectl
    install-binaries: install this program (sha256 c7798add186b…) as /opt/bin/nodeadm
    install-binaries: link /usr/local/bin/ctr to /opt/bin/ctr
    install-binaries: link /usr/local/bin/kubeadm to /opt/bin/kubeadm
    install-binaries: link /usr/local/bin/kubectl to /opt/bin/kubectl
    install-binaries: link /usr/local/bin/kubelet to /opt/bin/kubelet
    install-binaries: link /usr/local/bin/nodeadm to /opt/bin/nodeadm
    configure-kernel: write /etc/modules-load.d/klusterkit.conf
    configure-kernel: write /etc/sysctl.d/99-klusterkit.conf
    configure-kernel: set net.ipv4.ip_forward to 1
    configure-kernel: set net.bridge.bridge-nf-call-iptables to 1
    start-containerd: write /etc/tmpfiles.d/klusterkit.conf
    start-containerd: set /etc/containerd/config.toml aside as /etc/containerd/config.toml.before-nodeadm
    start-containerd: write /etc/containerd/config.toml
    start-containerd: write /etc/systemd/system/containerd.service
    start-containerd: let systemd read its unit files again
    start-containerd: enable containerd.service
    start-containerd: start containerd.service
    import-images: import registry.k8s.io/pause:3.10.2
    install-kubelet-unit: write /etc/systemd/system/kubelet.service
    install-kubelet-unit: write /etc/systemd/system/kubelet.service.d/10-kubeadm.conf
    install-kubelet-unit: let systemd read its unit files again
    install-kubelet-unit: enable kubelet.service
    write-pki: write /etc/kubernetes/pki/ca.crt
    write-pki: write /etc/kubernetes/pki/ca.key
    write-pki: write /etc/kubernetes/pki/sa.key
    write-kubeadm-configuration: write /var/lib/nodeadm/kubeadm.json
    write-kubeadm-configuration: write /var/lib/nodeadm/patches/corednsdeployment+strategic.json
    run-kubeadm-preflight: run /opt/bin/kubeadm init phase preflight --config /var/lib/nodeadm/kubeadm.json
    make-certificates: run /opt/bin/kubeadm init phase certs all --config /var/lib/nodeadm/kubeadm.json
    make-kubeconfigs: run /opt/bin/kubeadm init phase kubeconfig all --config /var/lib/nodeadm/kubeadm.json
    write-vip-pod: write /etc/kubernetes/keepalived/keepalived.conf
    write-vip-pod: write /etc/kubernetes/manifests/keepalived.yaml
    write-manifests: run /opt/bin/kubeadm init phase control-plane all --config /var/lib/nodeadm/kubeadm.json
    start-kubelet: run /opt/bin/kubeadm init phase kubelet-start --config /var/lib/nodeadm/kubeadm.json
    start-kubelet: start kubelet.service
    import-remaining-images: import registry.k8s.io/coredns/coredns:v1.14.6
    wait-for-api: wait for this host's API server, 10.77.0.11:6443 (at most 240s)
    wait-for-api: wait for the API at the endpoint 10.77.0.100:6443 (at most 240s)
    apply-kube-proxy: run /opt/bin/kubeadm init phase addon kube-proxy --config /var/lib/nodeadm/kubeadm.json
    upload-configuration: run /opt/bin/kubeadm init phase upload-config all --config /var/lib/nodeadm/kubeadm.json
    allow-joining: run /opt/bin/kubeadm init phase bootstrap-token --skip-token-print --config /var/lib/nodeadm/kubeadm.json
    label-node: wait for the kubelet to register the Node h1 (at most 120s)
    label-node: change Node h1
    apply-dns: wait for flannel to connect this node (at most 180s)
    apply-dns: apply ConfigMap kube-system/coredns
    apply-dns: run /opt/bin/kubeadm init phase addon coredns --config /var/lib/nodeadm/kubeadm.json
    ");
    nothing_is_left(&node, &phases);
}

#[test]
fn a_network_of_ones_own_is_not_waited_for() {
    let phases = without_checks(init::PHASES);
    let mut node = node(settings_of(&format!(
        "{CLUSTER}network: {{cni: none}}\n{KEYS}"
    )));
    let all = words(&walk(&mut node, &phases));
    assert!(!all.contains("apply-network"), "{all}");
    let dns: Vec<&str> = all
        .lines()
        .filter(|line| line.starts_with("apply-dns"))
        .collect();
    insta::assert_snapshot!(dns.join("\n"), @r"
    apply-dns: apply ConfigMap kube-system/coredns
    apply-dns: run /opt/bin/kubeadm init phase addon coredns --config /var/lib/nodeadm/kubeadm.json
    ");
    nothing_is_left(&node, &phases);
}

#[test]
fn a_worker_joins() {
    let phases = without_checks(join::WORKER);
    let mut node = node(worker());
    let summary = walk(&mut node, &phases);
    let all = words(&summary);
    let joining: Vec<&str> = all
        .lines()
        .skip_while(|line| !line.starts_with("write-discovery"))
        .collect();
    insta::assert_snapshot!(joining.join("\n"), @r"
    write-discovery: write /var/lib/nodeadm/discovery.json
    write-kubeadm-configuration: write /var/lib/nodeadm/kubeadm.json
    write-kubeadm-configuration: write /var/lib/nodeadm/patches/kubeletconfiguration+merge.json
    run-kubeadm-preflight: run /opt/bin/kubeadm join phase preflight --config /var/lib/nodeadm/kubeadm.json
    write-pki: write /etc/kubernetes/pki/ca.crt
    join-cluster: run /opt/bin/kubeadm join phase kubelet-start --config /var/lib/nodeadm/kubeadm.json
    join-cluster: wait for the kubelet to get its certificate (at most 180s)
    join-cluster: remove /etc/kubernetes/bootstrap-kubelet.conf
    join-cluster: start kubelet.service
    import-remaining-images: import registry.k8s.io/coredns/coredns:v1.14.6
    ");
    nothing_is_left(&node, &phases);
    let key = node
        .host()
        .stat(Path::new("/etc/kubernetes/pki/ca.key"))
        .unwrap();
    assert_eq!(key, None, "a worker gets no key");
}

#[test]
fn a_further_control_plane_has_no_super_admin_and_applies_nothing() {
    let phases = without_checks(join::CONTROL_PLANE);
    let mut node = node(further());
    let all = words(&walk(&mut node, &phases));
    assert!(
        !all.contains("super-admin") && !all.contains("kubeconfig all"),
        "{all}"
    );
    assert!(
        !all.contains("apply ") && !all.contains("upload-config"),
        "{all}"
    );
    nothing_is_left(&node, &phases);
}

#[test]
fn a_run_that_is_cut_off_anywhere_is_finished_by_the_next() {
    any_cut_is_mended(&first(), &without_checks(init::PHASES));
    any_cut_is_mended(&further(), &without_checks(join::CONTROL_PLANE));
    any_cut_is_mended(&worker(), &without_checks(join::WORKER));
}

#[test]
fn keys_are_private() {
    let mut node = node(first());
    walk(&mut node, &without_checks(init::PHASES));
    for (path, mode) in [
        ("/etc/kubernetes/pki/ca.key", 0o600),
        ("/etc/kubernetes/pki/sa.key", 0o600),
        ("/etc/kubernetes/pki/ca.crt", 0o644),
        ("/var/lib/nodeadm/kubeadm.json", 0o600),
        ("/var/lib/nodeadm/node.json", 0o600),
        ("/var/lib/nodeadm", 0o700),
    ] {
        assert_eq!(
            node.host().stat(Path::new(path)).unwrap().unwrap().mode,
            mode,
            "{path}"
        );
    }
}

#[test]
fn another_clusters_authority_is_not_replaced() {
    let mut node = node(first());
    node.apply(&host::Change::file("/etc/kubernetes/pki/ca.crt", "another").into())
        .unwrap();
    let error = crate::phases::WritePki.plan(&node).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/etc/kubernetes/pki/ca.crt is there already and differs from what is to be written"
    );
}

#[test]
fn reset_gives_the_host_back() {
    for settings in [first(), further(), worker()] {
        let phases = match (settings.is_master(), settings.first) {
            (true, true) => without_checks(init::PHASES),
            (true, false) => without_checks(join::CONTROL_PLANE),
            (false, _) => without_checks(join::WORKER),
        };
        let before = tree_of(&node(settings.clone()));
        let mut node = node(settings);
        walk(&mut node, &phases);
        walk(&mut node, reset::PHASES);
        let mut after = tree_of(&node);
        // The folder of the journal and the lock goes when the walk is over.
        after.remove("/var/lib/nodeadm");
        let parents = [
            "/etc/systemd",
            "/etc/systemd/system",
            "/var",
            "/var/lib",
            "/usr",
            "/usr/local",
            "/run",
        ];
        after.retain(|path, _| before.contains_key(path) || !parents.contains(&path.as_str()));
        assert_eq!(after, before);
        assert_eq!(
            node.host()
                .read_text(Path::new("/etc/containerd/config.toml"))
                .unwrap()
                .unwrap(),
            "version = 2\n"
        );
        assert_eq!(
            node.host()
                .read_link(Path::new("/opt/cni/bin/bridge"))
                .unwrap()
                .unwrap(),
            Path::new("/usr/lib/cni/bridge")
        );
        assert_eq!(
            node.host()
                .read_text(Path::new("/proc/sys/net/ipv4/ip_forward"))
                .unwrap()
                .unwrap(),
            "0\n"
        );
        nothing_is_left(&node, reset::PHASES);
    }
}

#[test]
fn authorities_that_were_made_here_are_kept() {
    let mut settings = first();
    settings.credentials.clear();
    let mut node = node(settings);
    walk(&mut node, &without_checks(init::PHASES));
    // What kubeadm would have made.
    for (path, content) in [
        ("/etc/kubernetes/pki/ca.crt", "C"),
        ("/etc/kubernetes/pki/ca.key", "K"),
    ] {
        node.apply(&host::Change::private_file(path, content).into())
            .unwrap();
    }
    walk(&mut node, reset::PHASES);
    let kept: Vec<String> = tree_of(&node)
        .into_keys()
        .filter(|path| path.ends_with("ca.key"))
        .collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    let stat = node.host().stat(Path::new(&kept[0])).unwrap().unwrap();
    assert_eq!(stat.mode, 0o600);
}

/// A cluster whose API was at 10.77.0.99 until now, as the first control plane sees it.
fn moved() -> Picture<Absent> {
    let at = "10.77.0.99:6443";
    let kubeconfig =
        json!({"clusters": [{"name": "x", "cluster": {"server": format!("https://{at}")}}]});
    let kubeconfig = api::yaml::to_string(&kubeconfig);
    let mut cluster = Picture::new(Absent);
    let system = "/api/v1/namespaces/kube-system/configmaps";
    for (path, object) in [
        (
            format!("{system}/kube-proxy"),
            json!({"data": {"config.conf": "mode: iptables", "kubeconfig.conf": kubeconfig}}),
        ),
        (
            "/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy".to_owned(),
            json!({"spec": {"template": {"metadata": {}}}}),
        ),
        (
            "/api/v1/namespaces/kube-public/configmaps/cluster-info".to_owned(),
            json!({"data": {"kubeconfig": kubeconfig}}),
        ),
        (
            "/apis/apps/v1/namespaces/kube-system/deployments/coredns".to_owned(),
            json!({"spec": {"template": {"spec": {"containers": [{"name": "coredns", "env": [
                {"name": "KUBERNETES_SERVICE_HOST", "value": "10.77.0.99"},
            ]}]}}}}),
        ),
    ] {
        cluster.put(&path, object);
    }
    cluster
}

/// A kubeconfig that lies on a host.
fn kubeconfig(node: &mut Node, name: &str, at: &str) {
    let config =
        json!({"clusters": [{"name": "x", "cluster": {"server": format!("https://{at}:6443")}}]});
    let path = format!("/etc/kubernetes/{name}.conf");
    let text = api::yaml::to_string(&config);
    node.apply(&host::Change::private_file(path, text).into())
        .unwrap();
}

#[test]
fn a_worker_follows_the_endpoint() {
    let phases = without_checks(join::WORKER);
    let mut node = node(worker());
    walk(&mut node, &phases);
    kubeconfig(&mut node, "kubelet", "10.77.0.99");
    insta::assert_snapshot!(words(&walk(&mut node, &phases)), @r"
    point-kubeconfigs: stop kubelet.service
    point-kubeconfigs: write /etc/kubernetes/kubelet.conf
    join-cluster: start kubelet.service
    ");
    let kubelet = node.host().unit("kubelet.service").unwrap();
    assert_eq!(kubelet.activity, host::UnitActivity::Active);
    nothing_is_left(&node, &phases);
    // Cut off after the kubelet was stopped, and after the file was written: it is started all the same.
    for cut in 0..2 {
        kubeconfig(&mut node, "kubelet", "10.77.0.99");
        for _ in 0..=cut {
            let plan = crate::phases::PointKubeconfigs.plan(&node).unwrap();
            node.apply(&plan[0]).unwrap();
        }
        walk(&mut node, &phases);
        let kubelet = node.host().unit("kubelet.service").unwrap();
        assert_eq!(kubelet.activity, host::UnitActivity::Active);
        nothing_is_left(&node, &phases);
    }
}

#[test]
fn a_control_plane_points_all_to_another_endpoint() {
    let phases = without_checks(init::PHASES);
    let mut host = Memory::new(Nothing);
    host::Host::apply(&mut host, &host::Change::file("/proc/self/exe", "nodeadm")).unwrap();
    let mut node = Node::new(Box::new(host), Box::new(moved()), first());
    // Its own API server is its own wherever the endpoint is.
    kubeconfig(&mut node, "scheduler", "10.77.0.11");
    for name in ["admin", "super-admin", "controller-manager", "kubelet"] {
        kubeconfig(&mut node, name, "10.77.0.99");
    }
    let all = words(&walk(&mut node, &phases));
    let pointing: Vec<&str> = all
        .lines()
        .filter(|line| {
            let phases = ["point-", "apply-kube-proxy", "allow-joining", "apply-dns"];
            phases.iter().any(|phase| line.starts_with(phase))
        })
        .collect();
    insta::assert_snapshot!(pointing.join("\n"), @r"
    point-kubeconfigs: write /etc/kubernetes/admin.conf
    point-kubeconfigs: write /etc/kubernetes/super-admin.conf
    point-kubeconfigs: write /etc/kubernetes/controller-manager.conf
    point-kubeconfigs: write /etc/kubernetes/kubelet.conf
    apply-kube-proxy: change ConfigMap kube-system/kube-proxy
    apply-kube-proxy: change DaemonSet kube-system/kube-proxy
    allow-joining: run /opt/bin/kubeadm init phase bootstrap-token --skip-token-print --config /var/lib/nodeadm/kubeadm.json
    allow-joining: change ConfigMap kube-public/cluster-info
    apply-dns: change Deployment kube-system/coredns
    ");
    nothing_is_left(&node, &phases);
}

/// Credentials with etcd's authority and the pair that `issuer` issued.
fn etcd_credentials(authority: &pki::Authority, issuer: &pki::Authority) -> String {
    let identity = pki::etcd::Identity {
        name: "h1".to_owned(),
        addresses: Vec::new(),
        extra_server_sans: Vec::new(),
    };
    let profile = pki::etcd::profile(pki::etcd::Leaf::ApiserverClient, &identity);
    let pair = issuer
        .issue(&profile, std::time::SystemTime::now())
        .unwrap();
    let key = String::from_utf8_lossy(pair.key.expose()).into_owned();
    let files = json!({
        "etcd/ca.crt": authority.pair().certificate,
        "apiserver-etcd-client.crt": pair.certificate,
        "apiserver-etcd-client.key": key,
    });
    let credentials =
        json!({"apiVersion": "klusterkit.dev/v1alpha1", "kind": "Credentials", "files": files});
    format!("{CLUSTER}---\n{credentials}\n")
}

#[test]
fn etcd_may_have_a_new_authority_that_issued_what_comes_with_it() {
    let now = std::time::SystemTime::now();
    let [old, new] =
        ["etcd-ca", "etcd-ca"].map(|name| pki::Authority::generate(name, now).unwrap());
    let on_host = |credentials: &str| {
        let mut node = node(settings_of(credentials));
        let pem = old.pair().certificate;
        node.apply(&host::Change::file("/etc/kubernetes/pki/etcd/ca.crt", pem).into())
            .unwrap();
        node
    };
    let phases: [&dyn Phase<Node>; 1] = [&crate::phases::WritePki];
    let mut replaced = on_host(&etcd_credentials(&new, &new));
    let said = words(&walk(&mut replaced, &phases));
    // Until when the old one is valid depends on today.
    let said = said.split(".until-").next().unwrap().to_owned();
    insta::assert_snapshot!(said, @r"
    write-pki: write /etc/kubernetes/pki/apiserver-etcd-client.crt
    write-pki: write /etc/kubernetes/pki/apiserver-etcd-client.key
    write-pki: set /etc/kubernetes/pki/etcd/ca.crt aside as /etc/kubernetes/pki/etcd/ca.crt
    ");
    let there = replaced
        .host()
        .read_text(Path::new("/etc/kubernetes/pki/etcd/ca.crt"));
    assert_eq!(there.unwrap().unwrap(), new.pair().certificate);
    nothing_is_left(&replaced, &phases);
    // Another cluster's, beside a pair of the one that is there.
    let slip = on_host(&etcd_credentials(&new, &old));
    assert!(matches!(
        crate::phases::WritePki.plan(&slip),
        Err(crate::Error::Foreign { .. })
    ));
}
