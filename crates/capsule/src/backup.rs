//! A backup: what a lost cluster is brought back from, in one file.
//!
//! # Format
//! A tar archive that begins as a capsule does, and goes on:
//!
//! | Name | What |
//! |---|---|
//! | `snapshot.db`, `capsule.json` | a capsule: etcd's data, and what is said of it |
//! | `state.yaml` | the cluster's state, sealed and signed as it always is |
//! | `hosts/ADDRESS.tar` | a control plane's files, as `nodeadm files save` prints them (see [`crate::files`]) |
//! | `index.json` | [`Index`]: size and SHA-256 of all before it |
//! | `index.json.sig` | an OpenSSH signature of the index, by the key that signs the state |
//!
//! The index comes last, so that a backup is written, and checked, while it streams, whatever the size of etcd's data. What
//! reads a capsule reads a backup, too.
//!
//! What it deliberately does not do: seal or open, sign or believe a signature; who calls has the keys.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use api::HostFiles;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    BLOCK, CapsuleError, Checked, Metadata, Missing, content, entry, files, fill, header, hex,
    padding,
};

/// The state.
pub const STATE: &str = "state.yaml";
/// The namespace of the index's signature.
pub const NAMESPACE: &str = "backup@klusterkit.dev";
const INDEX: &str = "index.json";
const SIGNATURE: &str = "index.json.sig";
/// A file of every file of every control plane.
const INDEX_LIMIT: u64 = 64 << 20;
const SIGNATURE_LIMIT: u64 = 64 << 10;
/// All parts behind the snapshot together.
const TOTAL_LIMIT: u64 = 1 << 30;

/// A backup that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The snapshot in it.
    #[error(transparent)]
    Capsule(#[from] CapsuleError),
    /// It has no index.
    #[error("this is a snapshot and no backup: {0}")]
    NoBackup(&'static str),
    /// Not what the index says.
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    /// The file.
    #[error("the backup cannot be read")]
    Io(#[source] io::Error),
}

/// A stretch of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// Its entry's name. Of the snapshot: `snapshot.db`, with which the archive begins; its size and digest are those of
    /// all bytes up to `state.yaml`.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
}

impl Part {
    fn of(name: &str, bytes: &[u8]) -> Self {
        Self {
            name: name.to_owned(),
            size: bytes.len() as u64,
            sha256: hex(&Sha256::digest(bytes)),
        }
    }
}

/// A control plane of which files are here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostOf {
    /// Its address.
    pub address: String,
    /// The entry with its files.
    pub part: String,
    /// What is in it.
    pub files: HostFiles,
}

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// `klusterkit.dev/v1alpha1`.
    pub api_version: String,
    /// `Backup`.
    pub kind: String,
    /// The cluster's name.
    pub cluster: String,
    /// The state's id of the cluster.
    pub cluster_id: String,
    /// The state's generation.
    pub generation: u64,
    /// When it was taken, RFC 3339.
    pub taken_at: String,
    /// etcd's data.
    pub snapshot: Part,
    /// What follows it, in this order.
    pub parts: Vec<Part>,
    /// The control planes.
    pub hosts: Vec<HostOf>,
    /// Control planes that could not be asked, by address.
    #[serde(default)]
    pub not_reached: Vec<String>,
}

/// The entry of a control plane's files.
#[must_use]
pub fn part_of(address: &str) -> String {
    format!("hosts/{address}.tar")
}

/// Writes a backup as its parts come: the capsule's bytes first, as they are written to this; then
/// [`Writer::end_snapshot`], [`Writer::add`] for each other part, [`Writer::index`], [`Writer::finish`].
#[derive(Debug)]
pub struct Writer<W> {
    to: W,
    at: u64,
    hash: Sha256,
    size: u64,
    /// The last of the capsule's bytes: two blocks of zeros end it, and more is to follow.
    held: Vec<u8>,
    snapshot: Option<Part>,
    parts: Vec<Part>,
}

/// The two blocks that end an archive.
const END: usize = 2 * BLOCK as usize;
/// The same: behind a backup's snapshot, they make a capsule of it.
pub const END_OF_ARCHIVE: [u8; END] = [0; END];

impl<W: Write> Writer<W> {
    /// To `to`; `at` is the moment that the archive says, in seconds since 1970.
    pub fn new(to: W, at: u64) -> Self {
        Self {
            to,
            at,
            hash: Sha256::default(),
            size: 0,
            held: Vec::new(),
            snapshot: None,
            parts: Vec::new(),
        }
    }

    /// The capsule is whole.
    ///
    /// # Errors
    /// When it does not end as an archive does.
    pub fn end_snapshot(&mut self) -> io::Result<()> {
        if self.held != END_OF_ARCHIVE || !self.size.is_multiple_of(BLOCK) {
            return Err(io::Error::other(
                "the snapshot does not end as a capsule does",
            ));
        }
        self.held.clear();
        self.snapshot = Some(Part {
            name: crate::SNAPSHOT.to_owned(),
            size: self.size,
            sha256: hex(&std::mem::take(&mut self.hash).finalize()),
        });
        Ok(())
    }

