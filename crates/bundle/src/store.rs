//! The store: the layout that a host keeps, shared by all tools there.
//!
//! A blob is in the store when a file of its digest's name is there: it is written beside its place while it is checked,
//! synced and renamed, so a half-written one never has that name. The index comes last: it lists an entry only when all
//! its blobs are there. Several streams may be received at once; only the merging of the index is locked.
//!
//! Looking up goes through [`host::Inspect`] and so works on a dry run's and a test's host as well; files at the places
//! where the tools of old kept theirs are found too ([`crate::old_cache`]). Receiving and exporting are real work on
//! real files. Nothing is ever removed but what processes left unfinished that are no more.
//!
//! Entry point: [`Store::new`].

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use host::{Digest, Inspect, Lock, LockError, Pending};
use serde::Serialize;

use crate::contents::{self, Component, ContentsError, Documents, Entry, Image, plain_version};
use crate::layout::{Layout, LayoutError, parse_index};
use crate::member::blob_name;
use crate::oci::{self, Descriptor, Index, MAX_DOCUMENT};
use crate::stream::{self, SendError};
use crate::{Progress, ProgressFn, folder, old_cache};

/// Where the store lies on a host.
pub const STORE: &str = "/var/cache/klusterkit";

/// How long the merging of an index waits for another one's.
const LOCK_LIMIT: Duration = Duration::from_secs(30);

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

    /// Which of these blobs are not there. Told by name and size: what has the name was checked when it was written,
    /// and is checked again whenever it is used.
    ///
    /// # Errors
    /// When the host cannot be read.
    pub fn missing<'d>(
        &self,
        seen: &(impl Inspect + ?Sized),
        blobs: impl IntoIterator<Item = &'d Descriptor>,
    ) -> Result<Vec<Descriptor>, StoreError> {
        let mut missing = BTreeMap::new();
        for blob in blobs {
            let stat = seen
                .stat(&self.dir.join(blob_name(&blob.digest)))
                .map_err(StoreError::Inspect)?;
            if !stat.is_some_and(|stat| stat.kind == host::Kind::File && stat.size == blob.size) {
                missing.insert(blob.digest, blob.clone());
            }
        }
        Ok(missing.into_values().collect())
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

    /// Takes a stream that [`stream::write`] made, of a whole layout or of just some blobs of one, and merges what it
    /// completes into the index. An entry replaces one of the same name, version and architecture.
    ///
    /// # Errors
    /// When the stream is broken or holds what it must not; whole blobs that came before stay, since they are what
    /// their names say, and a second try need not send them.
    pub fn receive(
        &self,
        reader: impl Read,
        progress: ProgressFn<'_>,
    ) -> Result<Received, StoreError> {
        let make_error = |source| StoreError::Make {
            path: self.dir.clone(),
            source,
        };
        folder::make_layout(&self.real).map_err(make_error)?;
        folder::remove_abandoned(&self.real.join("blobs/sha256")).map_err(make_error)?;
        let mut sink = Receiver {
            store: self,
            index: None,
            received: Received::default(),
            progress,
        };
        stream::read(reader, "the stream", &mut sink)?;
        let (index, mut received) = (sink.index.unwrap_or_default(), sink.received);
        self.merge(&index, &mut received)?;
        Ok(received)
    }

    /// Lists in the index what of `incoming` is complete.
    fn merge(&self, incoming: &Index, received: &mut Received) -> Result<(), StoreError> {
        let local = host::Local::new("/");
        let real = Store {
            dir: self.real.clone(),
            real: self.real.clone(),
        };
        let view = View {
            store: &real,
            seen: &local,
        };
        let _lock = self.lock()?;
        let path = self.real.join("index.json");
        let mut index = match local
            .read(&path, MAX_DOCUMENT)
            .map_err(StoreError::Inspect)?
        {
            Some(bytes) => parse_index(&self.dir, &bytes)?,
            None => Index::default(),
        };
        let before = index.clone();
        for descriptor in &incoming.manifests {
            let lacking = lacking(descriptor, &view, 0)?;
            if lacking > 0 {
                received.incomplete.push((describe(descriptor), lacking));
                continue;
            }
            let key = key(descriptor);
            index.manifests.retain(|other| self::key(other) != key);
            index.manifests.push(descriptor.clone());
            received.entries.push(describe(descriptor));
        }
        index.manifests.sort_by_cached_key(key);
        if index != before || !path.exists() {
            host::write_atomically(&path, 0o644, &oci::to_bytes(&index))
                .map_err(StoreError::Place)?;
        }
        Ok(())
    }

    fn lock(&self) -> Result<Lock, StoreError> {
        let path = self.real.join(".lock");
        let owner = format!("process {}", std::process::id());
        let deadline = Instant::now() + LOCK_LIMIT;
        loop {
            match Lock::take(&path, &owner) {
                // Merging takes milliseconds.
                Err(LockError::Held { .. }) if Instant::now() < deadline => {
                    sleep(Duration::from_millis(10))
                }
                other => return Ok(other?),
            }
        }
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
        if size > MAX_DOCUMENT {
            return Err(ContentsError::TooLarge { digest, size }.into());
        }
        let path = self.store.dir.join(blob_name(&digest));
        let bytes = self.seen.read(&path, size).map_err(StoreError::Inspect)?;
        let bytes = bytes.ok_or_else(|| StoreError::Missing {
            path: self.store.dir.clone(),
            digest,
        })?;
        match Digest::of(&bytes) {
            found if found == digest => Ok(bytes),
            found => Err(StoreError::Damaged { path, found }),
        }
    }
}

