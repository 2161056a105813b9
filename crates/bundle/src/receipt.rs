//! What was installed from a blob, so that the next run sees by `stat` alone that it is still there.
//!
//! A receipt is a shortcut, never the truth: what it says is compared with the host each time, and where a file's
//! size, mode, time or inode differ, the file itself is hashed. Lost or torn, the blob is installed again.

use std::path::{Path, PathBuf};

use host::{Digest, Inspect, Kind};
use serde::{Deserialize, Serialize};

use crate::install::InstallFolder;

/// Largest receipt that is read.
const MAX_RECEIPT: u64 = 1 << 20;

/// What was installed from one blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// What it is, in words.
    pub component: String,
    /// The blob's digest.
    pub archive: Digest,
    /// The folders of it that were asked for.
    #[serde(default)]
    pub folders: Vec<InstallFolder>,
    /// The files that were installed.
    pub files: Vec<ReceiptFile>,
}

/// One installed file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptFile {
    /// Its name in the archive; `None` for the blob itself.
    pub member: Option<String>,
    /// Where it lies, as the host names it.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
    /// Digest of its content.
    pub sha256: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Its time of last change, nanoseconds since 1970.
    pub modified: i128,
    /// Its inode.
    pub inode: u64,
}

impl Receipt {
    /// Reads a receipt; `None` where there is none that makes sense.
    ///
    /// # Errors
    /// When the host cannot be observed.
    pub fn read(
        seen: &(impl Inspect + ?Sized),
        path: &Path,
    ) -> Result<Option<Receipt>, host::Error> {
        let bytes = seen.read(path, MAX_RECEIPT)?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// Whether every file of it is still what was installed.
    ///
    /// # Errors
    /// When the host cannot be observed.
    pub fn holds(&self, seen: &(impl Inspect + ?Sized)) -> Result<bool, host::Error> {
        for file in &self.files {
            let Some(stat) = seen.stat(&file.path)? else {
                return Ok(false);
            };
            if stat.kind != Kind::File || stat.mode != file.mode || stat.size != file.size {
                return Ok(false);
            }
            let untouched = stat.modified == file.modified && stat.inode == file.inode;
            if !untouched && seen.digest(&file.path)? != Some(file.sha256) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes =
            serde_json::to_vec_pretty(self).expect("strings and numbers always serialise");
        bytes.push(b'\n');
        bytes
    }
}
