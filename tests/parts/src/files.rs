//! File work with the path in every error, and digests.
//!
//! Nothing here is atomic by itself: what must be whole is written beside its
//! place and published with `publish`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// A file operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct FileError {
    /// What was tried, as a verb.
    pub action: &'static str,
    /// On which path.
    pub path: PathBuf,
    /// Why it failed.
    pub source: io::Error,
}

/// Gives an I/O result its action and path.
pub(crate) fn at<T>(
    action: &'static str,
    path: &Path,
    result: io::Result<T>,
) -> Result<T, FileError> {
    result.map_err(|source| FileError {
        action,
        path: path.to_owned(),
        source,
    })
}

pub(crate) fn make_dirs(path: &Path) -> Result<(), FileError> {
    at("make the folder", path, fs::create_dir_all(path))
}

pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    if let Some(parent) = path.parent() {
        make_dirs(parent)?;
    }
    at("write", path, fs::write(path, bytes))
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    at("read", path, fs::read(path))
}

/// Copies a file with its mode, making the folder for it. No hard link: whoever
/// spoils a laid-out file to see what happens must not spoil the cache.
pub(crate) fn place(from: &Path, to: &Path) -> Result<(), FileError> {
    if let Some(parent) = to.parent() {
        make_dirs(parent)?;
    }
    at("copy to", to, fs::copy(from, to)).map(drop)
}

pub(crate) fn remove_file_if_there(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => at("remove", path, other),
    }
}

/// Everything below a folder that is a file, as sorted relative paths.
pub(crate) fn walk(root: &Path) -> Result<Vec<PathBuf>, FileError> {
    fn into(root: &Path, below: &Path, found: &mut Vec<PathBuf>) -> Result<(), FileError> {
        let folder = root.join(below);
        for entry in at("list", &folder, fs::read_dir(&folder))? {
            let entry = at("list", &folder, entry)?;
            let path = below.join(entry.file_name());
            if at("look at", &folder, entry.file_type())?.is_dir() {
                into(root, &path, found)?;
            } else {
                found.push(path);
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    into(root, Path::new(""), &mut found)?;
    found.sort();
    Ok(found)
}

/// Moves a finished folder or file to its place: everything in it is on disk
/// before the name is, so that what can be seen under the name is whole.
pub(crate) fn publish(from: &Path, to: &Path) -> Result<(), FileError> {
    if from.is_dir() {
        for file in walk(from)? {
            sync(&from.join(file))?;
        }
    }
    sync(from)?;
    at("rename to", to, fs::rename(from, to))?;
    sync(to.parent().expect("a published path lies in a folder"))
}

fn sync(path: &Path) -> Result<(), FileError> {
    at("sync", path, File::open(path).and_then(|f| f.sync_all()))
}

/// The SHA-256 of some bytes, in hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The SHA-256 of a file, in hex, and its length.
///
/// # Errors
/// When it cannot be read.
pub fn sha256_of(path: &Path) -> Result<(String, u64), FileError> {
    let mut file = at("open", path, File::open(path))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut length = 0;
    loop {
        match at("read", path, file.read(&mut buffer))? {
            0 => return Ok((hex(&hash.finalize()), length)),
            n => {
                hash.update(&buffer[..n]);
                length += n as u64;
            }
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
