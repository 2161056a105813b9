//! A layout to be written: what goes into it is collected, then written as a folder, a tar file or a stream.
//!
//! Collecting reads every file once, for its digest; writing reads it again and refuses one that has changed meanwhile.
//! Nothing is held in memory but manifests and configurations. The same content gives the same bytes, whatever order it
//! was collected in: entries and blobs are sorted, and there are no times and no owners.
//!
//! What is made appears whole or not at all: it is written beside its place and renamed.
//! Entry point: [`Draft::new`], then `add_…`, then `write_…`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use host::{Digest, Pending};

use crate::contents::{self, Entry, is_plain_name};
use crate::layout::{Layout, LayoutError};
use crate::member::blob_name;
use crate::oci::{
    self, Annotations, Descriptor, Execution, ImageConfig, Index, Manifest, Platform, RootFs,
};
use crate::stream::{self, Blobs, SendError};
use crate::verifying_reader::VerifyingReader;
use crate::{Progress, ProgressFn};

/// A draft cannot be made or written.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// A file that is to go in cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A name that could not be read back.
    #[error("{what} {name:?} is no plain name: letters, digits, and `.`, `_`, `+`, `-`")]
    Name {
        /// What it names.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Two things of one name in one bundle.
    #[error("{what} is added twice, with different content")]
    Twice {
        /// The entry in words.
        what: String,
    },
    /// A manifest that is to be an image's is an artifact's.
    #[error("{reference} is no image")]
    NoImage {
        /// The reference.
        reference: String,
    },
    /// A layout that is copied from cannot be read.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Something lies where the bundle is to go.
    #[error("{path} is already there")]
    Exists {
        /// The path.
        path: PathBuf,
    },
    /// The bundle cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The bundle.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The bundle cannot be given its place.
    #[error(transparent)]
    Place(#[from] host::Error),
    /// The stream cannot be written.
    #[error(transparent)]
    Send(#[from] SendError),
}

/// Where a blob of a draft comes from.
#[derive(Debug, Clone)]
enum Source {
    Bytes(Vec<u8>),
    File(PathBuf),
    Layout(Arc<Layout>),
}

/// A layer of an image to be made.
#[derive(Debug, Clone)]
pub enum LayerSource {
    /// A plain tar file, kept as it is.
    Tar(PathBuf),
    /// A tar file compressed with gzip, kept as it is.
    TarGz(PathBuf),
    /// A plain tar in memory, see [`crate::LayerBuilder`].
    Bytes(Vec<u8>),
}

/// An image to be made.
#[derive(Debug, Clone)]
pub struct ImageSpec {
    /// Its full reference, as `registry.k8s.io/pause:3.10.2`.
    pub reference: String,
    /// What it runs on.
    pub platform: Platform,
    /// How a container of it runs.
    pub config: Execution,
    /// Its layers, the lowest first.
    pub layers: Vec<LayerSource>,
}

/// A component to be added.
#[derive(Debug, Clone)]
pub struct ComponentSpec {
    /// Its name, as `etcd`.
    pub name: String,
    /// Its version, as upstream writes it.
    pub version: String,
    /// What it runs on; [`contents::ANY_ARCH`] where that does not matter.
    pub platform: Platform,
    /// Its files: name in the bundle, and where the content lies now.
    pub files: Vec<(String, PathBuf)>,
}

/// A layout being collected.
#[derive(Debug, Default)]
pub struct Draft {
    index: BTreeMap<(u8, String, String, String), Descriptor>,
    documents: BTreeMap<Digest, (Descriptor, Source)>,
    blobs: BTreeMap<Digest, (Descriptor, Source)>,
}

impl Draft {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a component; gives its entry as a reader will find it.
    ///
    /// # Errors
    /// When a file cannot be read, a name is bad, or another one of this name, version and architecture is there.
    pub fn add_component(&mut self, spec: &ComponentSpec) -> Result<Entry, DraftError> {
        let platform = &spec.platform;
        for (what, name) in [
            ("component", &spec.name),
            ("version", &spec.version),
            ("operating system", &platform.os),
            ("architecture", &platform.architecture),
        ] {
            plain(what, name)?;
        }
        let mut layers = Vec::new();
        for (name, path) in &spec.files {
            plain("file", name)?;
            let (digest, size) = hash(path)?;
            self.blobs.insert(
                digest,
                (
                    Descriptor::new(oci::FILE, digest, size),
                    Source::File(path.clone()),
                ),
            );
            let mut layer = Descriptor::new(oci::FILE, digest, size);
            layer.annotations.insert(oci::TITLE.into(), name.clone());
            layers.push(layer);
        }
        layers.sort_by(|a, b| a.annotations.cmp(&b.annotations));
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(oci::MANIFEST.into()),
            artifact_type: Some(oci::COMPONENT.into()),
            config: self.put_bytes(oci::EMPTY, b"{}".to_vec()),
            layers,
            annotations: contents::component_annotations(&spec.name, &spec.version, platform),
        };
        self.put_manifest(&manifest, None)
    }

    /// Makes an image of layers and adds it; gives its entry as a reader will find it.
    ///
    /// # Errors
    /// When a layer cannot be read, or another image of this reference and architecture is there.
    pub fn add_image(&mut self, spec: &ImageSpec) -> Result<Entry, DraftError> {
        let mut layers = Vec::new();
        let mut diff_ids = Vec::new();
        for layer in &spec.layers {
            let (media_type, source, digest, size, diff_id) = match layer {
                LayerSource::Bytes(bytes) => {
                    let digest = Digest::of(bytes);
                    (
                        oci::LAYER_TAR,
                        Source::Bytes(bytes.clone()),
                        digest,
                        bytes.len() as u64,
                        digest,
                    )
                }
                LayerSource::Tar(path) => {
                    let (digest, size) = hash(path)?;
                    (
                        oci::LAYER_TAR,
                        Source::File(path.clone()),
                        digest,
                        size,
                        digest,
                    )
                }
                LayerSource::TarGz(path) => {
                    let (digest, size) = hash(path)?;
                    let read_error = |source| DraftError::Read {
                        path: path.clone(),
                        source,
                    };
                    let file = File::open(path).map_err(read_error)?;
                    let plain = flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(
                        128 * 1024,
                        file,
                    ));
                    let (diff_id, _) = Digest::of_reader(plain).map_err(read_error)?;
                    (
                        oci::LAYER_GZIP,
                        Source::File(path.clone()),
                        digest,
                        size,
                        diff_id,
                    )
                }
            };
            let descriptor = Descriptor::new(media_type, digest, size);
            self.blobs.insert(digest, (descriptor.clone(), source));
            layers.push(descriptor);
            diff_ids.push(diff_id);
        }
        let config = ImageConfig {
            architecture: spec.platform.architecture.clone(),
            os: spec.platform.os.clone(),
            config: spec.config.clone(),
            rootfs: RootFs {
                kind: "layers".into(),
                diff_ids,
            },
        };
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(oci::MANIFEST.into()),
            artifact_type: None,
            config: self.put_bytes(oci::IMAGE_CONFIG, oci::to_bytes(&config)),
            layers,
            annotations: Annotations::new(),
        };
        self.put_manifest(&manifest, Some((&spec.reference, &spec.platform)))
    }

    /// Copies an entry of another layout, manifest and blobs byte by byte.
    ///
    /// # Errors
    /// When a document of it cannot be read, or something else of the same name is there.
    pub fn add_entry(&mut self, from: &Arc<Layout>, entry: &Entry) -> Result<(), DraftError> {
        let mut blobs = entry.blobs().into_iter();
        let manifest = blobs.next().expect("an entry has a manifest");
        self.put_index(entry)?;
        self.documents.insert(
            manifest.digest,
            (manifest.clone(), Source::Layout(from.clone())),
        );
        for blob in blobs {
            // Fails now, not when half of the bundle is written.
            drop(from.blob(blob)?);
            let found = || (blob.clone(), Source::Layout(from.clone()));
            self.blobs.entry(blob.digest).or_insert_with(found);
        }
        Ok(())
    }

    /// Adds an image whose manifest is at hand, byte by byte; `blob` tells where each of its blobs lies.
    ///
    /// # Errors
    /// When a blob cannot be read or is not what the manifest says, or something else of the same name is there.
    pub fn add_manifest(
        &mut self,
        reference: &str,
        descriptor: &Descriptor,
        manifest: Vec<u8>,
        blob: &dyn Fn(&Digest) -> PathBuf,
    ) -> Result<Entry, DraftError> {
        let entry =
            contents::entry(descriptor, &manifest, Some(reference)).map_err(LayoutError::from)?;
        let entry = entry.ok_or_else(|| DraftError::NoImage {
            reference: reference.to_owned(),
        })?;
        for descriptor in entry.blobs().into_iter().skip(1) {
            let path = blob(&descriptor.digest);
            let size = path
                .metadata()
                .map_err(|source| DraftError::Read {
                    path: path.clone(),
                    source,
                })?
                .len();
            if size != descriptor.size {
                let (digest, expected) = (descriptor.digest, descriptor.size);
                return Err(LayoutError::WrongSize {
                    path,
                    digest,
                    expected,
                    found: size,
                }
                .into());
            }
            self.blobs
                .entry(descriptor.digest)
                .or_insert_with(|| (descriptor.clone(), Source::File(path)));
        }
        self.put_index(&entry)?;
        self.documents.insert(
            descriptor.digest,
            (entry.manifest().clone(), Source::Bytes(manifest)),
        );
        Ok(entry)
    }

    /// How many bytes of blobs it will hold.
    pub fn size(&self) -> u64 {
        self.documents
            .values()
            .chain(self.blobs.values())
            .map(|(descriptor, _)| descriptor.size)
            .sum()
    }

    /// The index as it will be written: components first, then images, by name.
    pub fn index(&self) -> Index {
        Index {
            manifests: self.index.values().cloned().collect(),
            ..Index::default()
        }
    }

    /// Writes it as one tar stream.
    ///
    /// # Errors
    /// When a source has changed since it was added, or `out` does not take it.
    pub fn write_to(
        &self,
        out: &mut dyn Write,
        progress: ProgressFn<'_>,
    ) -> Result<(), DraftError> {
        Ok(stream::write(
            &self.index(),
            &self.ordered(),
            self,
            out,
            progress,
        )?)
    }

    /// Writes it as a tar file, which appears whole or not at all and replaces another file.
    ///
    /// # Errors
    /// As [`Draft::write_to`].
    pub fn write_archive(&self, path: &Path, progress: ProgressFn<'_>) -> Result<(), DraftError> {
        // A bare file name has no folder that could be synced.
        let path = &absolute(path)?;
        let mut pending = Pending::new(path, 0o644)?;
        match self.write_to(&mut pending, progress) {
            Err(DraftError::Send(SendError::Write(source))) => {
                return Err(DraftError::Write {
                    path: path.to_owned(),
                    source,
                });
            }
            other => other?,
        }
        Ok(pending.commit()?)
    }

    /// Writes it as a folder, which appears whole or not at all. Nothing may lie there yet.
    ///
    /// # Errors
    /// As [`Draft::write_to`], and when something lies there.
    pub fn write_folder(&self, path: &Path, progress: ProgressFn<'_>) -> Result<(), DraftError> {
        let path = &absolute(path)?;
        let error = |source| DraftError::Write {
            path: path.to_owned(),
            source,
        };
        let folder =
            crate::folder::PendingFolder::new(path).map_err(|source| match source.kind() {
                io::ErrorKind::AlreadyExists => DraftError::Exists {
                    path: path.to_owned(),
                },
                _ => error(source),
            })?;
        folder.make_layout().map_err(error)?;
        let mut buffer = vec![0; 128 * 1024];
        for descriptor in self.ordered() {
            let mut reader = self.open(descriptor)?;
            let mut file = Pending::new(&folder.path().join(blob_name(&descriptor.digest)), 0o644)?;
            loop {
                let n = reader
                    .read(&mut buffer)
                    .map_err(|source| LayoutError::Blob {
                        path: self.origin(descriptor),
                        digest: descriptor.digest,
                        source,
                    })?;
                if n == 0 {
                    break;
                }
                file.write_all(&buffer[..n]).map_err(error)?;
                progress(Progress::Bytes(n as u64));
            }
            file.commit()?;
        }
        host::write_atomically(
            &folder.path().join("index.json"),
            0o644,
            &oci::to_bytes(&self.index()),
        )?;
        folder.commit().map_err(error)
    }

    /// Documents first, then the other blobs.
    fn ordered(&self) -> Vec<&Descriptor> {
        let blobs = self
            .blobs
            .iter()
            .filter(|(digest, _)| !self.documents.contains_key(digest));
        self.documents
            .iter()
            .chain(blobs)
            .map(|(_, (descriptor, _))| descriptor)
            .collect()
    }

    fn put_bytes(&mut self, media_type: &str, bytes: Vec<u8>) -> Descriptor {
        let descriptor = Descriptor::of(media_type, &bytes);
        self.blobs.insert(
            descriptor.digest,
            (descriptor.clone(), Source::Bytes(bytes)),
        );
        descriptor
    }

    fn put_manifest(
        &mut self,
        manifest: &Manifest,
        image: Option<(&str, &Platform)>,
    ) -> Result<Entry, DraftError> {
        let bytes = oci::to_bytes(manifest);
        let mut descriptor = Descriptor::of(oci::MANIFEST, &bytes);
        descriptor.platform = image.map(|(_, platform)| platform.clone());
        let entry = contents::entry(&descriptor, &bytes, image.map(|(reference, _)| reference))
            .map_err(LayoutError::from)?
            .expect("a manifest of ours is a component's or an image's");
        self.put_index(&entry)?;
        descriptor.platform = None;
        self.documents
            .insert(descriptor.digest, (descriptor, Source::Bytes(bytes)));
        Ok(entry)
    }

    fn put_index(&mut self, entry: &Entry) -> Result<(), DraftError> {
        let descriptor = entry.index_descriptor();
        match self.index.insert(entry.key(), descriptor.clone()) {
            Some(other) if other.digest != descriptor.digest => Err(DraftError::Twice {
                what: entry.describe(),
            }),
            _ => Ok(()),
        }
    }
}

