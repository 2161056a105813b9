//! What a layout holds, in this project's words: components and images.
//!
//! A layout's `index.json` is followed to its manifests, each checked by size and digest before it is parsed.
//! Image indexes inside are followed too, so that layouts of other programs' making are understood; what they hold
//! for no platform (attestations) is left out. Blobs themselves are not looked at here.
//!
//! Entry point: [`entries`] over anything that gives [`Documents`].

use std::collections::BTreeSet;

use host::Digest;
use serde::Serialize;

use crate::oci::{self, Descriptor, Index, MAX_DOCUMENT, Manifest, Platform};

/// Most index entries that are followed.
const MAX_ENTRIES: usize = 4096;
/// How deep image indexes may be nested.
const MAX_DEPTH: usize = 3;

/// Architecture of a component that fits every machine, as a Kubernetes manifest does.
pub const ANY_ARCH: &str = "any";

/// Gives documents by descriptor.
pub trait Documents {
    /// What reading can fail with.
    type Error: From<ContentsError>;

    /// The document's bytes, checked against size and digest.
    ///
    /// # Errors
    /// When it is not there, or is not what the descriptor says.
    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Self::Error>;
}

/// A document that makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum ContentsError {
    /// A manifest or index is no JSON, or not of the expected form.
    #[error("{what} sha256:{digest} is malformed")]
    Malformed {
        /// `manifest` or `index`.
        what: &'static str,
        /// Its digest.
        digest: Digest,
        /// The cause.
        source: serde_json::Error,
    },
    /// A manifest or index beyond [`MAX_DOCUMENT`].
    #[error(
        "document sha256:{digest} is too large: {size} bytes, at most {MAX_DOCUMENT} are accepted"
    )]
    TooLarge {
        /// Its digest.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
    },
    /// Too many entries, or indexes nested too deeply.
    #[error("the layout's index is too large or nested too deeply")]
    TooMany,
    /// A component without name or version, or with a file without a name, or with one that is no plain name.
    #[error("component sha256:{digest} lacks or has a bad {what}")]
    BadComponent {
        /// Digest of its manifest.
        digest: Digest,
        /// What is missing or bad.
        what: &'static str,
    },
}

/// A component: upstream's files, as upstream publishes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Component {
    /// `etcd`, `kubernetes`, `containerd`, …
    pub name: String,
    /// Its version, as upstream writes it.
    pub version: String,
    /// What it runs on; [`ANY_ARCH`] where that does not matter.
    pub platform: Platform,
    /// Its files.
    pub files: Vec<ComponentFile>,
    /// Its manifest.
    pub manifest: Descriptor,
    /// The (empty) configuration of its manifest.
    pub config: Descriptor,
}

/// One file of a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComponentFile {
    /// Its file name.
    pub name: String,
    /// Its content.
    pub blob: Descriptor,
}

/// A container image for one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Image {
    /// Its full reference, as `registry.k8s.io/pause:3.10.2`.
    pub reference: String,
    /// What it runs on, where the index says so.
    pub platform: Option<Platform>,
    /// Its manifest.
    pub manifest: Descriptor,
    /// Its configuration.
    pub config: Descriptor,
    /// Its layers, the lowest first.
    pub layers: Vec<Descriptor>,
}

/// One entry of a layout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// A component.
    Component(Component),
    /// An image.
    Image(Image),
}

impl Component {
    /// The file named `name`.
    pub fn file(&self, name: &str) -> Option<&ComponentFile> {
        self.files.iter().find(|file| file.name == name)
    }

    /// Whether it is what is asked for. Versions are compared without a leading `v`; the architecture [`ANY_ARCH`]
    /// fits all.
    pub fn is(&self, name: &str, version: &str, arch: &str) -> bool {
        let own = &self.platform.architecture;
        self.name == name
            && plain_version(&self.version) == plain_version(version)
            && (own == arch || own == ANY_ARCH)
    }
}

impl Image {
    /// Whether it is `reference` for `arch`; an image that names no platform fits any.
    pub fn is(&self, reference: &str, arch: &str) -> bool {
        self.reference == reference
            && self
                .platform
                .as_ref()
                .is_none_or(|p| p.architecture == arch && p.os == "linux")
    }
}

