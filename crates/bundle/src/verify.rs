//! Whether a layout is whole: every document and blob that it names is there and is what its digest says.
//!
//! [`verify`] reads a layout that lies somewhere, several blobs at a time; [`verify_stream`] one that comes by, in one
//! pass, which needs the order that [`crate::stream::write`] has (index, manifests, blobs). Blobs that nothing names are
//! checked too and counted. Nothing is written.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use host::Digest;
use serde::Serialize;

use crate::contents::{self, ContentsError};
use crate::layout::{Layout, LayoutError};
use crate::oci::{self, Descriptor, Index, MAX_DOCUMENT};
use crate::stream::{self, Sink};
use crate::{Progress, ProgressFn};

/// Most blobs that are read at once. Each takes a buffer of [`BUFFER`] bytes.
const WORKERS: usize = 8;
pub(crate) const BUFFER: usize = 256 * 1024;

/// A layout that is whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Entries of its index.
    pub entries: usize,
    /// Blobs that it names, documents included.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs that nothing names. They are what their names say, too.
    pub unreferenced: usize,
}

/// Checks every blob of `layout`.
///
/// # Errors
/// At the first blob that is missing or is not what its digest says.
pub fn verify(layout: &Layout, progress: ProgressFn<'_>) -> Result<Verified, LayoutError> {
    let named = closure(layout)?;
    let mut work: Vec<Descriptor> = named.values().cloned().collect();
    let mut unreferenced = 0;
    for digest in layout.blob_digests()? {
        if !named.contains_key(&digest)
            && let Some(size) = layout.blob_size(&digest)?
        {
            unreferenced += 1;
            work.push(Descriptor::new(oci::FILE, digest, size));
        }
    }
    let bytes = named.values().map(|blob| blob.size).sum();
    progress(Progress::Step {
        what: "verify",
        bytes: Some(work.iter().map(|blob| blob.size).sum()),
    });
    each_blob(work, progress, |blob, told| -> Result<(), LayoutError> {
        let mut reader = layout.blob(blob)?;
        let mut buffer = vec![0; BUFFER];
        loop {
            match reader
                .read(&mut buffer)
                .map_err(layout.blob_error(blob.digest))?
            {
                0 => return Ok(()),
                n => told(n as u64),
            }
        }
    })?;
    Ok(Verified {
        entries: layout.index().manifests.len(),
        blobs: named.len(),
        bytes,
        unreferenced,
    })
}

/// All that the layout's index names, directly or not.
pub(crate) fn closure(layout: &Layout) -> Result<BTreeMap<Digest, Descriptor>, LayoutError> {
    let mut named = BTreeMap::new();
    let mut next: Vec<(Descriptor, usize)> = layout
        .index()
        .manifests
        .iter()
        .map(|descriptor| (descriptor.clone(), 0))
        .collect();
    while let Some((descriptor, depth)) = next.pop() {
        if named.len() > crate::layout::MAX_BLOBS {
            return Err(LayoutError::TooMany {
                path: layout.path().to_owned(),
            });
        }
        if let Some(known) = named.get(&descriptor.digest) {
            let known: &Descriptor = known;
            if known.size != descriptor.size {
                return Err(LayoutError::WrongSize {
                    path: layout.path().to_owned(),
                    digest: descriptor.digest,
                    expected: descriptor.size,
                    found: known.size,
                });
            }
            continue;
        }
        let children = contents::children(&descriptor, layout, depth)?;
        next.extend(children.into_iter().map(|child| (child, depth + 1)));
        named.insert(descriptor.digest, descriptor);
    }
    Ok(named)
}

/// Does `work` for every blob, the largest first, on as many threads as there are processors; stops at the first error.
/// `work` tells the bytes it has done.
pub(crate) fn each_blob<E: Send>(
    mut blobs: Vec<Descriptor>,
    progress: ProgressFn<'_>,
    work: impl Fn(&Descriptor, &mut dyn FnMut(u64)) -> Result<(), E> + Sync,
) -> Result<(), E> {
    blobs.sort_by_key(|blob| std::cmp::Reverse((blob.size, blob.digest)));
    let workers = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(WORKERS)
        .min(blobs.len());
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    let mut result = Ok(());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let sender = sender.clone();
            let (next, blobs, work) = (&next, &blobs, &work);
            scope.spawn(move || {
                while let Some(blob) = blobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // A receiver that has gone does not matter: the result is known then.
                    let mut told = |bytes| drop(sender.send(Ok(bytes)));
                    if let Err(error) = work(blob, &mut told) {
                        next.store(usize::MAX / 2, Ordering::Relaxed);
                        drop(sender.send(Err(error)));
                        return;
                    }
                }
            });
        }
        drop(sender);
        for message in receiver {
            match message {
                Ok(bytes) => progress(Progress::Bytes(bytes)),
                Err(error) if result.is_ok() => result = Err(error),
                Err(_) => {}
            }
        }
    });
    result
}

