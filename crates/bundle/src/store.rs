//! The store: the layout that a host keeps, shared by all tools there.
//!
//! A blob is in the store when a file of its digest's name is there: it is written beside its place while it is checked,
//! synced and renamed, so a half-written one never has that name. The index comes last: it lists an entry only when all
//! its blobs are there. Several streams may be received at once; only the merging of the index is locked.
//!
//! Looking up goes through [`host::Inspect`] and so works on a dry run's and a test's host as well; files at the places
//! where the tools of old kept theirs are found too (`old_cache`). Receiving and exporting are real work on
//! real files. Nothing is ever removed but what processes left unfinished that are no more.
//!
//! Entry point: [`Store::new`].

mod receive;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use host::{Digest, Inspect, LockError};
use serde::Serialize;

use crate::contents::{self, Component, ContentsError, Documents, Entry, Image, plain_version};
use crate::layout::{Layout, LayoutError, parse_index};
use crate::member::blob_name;
use crate::oci::{Descriptor, Index, MAX_DOCUMENT};
use crate::stream::{self, SendError};
use crate::{ProgressFn, old_cache};

/// Where the store lies on a host.
pub const STORE: &str = "/var/cache/klusterkit";

/// Blobs up to this size are hashed whenever somebody asks whether they are there.
const SMALL: u64 = 1 << 20;

/// The store cannot be read or filled.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The host cannot be observed.
    #[error("cannot look into the store")]
    Inspect(#[source] host::Error),
    /// A document of the store is damaged.
    #[error("{path} is damaged: it has the digest sha256:{found}, not that of its name")]
    Damaged {
        /// The blob's path.
        path: PathBuf,
        /// What is in it.
        found: Digest,
    },
    /// A document that the index names is not there.
    #[error("the store {path} lacks sha256:{digest}")]
    Missing {
        /// The store.
        path: PathBuf,
        /// The blob.
        digest: Digest,
    },
    /// The store's folders cannot be made.
    #[error("cannot make the store {path}")]
    Make {
        /// The store.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A blob or the index cannot be written.
    #[error("cannot write into the store {path}")]
    Write {
        /// The store.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A blob or the index cannot be given its place.
    #[error("cannot write into the store")]
    Place(#[source] host::Error),
    /// Another process merges, and does not end.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// What comes in is broken, or holds what it must not; or the store itself does.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A manifest makes no sense.
    #[error(transparent)]
    Contents(#[from] ContentsError),
    /// What is to be exported is not there.
    #[error("the store {path} has no image {reference} for {arch}")]
    NoImage {
        /// The store.
        path: PathBuf,
        /// The image's reference.
        reference: String,
        /// The architecture.
        arch: String,
    },
    /// What is exported is not taken.
    #[error(transparent)]
    Send(#[from] SendError),
}

/// A component found on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredComponent {
    /// Its name.
    pub name: String,
    /// Its version as asked for.
    pub version: String,
    /// Whether it was found in the store or where the tools of old kept it.
    pub origin: Origin,
    /// Its files.
    pub files: Vec<StoredFile>,
}

/// Where a component was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// In the store, whose digests came with the bundle.
    Store,
    /// At a path of old; its digest is only what is there.
    OldCache,
}

/// A file of a component found on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredFile {
    /// Upstream's file name.
    pub name: String,
    /// Digest of its content.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Where it lies, as the host names it.
    pub path: PathBuf,
}

impl StoredComponent {
    /// The file named `name`.
    pub fn file(&self, name: &str) -> Option<&StoredFile> {
        self.files.iter().find(|file| file.name == name)
    }
}

/// What a stream brought.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Received {
    /// Blobs that were not there before.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Index entries that are complete now, in words.
    pub entries: Vec<String>,
    /// Index entries that still lack blobs, and are not listed for that; each with the number it lacks.
    pub incomplete: Vec<(String, usize)>,
}

/// The store of a host.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
    real: PathBuf,
}

impl Store {
    /// The store of the host whose root folder is `root`.
    pub fn new(root: &Path) -> Self {
        Store::at(root, Path::new(STORE))
    }

    /// The store at `dir`, as the host below `root` names it.
    pub fn at(root: &Path, dir: &Path) -> Self {
        let real = root.join(dir.strip_prefix("/").unwrap_or(dir));
        Store {
            dir: dir.to_owned(),
            real,
        }
    }

    /// Where it lies, as the host names it.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// All that is in it, complete entries only.
    ///
    /// # Errors
    /// When the host cannot be read, or the store is damaged.
    pub fn entries(&self, seen: &(impl Inspect + ?Sized)) -> Result<Vec<Entry>, StoreError> {
        let view = View { store: self, seen };
        let Some(bytes) = seen
            .read(&self.dir.join("index.json"), MAX_DOCUMENT)
            .map_err(StoreError::Inspect)?
        else {
            return Ok(Vec::new());
        };
        contents::entries(&parse_index(&self.dir, &bytes)?, &view)
    }

    /// A component, by name, version (with or without `v`) and architecture: from the store, else from the places of
    /// old.
    ///
    /// # Errors
    /// As [`Store::entries`].
    pub fn component(
        &self,
        seen: &(impl Inspect + ?Sized),
        name: &str,
        version: &str,
        arch: &str,
    ) -> Result<Option<StoredComponent>, StoreError> {
        for entry in self.entries(seen)? {
            if let Entry::Component(component) = entry
                && component.is(name, version, arch)
            {
                return Ok(Some(self.stored(&component)));
            }
        }
        old_cache::component(seen, name, plain_version(version), arch).map_err(StoreError::Inspect)
    }