impl Entry {
    /// The descriptor that stands for it in an index, annotated and with its platform.
    pub fn index_descriptor(&self) -> Descriptor {
        match self {
            Entry::Component(component) => {
                let mut descriptor = Descriptor::new(
                    oci::MANIFEST,
                    component.manifest.digest,
                    component.manifest.size,
                );
                descriptor.artifact_type = Some(oci::COMPONENT.into());
                descriptor.platform = Some(component.platform.clone());
                descriptor.annotations =
                    component_annotations(&component.name, &component.version, &component.platform);
                descriptor
            }
            Entry::Image(image) => {
                let media_type = &image.manifest.media_type;
                let mut descriptor =
                    Descriptor::new(media_type, image.manifest.digest, image.manifest.size);
                descriptor.platform.clone_from(&image.platform);
                descriptor
                    .annotations
                    .insert(oci::REF_NAME.into(), image.reference.clone());
                descriptor
                    .annotations
                    .insert(oci::IMAGE_NAME.into(), image.reference.clone());
                descriptor
            }
        }
    }

    /// Its manifest.
    pub fn manifest(&self) -> &Descriptor {
        match self {
            Entry::Component(component) => &component.manifest,
            Entry::Image(image) => &image.manifest,
        }
    }

    /// All its blobs: manifest, configuration, layers or files.
    pub fn blobs(&self) -> Vec<&Descriptor> {
        match self {
            Entry::Component(c) => [&c.manifest, &c.config]
                .into_iter()
                .chain(c.files.iter().map(|file| &file.blob))
                .collect(),
            Entry::Image(i) => [&i.manifest, &i.config]
                .into_iter()
                .chain(&i.layers)
                .collect(),
        }
    }

    /// In words, for messages: `component etcd v3.7.3 (amd64)`, `image registry.k8s.io/pause:3.10.2`.
    pub fn describe(&self) -> String {
        match self {
            Entry::Component(c) => format!(
                "component {} {} ({})",
                c.name, c.version, c.platform.architecture
            ),
            Entry::Image(i) => format!("image {}", i.reference),
        }
    }

    /// What makes two entries the same thing: a newer one replaces the older.
    pub(crate) fn key(&self) -> (u8, String, String, String) {
        match self {
            Entry::Component(c) => (
                0,
                c.name.clone(),
                plain_version(&c.version).to_owned(),
                c.platform.architecture.clone(),
            ),
            Entry::Image(i) => {
                let arch = i
                    .platform
                    .as_ref()
                    .map(|p| p.architecture.clone())
                    .unwrap_or_default();
                (1, i.reference.clone(), String::new(), arch)
            }
        }
    }
}

pub(crate) fn plain_version(version: &str) -> &str {
    version.strip_prefix('v').unwrap_or(version)
}

