//! A small bundle with one component and two images that share a layer.

use std::io::Write;
use std::path::{Path, PathBuf};

use bundle::oci::{Execution, Platform};
use bundle::{ComponentSpec, Draft, ImageSpec, LayerBuilder, LayerSource, Progress};
use flate2::Compression;
use flate2::write::GzEncoder;

pub(crate) fn quiet() -> impl FnMut(Progress<'_>) {
    |_| {}
}

/// etcd's release tarball in small: three programs below one top folder, and a file that nobody installs.
pub(crate) fn etcd_tarball(path: &Path, version: &str) {
    let top = format!("etcd-v{version}-linux-amd64");
    let gz = GzEncoder::new(std::fs::File::create(path).unwrap(), Compression::fast());
    let mut layer = LayerBuilder::new(gz);
    layer.folder(&top, 0o755).unwrap();
    for program in ["etcd", "etcdctl", "etcdutl"] {
        let content = format!("{program} {version}\n").repeat(5000);
        layer
            .bytes(&format!("{top}/{program}"), 0o755, content.as_bytes())
            .unwrap();
    }
    layer
        .bytes(&format!("{top}/README.md"), 0o644, b"read me")
        .unwrap();
    layer.finish().unwrap().finish().unwrap();
}

pub(crate) fn plain_layer(name: &str, content: &[u8]) -> Vec<u8> {
    let mut layer = LayerBuilder::new(Vec::new());
    layer.folder("bin", 0o755).unwrap();
    layer.bytes(name, 0o755, content).unwrap();
    layer.link("sh", "bin/tool").unwrap();
    layer.finish().unwrap()
}

pub(crate) fn image(reference: &str, layers: Vec<LayerSource>) -> ImageSpec {
    ImageSpec {
        reference: reference.into(),
        platform: Platform::linux("amd64"),
        config: Execution {
            entrypoint: vec!["/bin/tool".into()],
            ..Execution::default()
        },
        layers,
    }
}

/// Collects the small bundle; its files lie in `dir`.
pub(crate) fn draft(dir: &Path) -> Draft {
    let tarball = dir.join("etcd-v3.7.3-linux-amd64.tar.gz");
    etcd_tarball(&tarball, "3.7.3");
    let gz = dir.join("layer.tar.gz");
    let mut encoder = GzEncoder::new(std::fs::File::create(&gz).unwrap(), Compression::fast());
    encoder
        .write_all(&plain_layer("bin/tool", &[7; 70_000]))
        .unwrap();
    encoder.finish().unwrap();

    let mut draft = Draft::new();
    let pause = plain_layer("bin/pause", b"pause");
    draft
        .add_image(&image(
            "registry.k8s.io/pause:3.10.2",
            vec![LayerSource::Bytes(pause.clone())],
        ))
        .unwrap();
    let layers = vec![LayerSource::Bytes(pause), LayerSource::TarGz(gz)];
    draft
        .add_image(&image("registry.k8s.io/coredns/coredns:v1.14.6", layers))
        .unwrap();
    draft
        .add_component(&ComponentSpec {
            name: "etcd".into(),
            version: "v3.7.3".into(),
            platform: Platform::linux("amd64"),
            files: vec![("etcd-v3.7.3-linux-amd64.tar.gz".into(), tarball)],
        })
        .unwrap();
    draft
}

/// The small bundle as a tar in memory.
pub(crate) fn archive(dir: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    draft(dir).write_to(&mut bytes, &mut quiet()).unwrap();
    bytes
}

/// All below `dir`, sorted, with sizes: what is left behind.
pub(crate) fn listing(dir: &Path) -> Vec<String> {
    fn walk(dir: &Path, top: &Path, found: &mut Vec<String>) {
        let mut items: Vec<PathBuf> = std::fs::read_dir(dir)
            .unwrap()
            .map(|item| item.unwrap().path())
            .collect();
        items.sort();
        for path in items {
            let name = path.strip_prefix(top).unwrap().display().to_string();
            if path.is_dir() {
                found.push(format!("{name}/"));
                walk(&path, top, found);
            } else {
                found.push(format!("{name} {}", path.symlink_metadata().unwrap().len()));
            }
        }
    }
    let mut found = Vec::new();
    if dir.exists() {
        walk(dir, dir, &mut found);
    }
    found
}

/// An error with all its causes, as a command line would print it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text += &format!(": {cause}");
        next = cause.source();
    }
    text
}
