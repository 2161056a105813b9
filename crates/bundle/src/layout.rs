//! An OCI image layout that lies somewhere: a folder, or one tar file.
//!
//! Both are read in place and at random; nothing is unpacked. A tar is scanned once for where its blobs are, so its
//! order does not matter. Everything in a layout is from outside: documents are bounded, blobs are given as readers that
//! end only when size and digest are right, links are not followed, and names are those of a layout or the tar is refused.
//!
//! A layout is never written here: that is `draft`'s and `store`'s. One that cannot be read at random (a pipe) goes
//! through `stream`. Entry point: [`Layout::open`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use host::Digest;
use nix::fcntl::OFlag;

use crate::contents::{self, Component, ContentsError, Documents, Entry, Image};
use crate::member::{Member, MemberError, blob_name, digest_of_name};
use crate::oci::{self, Descriptor, Index, MAX_DOCUMENT};
use crate::tar_stream::{self, Entries};
use crate::verifying_reader::VerifyingReader;

/// Most blobs that one layout may hold.
pub const MAX_BLOBS: usize = 100_000;

/// A layout cannot be read, or holds what it must not.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// A file or folder cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A folder or tar without `oci-layout` or `index.json`.
    #[error("{path} is no OCI layout: it has no {missing}")]
    NoLayout {
        /// The folder or tar.
        path: PathBuf,
        /// What it lacks.
        missing: &'static str,
    },
    /// The marker says a version that is not understood, or nothing.
    #[error("{path}: the file oci-layout is malformed or of an unknown version")]
    BadMarker {
        /// The folder or tar.
        path: PathBuf,
    },
    /// The index is not of the expected form.
    #[error("{path}: index.json is malformed")]
    BadIndex {
        /// The folder or tar.
        path: PathBuf,
        /// The cause.
        source: serde_json::Error,
    },
    /// A document beyond [`MAX_DOCUMENT`].
    #[error("{path} is too large: {size} bytes, at most {MAX_DOCUMENT} are accepted")]
    TooLarge {
        /// The file, or the document's name within the tar.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// More blobs than [`MAX_BLOBS`].
    #[error("{path} holds more than {MAX_BLOBS} blobs")]
    TooMany {
        /// The folder or tar.
        path: PathBuf,
    },
    /// The tar itself is broken.
    #[error("{path} is no sound tar archive")]
    Tar {
        /// The tar.
        path: PathBuf,
        /// What is wrong.
        source: tar_stream::Error,
    },
    /// The tar holds what a layout has not.
    #[error("{path} is refused")]
    Member {
        /// The tar.
        path: PathBuf,
        /// What it holds.
        source: MemberError,
    },
    /// A blob that is named is not there.
    #[error("{path} lacks blob sha256:{digest}")]
    Missing {
        /// The folder or tar.
        path: PathBuf,
        /// The blob.
        digest: Digest,
    },
    /// A blob is there, with another size.
    #[error("{path}: blob sha256:{digest} has {found} bytes, not {expected}")]
    WrongSize {
        /// The folder or tar.
        path: PathBuf,
        /// The blob.
        digest: Digest,
        /// The size it should have.
        expected: u64,
        /// The size it has.
        found: u64,
    },
    /// A blob cannot be read, or is not what its name says (a [`crate::Mismatch`] is in the chain).
    #[error("{path}: blob sha256:{digest} is damaged or cannot be read")]
    Blob {
        /// The folder or tar.
        path: PathBuf,
        /// The blob.
        digest: Digest,
        /// The cause.
        source: io::Error,
    },
    /// A manifest makes no sense.
    #[error(transparent)]
    Contents(#[from] ContentsError),
}

/// A layout that can be read at random. Cheap to share between threads.
#[derive(Debug)]
pub struct Layout {
    path: PathBuf,
    index: Index,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Folder,
    Tar {
        file: Arc<File>,
        blobs: BTreeMap<Digest, (u64, u64)>,
    },
}

/// A blob being read. It reports its end only when size and digest are right.
pub type Blob = VerifyingReader<Section>;

/// A part of a file, read without moving the file's own position.
#[derive(Debug)]
pub struct Section {
    file: Arc<File>,
    position: u64,
    end: u64,
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.end - self.position)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let n = self.file.read_at(&mut buffer[..most], self.position)?;
        self.position += n as u64;
        Ok(n)
    }
}

impl Layout {
    /// Opens a layout: a folder, or a tar file.
    ///
    /// # Errors
    /// When there is none, or when it holds what it must not.
    pub fn open(path: &Path) -> Result<Layout, LayoutError> {
        let read_error = |source| LayoutError::Read {
            path: path.to_owned(),
            source,
        };
        if std::fs::metadata(path).map_err(read_error)?.is_dir() {
            return Layout::open_folder(path);
        }
        let file = open_file(path, false).map_err(read_error)?;
        Layout::open_tar(path, file)
    }

