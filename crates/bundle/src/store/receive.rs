//! Taking blobs in, and listing what they complete.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use host::{Digest, Inspect, Lock, LockError, Pending};

use super::{Received, Store, StoreError, View};
use crate::contents::{self, plain_version};
use crate::layout::{LayoutError, parse_index};
use crate::member::{blob_name, digest_of_name};
use crate::oci::{self, Descriptor, Index, MAX_DOCUMENT};
use crate::{Progress, ProgressFn, folder, stream};

/// How long the merging of an index waits for another one's.
const LOCK_LIMIT: Duration = Duration::from_secs(30);

impl Store {
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
        folder::remove_abandoned(&self.real.join("blobs/sha256"), &|name| {
            digest_of_name(name).is_some()
        })
        .map_err(make_error)?;
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
        if is_there(&path, digest, size) {
            // It is read, and so checked, all the same: a broken stream must not pass for a sound one.
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

/// Whether a blob lies at `path` already, whole. One that is damaged is written anew.
fn is_there(path: &Path, digest: Digest, size: u64) -> bool {
    let same_size = path
        .symlink_metadata()
        .is_ok_and(|found| found.is_file() && found.len() == size);
    same_size
        && File::open(path)
            .and_then(Digest::of_reader)
            .is_ok_and(|(found, _)| found == digest)
}
