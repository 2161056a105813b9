//! An upstream in small: release files of a few bytes with their published checksums, and images.

use std::path::Path;

use bundle::oci::{Execution, Platform};
use bundle::versions::VersionsFile;
use bundle::{Draft, ImageSpec, LayerBuilder, LayerSource};
use host::Digest;

/// A file of versions for it.
pub(crate) const VERSIONS: &str = "\
# What our clusters run.
apiVersion: klusterkit.dev/v1alpha1
kind: BundleConfiguration
kubernetes: {version: v1.37.2}   # the newest
vip: {image: klusterkit.dev/keepalived:2.2.7}
nodeTools: {amd64: dist}
";

/// The address of the kubelet.
pub(crate) const KUBELET: &str = "dl.k8s.io/release/v1.37.2/bin/linux/amd64/kubelet";
/// The image that flannel's manifest names.
pub(crate) const FLANNEL: &str = "ghcr.io/flannel-io/flannel:v0.28.10";

/// Makes `upstream/`, `images.tar` and the node tools in `dist/`, all below `dir`.
pub(crate) fn lay_out(dir: &Path) {
    let put = |path: &str, content: &[u8]| {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    for tool in ["etcdadm", "nodeadm"] {
        let mut program = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0".to_vec();
        program.extend(tool.as_bytes());
        put(&format!("dist/{tool}"), &program);
    }
    let versions = VersionsFile::parse(Path::new("/v"), VERSIONS.to_owned()).unwrap();
    for component in versions.configuration.upstream_components("amd64") {
        for file in component.files {
            let content = match file.name.as_str() {
                "kube-flannel.yml" => format!("spec: {{containers: [{{image: {FLANNEL}}}]}}\n"),
                name => name.repeat(20_000),
            };
            put(&format!("upstream/{}", file.address), content.as_bytes());
            if let Some(checksum) = file.checksum {
                let line = format!("{}  {}\n", Digest::of(content.as_bytes()), file.name);
                put(&format!("upstream/{checksum}"), line.as_bytes());
            }
        }
    }
    let mut images = Draft::new();
    let mut names = versions.configuration.known_images().unwrap();
    names.push(FLANNEL.to_owned());
    for reference in names {
        let mut layer = LayerBuilder::new(Vec::new());
        layer.bytes("program", 0o755, reference.as_bytes()).unwrap();
        images
            .add_image(&ImageSpec {
                reference,
                platform: Platform::linux("amd64"),
                config: Execution::default(),
                layers: vec![LayerSource::Bytes(layer.finish().unwrap())],
            })
            .unwrap();
    }
    images
        .write_archive(&dir.join("images.tar"), &mut |_| {})
        .unwrap();
}