    fn open_folder(path: &Path) -> Result<Layout, LayoutError> {
        let document = |name: &'static str| {
            read_document(&path.join(name))?.ok_or(LayoutError::NoLayout {
                path: path.to_owned(),
                missing: name,
            })
        };
        let marker = document("oci-layout")?;
        let index = document("index.json")?;
        Layout::new(path, &marker, &index, Place::Folder)
    }

    fn open_tar(path: &Path, file: File) -> Result<Layout, LayoutError> {
        let tar_error = |source| LayoutError::Tar {
            path: path.to_owned(),
            source,
        };
        let length = file
            .metadata()
            .map_err(|source| LayoutError::Read {
                path: path.to_owned(),
                source,
            })?
            .len();
        let file = Arc::new(file);
        let mut entries = Entries::new(&*file);
        let mut position = 0;
        let mut seek = |file: &mut &File, bytes: u64| {
            let before = file.stream_position()?;
            position = file.seek(SeekFrom::Start(before.saturating_add(bytes).min(length)))?;
            Ok(position - before)
        };
        let (mut marker, mut index, mut blobs) = (None, None, BTreeMap::new());
        while let Some(entry) = entries.next_entry_by(&mut seek).map_err(tar_error)? {
            let member_error = |source| LayoutError::Member {
                path: path.to_owned(),
                source,
            };
            let member = Member::of(&entry).map_err(member_error)?;
            let twice = match member {
                Member::Folder => false,
                Member::Marker | Member::Index => {
                    let mut bytes = Vec::new();
                    let source_error = |source| {
                        tar_error(tar_stream::Error::Read {
                            offset: entry.offset,
                            source,
                        })
                    };
                    entries.read_to_end(&mut bytes).map_err(source_error)?;
                    let slot = if member == Member::Marker {
                        &mut marker
                    } else {
                        &mut index
                    };
                    slot.replace(bytes).is_some()
                }
                Member::Blob(digest) => blobs.insert(digest, (entry.offset, entry.size)).is_some(),
            };
            if twice {
                return Err(member_error(MemberError::Twice {
                    name: member.name(),
                }));
            }
            if blobs.len() > MAX_BLOBS {
                return Err(LayoutError::TooMany {
                    path: path.to_owned(),
                });
            }
        }
        let lacking = |missing| LayoutError::NoLayout {
            path: path.to_owned(),
            missing,
        };
        let marker = marker.ok_or_else(|| lacking("oci-layout"))?;
        let index = index.ok_or_else(|| lacking("index.json"))?;
        Layout::new(path, &marker, &index, Place::Tar { file, blobs })
    }

    fn new(path: &Path, marker: &[u8], index: &[u8], place: Place) -> Result<Layout, LayoutError> {
        if !oci::is_layout_marker(marker) {
            return Err(LayoutError::BadMarker {
                path: path.to_owned(),
            });
        }
        let index = parse_index(path, index)?;
        Ok(Layout {
            path: path.to_owned(),
            index,
            place,
        })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its `index.json`.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// All components and images, in the index's order.
    ///
    /// # Errors
    /// When a manifest is missing, not what its descriptor says, or malformed.
    pub fn entries(&self) -> Result<Vec<Entry>, LayoutError> {
        contents::entries(&self.index, self)
    }

    /// A component, by name, version (with or without `v`) and architecture.
    ///
    /// # Errors
    /// As [`Layout::entries`].
    pub fn component(
        &self,
        name: &str,
        version: &str,
        arch: &str,
    ) -> Result<Option<Component>, LayoutError> {
        Ok(self.entries()?.into_iter().find_map(|entry| match entry {
            Entry::Component(component) if component.is(name, version, arch) => Some(component),
            _ => None,
        }))
    }

    /// An image, by its full reference and architecture.
    ///
    /// # Errors
    /// As [`Layout::entries`].
    pub fn image(&self, reference: &str, arch: &str) -> Result<Option<Image>, LayoutError> {
        Ok(self.entries()?.into_iter().find_map(|entry| match entry {
            Entry::Image(image) if image.is(reference, arch) => Some(image),
            _ => None,
        }))
    }

    /// The size of a blob that is there.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn blob_size(&self, digest: &Digest) -> Result<Option<u64>, LayoutError> {
        match &self.place {
            Place::Tar { blobs, .. } => Ok(blobs.get(digest).map(|(_, size)| *size)),
            Place::Folder => {
                let path = self.path.join(blob_name(digest));
                match path.symlink_metadata() {
                    Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
                    Ok(_) => Ok(None),
                    Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(source) => Err(LayoutError::Read { path, source }),
                }
            }
        }
    }

    /// Opens a blob; it reports its end only when size and digest are right.
    ///
    /// # Errors
    /// When it is not there, or has another size.
    pub fn blob(&self, descriptor: &Descriptor) -> Result<Blob, LayoutError> {
        let digest = descriptor.digest;
        let missing = || LayoutError::Missing {
            path: self.path.clone(),
            digest,
        };
        let (file, position, size) = match &self.place {
            Place::Tar { file, blobs } => {
                let (offset, size) = *blobs.get(&digest).ok_or_else(missing)?;
                (file.clone(), offset, size)
            }
            Place::Folder => {
                let path = self.path.join(blob_name(&digest));
                let read_error = |source| LayoutError::Read {
                    path: path.clone(),
                    source,
                };
                let file = match open_file(&path, true) {
                    Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(missing()),
                    other => other.map_err(read_error)?,
                };
                let size = file.metadata().map_err(read_error)?.len();
                (Arc::new(file), 0, size)
            }
        };
        if size != descriptor.size {
            let (path, expected) = (self.path.clone(), descriptor.size);
            return Err(LayoutError::WrongSize {
                path,
                digest,
                expected,
                found: size,
            });
        }
        Ok(VerifyingReader::new(
            Section {
                file,
                position,
                end: position + size,
            },
            digest,
            size,
        ))
    }

    /// The digests of all blobs that are there, whether anything names them or not.
    ///
    /// # Errors
    /// When the folder cannot be read, or holds what it must not.
    pub fn blob_digests(&self) -> Result<Vec<Digest>, LayoutError> {
        let Place::Tar { blobs, .. } = &self.place else {
            let folder = self.path.join("blobs/sha256");
            let read_error = |source| LayoutError::Read {
                path: folder.clone(),
                source,
            };
            let mut digests = Vec::new();
            let listing = match std::fs::read_dir(&folder) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(digests),
                other => other.map_err(read_error)?,
            };
            for item in listing {
                let item = item.map_err(read_error)?;
                // Names that are no digest are nobody's blobs: unfinished temporary files, for one.
                digests.extend(item.file_name().to_str().and_then(digest_of_name));
                if digests.len() > MAX_BLOBS {
                    return Err(LayoutError::TooMany {
                        path: self.path.clone(),
                    });
                }
            }
            digests.sort_unstable();
            return Ok(digests);
        };
        Ok(blobs.keys().copied().collect())
    }

    pub(crate) fn blob_error(&self, digest: Digest) -> impl FnOnce(io::Error) -> LayoutError {
        let path = self.path.clone();
        move |source| LayoutError::Blob {
            path,
            digest,
            source,
        }
    }
}

