//! What is in a layout, as data to be shown.
//!
//! Manifests are read and checked; blobs are not. Entry point: [`inspect`].

use std::collections::BTreeMap;

use host::Digest;
use serde::Serialize;

use crate::contents::Entry;
use crate::layout::{Layout, LayoutError};

/// What is in a layout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// Its components.
    pub components: Vec<ComponentSummary>,
    /// Its images.
    pub images: Vec<ImageSummary>,
    /// Its blobs, each counted once.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// A component in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComponentSummary {
    /// As `etcd`.
    pub name: String,
    /// As `v3.7.3`.
    pub version: String,
    /// As `amd64`.
    pub architecture: String,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Bytes of its files.
    pub bytes: u64,
    /// Its files.
    pub files: Vec<FileSummary>,
}

/// A file of a component in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileSummary {
    /// Its name.
    pub name: String,
    /// Digest of its content.
    pub digest: Digest,
    /// Its size in bytes.
    pub bytes: u64,
}

/// An image in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageSummary {
    /// As `registry.k8s.io/pause:3.10.2`.
    pub reference: String,
    /// As `amd64`; nothing where the index does not say.
    pub architecture: Option<String>,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Bytes of its layers.
    pub bytes: u64,
}

/// Lists what is in `layout`.
///
/// # Errors
/// When a manifest is missing, damaged or malformed.
pub fn inspect(layout: &Layout) -> Result<Inspection, LayoutError> {
    let mut inspection = Inspection {
        components: Vec::new(),
        images: Vec::new(),
        blobs: 0,
        bytes: 0,
    };
    let mut blobs = BTreeMap::new();
    for entry in layout.entries()? {
        blobs.extend(
            entry
                .blobs()
                .into_iter()
                .map(|blob| (blob.digest, blob.size)),
        );
        match entry {
            Entry::Component(component) => inspection.components.push(ComponentSummary {
                digest: component.manifest.digest,
                bytes: component.files.iter().map(|file| file.blob.size).sum(),
                files: component
                    .files
                    .into_iter()
                    .map(|file| FileSummary {
                        name: file.name,
                        digest: file.blob.digest,
                        bytes: file.blob.size,
                    })
                    .collect(),
                name: component.name,
                version: component.version,
                architecture: component.platform.architecture,
            }),
            Entry::Image(image) => inspection.images.push(ImageSummary {
                digest: image.manifest.digest,
                bytes: image.layers.iter().map(|layer| layer.size).sum(),
                reference: image.reference,
                architecture: image.platform.map(|platform| platform.architecture),
            }),
        }
    }
    inspection.blobs = blobs.len();
    inspection.bytes = blobs.values().sum();
    Ok(inspection)
}