    /// Another part.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.put(name, bytes)?;
        self.parts.push(Part::of(name, bytes));
        Ok(())
    }

    fn put(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let size = bytes.len() as u64;
        self.to.write_all(header(name, size, self.at)?.as_bytes())?;
        self.to.write_all(bytes)?;
        self.to.write_all(&padding(size))
    }

    /// All parts are there: `index` is made to say which, and written. Its bytes are what is to be signed.
    ///
    /// # Errors
    /// When it cannot be written, or there was no snapshot.
    pub fn index(&mut self, index: &mut Index) -> io::Result<Vec<u8>> {
        let missing = || io::Error::other("there was no snapshot");
        index.snapshot = self.snapshot.clone().ok_or_else(missing)?;
        index.parts.clone_from(&self.parts);
        let mut text = serde_json::to_vec_pretty(index).expect("plain data becomes JSON");
        text.push(b'\n');
        self.put(INDEX, &text)?;
        Ok(text)
    }

    /// Ends it with the index's signature, and gives the writer back.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self, signature: &str) -> io::Result<W> {
        self.put(SIGNATURE, signature.as_bytes())?;
        self.to.write_all(&END_OF_ARCHIVE)?;
        self.to.flush()?;
        Ok(self.to)
    }
}

/// The capsule's bytes.
impl<W: Write> Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.extend_from_slice(bytes);
        let whole = self.held.len().saturating_sub(END);
        self.to.write_all(&self.held[..whole])?;
        self.hash.update(&self.held[..whole]);
        self.size += whole as u64;
        self.held.drain(..whole);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// A backup that was read to its end, and is what its index says.
pub struct Whole {
    /// The snapshot's size and digest.
    pub checked: Checked,
    /// What it says of itself.
    pub metadata: Metadata,
    /// SHA-256 of the capsule that the backup begins with, ended by [`END_OF_ARCHIVE`].
    pub capsule: String,
    /// What the backup says of itself.
    pub index: Index,
    /// The index as it was signed.
    pub signed: Vec<u8>,
    /// By whoever has the key that signs the state; not believed yet.
    pub signature: String,
    /// The parts behind the snapshot, by their entries' names.
    pub parts: BTreeMap<String, Vec<u8>>,
}

/// Keys are in its parts.
impl std::fmt::Debug for Whole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&String> = self.parts.keys().collect();
        write!(f, "Whole({}, {names:?})", self.index.taken_at)
    }
}

/// Reads a backup to its end. The snapshot is only checked, all else is held in memory.
///
/// # Errors
/// When it is cut short, damaged, of another kind, or cannot be read.
pub fn read(from: &mut dyn Read) -> Result<Whole, BackupError> {
    read_to(from, &mut io::sink())
}

/// As [`read`]; etcd's data goes to `to`, and is right when this returns.
///
/// # Errors
/// As [`read`]'s; when `to` cannot be written.
pub fn read_to(from: &mut dyn Read, to: &mut dyn Write) -> Result<Whole, BackupError> {
    let mut from = Hashing {
        from,
        hash: Sha256::default(),
        size: 0,
    };
    let (checked, metadata) = crate::read(&mut from, to)?;
    let metadata = metadata.ok_or(BackupError::NoBackup("it has nothing but etcd's data"))?;
    let mut rest = padding(from.size);
    fill(&mut from, &mut rest)?;
    let snapshot = Part {
        name: crate::SNAPSHOT.to_owned(),
        size: from.size,
        sha256: hex(&from.hash.clone().finalize()),
    };
    let mut capsule = from.hash.clone();
    capsule.update(END_OF_ARCHIVE);
    let (mut parts, mut found, mut total) = (BTreeMap::new(), Vec::new(), 0);
    let signed = loop {
        let Some((name, size)) = next(&mut from)? else {
            if found.is_empty() {
                return Err(BackupError::NoBackup("nothing follows etcd's data"));
            }
            return damaged("it has no index");
        };
        if name == INDEX {
            break part(&mut from, &name, size, INDEX_LIMIT)?;
        }
        let bytes = part(&mut from, &name, size, files::STREAM_LIMIT)?;
        total += size;
        if total > TOTAL_LIMIT {
            return damaged("its parts are larger than any cluster's");
        }
        found.push(Part::of(&name, &bytes));
        if parts.insert(name.clone(), bytes).is_some() {
            return damaged(format!("{name} is there twice"));
        }
    };
    let signature = match next(&mut from)? {
        Some((name, size)) if name == SIGNATURE => part(&mut from, &name, size, SIGNATURE_LIMIT)?,
        _ => return damaged("its index is not signed"),
    };
    end(&mut from)?;
    let index: Index = serde_json::from_slice(&signed)
        .or_else(|error| damaged(format!("its index cannot be understood: {error}")))?;
    if index.kind != "Backup" || index.snapshot != snapshot || index.parts != found {
        return damaged("its parts are not those that its index names");
    }
    Ok(Whole {
        checked,
        metadata,
        capsule: hex(&capsule.finalize()),
        index,
        signed,
        signature: String::from_utf8_lossy(&signature).into_owned(),
        parts,
    })
}