impl Documents for Layout {
    type Error = LayoutError;

    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, LayoutError> {
        let Descriptor { digest, size, .. } = *descriptor;
        if size > MAX_DOCUMENT {
            return Err(ContentsError::TooLarge { digest, size }.into());
        }
        let mut bytes = Vec::with_capacity(size as usize);
        self.blob(descriptor)?
            .read_to_end(&mut bytes)
            .map_err(self.blob_error(digest))?;
        Ok(bytes)
    }
}

/// Parses an `index.json` of the layout at `path`.
pub(crate) fn parse_index(path: &Path, bytes: &[u8]) -> Result<Index, LayoutError> {
    serde_json::from_slice(bytes).map_err(|source| LayoutError::BadIndex {
        path: path.to_owned(),
        source,
    })
}

/// Opens a regular file for reading. Never blocks on a FIFO; follows no link if `strict`.
#[expect(
    clippy::disallowed_methods,
    reason = "opened for reading only, with flags that File::open cannot set"
)]
fn open_file(path: &Path, strict: bool) -> io::Result<File> {
    let flags = if strict {
        OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK
    } else {
        OFlag::O_NONBLOCK
    };
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    Ok(file)
}

/// A document of at most [`MAX_DOCUMENT`]; `None` where there is none.
fn read_document(path: &Path) -> Result<Option<Vec<u8>>, LayoutError> {
    let read_error = |source| LayoutError::Read {
        path: path.to_owned(),
        source,
    };
    let file = match open_file(path, true) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(read_error)?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_DOCUMENT + 1)
        .read_to_end(&mut bytes)
        .map_err(read_error)?;
    if bytes.len() as u64 > MAX_DOCUMENT {
        return Err(LayoutError::TooLarge {
            path: path.to_owned(),
            size: bytes.len() as u64,
        });
    }
    Ok(Some(bytes))
}
