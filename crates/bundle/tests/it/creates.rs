//! A whole bundle from a file of versions and mirrors.

use std::collections::BTreeMap;
use std::path::Path;

use bundle::create::{Create, CreateError, Output, create};
use bundle::fetch::{Mirror, Sources};
use bundle::versions::VersionsFile;
use bundle::{Draft, LayerSource, Layout};
use host::Digest;

use crate::support::{chain, image, listing, plain_layer, quiet};

const VERSIONS: &str = "\
apiVersion: klusterkit.dev/v1alpha1
kind: BundleConfiguration
kubernetes: {version: v1.37.2}
vip: {image: klusterkit.dev/keepalived:2.2.7, from: keepalived.tar}
nodeTools: {amd64: dist}
";

const MANIFEST: &str = "\
kind: Namespace
---
spec: {template: {spec: {initContainers: [{image: ghcr.io/flannel-io/flannel-cni-plugin:v1}], containers: [{image: ghcr.io/flannel-io/flannel:v0.28.10}]}}}
";

/// Upstream in small: each file with its published checksum, each image in one layout.
fn upstream(dir: &Path) -> Create {
    let versions = VersionsFile::parse(Path::new("/v"), VERSIONS.into()).unwrap();
    let files = dir.join("upstream");
    for component in versions.configuration.upstream_components("amd64") {
        for file in component.files {
            let path = files.join(&file.address);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let content = if file.name == "kube-flannel.yml" {
                MANIFEST.to_owned()
            } else {
                format!("<{}>", file.address)
            };
            std::fs::write(&path, &content).unwrap();
            if let Some(checksum) = file.checksum {
                let line = format!("{}  {}\n", Digest::of(content.as_bytes()), file.name);
                std::fs::write(files.join(checksum), line).unwrap();
            }
        }
    }
    let mut images = Draft::new();
    let names = versions.configuration.known_images().unwrap();
    for name in names.iter().map(String::as_str).chain([
        "ghcr.io/flannel-io/flannel:v0.28.10",
        "ghcr.io/flannel-io/flannel-cni-plugin:v1",
    ]) {
        let spec = image(
            name,
            vec![LayerSource::Bytes(plain_layer("bin/x", name.as_bytes()))],
        );
        images.add_image(&spec).unwrap();
    }
    images
        .write_archive(&dir.join("images.tar"), &mut quiet())
        .unwrap();
    images
        .write_archive(&dir.join("keepalived.tar"), &mut quiet())
        .unwrap();
    std::fs::create_dir(dir.join("dist")).unwrap();
    for tool in ["etcdadm", "nodeadm"] {
        std::fs::write(dir.join("dist").join(tool), program(tool, 0x3e)).unwrap();
    }
    std::fs::write(dir.join("versions.yaml"), VERSIONS).unwrap();
    Create {
        sources: Sources {
            mirrors: vec![Mirror::Path(files), Mirror::Path(dir.join("images.tar"))],
            ..Sources::default()
        },
        trust_upstream: false,
        update_pins: false,
        tools_version: "0.1.0".into(),
        tools: BTreeMap::new(),
        work: None,
        output: Output::Archive(dir.join("bundle.tar")),
    }
}

/// What a program for a machine looks like from outside.
fn program(name: &str, machine: u8) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0".to_vec();
    bytes.extend([machine, 0]);
    bytes.extend(name.as_bytes());
    bytes
}

fn make(dir: &Path, how: &Create) -> Result<bundle::create::Created, CreateError> {
    create(
        &VersionsFile::read(&dir.join("versions.yaml")).unwrap(),
        how,
        &mut quiet(),
    )
}

