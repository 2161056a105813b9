//! The documents of an OCI image layout, as far as a bundle needs them.
//!
//! They follow the OCI image specification 1.1. Only SHA-256 digests are accepted, written as `sha256:` and 64
//! lower-case digits. Unknown fields are ignored when read, which is why a foreign document is copied by its bytes and
//! never written anew. Parsing is bounded by [`MAX_DOCUMENT`]; whoever reads from outside checks a digest first.

use std::collections::BTreeMap;

use host::Digest;
use serde::{Deserialize, Deserializer, Serialize};

/// Largest index, manifest or image configuration that is read: 4 MiB, the bound that registries use.
pub const MAX_DOCUMENT: u64 = 4 << 20;

/// Media type of an image index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type of an image or artifact manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an image's configuration.
pub const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Media type of a layer: a plain tar.
pub const LAYER_TAR: &str = "application/vnd.oci.image.layer.v1.tar";
/// Media type of a layer: a tar compressed with gzip.
pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// Media type of a file that is kept as upstream publishes it.
pub const FILE: &str = "application/octet-stream";
/// Media type of the empty configuration that artifacts have.
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// Docker's manifest, as many registries still give it.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Artifact type of a component of Klusterkit's.
pub const COMPONENT: &str = "application/vnd.klusterkit.bundle.v1";

/// Annotation: the file name of a component's layer.
pub const TITLE: &str = "org.opencontainers.image.title";
/// Annotation: an image's reference within a layout.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Annotation: the full reference under which containerd stores an image.
pub const IMAGE_NAME: &str = "io.containerd.image.name";
/// Annotation: a component's name.
pub const COMPONENT_NAME: &str = "dev.klusterkit.component.name";
/// Annotation: a component's version.
pub const COMPONENT_VERSION: &str = "dev.klusterkit.component.version";
/// Annotation: a component's operating system.
pub const COMPONENT_OS: &str = "dev.klusterkit.component.os";
/// Annotation: a component's architecture.
pub const COMPONENT_ARCH: &str = "dev.klusterkit.component.arch";

/// Annotations; sorted, so that the same content gives the same bytes.
pub type Annotations = BTreeMap<String, String>;

/// Where an image or a component runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    /// Architecture in Go's words: `amd64`, `arm64`.
    pub architecture: String,
    /// Operating system: `linux`.
    pub os: String,
    /// Variant of the architecture, as `v8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// Linux on `architecture`.
    pub fn linux(architecture: impl Into<String>) -> Self {
        Platform {
            architecture: architecture.into(),
            os: "linux".into(),
            variant: None,
        }
    }
}

/// Names one blob, and says what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// Its digest.
    #[serde(deserialize_with = "strict_digest")]
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Notes about it.
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
    /// What it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The type of an artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

impl Descriptor {
    /// Describes `bytes`.
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Descriptor::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }

    /// Describes a blob.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Descriptor {
            media_type: media_type.to_owned(),
            digest,
            size,
            annotations: Annotations::new(),
            platform: None,
            artifact_type: None,
        }
    }

    /// Whether it names an index of further manifests.
    pub fn is_index(&self) -> bool {
        self.media_type == INDEX || self.media_type == DOCKER_LIST
    }

    /// Whether it names an image or artifact manifest.
    pub fn is_manifest(&self) -> bool {
        self.media_type == MANIFEST || self.media_type == DOCKER_MANIFEST
    }
}

/// Keeps two spellings of one digest from being two blobs.
fn strict_digest<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
    let text = String::deserialize(deserializer)?;
    let digest: Digest = text.parse().map_err(serde::de::Error::custom)?;
    if digest.to_oci() != text {
        return Err(serde::de::Error::custom(
            "a digest is written sha256:, then 64 lower-case digits",
        ));
    }
    Ok(digest)
}

/// A layout's `index.json`, or an image index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// [`INDEX`]; older writers leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What the index lists.
    pub manifests: Vec<Descriptor>,
    /// Notes about the whole.
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
}

impl Default for Index {
    fn default() -> Self {
        Index {
            schema_version: 2,
            media_type: Some(INDEX.into()),
            manifests: Vec::new(),
            annotations: Annotations::new(),
        }
    }
}

/// An image's or an artifact's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// [`MANIFEST`] or [`DOCKER_MANIFEST`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What an artifact is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The configuration.
    pub config: Descriptor,
    /// Layers of an image, or files of an artifact.
    #[serde(default)]
    pub layers: Vec<Descriptor>,
    /// Notes.
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
}

/// An image's configuration, as it is written for images of Klusterkit's own making. It holds no time of creation:
/// the same content gives the same image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// Architecture.
    pub architecture: String,
    /// Operating system.
    pub os: String,
    /// How a container of it runs.
    #[serde(default)]
    pub config: Execution,
    /// The layers, uncompressed.
    pub rootfs: RootFs,
}

/// How a container of an image runs, unless told otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Execution {
    /// User or `uid:gid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// `NAME=value` each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The program and its first arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// Further arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// Where it starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Labels.
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    pub labels: Annotations,
}

/// The layers of an image by the digests of their plain tars.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// From the lowest layer to the topmost.
    pub diff_ids: Vec<Digest>,
}

/// What the file `oci-layout` holds.
pub const LAYOUT_MARKER: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Whether `bytes` mark a layout of a version that is understood: 1.x.
pub fn is_layout_marker(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Marker {
        image_layout_version: String,
    }
    serde_json::from_slice::<Marker>(bytes)
        .is_ok_and(|marker| marker.image_layout_version.starts_with("1."))
}

/// A document as canonical bytes: no spaces, fields in their declared order, maps sorted.
pub(crate) fn to_bytes<T: Serialize>(document: &T) -> Vec<u8> {
    serde_json::to_vec(document)
        .expect("strings, numbers and maps with string keys always serialise")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_take_one_spelling_of_a_digest() {
        let hex = Digest::of(b"x").to_string();
        let json = |digest: &str| format!(r#"{{"mediaType":"a","digest":"{digest}","size":1}}"#);
        serde_json::from_str::<Descriptor>(&json(&format!("sha256:{hex}"))).unwrap();
        for bad in [
            hex.clone(),
            format!("sha256:{}", hex.to_uppercase()),
            "sha512:00".into(),
            "../../etc".into(),
        ] {
            assert!(
                serde_json::from_str::<Descriptor>(&json(&bad)).is_err(),
                "{bad}"
            );
        }
        assert!(
            serde_json::from_str::<Descriptor>(
                &json(&format!("sha256:{hex}")).replace(":1}", ":-1}")
            )
            .is_err()
        );
    }

    #[test]
    fn the_marker_is_what_the_specification_says() {
        assert!(is_layout_marker(LAYOUT_MARKER));
        assert!(!is_layout_marker(br#"{"imageLayoutVersion":"2.0.0"}"#));
        assert!(!is_layout_marker(b"{}"));
    }
}
