//! Fetching what upstream publishes, from upstream's own places or from mirrors of them.
//!
//! A file is known by host and path of upstream's address (`dl.k8s.io/release/…`), an image by its full reference. A
//! mirror of files serves the same below one root, `<mirror>/<host>/<path>`; a registry stands in for one upstream
//! registry or, with the upstream's host as first part of its repositories, for all; an OCI layout holds images by
//! reference. Where mirrors of files are given, upstream's files are not asked for, and so with images.
//!
//! Everything is checked while it comes: pinned digests, else the checksums that upstream publishes. What was fetched
//! lies in a working folder, from which an interrupted run goes on. Entry point: [`Fetcher::new`].

mod checksums;
mod http;
mod images;
mod mirror;
mod registry;
mod side_by_side;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use host::Digest;

pub use http::HttpError;
pub use mirror::{Mirror, MirrorError};
pub use registry::{Reference, ReferenceError, RegistryError};

use crate::layout::{Layout, LayoutError};
use crate::{DraftError, Progress, ProgressFn};
use http::Http;
pub(crate) use images::FoundImage;
use registry::Registry;

/// Largest file of checksums that is read.
const MAX_CHECKSUMS: u64 = 1 << 20;

/// Something cannot be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// A file is at none of the mirrors.
    #[error("no mirror has {address}")]
    NotMirrored {
        /// Host and path of upstream's address, or an image's reference.
        address: String,
    },
    /// A file in a mirror that is a folder cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file in a mirror that is a folder, or in the working folder, is not what was pinned or published.
    #[error("{path} has the digest sha256:{actual}, not sha256:{expected}")]
    Digest {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: Digest,
        /// What it is.
        actual: Digest,
    },
    /// An image's manifest is not what was pinned.
    #[error(
        "image {reference} for {arch} has the digest sha256:{actual}, not the pinned sha256:{expected}"
    )]
    Pin {
        /// The image.
        reference: String,
        /// The architecture.
        arch: String,
        /// What it should be.
        expected: Digest,
        /// What it is.
        actual: Digest,
    },
    /// Upstream's checksums do not name the file.
    #[error("{address} names no digest for {file}")]
    NoChecksum {
        /// The file of checksums.
        address: String,
        /// The file that it should name.
        file: String,
    },
    /// An image's reference makes no sense.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// It cannot be fetched.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// It cannot be fetched from a registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A layout that serves as a mirror cannot be read.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// What was fetched cannot be added.
    #[error(transparent)]
    Draft(#[from] Box<DraftError>),
}

impl FetchError {
    /// Whether something came that is not what was pinned or published.
    pub fn is_mismatch(&self) -> bool {
        match self {
            FetchError::Digest { .. }
            | FetchError::Pin { .. }
            | FetchError::Registry(RegistryError::Digest { .. }) => true,
            _ => matches!(self.http(), Some(HttpError::Digest { .. })),
        }
    }

    /// Whether no place has it.
    pub fn is_not_there(&self) -> bool {
        match self {
            FetchError::NotMirrored { .. }
            | FetchError::Registry(RegistryError::NoPlatform { .. }) => true,
            _ => self.http().is_some_and(HttpError::is_not_found),
        }
    }

    /// Whether a place did not answer.
    pub fn is_out_of_reach(&self) -> bool {
        let http = self.http();
        matches!(
            http,
            Some(HttpError::Request { .. } | HttpError::Broken { .. })
        )
    }

    fn http(&self) -> Option<&HttpError> {
        match self {
            FetchError::Http(error) | FetchError::Registry(RegistryError::Http(error)) => {
                Some(error)
            }
            _ => None,
        }
    }
}

/// Where to fetch from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Mirrors, asked in this order. None: upstream itself.
    pub mirrors: Vec<Mirror>,
    /// Certificate authorities (PEM) for https, instead of those that this program brings; for the mirrors where there
    /// are any, else for upstream.
    pub ca_file: Option<PathBuf>,
    /// A proxy for upstream's places, as `http://proxy:3128`.
    pub proxy: Option<String>,
}

enum Place {
    FilesAt(String),
    FilesIn(PathBuf),
    ImagesAt {
        upstream: Option<String>,
        registry: Arc<Registry>,
        prefix: String,
    },
    ImagesIn(Arc<Layout>),
}

/// Fetches into a working folder.
pub struct Fetcher {
    places: Vec<Place>,
    mirror: Http,
    upstream: Http,
    registries: std::sync::Mutex<BTreeMap<String, Arc<Registry>>>,
    work: PathBuf,
    /// Set when one of several downloads has failed: the others need not go on.
    stop: Arc<AtomicBool>,
}

/// A file that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedFile {
    /// Where it lies: in the working folder, or in a mirror that is a folder.
    pub path: PathBuf,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