    fn stored(&self, component: &Component) -> StoredComponent {
        let file = |file: &contents::ComponentFile| StoredFile {
            name: file.name.clone(),
            digest: file.blob.digest,
            size: file.blob.size,
            path: self.dir.join(blob_name(&file.blob.digest)),
        };
        StoredComponent {
            name: component.name.clone(),
            version: component.version.clone(),
            origin: Origin::Store,
            files: component.files.iter().map(file).collect(),
        }
    }

    /// An image, by its full reference and architecture.
    ///
    /// # Errors
    /// As [`Store::entries`].
    pub fn image(
        &self,
        seen: &(impl Inspect + ?Sized),
        reference: &str,
        arch: &str,
    ) -> Result<Option<Image>, StoreError> {
        Ok(self
            .entries(seen)?
            .into_iter()
            .find_map(|entry| match entry {
                Entry::Image(image) if image.is(reference, arch) => Some(image),
                _ => None,
            }))
    }

    /// Which of these blobs are not there, or are damaged and must be sent again. Large ones are told by name and size:
    /// what has the name was checked when it was written, and is checked again whenever it is used.
    ///
    /// # Errors
    /// When the host cannot be read.
    pub fn missing<'d>(
        &self,
        seen: &(impl Inspect + ?Sized),
        blobs: impl IntoIterator<Item = &'d Descriptor>,
    ) -> Result<Vec<Descriptor>, StoreError> {
        self.lacking(seen, blobs, SMALL)
    }

    /// As [`Store::missing`], with every blob read and hashed, however large.
    ///
    /// # Errors
    /// As [`Store::missing`].
    pub fn missing_or_damaged<'d>(
        &self,
        seen: &(impl Inspect + ?Sized),
        blobs: impl IntoIterator<Item = &'d Descriptor>,
    ) -> Result<Vec<Descriptor>, StoreError> {
        self.lacking(seen, blobs, u64::MAX)
    }

    fn lacking<'d>(
        &self,
        seen: &(impl Inspect + ?Sized),
        blobs: impl IntoIterator<Item = &'d Descriptor>,
        hash_up_to: u64,
    ) -> Result<Vec<Descriptor>, StoreError> {
        let mut missing = BTreeMap::new();
        for blob in blobs {
            let path = self.dir.join(blob_name(&blob.digest));
            let stat = seen.stat(&path).map_err(StoreError::Inspect)?;
            let mut there =
                stat.is_some_and(|stat| stat.kind == host::Kind::File && stat.size == blob.size);
            if there && blob.size <= hash_up_to {
                there = seen.digest(&path).map_err(StoreError::Inspect)? == Some(blob.digest);
            }
            if !there {
                missing.insert(blob.digest, blob.clone());
            }
        }
        Ok(missing.into_values().collect())
    }

    /// The content of a small file of a component, such as a manifest, checked against its digest.
    ///
    /// # Errors
    /// When it is not there, is larger than [`MAX_DOCUMENT`], or is damaged.
    pub fn read(
        &self,
        seen: &(impl Inspect + ?Sized),
        file: &StoredFile,
    ) -> Result<Vec<u8>, StoreError> {
        read_checked(seen, &self.dir, &file.path, file.digest, file.size)
    }

    /// The store as a layout, for reading at random. `None` while nothing has been received.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn layout(&self) -> Result<Option<Layout>, StoreError> {
        if !self.real.join("index.json").exists() {
            return Ok(None);
        }
        Ok(Some(Layout::open(&self.real)?))
    }

    /// Writes the images of these references for `arch`, in this order, as the stream that `ctr images import -` reads.
    ///
    /// # Errors
    /// When one is not there, or damaged, or `out` does not take it.
    pub fn export(
        &self,
        references: &[&str],
        arch: &str,
        out: &mut dyn Write,
        progress: ProgressFn<'_>,
    ) -> Result<(), StoreError> {
        let layout = self.layout()?;
        let all = layout
            .as_ref()
            .map(Layout::entries)
            .transpose()?
            .unwrap_or_default();
        let mut chosen = Vec::new();
        for reference in references {
            let found = all
                .iter()
                .find(|entry| matches!(entry, Entry::Image(image) if image.is(reference, arch)));
            chosen.push(found.cloned().ok_or_else(|| StoreError::NoImage {
                path: self.dir.clone(),
                reference: (*reference).to_owned(),
                arch: arch.to_owned(),
            })?);
        }
        match layout {
            Some(layout) => Ok(stream::send(
                &layout,
                &chosen,
                &mut |_| true,
                out,
                progress,
            )?),
            None => Ok(stream::write(
                &Index::default(),
                &[],
                &crate::Draft::new(),
                out,
                progress,
            )?),
        }
    }
}

/// The store as a host shows it.
struct View<'a, I: ?Sized> {
    store: &'a Store,
    seen: &'a I,
}

impl<I: Inspect + ?Sized> Documents for View<'_, I> {
    type Error = StoreError;

    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, StoreError> {
        let Descriptor { digest, size, .. } = *descriptor;
        let path = self.store.dir.join(blob_name(&digest));
        read_checked(self.seen, &self.store.dir, &path, digest, size)
    }
}

fn read_checked(
    seen: &(impl Inspect + ?Sized),
    store: &Path,
    path: &Path,
    digest: Digest,
    size: u64,
) -> Result<Vec<u8>, StoreError> {
    if size > MAX_DOCUMENT {
        return Err(ContentsError::TooLarge { digest, size }.into());
    }
    let bytes = seen.read(path, size).map_err(StoreError::Inspect)?;
    let bytes = bytes.ok_or_else(|| StoreError::Missing {
        path: store.to_owned(),
        digest,
    })?;
    match Digest::of(&bytes) {
        found if found == digest => Ok(bytes),
        found => Err(StoreError::Damaged {
            path: path.to_owned(),
            found,
        }),
    }
}