fn damaged<T>(what: impl Into<String>) -> Result<T, BackupError> {
    Err(BackupError::Damaged(what.into()))
}

struct Hashing<'r> {
    from: &'r mut dyn Read,
    hash: Sha256,
    size: u64,
}

impl Read for Hashing<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(bytes)?;
        self.hash.update(&bytes[..n]);
        self.size += n as u64;
        Ok(n)
    }
}

/// The next entry's name and size; `None` where the archive ends.
fn next(from: &mut dyn Read) -> Result<Option<(String, u64)>, BackupError> {
    let mut block = [0; BLOCK as usize];
    fill(from, &mut block)?;
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    entry(&block).map_or_else(|| damaged("a header is no header"), |found| Ok(Some(found)))
}

/// A part's content, which is not larger than `limit`.
fn part(from: &mut dyn Read, name: &str, size: u64, limit: u64) -> Result<Vec<u8>, BackupError> {
    if size > limit {
        return damaged(format!("{name} is larger than it can be"));
    }
    Ok(content(from, size)?)
}

/// Two blocks of zeros, and nothing behind them. What seals a file shows a missing end only to who reads to it.
fn end(from: &mut dyn Read) -> Result<(), BackupError> {
    let mut rest = Vec::new();
    let read = from.take(END as u64 + 1).read_to_end(&mut rest);
    read.map_err(BackupError::Io)?;
    if rest == END_OF_ARCHIVE {
        return Ok(());
    }
    damaged("it does not end as it should")
}

impl From<Missing> for BackupError {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::CutShort => Self::Damaged("it is cut short".to_owned()),
            Missing::Unread(source) => Self::Io(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{capsule, snapshot};

    fn index() -> Index {
        Index {
            api_version: api::API_VERSION.to_owned(),
            kind: "Backup".to_owned(),
            cluster: "lab".to_owned(),
            cluster_id: "c1".to_owned(),
            generation: 7,
            taken_at: "2026-11-23T12:00:00Z".to_owned(),
            snapshot: Part::of("", b""),
            parts: Vec::new(),
            hosts: Vec::new(),
            not_reached: Vec::new(),
        }
    }

    fn written() -> (Vec<u8>, Vec<u8>) {
        let mut writer = Writer::new(Vec::new(), 1);
        for piece in capsule().chunks(100) {
            writer.write_all(piece).unwrap();
        }
        writer.end_snapshot().unwrap();
        writer.add(STATE, b"state").unwrap();
        writer.add(&part_of("10.0.0.11"), b"files").unwrap();
        let signed = writer.index(&mut index()).unwrap();
        (writer.finish("signature").unwrap(), signed)
    }

    #[test]
    fn what_is_written_is_read_and_tar_reads_it_too() {
        let (backup, signed) = written();
        let whole = read(&mut &backup[..]).unwrap();
        assert_eq!(whole.signed, signed);
        assert_eq!(whole.signature, "signature");
        assert_eq!(whole.parts[STATE], b"state");
        assert_eq!(whole.metadata.member, "h1");
        assert_eq!(whole.capsule, hex(&Sha256::digest(capsule())));
        let names: Vec<String> = tar::Archive::new(backup.as_slice())
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        let expected = [
            "snapshot.db",
            "capsule.json",
            STATE,
            "hosts/10.0.0.11.tar",
            INDEX,
            SIGNATURE,
        ];
        assert_eq!(names, expected);
        let mut database = Vec::new();
        crate::read(&mut &backup[..], &mut database).unwrap();
        assert_eq!(database, snapshot(), "it is a capsule, too");
    }

    #[test]
    fn no_byte_of_it_can_be_another() {
        let (backup, signed) = written();
        let whole = read(&mut &backup[..]).unwrap();
        // The index itself is covered by its signature, which others believe or not.
        let index = backup.len() - END - 2 * BLOCK as usize - signed.len() - BLOCK as usize;
        for at in (0..backup.len()).step_by(13) {
            let mut other = backup.clone();
            other[at] ^= 1;
            let Ok(found) = read(&mut &other[..]) else {
                continue;
            };
            let same = found.signed == whole.signed && found.parts == whole.parts;
            assert!(same || at > index - BLOCK as usize, "byte {at}");
            assert!(
                at as u64 > whole.index.snapshot.size,
                "byte {at} of the snapshot"
            );
        }
        for length in (0..backup.len()).step_by(101) {
            assert!(read(&mut &backup[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn a_capsule_is_no_backup() {
        let error = read(&mut &capsule()[..]).unwrap_err().to_string();
        assert!(error.contains("no backup"), "{error}");
    }
}