/// Checks a layout that comes as a tar stream, in the order that this crate writes.
///
/// # Errors
/// As [`verify`], and when a blob comes that nothing before it has named: then the order is another program's, and the
/// layout must be read from a file.
pub fn verify_stream(
    reader: impl Read,
    origin: &str,
    progress: ProgressFn<'_>,
) -> Result<Verified, VerifyError> {
    let mut checker = Checker {
        seen: BTreeSet::new(),
        expected: BTreeMap::new(),
        verified: Verified::default(),
        progress,
    };
    stream::read(reader, origin, &mut checker)?;
    match checker
        .expected
        .keys()
        .find(|digest| !checker.seen.contains(digest))
    {
        Some(digest) => Err(VerifyError::Missing { digest: *digest }),
        None => Ok(checker.verified),
    }
}

/// A stream is not whole.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It is broken, or holds what it must not.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A manifest makes no sense.
    #[error(transparent)]
    Contents(#[from] ContentsError),
    /// A blob that nothing before it has named.
    #[error(
        "blob sha256:{digest} comes before anything that names it: this order can only be read from a file"
    )]
    Order {
        /// The blob.
        digest: Digest,
    },
    /// A blob whose size is not what was said of it.
    #[error("blob sha256:{digest} has {found} bytes, not {expected}")]
    Size {
        /// The blob.
        digest: Digest,
        /// The size it should have.
        expected: u64,
        /// The size it has.
        found: u64,
    },
    /// A blob that is named and does not come.
    #[error("the stream lacks blob sha256:{digest}")]
    Missing {
        /// The blob.
        digest: Digest,
    },
}

struct Checker<'a> {
    seen: BTreeSet<Digest>,
    expected: BTreeMap<Digest, (Descriptor, usize)>,
    verified: Verified,
    progress: ProgressFn<'a>,
}

impl Checker<'_> {
    fn expect(&mut self, descriptors: Vec<Descriptor>, depth: usize) -> Result<(), VerifyError> {
        for descriptor in descriptors {
            let digest = descriptor.digest;
            let (known, _) = self
                .expected
                .entry(digest)
                .or_insert_with(|| (descriptor.clone(), depth));
            if known.size != descriptor.size {
                return Err(VerifyError::Size {
                    digest,
                    expected: descriptor.size,
                    found: known.size,
                });
            }
        }
        Ok(())
    }
}

impl Sink for Checker<'_> {
    type Error = VerifyError;

    fn index(&mut self, index: Index) -> Result<(), VerifyError> {
        self.verified.entries = index.manifests.len();
        self.expect(index.manifests, 0)
    }

    fn blob(
        &mut self,
        digest: Digest,
        size: u64,
        reader: &mut dyn Read,
    ) -> Result<(), VerifyError> {
        let Some((descriptor, depth)) = self.expected.get(&digest).cloned() else {
            return Err(VerifyError::Order { digest });
        };
        if descriptor.size != size {
            return Err(VerifyError::Size {
                digest,
                expected: descriptor.size,
                found: size,
            });
        }
        self.seen.insert(digest);
        self.verified.blobs += 1;
        self.verified.bytes += size;
        let blob_error = |source| LayoutError::Blob {
            path: "the stream".into(),
            digest,
            source,
        };
        if descriptor.is_index() || descriptor.is_manifest() {
            if size > MAX_DOCUMENT {
                return Err(ContentsError::TooLarge { digest, size }.into());
            }
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map_err(blob_error)?;
            (self.progress)(Progress::Bytes(size));
            let children = contents::children(&descriptor, &Given(bytes), depth)?;
            return self.expect(children, depth + 1);
        }
        let mut buffer = vec![0; BUFFER];
        loop {
            match reader.read(&mut buffer).map_err(blob_error)? {
                0 => return Ok(()),
                n => (self.progress)(Progress::Bytes(n as u64)),
            }
        }
    }
}

/// The one document that is at hand.
struct Given(Vec<u8>);

impl contents::Documents for Given {
    type Error = ContentsError;

    fn document(&self, _: &Descriptor) -> Result<Vec<u8>, ContentsError> {
        Ok(self.0.clone())
    }
}
