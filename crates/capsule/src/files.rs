//! A host's files in one stream: what `nodeadm files save` prints and `nodeadm files put-back` takes.
//!
//! # Format
//! A tar archive. Its first entry, `files.json`, is [`HostFiles`]; the files follow in its order, named by their paths
//! without the first slash (by their digests where tar has no room for a path). Whoever reads goes by the index alone: each
//! entry must have the size and the SHA-256 that it says, and there must be no other.
//!
//! Files of configuration are small. So bounds are tight, everything is held in memory, and nothing is given to the caller
//! before the last digest is right.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::path::{Component, Path};

use api::HostFiles;
use sha2::{Digest as _, Sha256};

use crate::{BLOCK, Missing, content, entry, fill, header, hex, padding};

/// The index.
const INDEX: &str = "files.json";
/// No index is larger.
const INDEX_LIMIT: u64 = 4 << 20;
/// No file of configuration is larger.
pub const FILE_LIMIT: u64 = 8 << 20;
/// All files of a host together.
pub const TOTAL_LIMIT: u64 = 48 << 20;
/// How many there can be.
pub const COUNT_LIMIT: usize = 4000;
/// The whole stream: contents, the index, and tar's own blocks.
pub const STREAM_LIMIT: u64 = TOTAL_LIMIT + INDEX_LIMIT + (COUNT_LIMIT as u64 + 8) * 2 * BLOCK;

/// Files that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The stream.
    #[error("the host's files cannot be {action}")]
    Io {
        /// `read` or `written`.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// No such stream, or one that was cut short or changed.
    #[error("these are no files as `nodeadm files save` prints them: {0}")]
    Foreign(String),
}

fn foreign<T>(what: impl Into<String>) -> Result<T, FilesError> {
    Err(FilesError::Foreign(what.into()))
}

/// Writes the index and these contents, which are in its order.
///
/// # Errors
/// When they cannot be written.
pub fn write(
    index: &HostFiles,
    contents: &[Vec<u8>],
    at: u64,
    to: &mut dyn Write,
) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(index).expect("plain data becomes JSON");
    text.push(b'\n');
    let mut put = |name: &str, sha256: &str, bytes: &[u8]| {
        let size = bytes.len() as u64;
        let header =
            header(name, size, at).or_else(|_| header(&format!("by-digest/{sha256}"), size, at))?;
        to.write_all(header.as_bytes())?;
        to.write_all(bytes)?;
        to.write_all(&padding(size))
    };
    put(INDEX, "", &text)?;
    for (file, bytes) in index.files.iter().zip(contents) {
        let name = file.path.to_string_lossy();
        put(name.trim_start_matches('/'), &file.sha256, bytes)?;
    }
    to.write_all(&[0; 2 * BLOCK as usize])?;
    to.flush()
}

/// Reads all of it; what comes back is what the index says, to the last byte.
///
/// # Errors
/// When it is cut short, too large, damaged, of another kind, or names paths that no file can have.
pub fn read(from: &mut dyn Read) -> Result<(HostFiles, Vec<Vec<u8>>), FilesError> {
    let from = &mut from.take(STREAM_LIMIT);
    let (name, size) = next(from)?;
    if name != INDEX || size > INDEX_LIMIT {
        return foreign("they begin otherwise");
    }
    let text = content(from, size)?;
    let index: HostFiles = serde_json::from_slice(&text)
        .or_else(|error| foreign(format!("the index cannot be understood: {error}")))?;
    check(&index)?;
    let mut contents = Vec::with_capacity(index.files.len());
    for file in &index.files {
        let path = file.path.display();
        let (_, size) = next(from)?;
        if size != file.size {
            return foreign(format!(
                "{path} is to have {} bytes, and {size} are there",
                file.size
            ));
        }
        let bytes = content(from, size)?;
        if hex(&Sha256::digest(&bytes)) != file.sha256 {
            return foreign(format!("{path} is damaged: its SHA-256 is another one"));
        }
        contents.push(bytes);
    }
    let mut end = [0; 2 * BLOCK as usize];
    fill(from, &mut end)?;
    if end.iter().any(|byte| *byte != 0) {
        return foreign("there is more than the index names");
    }
    Ok((index, contents))
}

/// Refuses an index that no host has, before anything that it names is read.
fn check(index: &HostFiles) -> Result<(), FilesError> {
    let total: u64 = index
        .files
        .iter()
        .map(|file| file.size.min(TOTAL_LIMIT + 1))
        .sum();
    if index.files.len() > COUNT_LIMIT || total > TOTAL_LIMIT {
        return foreign("there are more than a host has");
    }
    let mut seen = BTreeSet::new();
    for file in &index.files {
        if !is_plain(&file.path) || file.mode & !0o777 != 0 || file.size > FILE_LIMIT {
            return foreign(format!(
                "{} is no file of configuration",
                file.path.display()
            ));
        }
        if !seen.insert(&file.path) {
            return foreign(format!("{} is there twice", file.path.display()));
        }
    }
    let plain = |folder: &api::HostFolder| is_plain(&folder.path) && folder.mode & !0o7777 == 0;
    match index.folders.iter().find(|folder| !plain(folder)) {
        Some(folder) => foreign(format!("{} is no such folder", folder.path.display())),
        None => Ok(()),
    }
}