#[test]
fn unpinned_is_refused_pinned_is_made_and_made_the_same_again() {
    let dir = tempfile::tempdir().unwrap();
    let how = upstream(dir.path());
    let before = listing(dir.path());
    let error = make(dir.path(), &how).unwrap_err();
    assert!(matches!(error, CreateError::Unpinned { .. }), "{error}");
    assert_eq!(listing(dir.path()), before);

    let updating = Create {
        update_pins: true,
        ..how.clone()
    };
    let made = make(dir.path(), &updating).unwrap();
    let words = made.entries.join("\n");
    insta::assert_snapshot!(words, @r"
    component etcd v3.7.3 (amd64)
    component kubernetes v1.37.2 (amd64)
    component containerd v2.4.2 (amd64)
    component runc v1.5.2 (amd64)
    component cni-plugins v1.9.1 (amd64)
    component flannel v0.28.10 (any)
    component etcdadm 0.1.0 (amd64)
    component nodeadm 0.1.0 (amd64)
    image registry.k8s.io/pause:3.10.2
    image registry.k8s.io/kube-apiserver:v1.37.2
    image registry.k8s.io/kube-controller-manager:v1.37.2
    image registry.k8s.io/kube-scheduler:v1.37.2
    image registry.k8s.io/kube-proxy:v1.37.2
    image registry.k8s.io/coredns/coredns:v1.14.6
    image klusterkit.dev/keepalived:2.2.7
    image ghcr.io/flannel-io/flannel-cni-plugin:v1
    image ghcr.io/flannel-io/flannel:v0.28.10
    ");
    assert_eq!(made.changed, [] as [&str; 0]);
    VersionsFile::read(&dir.path().join("versions.yaml"))
        .unwrap()
        .write_pins(&made.pins)
        .unwrap();
    let first = std::fs::read(dir.path().join("bundle.tar")).unwrap();
    let again = make(dir.path(), &how).unwrap();
    assert_eq!(
        again.pins,
        VersionsFile::read(&dir.path().join("versions.yaml"))
            .unwrap()
            .pins
    );
    assert_eq!(std::fs::read(dir.path().join("bundle.tar")).unwrap(), first);
    let left = listing(dir.path())
        .into_iter()
        .filter(|line| line.contains("partial"))
        .count();
    assert_eq!(left, 0, "the working folder is gone");
    let layout = Layout::open(&dir.path().join("bundle.tar")).unwrap();
    let verified = bundle::verify::verify(&layout, &mut quiet()).unwrap();
    assert_eq!(
        (verified.entries, verified.bytes),
        (made.entries.len(), made.bytes)
    );

    // Upstream changes under our feet: the pin catches what the published checksum would let pass.
    let address = "dl.k8s.io/release/v1.37.2/bin/linux/amd64/kubelet";
    let kubelet = dir.path().join("upstream").join(address);
    std::fs::write(&kubelet, "evil").unwrap();
    std::fs::write(
        kubelet.with_extension("sha256"),
        Digest::of(b"evil").to_string(),
    )
    .unwrap();
    let error = make(dir.path(), &how).unwrap_err();
    assert!(
        chain(&error).contains("has the digest"),
        "{}",
        chain(&error)
    );
    assert_eq!(
        std::fs::read(dir.path().join("bundle.tar")).unwrap(),
        first,
        "the old bundle is untouched"
    );
    let made = make(dir.path(), &updating).unwrap();
    assert_eq!(made.changed, [address]);

    // A damaged mirror is caught without pins.
    std::fs::write(&kubelet, "damaged").unwrap();
    let error = make(dir.path(), &updating).unwrap_err();
    assert!(
        chain(&error).contains("has the digest"),
        "{}",
        chain(&error)
    );
}

#[test]
fn what_is_missing_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let how = Create {
        trust_upstream: true,
        ..upstream(dir.path())
    };
    std::fs::remove_file(dir.path().join("dist/nodeadm")).unwrap();
    let error = make(dir.path(), &how).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("dist/nodeadm does not exist: the node tools for amd64 are wanted there"),
        "{error}"
    );
    std::fs::write(dir.path().join("dist/nodeadm"), program("nodeadm", 0xb7)).unwrap();
    let error = make(dir.path(), &how).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("dist/nodeadm is no program for amd64"),
        "{error}"
    );
    let text = VERSIONS.replace("nodeTools: {amd64: dist}\n", "");
    std::fs::write(dir.path().join("versions.yaml"), text).unwrap();
    let error = make(dir.path(), &how).unwrap_err();
    insta::assert_snapshot!(error, @"no folder is known that has the node tools for amd64");
    let text = VERSIONS.replace("keepalived:2.2.7", "keepalived:3");
    std::fs::write(dir.path().join("versions.yaml"), text).unwrap();
    std::fs::write(dir.path().join("dist/nodeadm"), program("nodeadm", 0x3e)).unwrap();
    let error = make(dir.path(), &how).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("has no image klusterkit.dev/keepalived:3 for amd64"),
        "{error}"
    );
    assert!(!dir.path().join("bundle.tar").exists());
}
