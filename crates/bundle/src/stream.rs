//! A layout as a stream: one tar, written and read in one pass.
//!
//! Written: `oci-layout`, `index.json`, then the manifests, then all other blobs, so that a reader that cannot go back
//! knows what each blob is for when it comes. The bytes depend on the content alone: no times, no owners.
//! Read: see [`read`]; blobs come as readers that end only when they are what their names say.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use host::Digest;
use tar::{EntryType, Header};

use crate::contents::Entry;
use crate::layout::{Layout, LayoutError, MAX_BLOBS, parse_index};
use crate::member::{Member, MemberError, blob_name};
use crate::oci::{self, Descriptor, Index};
use crate::tar_stream::{BLOCK, Entries};
use crate::verifying_reader::VerifyingReader;
use crate::{Progress, ProgressFn};

/// A layout cannot be written as a stream.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// What is to be sent cannot be read.
    #[error(transparent)]
    Source(#[from] LayoutError),
    /// Nobody takes it.
    #[error("cannot write the bundle's stream")]
    Write(#[source] io::Error),
}

/// Gives blobs to be written.
pub trait Blobs {
    /// A blob, as a reader that ends only when size and digest are right.
    ///
    /// # Errors
    /// When it is not there.
    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + '_>, LayoutError>;

    /// Where a blob comes from, for messages.
    fn origin(&self, descriptor: &Descriptor) -> PathBuf;
}

impl Blobs for Layout {
    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + '_>, LayoutError> {
        Ok(Box::new(self.blob(descriptor)?))
    }

    fn origin(&self, _: &Descriptor) -> PathBuf {
        self.path().to_owned()
    }
}

/// Writes a layout of `index` and `blobs` (in this order; each once) to `out`, as one tar.
///
/// # Errors
/// When a blob is not what its descriptor says, or `out` does not take it. What was written by then is cut off, which
/// every reader of this crate notices.
pub fn write(
    index: &Index,
    blobs: &[&Descriptor],
    source: &dyn Blobs,
    out: &mut dyn Write,
    progress: ProgressFn<'_>,
) -> Result<(), SendError> {
    document(out, "oci-layout", oci::LAYOUT_MARKER)?;
    document(out, "index.json", &oci::to_bytes(index))?;
    folder(out, "blobs/")?;
    folder(out, "blobs/sha256/")?;
    let mut buffer = vec![0; 128 * 1024];
    for descriptor in blobs {
        let digest = descriptor.digest;
        let mut reader = source.open(descriptor)?;
        header(
            out,
            &blob_name(&digest),
            descriptor.size,
            EntryType::Regular,
        )?;
        loop {
            let n = reader.read(&mut buffer).map_err(|cause| {
                let path = source.origin(descriptor);
                LayoutError::Blob {
                    path,
                    digest,
                    source: cause,
                }
            })?;
            if n == 0 {
                break;
            }
            out.write_all(&buffer[..n]).map_err(SendError::Write)?;
            progress(Progress::Bytes(n as u64));
        }
        pad(out, descriptor.size)?;
    }
    out.write_all(&[0; 2 * BLOCK as usize])
        .map_err(SendError::Write)?;
    out.flush().map_err(SendError::Write)
}

/// Writes those of `layout`'s `entries` to `out`, with the blobs that `wanted` asks for: all of them for another
/// program, just the missing ones for another store. Manifests come first, then each entry's blobs in the entries' order.
///
/// # Errors
/// As [`write()`].
pub fn send(
    layout: &Layout,
    entries: &[Entry],
    wanted: &mut dyn FnMut(&Descriptor) -> bool,
    out: &mut dyn Write,
    progress: ProgressFn<'_>,
) -> Result<(), SendError> {
    let index = Index {
        manifests: entries.iter().map(Entry::index_descriptor).collect(),
        ..Index::default()
    };
    let mut seen = BTreeSet::new();
    let manifests = entries.iter().map(Entry::manifest);
    let others = entries
        .iter()
        .flat_map(|entry| entry.blobs().into_iter().skip(1));
    let blobs: Vec<&Descriptor> = manifests
        .chain(others)
        .filter(|blob| seen.insert(blob.digest) && wanted(blob))
        .collect();
    let bytes = Some(blobs.iter().map(|blob| blob.size).sum());
    progress(Progress::Step {
        what: "send",
        bytes,
    });
    write(&index, &blobs, layout, out, progress)
}

