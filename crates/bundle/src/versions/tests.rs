//! What the admin writes, and what is written behind it.

use super::*;

const SMALL: &str = "\
# Ours.
apiVersion: klusterkit.dev/v1alpha1
kind: BundleConfiguration
kubernetes: {version: v1.37.2}   # the newest
";

fn parse(text: &str) -> Result<VersionsFile, VersionsError> {
    VersionsFile::parse(Path::new("/versions.yaml"), text.to_owned())
}

#[test]
fn a_small_file_has_defaults_for_the_rest() {
    let file = parse(SMALL).unwrap();
    assert_eq!(
        file.configuration,
        BundleConfiguration::of(Version::new(1, 37, 2))
    );
    insta::assert_snapshot!(file.configuration.known_images().unwrap().join("\n"), @r"
        registry.k8s.io/pause:3.10.2
        registry.k8s.io/kube-apiserver:v1.37.2
        registry.k8s.io/kube-controller-manager:v1.37.2
        registry.k8s.io/kube-scheduler:v1.37.2
        registry.k8s.io/kube-proxy:v1.37.2
        registry.k8s.io/coredns/coredns:v1.14.6
        ");
    let files: Vec<String> = file
        .configuration
        .upstream_components("arm64")
        .iter()
        .flat_map(|component| &component.files)
        .map(|file| {
            format!(
                "{} {}",
                file.address,
                file.checksum.as_deref().unwrap_or("-")
            )
        })
        .collect();
    insta::assert_snapshot!(files.join("\n"), @r"
        github.com/etcd-io/etcd/releases/download/v3.7.3/etcd-v3.7.3-linux-arm64.tar.gz github.com/etcd-io/etcd/releases/download/v3.7.3/SHA256SUMS
        dl.k8s.io/release/v1.37.2/bin/linux/arm64/kubeadm dl.k8s.io/release/v1.37.2/bin/linux/arm64/kubeadm.sha256
        dl.k8s.io/release/v1.37.2/bin/linux/arm64/kubelet dl.k8s.io/release/v1.37.2/bin/linux/arm64/kubelet.sha256
        dl.k8s.io/release/v1.37.2/bin/linux/arm64/kubectl dl.k8s.io/release/v1.37.2/bin/linux/arm64/kubectl.sha256
        github.com/containerd/containerd/releases/download/v2.4.2/containerd-2.4.2-linux-arm64.tar.gz github.com/containerd/containerd/releases/download/v2.4.2/containerd-2.4.2-linux-arm64.tar.gz.sha256sum
        github.com/opencontainers/runc/releases/download/v1.5.2/runc.arm64 github.com/opencontainers/runc/releases/download/v1.5.2/runc.sha256sum
        github.com/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-arm64-v1.9.1.tgz github.com/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-arm64-v1.9.1.tgz.sha256
        github.com/flannel-io/flannel/releases/download/v0.28.10/kube-flannel.yml -
        ");
}

#[test]
fn pins_are_written_behind_the_admins_part_and_nothing_else_changes() {
    let file = parse(SMALL).unwrap();
    let mut pins = Pins::default();
    pins.files.insert(
        "dl.k8s.io/release/v1.37.2/bin/linux/amd64/kubelet".into(),
        Digest::of(b"kubelet"),
    );
    let once = file.with_pins(&pins).unwrap();
    assert!(once.starts_with(SMALL), "{once}");
    pins.images.insert(
        Pins::image_key("registry.k8s.io/pause:3.10.2", "amd64"),
        Digest::of(b"pause"),
    );
    let twice = parse(&once).unwrap().with_pins(&pins).unwrap();
    insta::assert_snapshot!(twice, @r#"
        # Ours.
        apiVersion: klusterkit.dev/v1alpha1
        kind: BundleConfiguration
        kubernetes: {version: v1.37.2}   # the newest
        ---
        # Digests of what was fetched, written by `cctl bundle create --update-pins`.
        apiVersion: klusterkit.dev/v1alpha1
        kind: BundlePins
        files:
          dl.k8s.io/release/v1.37.2/bin/linux/amd64/kubelet: "sha256:1ca4bc7eb9b3d6f1e205da9cfab437c89d3760d0765a29a6bcbccf4ad51a2cb1"
        images:
          "registry.k8s.io/pause:3.10.2 linux/amd64": "sha256:6210c0bf05396716df932f0729df69de0533933e5ad9871fd07b61811c4c28df"
        "#);
    assert_eq!(parse(&twice).unwrap().pins.images, pins.images);
    let error = parse(&once.replace(PINS_HEADER, ""))
        .unwrap()
        .with_pins(&pins)
        .unwrap_err();
    assert!(error.to_string().contains("was moved"), "{error}");
    let moved = format!("{}---\n{SMALL}", &once[SMALL.len()..]);
    let error = parse(&moved).unwrap().with_pins(&pins).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("no document of `kind: BundleConfiguration`"),
        "{error}"
    );
}

#[test]
fn the_example_says_what_would_be_taken() {
    for version in [Version::new(1, 37, 2), Version::new(1, 36, 3)] {
        let text = BundleConfiguration::example(version);
        let file = parse(&text).unwrap();
        assert_eq!(file.configuration, BundleConfiguration::of(version));
        // What stands behind the marks is good, too.
        let mut all = String::new();
        for line in text.lines() {
            let said = line.strip_prefix("# ").unwrap_or(line);
            let field = said.split_once(": ").is_some_and(|(name, _)| {
                !name.contains(' ') && name.starts_with(char::is_lowercase)
            });
            all.push_str(if field { said } else { line });
            all.push('\n');
        }
        let file = parse(&all).unwrap();
        assert_eq!(
            file.configuration.vip.unwrap().from.unwrap(),
            Path::new("keepalived.tar")
        );
        assert_eq!(file.configuration.without, ["flannel"]);
        let (coredns, pause) = kubeadm_defaults(version).unwrap();
        assert_eq!(file.configuration.coredns.unwrap().version, coredns);
        assert_eq!(file.configuration.pause.unwrap().version, pause);
    }
}

#[test]
fn mistakes_are_named() {
    let error = |text: &str| {
        let error = parse(text).unwrap_err();
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        format!("{error}{}", cause.unwrap_or_default())
    };
    insta::assert_snapshot!(error(&SMALL.replace("kubernetes:", "kubernets:")), @"/versions.yaml cannot be understood: unknown field `kubernets`, did you mean `kubernetes`? (line 4, column 1)");
    insta::assert_snapshot!(error(&SMALL.replace("BundleConfiguration", "Pod")), @"/versions.yaml: a document of `klusterkit.dev/v1alpha1`, `kind: Pod` does not belong into a file of versions");
    insta::assert_snapshot!(error(&format!("{SMALL}---\n{SMALL}")), @"/versions.yaml: there are two documents of `kind: BundleConfiguration`");
    insta::assert_snapshot!(error(""), @"/versions.yaml: there is no document of `kind: BundleConfiguration`");
    let file = parse(&SMALL.replace("1.37.2", "1.30.0")).unwrap();
    insta::assert_snapshot!(file.configuration.known_images().unwrap_err(), @"v1.30.0: CoreDNS and pause are known for Kubernetes 1.34 to 1.37 only; say `coredns` and `pause`");
}