/// Whether a path is absolute and says where it leads: no `.` or `..`, nothing that cannot be seen.
#[must_use]
pub fn is_plain(path: &Path) -> bool {
    let Some(text) = path.to_str() else {
        return false;
    };
    let mut parts = path.components();
    let names = text
        .split('/')
        .skip(1)
        .all(|part| !matches!(part, "" | "." | ".."));
    parts.next() == Some(Component::RootDir)
        && parts.all(|part| matches!(part, Component::Normal(_)))
        && names
        && text.len() <= 4096
        && !text.chars().any(char::is_control)
}

fn next(from: &mut dyn Read) -> Result<(String, u64), FilesError> {
    let mut block = [0; BLOCK as usize];
    fill(from, &mut block)?;
    entry(&block).map_or_else(|| foreign("a header is damaged, or a file is missing"), Ok)
}

impl From<Missing> for FilesError {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::CutShort => Self::Foreign("they are cut short".to_owned()),
            Missing::Unread(source) => Self::Io {
                action: "read",
                source,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::HostFile;

    fn one(path: &str, bytes: &[u8]) -> HostFile {
        HostFile {
            path: path.into(),
            mode: 0o600,
            uid: 0,
            gid: 0,
            size: bytes.len() as u64,
            sha256: hex(&Sha256::digest(bytes)),
            why: "a test".to_owned(),
            put_back: true,
        }
    }

    fn packed(paths: &[&str]) -> (HostFiles, Vec<Vec<u8>>, Vec<u8>) {
        let mut index = HostFiles::new("h1");
        let mut contents = Vec::new();
        for path in paths {
            let bytes = path.as_bytes().to_vec();
            index.files.push(one(path, &bytes));
            contents.push(bytes);
        }
        let mut packed = Vec::new();
        write(&index, &contents, 1, &mut packed).unwrap();
        (index, contents, packed)
    }

    #[test]
    fn what_was_written_is_read() {
        let long = format!("/etc/{}/x", "long".repeat(60));
        let (index, contents, packed) = packed(&["/etc/kubernetes/enc.yaml", &long, "/e/m"]);
        assert_eq!(read(&mut &packed[..]).unwrap(), (index, contents));
        let (empty, none, packed) = self::packed(&[]);
        assert_eq!(read(&mut &packed[..]).unwrap(), (empty, none));
    }

    #[test]
    fn no_byte_of_it_can_be_another() {
        let (_, _, packed) = packed(&["/etc/kubernetes/enc.yaml"]);
        for at in (0..packed.len()).step_by(7) {
            let mut other = packed.clone();
            other[at] ^= 1;
            let (found, whole) = (read(&mut &other[..]), read(&mut &packed[..]).unwrap());
            // What stands beside the files (who names them, tar's padding) is covered by what is around the stream.
            assert!(found.is_err() || found.unwrap().1 == whole.1, "byte {at}");
        }
        for length in (0..packed.len()).step_by(11) {
            assert!(read(&mut &packed[..length]).is_err(), "{length} bytes");
        }
        let mut more = packed[..packed.len() - 1024].to_vec();
        more.extend_from_slice(header("x", 0, 1).unwrap().as_bytes());
        more.extend_from_slice(&[0; 1024]);
        assert!(read(&mut &more[..]).is_err());
    }

    #[test]
    fn no_path_leads_elsewhere() {
        for path in [
            "/etc/../x",
            "/etc/./x",
            "etc/x",
            "/etc/x\n",
            "//x",
            "/",
            "/x/",
            "",
        ] {
            assert!(!is_plain(Path::new(path)), "{path:?}");
            let mut index = HostFiles::new("h1");
            index.files.push(one(path, b"x"));
            let mut packed = Vec::new();
            let index_text = serde_json::to_vec(&index).unwrap();
            packed.extend_from_slice(
                header(INDEX, index_text.len() as u64, 1)
                    .unwrap()
                    .as_bytes(),
            );
            packed.extend_from_slice(&index_text);
            packed.extend(padding(index_text.len() as u64));
            assert!(read(&mut &packed[..]).is_err(), "{path:?}");
        }
        assert!(is_plain(Path::new("/etc/kubernetes/enc/a b.yaml")));
        let mut set_uid = one("/etc/x", b"x");
        set_uid.mode = 0o4755;
        let mut index = HostFiles::new("h1");
        index.files.push(set_uid);
        assert!(check(&index).is_err());
    }
}