fn document(out: &mut dyn Write, name: &str, bytes: &[u8]) -> Result<(), SendError> {
    header(out, name, bytes.len() as u64, EntryType::Regular)?;
    out.write_all(bytes).map_err(SendError::Write)?;
    pad(out, bytes.len() as u64)
}

fn folder(out: &mut dyn Write, name: &str) -> Result<(), SendError> {
    header(out, name, 0, EntryType::Directory)
}

fn header(out: &mut dyn Write, name: &str, size: u64, kind: EntryType) -> Result<(), SendError> {
    let mut header = Header::new_ustar();
    header
        .set_path(name)
        .expect("a layout's names fit into a tar header");
    header.set_entry_type(kind);
    header.set_mode(if kind == EntryType::Directory {
        0o755
    } else {
        0o644
    });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    out.write_all(header.as_bytes()).map_err(SendError::Write)
}

fn pad(out: &mut dyn Write, size: u64) -> Result<(), SendError> {
    let padding = ((BLOCK - size % BLOCK) % BLOCK) as usize;
    out.write_all(&[0; BLOCK as usize][..padding])
        .map_err(SendError::Write)
}

/// What comes out of a layout's stream, one after the other.
pub trait Sink {
    /// What it can fail with.
    type Error: From<LayoutError>;

    /// The index, before or after the blobs: streams of other programs have it last.
    ///
    /// # Errors
    /// Ends the reading.
    fn index(&mut self, index: Index) -> Result<(), Self::Error>;

    /// A blob. `reader` ends only when the content has this size and digest; what is left unread is checked afterwards.
    ///
    /// # Errors
    /// Ends the reading.
    fn blob(&mut self, digest: Digest, size: u64, reader: &mut dyn Read)
    -> Result<(), Self::Error>;
}

/// Reads a layout's tar from `reader` into `sink`, to its proper end. `origin` names the stream in errors.
///
/// # Errors
/// The sink's own; a broken tar; anything in it that does not belong into a layout; a blob that is not what its name
/// says; no marker or no index.
pub fn read<S: Sink>(reader: impl Read, origin: &str, sink: &mut S) -> Result<(), S::Error> {
    let path = || PathBuf::from(origin);
    let tar_error = |source| LayoutError::Tar {
        path: path(),
        source,
    };
    let member_error = |source| LayoutError::Member {
        path: path(),
        source,
    };
    let mut entries = Entries::new(reader);
    let (mut marker, mut index) = (false, false);
    let mut seen = BTreeSet::new();
    while let Some(entry) = entries.next_entry().map_err(tar_error)? {
        let member = Member::of(&entry).map_err(member_error)?;
        let twice = match member {
            Member::Folder => false,
            Member::Marker => {
                if !oci::is_layout_marker(&whole(&mut entries, origin)?) {
                    return Err(LayoutError::BadMarker { path: path() }.into());
                }
                std::mem::replace(&mut marker, true)
            }
            Member::Index if index => true,
            Member::Index => {
                index = true;
                sink.index(parse_index(&path(), &whole(&mut entries, origin)?)?)?;
                false
            }
            Member::Blob(digest) if seen.contains(&digest) => true,
            Member::Blob(digest) => {
                seen.insert(digest);
                if seen.len() > MAX_BLOBS {
                    return Err(LayoutError::TooMany { path: path() }.into());
                }
                let mut reader = VerifyingReader::new(&mut entries, digest, entry.size);
                sink.blob(digest, entry.size, &mut reader)?;
                reader.drain().map_err(|source| LayoutError::Blob {
                    path: path(),
                    digest,
                    source,
                })?;
                false
            }
        };
        if twice {
            return Err(member_error(MemberError::Twice {
                name: member.name(),
            })
            .into());
        }
    }
    for (there, missing) in [(marker, "oci-layout"), (index, "index.json")] {
        if !there {
            return Err(LayoutError::NoLayout {
                path: path(),
                missing,
            }
            .into());
        }
    }
    Ok(())
}

/// The current entry, whose size [`Member::of`] has bounded.
fn whole<R: Read>(entries: &mut Entries<R>, origin: &str) -> Result<Vec<u8>, LayoutError> {
    let mut bytes = Vec::new();
    entries
        .read_to_end(&mut bytes)
        .map_err(|source| LayoutError::Read {
            path: PathBuf::from(origin),
            source,
        })?;
    Ok(bytes)
}