/// How many blobs that belong to `descriptor` are not there.
fn lacking<I: Inspect + ?Sized>(
    descriptor: &Descriptor,
    view: &View<'_, I>,
    depth: usize,
) -> Result<usize, StoreError> {
    if !view.store.missing(view.seen, [descriptor])?.is_empty() {
        return Ok(1);
    }
    let children = contents::children(descriptor, view, depth)?;
    let mut count = 0;
    for child in &children {
        count += if child.is_manifest() || child.is_index() {
            lacking(child, view, depth + 1)?
        } else {
            view.store.missing(view.seen, [child])?.len()
        };
    }
    Ok(count)
}

fn annotation<'d>(descriptor: &'d Descriptor, key: &str) -> &'d str {
    descriptor.annotations.get(key).map_or("", String::as_str)
}

/// What makes two index entries the same thing.
fn key(descriptor: &Descriptor) -> [String; 4] {
    let arch = descriptor
        .platform
        .as_ref()
        .map(|p| p.architecture.clone())
        .unwrap_or_default();
    let component = annotation(descriptor, oci::COMPONENT_NAME);
    if !component.is_empty() {
        let version = plain_version(annotation(descriptor, oci::COMPONENT_VERSION)).to_owned();
        let arch = annotation(descriptor, oci::COMPONENT_ARCH).to_owned();
        return ["component".into(), component.into(), version, arch];
    }
    let name = match annotation(descriptor, oci::IMAGE_NAME) {
        "" => annotation(descriptor, oci::REF_NAME),
        name => name,
    };
    match name {
        "" => [
            "other".into(),
            descriptor.digest.to_string(),
            String::new(),
            arch,
        ],
        name => ["image".into(), name.into(), String::new(), arch],
    }
}

fn describe(descriptor: &Descriptor) -> String {
    match key(descriptor) {
        [kind, name, version, arch] if kind == "component" => {
            format!("{kind} {name} {version} ({arch})")
        }
        [kind, name, _, _] => format!("{kind} {name}"),
    }
}

struct Receiver<'a> {
    store: &'a Store,
    index: Option<Index>,
    received: Received,
    progress: ProgressFn<'a>,
}

impl stream::Sink for Receiver<'_> {
    type Error = StoreError;

    fn index(&mut self, index: Index) -> Result<(), StoreError> {
        self.index = Some(index);
        Ok(())
    }

    fn blob(&mut self, digest: Digest, size: u64, reader: &mut dyn Read) -> Result<(), StoreError> {
        let path = self.store.real.join(blob_name(&digest));
        let write_error = |source| StoreError::Write {
            path: self.store.dir.clone(),
            source,
        };
        if path
            .symlink_metadata()
            .is_ok_and(|metadata| metadata.is_file() && metadata.len() == size)
        {
            // There already. It is read, and so checked, all the same: a broken stream must not pass for a sound one.
            return Ok(());
        }
        let mut file = Pending::new(&path, 0o644).map_err(StoreError::Place)?;
        let mut buffer = vec![0; 128 * 1024];
        loop {
            let n = reader.read(&mut buffer).map_err(|source| {
                let path = PathBuf::from("the stream");
                LayoutError::Blob {
                    path,
                    digest,
                    source,
                }
            })?;
            if n == 0 {
                break;
            }
            file.write_all(&buffer[..n]).map_err(write_error)?;
            (self.progress)(Progress::Bytes(n as u64));
        }
        file.commit().map_err(StoreError::Place)?;
        self.received.blobs += 1;
        self.received.bytes += size;
        Ok(())
    }
}
