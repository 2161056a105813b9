//! What makes sense and what does not; and settings for the tests of others.

use super::*;
use crate::artifacts::Images;
use host::Digest;

/// Settings of the host 10.77.0.11 as these documents say, without a store.
pub(crate) fn settings_of(documents: &str) -> Settings {
    let documents = Documents::parse(documents).unwrap();
    let overrides = Overrides {
        first: true,
        ..Overrides::default()
    };
    let mut config = configuration(Some(&documents), None, &overrides).unwrap();
    config.metadata.name = "h1".to_owned();
    config.address = Some("10.77.0.11".parse().unwrap());
    if let Some(vip) = &mut config.vip {
        vip.interface.get_or_insert_with(|| "eth0".to_owned());
    }
    let version = config.kubernetes_version.unwrap_or(Version::new(1, 37, 2));
    config.kubernetes_version = Some(version);
    let stored = |name: &str, files: &[&str]| {
        let file = |file: &&str| bundle::StoredFile {
            name: (*file).to_owned(),
            digest: Digest::of(file.as_bytes()),
            size: 1,
            path: Path::new("/var/cache/klusterkit/blobs/sha256").join(file),
        };
        Some(bundle::StoredComponent {
            name: name.to_owned(),
            version: "v1.0.0".to_owned(),
            origin: bundle::store::Origin::Store,
            files: files.iter().map(file).collect(),
        })
    };
    let images = Images {
        pause: "registry.k8s.io/pause:3.10.2".to_owned(),
        keepalived: config
            .vip
            .as_ref()
            .map(|_| "klusterkit.dev/keepalived:2.2.7".to_owned()),
        first: vec!["registry.k8s.io/pause:3.10.2".to_owned()],
        later: vec!["registry.k8s.io/coredns/coredns:v1.14.6".to_owned()],
    };
    let endpoint = config
        .control_plane_endpoint
        .as_ref()
        .map_or("10.77.0.11:6443".to_owned(), Endpoint::with_api_port);
    Settings {
        first: config.role == Role::Master,
        version,
        name: "h1".to_owned(),
        address: "10.77.0.11".parse().unwrap(),
        interface: "eth0".to_owned(),
        other_address: None,
        endpoint,
        api: "10.77.0.11:6443".to_owned(),
        foreign: documents.foreign.clone(),
        credentials: credentials(Some(&documents)).unwrap(),
        etcd_handed: false,
        artifacts: Artifacts {
            kubernetes: stored("kubernetes", &["kubeadm", "kubelet", "kubectl"]),
            containerd: stored("containerd", &["containerd.tar.gz"]),
            runc: stored("runc", &["runc.amd64"]),
            cni_plugins: stored("cni-plugins", &["cni-plugins.tgz"]),
            flannel: None,
            images,
        },
        store: Store::new(Path::new("/nowhere")),
        arch: "amd64",
        config,
    }
}

/// A plain control plane.
pub(crate) fn settings() -> Settings {
    settings_of(
        "apiVersion: klusterkit.dev/v1alpha1\nkind: NodeConfiguration\nkubernetesVersion: v1.37.2\n\
         controlPlaneEndpoint: 10.77.0.100\n",
    )
}

fn wrong(documents: &str) -> String {
    let documents = Documents::parse(documents).unwrap();
    let overrides = Overrides {
        role: Some(Role::Master),
        first: true,
        ..Overrides::default()
    };
    let config = configuration(Some(&documents), None, &overrides);
    let checked = config
        .and_then(|config| check_labels(&config))
        .and_then(|()| credentials(Some(&documents)));
    checked
        .and_then(|_| kubeadm::check_versions(&documents.foreign))
        .unwrap_err()
        .to_string()
}

#[test]
fn what_makes_no_sense_is_refused() {
    let node = "apiVersion: klusterkit.dev/v1alpha1\nkind: NodeConfiguration\n";
    insta::assert_snapshot!(wrong(&format!("{node}role: worker\n")), @"`init` makes a control plane, but the document's role is node: use `nodeadm join`");
    insta::assert_snapshot!(wrong(&format!("{node}role: etcd\n")), @"role etcd is etcdadm's: nodeadm knows master and node");
    insta::assert_snapshot!(wrong(&format!("{node}installDir: bin\n")), @"installDir bin is not an absolute path");
    insta::assert_snapshot!(wrong(&format!("{node}labels: {{node-role.kubernetes.io/x: y}}\n")), @"labels: node-role.kubernetes.io/x belongs to Kubernetes, a node may not give it to itself; label it with kubectl");
    insta::assert_snapshot!(wrong(&format!("{node}---\napiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\n")), @"ClusterConfiguration is of kubeadm.k8s.io/v1beta3: say kubeadm.k8s.io/v1beta4 (`kubeadm config migrate` converts)");
    insta::assert_snapshot!(wrong("apiVersion: klusterkit.dev/v1alpha1\nkind: Credentials\nfiles: {../x: y}\n"), @r#"Credentials: there is no file "../x" here; known: ca.crt, ca.key, front-proxy-ca.crt, front-proxy-ca.key, sa.key, sa.pub, etcd/ca.crt, apiserver-etcd-client.crt, apiserver-etcd-client.key, token"#);
}
