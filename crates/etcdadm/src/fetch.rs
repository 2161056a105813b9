//! An etcd release, fetched from where it is published into the host's store.
//!
//! The archive is checked against the checksums that are published beside it while it comes; what was fetched when a
//! run was cut off is gone on from.

use std::fmt;
use std::path::{Path, PathBuf};

use api::Version;
use bundle::fetch::{FetchError, Fetcher, Mirror, MirrorError, Sources};
use bundle::oci::Platform;
use bundle::{ComponentSpec, Draft, DraftError, Progress, Store, StoreError};
use host::Host;
use serde::Serialize;

use crate::Error;

/// Where an archive waits until it is whole.
const WORK: &str = "/var/cache/etcdadm/download";

/// A release cannot be fetched.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// The place makes no sense.
    #[error(transparent)]
    Place(#[from] MirrorError),
    /// It cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It cannot be put into the store.
    #[error(transparent)]
    Draft(#[from] DraftError),
    /// It cannot be put into the store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of the work cannot be opened or removed.
    #[error("cannot use {path}")]
    Work {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

/// Fetch a release into the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fetch {
    /// The release.
    pub version: Version,
    /// As release files name it.
    pub arch: String,
    /// Where releases lie: below it, `vX.Y.Z/etcd-vX.Y.Z-linux-ARCH.tar.gz` and `vX.Y.Z/SHA256SUMS`.
    pub from: String,
}

impl fmt::Display for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "fetch etcd {} for {} from {} into the store",
            self.version, self.arch, self.from
        )
    }
}

impl Fetch {
    fn file(&self) -> String {
        format!("etcd-{}-linux-{}.tar.gz", self.version, self.arch)
    }

    /// Makes the change on `host`.
    ///
    /// # Errors
    /// [`Error::Release`].
    pub(crate) fn apply(
        &self,
        host: &mut dyn Host,
        note: &mut dyn FnMut(&str),
    ) -> Result<(), Error> {
        if host.is_dry_run() {
            // The picture of a host shows the archive where older tools kept it.
            let path = format!("/var/cache/etcdadm/etcd/{}/{}", self.version, self.file());
            return Ok(host.apply(&host::Change::file(path, ""))?);
        }
        let root = host.root().to_owned();
        self.fetch(&root, note).map_err(|source| Error::Release {
            version: self.version,
            arch: self.arch.clone(),
            source: Box::new(source),
        })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "what waited for the store is removed once it is there"
    )]
    fn fetch(&self, root: &Path, note: &mut dyn FnMut(&str)) -> Result<(), ReleaseError> {
        let work = root.join(WORK.trim_start_matches('/'));
        let sources = Sources {
            mirrors: vec![self.from.parse::<Mirror>()?],
            ..Sources::default()
        };
        let fetcher = Fetcher::new(&sources, &work)?;
        let (version, file) = (self.version, self.file());
        let expected = fetcher.published(&format!("{version}/SHA256SUMS"), &file)?;
        let mut moved = Moved {
            note,
            bytes: 0,
            told: 0,
        };
        let fetched = fetcher.file(&format!("{version}/{file}"), Some(expected), &mut |p| {
            moved.hear(p)
        })?;
        let mut draft = Draft::new();
        draft.add_component(&ComponentSpec {
            name: "etcd".to_owned(),
            version: version.to_string(),
            platform: Platform {
                os: "linux".to_owned(),
                architecture: self.arch.clone(),
                variant: None,
            },
            files: vec![(file, fetched.path)],
        })?;
        let archive = work.join("component.tar");
        draft.write_archive(&archive, &mut |_| {})?;
        let open = std::fs::File::open(&archive);
        let stream = open.map_err(|source| ReleaseError::Work {
            path: archive.clone(),
            source,
        })?;
        Store::new(root).receive(stream, &mut |_| {})?;
        std::fs::remove_dir_all(&work).map_err(|source| ReleaseError::Work {
            path: work.clone(),
            source,
        })
    }
}

/// Tells now and then how much has come.
struct Moved<'n> {
    note: &'n mut dyn FnMut(&str),
    bytes: u64,
    told: u64,
}

impl Moved<'_> {
    fn hear(&mut self, progress: Progress<'_>) {
        if let Progress::Bytes(more) = progress {
            self.bytes += more;
            let megabytes = self.bytes / 5_000_000 * 5;
            if megabytes > self.told {
                self.told = megabytes;
                (self.note)(&format!("{megabytes} MB fetched"));
            }
        }
    }
}