pub(crate) fn component_annotations(
    name: &str,
    version: &str,
    platform: &Platform,
) -> oci::Annotations {
    [
        (oci::COMPONENT_NAME, name),
        (oci::COMPONENT_VERSION, version),
        (oci::COMPONENT_OS, &platform.os),
        (oci::COMPONENT_ARCH, &platform.architecture),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

/// All components and images of `index`, in its order. Artifacts of other kinds are left out.
///
/// # Errors
/// When a manifest is missing, not what its descriptor says, or malformed.
pub fn entries<D: Documents + ?Sized>(
    index: &Index,
    documents: &D,
) -> Result<Vec<Entry>, D::Error> {
    let mut found = Vec::new();
    follow(index, documents, None, 0, &mut found)?;
    Ok(found)
}

fn follow<D: Documents + ?Sized>(
    index: &Index,
    documents: &D,
    reference: Option<&str>,
    depth: usize,
    found: &mut Vec<Entry>,
) -> Result<(), D::Error> {
    if depth >= MAX_DEPTH || found.len() + index.manifests.len() > MAX_ENTRIES {
        return Err(ContentsError::TooMany.into());
    }
    for descriptor in &index.manifests {
        let own = descriptor
            .annotations
            .get(oci::IMAGE_NAME)
            .or_else(|| descriptor.annotations.get(oci::REF_NAME));
        let reference = own.map(String::as_str).or(reference);
        if descriptor.is_index() {
            let inner = parse::<Index>(
                documents.document(descriptor)?.as_slice(),
                descriptor,
                "index",
            )?;
            follow(&inner, documents, reference, depth + 1, found)?;
        } else if descriptor.is_manifest() {
            if descriptor
                .platform
                .as_ref()
                .is_some_and(|p| p.os == "unknown")
            {
                continue;
            }
            let bytes = documents.document(descriptor)?;
            found.extend(entry(descriptor, &bytes, reference)?);
        }
    }
    Ok(())
}

/// What an index or a manifest names: the next level down. Other descriptors name nothing.
pub(crate) fn children<D: Documents + ?Sized>(
    descriptor: &Descriptor,
    documents: &D,
    depth: usize,
) -> Result<Vec<Descriptor>, D::Error> {
    if depth > MAX_DEPTH {
        return Err(ContentsError::TooMany.into());
    }
    if descriptor.is_index() {
        return Ok(
            parse::<Index>(&documents.document(descriptor)?, descriptor, "index")?.manifests,
        );
    }
    if descriptor.is_manifest() {
        let manifest: Manifest = parse(&documents.document(descriptor)?, descriptor, "manifest")?;
        return Ok(std::iter::once(manifest.config)
            .chain(manifest.layers)
            .collect());
    }
    Ok(Vec::new())
}

pub(crate) fn parse<T: serde::de::DeserializeOwned>(
    bytes: &[u8],
    descriptor: &Descriptor,
    what: &'static str,
) -> Result<T, ContentsError> {
    serde_json::from_slice(bytes).map_err(|source| ContentsError::Malformed {
        what,
        digest: descriptor.digest,
        source,
    })
}

/// What a manifest's bytes describe; `None` for an artifact of another kind and for an image without a reference.
pub(crate) fn entry(
    descriptor: &Descriptor,
    bytes: &[u8],
    reference: Option<&str>,
) -> Result<Option<Entry>, ContentsError> {
    let manifest: Manifest = parse(bytes, descriptor, "manifest")?;
    match manifest.artifact_type.as_deref() {
        Some(oci::COMPONENT) => component(descriptor, manifest).map(|c| Some(Entry::Component(c))),
        Some(_) => Ok(None),
        None => Ok(reference.map(|reference| {
            Entry::Image(Image {
                reference: reference.to_owned(),
                platform: descriptor.platform.clone(),
                manifest: Descriptor::new(
                    &descriptor.media_type,
                    descriptor.digest,
                    descriptor.size,
                ),
                config: manifest.config,
                layers: manifest.layers,
            })
        })),
    }
}

fn component(descriptor: &Descriptor, manifest: Manifest) -> Result<Component, ContentsError> {
    let digest = descriptor.digest;
    let bad = |what| ContentsError::BadComponent { digest, what };
    let text = |key, what| match manifest.annotations.get(key) {
        Some(value) if is_plain_name(value) => Ok(value.clone()),
        _ => Err(bad(what)),
    };
    let platform = Platform {
        os: text(oci::COMPONENT_OS, "operating system")?,
        architecture: text(oci::COMPONENT_ARCH, "architecture")?,
        variant: None,
    };
    let (name, version) = (
        text(oci::COMPONENT_NAME, "name")?,
        text(oci::COMPONENT_VERSION, "version")?,
    );
    let mut names = BTreeSet::new();
    let mut files = Vec::new();
    for blob in manifest.layers {
        let name = blob
            .annotations
            .get(oci::TITLE)
            .filter(|name| is_plain_name(name))
            .ok_or(bad("file name"))?
            .clone();
        if !names.insert(name.clone()) {
            return Err(bad("file name (it is there twice)"));
        }
        files.push(ComponentFile { name, blob });
    }
    let manifest_descriptor = Descriptor::new(&descriptor.media_type, digest, descriptor.size);
    Ok(Component {
        name,
        version,
        platform,
        files,
        manifest: manifest_descriptor,
        config: manifest.config,
    })
}

/// Whether `name` may be shown, compared and used as one path component.
pub(crate) fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 200
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b))
}