impl Blobs for Draft {
    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + '_>, LayoutError> {
        let digest = descriptor.digest;
        let (_, source) = self
            .documents
            .get(&digest)
            .or_else(|| self.blobs.get(&digest))
            .expect("only what was added is written");
        Ok(match source {
            Source::Bytes(bytes) => Box::new(bytes.as_slice()),
            Source::Layout(layout) => Box::new(layout.blob(descriptor)?),
            Source::File(path) => {
                let file = File::open(path).map_err(|source| LayoutError::Read {
                    path: path.clone(),
                    source,
                })?;
                Box::new(VerifyingReader::new(file, digest, descriptor.size))
            }
        })
    }

    fn origin(&self, descriptor: &Descriptor) -> PathBuf {
        let source = self
            .documents
            .get(&descriptor.digest)
            .or_else(|| self.blobs.get(&descriptor.digest));
        match source {
            Some((_, Source::File(path))) => path.clone(),
            Some((_, Source::Layout(layout))) => layout.path().to_owned(),
            _ => PathBuf::from("(made here)"),
        }
    }
}

fn absolute(path: &Path) -> Result<PathBuf, DraftError> {
    std::path::absolute(path).map_err(|source| DraftError::Write {
        path: path.to_owned(),
        source,
    })
}

fn plain(what: &'static str, name: &str) -> Result<(), DraftError> {
    if is_plain_name(name) {
        Ok(())
    } else {
        Err(DraftError::Name {
            what,
            name: name.to_owned(),
        })
    }
}

fn hash(path: &Path) -> Result<(Digest, u64), DraftError> {
    let read_error = |source| DraftError::Read {
        path: path.to_owned(),
        source,
    };
    Digest::of_reader(File::open(path).map_err(read_error)?).map_err(read_error)
}