impl Fetcher {
    /// A fetcher from `sources` into the folder `work`, which is made when it is needed.
    ///
    /// # Errors
    /// When the certificate authorities or a layout that serves as a mirror cannot be read.
    pub fn new(sources: &Sources, work: &Path) -> Result<Self, FetchError> {
        let mirrored = !sources.mirrors.is_empty();
        let ca = sources.ca_file.as_deref();
        let stop = Arc::new(AtomicBool::new(false));
        let mirror = Http::new(ca, None, &stop)?;
        let proxy = sources.proxy.as_deref();
        let upstream = Http::new(ca.filter(|_| !mirrored), proxy, &stop)?;
        let mut places = Vec::new();
        for place in &sources.mirrors {
            places.push(match place {
                Mirror::Files(url) => Place::FilesAt(url.clone()),
                Mirror::Path(path) if path.join("oci-layout").exists() || path.is_file() => {
                    Place::ImagesIn(Arc::new(Layout::open(path)?))
                }
                Mirror::Path(path) => {
                    std::fs::read_dir(path).map_err(|source| FetchError::Read {
                        path: path.clone(),
                        source,
                    })?;
                    Place::FilesIn(path.clone())
                }
                Mirror::Registry {
                    upstream,
                    base,
                    prefix,
                } => Place::ImagesAt {
                    upstream: upstream.clone(),
                    registry: Arc::new(Registry::new(mirror.clone(), base)),
                    prefix: prefix.clone(),
                },
            });
        }
        Ok(Fetcher {
            places,
            mirror,
            upstream,
            registries: Default::default(),
            work: work.to_owned(),
            stop,
        })
    }

    /// Does `work` for each item, several at a time; the results in the items' order. The first error ends all of it, downloads
    /// under way included, which the next run goes on with.
    pub(crate) fn each<T: Sync, R: Send, E: Send>(
        &self,
        items: &[T],
        progress: ProgressFn<'_>,
        work: impl Fn(&T, ProgressFn<'_>) -> Result<R, E> + Sync,
    ) -> Result<Vec<R>, E> {
        side_by_side::side_by_side(items, &self.stop, progress, work)
    }

    /// Fetches the file at `address` (host and path). With `expected`, it is that or an error.
    ///
    /// # Errors
    /// When it cannot be fetched, or is not what was expected; then nothing is kept of it.
    pub fn file(
        &self,
        address: &str,
        expected: Option<Digest>,
        progress: ProgressFn<'_>,
    ) -> Result<FetchedFile, FetchError> {
        progress(Progress::Step {
            what: &format!("fetch {address}"),
            bytes: None,
        });
        let target = self.work.join("files").join(address);
        if let Some(expected) = expected
            && target.is_file()
        {
            // A run before this one has fetched it. What else may lie there is fetched anew.
            let (digest, size) = hash(&target)?;
            if digest == expected {
                return Ok(FetchedFile {
                    path: target,
                    digest,
                    size,
                });
            }
        }
        let mut mirrored = false;
        for place in &self.places {
            let fetched = match place {
                Place::FilesIn(folder) => {
                    let path = folder.join(address);
                    if path.is_file() {
                        Some(in_folder(path, expected)?)
                    } else {
                        None
                    }
                }
                Place::FilesAt(root) => {
                    let url = format!("{root}/{address}");
                    match self.mirror.download(&url, &[], &target, expected, progress) {
                        Err(error) if error.is_not_found() => None,
                        other => Some(other.map(|(digest, size)| FetchedFile {
                            path: target.clone(),
                            digest,
                            size,
                        })?),
                    }
                }
                _ => continue,
            };
            mirrored = true;
            if let Some(file) = fetched {
                return Ok(file);
            }
        }
        if mirrored {
            return Err(FetchError::NotMirrored {
                address: address.to_owned(),
            });
        }
        let url = format!("https://{address}");
        let (digest, size) = self
            .upstream
            .download(&url, &[], &target, expected, progress)?;
        Ok(FetchedFile {
            path: target,
            digest,
            size,
        })
    }

    /// The digest that upstream publishes at `checksums` (host and path) for the file named `name`.
    ///
    /// # Errors
    /// When it cannot be fetched, or names no digest for it.
    pub fn published(&self, checksums: &str, name: &str) -> Result<Digest, FetchError> {
        let bytes = self.document(checksums)?;
        let missing = || FetchError::NoChecksum {
            address: checksums.to_owned(),
            file: name.to_owned(),
        };
        checksums::find(&String::from_utf8_lossy(&bytes), name).ok_or_else(missing)
    }

    fn document(&self, address: &str) -> Result<Vec<u8>, FetchError> {
        let mut mirrored = false;
        for place in &self.places {
            match place {
                Place::FilesIn(folder) => {
                    let path = folder.join(address);
                    if path.is_file() {
                        return std::fs::read(&path)
                            .map_err(|source| FetchError::Read { path, source });
                    }
                }
                Place::FilesAt(root) => {
                    match self
                        .mirror
                        .document(&format!("{root}/{address}"), &[], MAX_CHECKSUMS)
                    {
                        Err(error) if error.is_not_found() => {}
                        other => return Ok(other?),
                    }
                }
                _ => continue,
            }
            mirrored = true;
        }
        if mirrored {
            return Err(FetchError::NotMirrored {
                address: address.to_owned(),
            });
        }
        Ok(self
            .upstream
            .document(&format!("https://{address}"), &[], MAX_CHECKSUMS)?)
    }
}

fn in_folder(path: PathBuf, expected: Option<Digest>) -> Result<FetchedFile, FetchError> {
    let (digest, size) = hash(&path)?;
    match expected {
        Some(expected) if expected != digest => Err(FetchError::Digest {
            path,
            expected,
            actual: digest,
        }),
        _ => Ok(FetchedFile { path, digest, size }),
    }
}

fn hash(path: &Path) -> Result<(Digest, u64), FetchError> {
    let read_error = |source| FetchError::Read {
        path: path.to_owned(),
        source,
    };
    Digest::of_reader(std::fs::File::open(path).map_err(read_error)?).map_err(read_error)
}
