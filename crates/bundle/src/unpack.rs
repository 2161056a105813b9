//! A layout as a folder, from a tar file or a stream: what is needed to look inside with other programs.
//!
//! The folder appears whole, with every blob checked while it was copied, or not at all. It holds what the index names
//! and nothing else. The blobs are not synced one by one: after a power loss the folder may have to be made again from the
//! bundle, which is still there. Entry points: [`unpack`], [`unpack_stream`].

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use host::Digest;

use crate::folder::{PendingFolder, create_file};
use crate::layout::{Layout, LayoutError};
use crate::member::blob_name;
use crate::oci::{self, Index};
use crate::stream::{self, Sink};
use crate::verify::{self, BUFFER, Verified};
use crate::{Progress, ProgressFn};

/// A layout cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// It is broken, or holds what it must not.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Something lies where it is to go.
    #[error("{path} is already there, and not empty")]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// The folder cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Writes `layout` as a folder at `target`, where nothing may lie yet but an empty folder.
///
/// # Errors
/// At the first blob that is missing or damaged; nothing is left behind.
pub fn unpack(
    layout: &Layout,
    target: &Path,
    progress: ProgressFn<'_>,
) -> Result<Verified, UnpackError> {
    let named = verify::closure(layout)?;
    let folder = begin(target)?;
    let bytes = named.values().map(|blob| blob.size).sum();
    let verified = Verified {
        entries: layout.index().manifests.len(),
        blobs: named.len(),
        bytes,
        unreferenced: 0,
    };
    progress(Progress::Step {
        what: "unpack",
        bytes: Some(bytes),
    });
    let dir = folder.path();
    verify::each_blob(
        named.into_values().collect(),
        progress,
        |blob, told| -> Result<(), UnpackError> {
            let mut reader = layout.blob(blob)?;
            let mut file = new_file(dir, &blob_name(&blob.digest), target)?;
            let read_error = |source| layout.blob_error(blob.digest)(source).into();
            copy(&mut reader, &mut file, target, read_error, told)
        },
    )?;
    finish(folder, layout.index(), target)?;
    Ok(verified)
}

/// As [`unpack`], of a tar stream in any order.
///
/// # Errors
/// As [`unpack`].
pub fn unpack_stream(
    reader: impl Read,
    origin: &str,
    target: &Path,
    progress: ProgressFn<'_>,
) -> Result<Verified, UnpackError> {
    let folder = begin(target)?;
    let mut sink = Unpacker {
        dir: folder.path(),
        target,
        index: None,
        progress,
    };
    stream::read(reader, origin, &mut sink)?;
    let index = sink.index.expect("a stream without an index is refused");
    write_index(folder.path(), &index, target)?;
    let layout = Layout::open(folder.path())?;
    // The blobs were checked as they came. Left to be seen is that all are there, and none besides.
    let named = verify::closure(&layout)?;
    for blob in named.values() {
        drop(layout.blob(blob)?);
    }
    for digest in layout.blob_digests()? {
        if !named.contains_key(&digest) {
            folder
                .remove(&blob_name(&digest))
                .map_err(write_error(target))?;
        }
    }
    let bytes = named.values().map(|blob| blob.size).sum();
    let verified = Verified {
        entries: index.manifests.len(),
        blobs: named.len(),
        bytes,
        unreferenced: 0,
    };
    folder.commit().map_err(write_error(target))?;
    Ok(verified)
}

struct Unpacker<'a> {
    dir: &'a Path,
    target: &'a Path,
    index: Option<Index>,
    progress: ProgressFn<'a>,
}

impl Sink for Unpacker<'_> {
    type Error = UnpackError;

    fn index(&mut self, index: Index) -> Result<(), UnpackError> {
        self.index = Some(index);
        Ok(())
    }

    fn blob(&mut self, digest: Digest, _: u64, reader: &mut dyn Read) -> Result<(), UnpackError> {
        let mut file = new_file(self.dir, &blob_name(&digest), self.target)?;
        let read_error = |source| {
            LayoutError::Blob {
                path: "the stream".into(),
                digest,
                source,
            }
            .into()
        };
        let progress = &mut self.progress;
        copy(reader, &mut file, self.target, read_error, &mut |bytes| {
            progress(Progress::Bytes(bytes))
        })
    }
}

fn begin(target: &Path) -> Result<PendingFolder, UnpackError> {
    let folder = PendingFolder::new(target).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => UnpackError::Exists {
            path: target.to_owned(),
        },
        _ => write_error(target)(source),
    })?;
    folder.make_layout().map_err(write_error(target))?;
    Ok(folder)
}

fn finish(folder: PendingFolder, index: &Index, target: &Path) -> Result<(), UnpackError> {
    write_index(folder.path(), index, target)?;
    folder.commit().map_err(write_error(target))
}

fn write_index(dir: &Path, index: &Index, target: &Path) -> Result<(), UnpackError> {
    let mut file = new_file(dir, "index.json", target)?;
    file.write_all(&oci::to_bytes(index))
        .map_err(write_error(target))
}

fn write_error(target: &Path) -> impl FnOnce(io::Error) -> UnpackError {
    let path = target.to_owned();
    move |source| UnpackError::Write { path, source }
}

fn new_file(dir: &Path, name: &str, target: &Path) -> Result<File, UnpackError> {
    create_file(&dir.join(name)).map_err(write_error(target))
}

fn copy(
    reader: &mut dyn Read,
    file: &mut File,
    target: &Path,
    read_error: impl Fn(io::Error) -> UnpackError,
    told: &mut dyn FnMut(u64),
) -> Result<(), UnpackError> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let n = reader.read(&mut buffer).map_err(&read_error)?;
        if n == 0 {
            return Ok(());
        }
        file.write_all(&buffer[..n]).map_err(write_error(target))?;
        told(n as u64);
    }
}
