//! A snapshot with what a restore needs to be right: the **capsule**.
//!
//! # Format
//! A tar archive of two files, readable without etcdadm (`tar -xf FILE snapshot.db`):
//!
//! | Name | What |
//! |---|---|
//! | `snapshot.db` | the snapshot as etcd sends it: its last 32 bytes are the SHA-256 of all before them |
//! | `capsule.json` | [`Metadata`]: of which cluster, release and moment it is |
//!
//! The snapshot comes first, so that a capsule is written while it streams. A plain snapshot, as `etcdctl snapshot save`
//! writes it, can be read wherever a capsule can.
//!
//! Nothing here is believed before it is checked: sizes bound what is read, the digest is taken while the bytes go by, and
//! the metadata must name the same digest.
//!
//! What it deliberately does not do: talk to etcd, or write files; who calls [`read()`] decides where the bytes go.
//!
//! A backup of a whole cluster is a capsule with more in it: [`backup`]; [`files`] is what it has of each control plane.
//!
//! # Where to enter
//! [`Writer`] while a snapshot streams; [`read()`] to check one; [`peek`] to know which one it is.

pub mod backup;
pub mod files;

use std::io::{self, Read, Write};

use api::KvHash;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The snapshot in a capsule.
const SNAPSHOT: &str = "snapshot.db";
/// What is said of it.
const METADATA: &str = "capsule.json";
/// Size of a tar block.
const BLOCK: u64 = 512;
/// Size of the digest at a snapshot's end.
const TRAILER: usize = 32;
/// No metadata is larger.
const METADATA_LIMIT: u64 = 1 << 20;
/// A database's first page names its kind here.
const MAGIC: (usize, [u8; 4]) = (16, 0xED0C_DAED_u32.to_le_bytes());

/// A capsule or snapshot that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CapsuleError {
    /// The file, or standard output.
    #[error("the snapshot cannot be {action}")]
    Io {
        /// `read` or `written`.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Too short, or of another kind.
    #[error("this is neither a capsule nor a snapshot of etcd: {0}")]
    Foreign(&'static str),
    /// Shorter than it says.
    #[error("the snapshot is cut short: {have} of {size} bytes are there")]
    Short {
        /// What there is.
        have: u64,
        /// What there should be.
        size: u64,
    },
    /// Not the bytes that were sent.
    #[error("the snapshot is damaged: its bytes have the SHA-256 {found}, and it says {said}")]
    Damaged {
        /// What its bytes have.
        found: String,
        /// What it says at its end.
        said: String,
    },
    /// What stands beside the snapshot is of another one, or no metadata at all.
    #[error("the capsule's {METADATA} {0}")]
    Metadata(String),
    /// etcd sent more or less than it had said.
    #[error("etcd sent {have} bytes and had said {size}")]
    Size {
        /// What came.
        have: u64,
        /// What was said.
        size: u64,
    },
}

fn io_error(action: &'static str) -> impl Fn(io::Error) -> CapsuleError {
    move |source| CapsuleError::Io { action, source }
}

/// What a capsule says of its snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// `klusterkit.dev/v1alpha1`.
    pub api_version: String,
    /// `EtcdSnapshot`.
    pub kind: String,
    /// When it was taken, RFC 3339.
    pub taken_at: String,
    /// The cluster's id, 16 hexadecimal digits.
    pub cluster_id: String,
    /// The name of the member that it was taken of.
    pub member: String,
    /// etcd's version there, without `v`.
    pub etcd_version: String,
    /// Version of the storage; empty before 3.6.
    #[serde(default)]
    pub storage_version: String,
    /// The members, as the cluster listed them.
    pub members: Vec<MemberOf>,
    /// The member's digest over its keys, taken just before: the snapshot is of its revision or a later one.
    pub hash: KvHash,
    /// How many keys there were at that revision.
    pub keys: u64,
    /// Size of the snapshot in bytes, its digest included.
    pub size: u64,
    /// SHA-256 of the database: the snapshot without its last 32 bytes, which are this.
    pub sha256: String,
}

/// A member of the cluster that a snapshot is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberOf {
    /// Its name.
    pub name: String,
    /// Where others reached it.
    pub peer_urls: Vec<String>,
    /// Where clients reached it.
    pub client_urls: Vec<String>,
}

/// A snapshot that was checked: size and digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Its size, its digest included.
    pub size: u64,
    /// The SHA-256 of all but its last 32 bytes, in hexadecimal digits.
    pub sha256: String,
}

/// Hashes what passes, but for its last 32 bytes, with which it compares.
#[derive(Debug, Default)]
struct Check {
    hash: Sha256,
    tail: Vec<u8>,
    size: u64,
}

impl Check {
    fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.tail.extend_from_slice(bytes);
        let whole = self.tail.len().saturating_sub(TRAILER);
        self.hash.update(&self.tail[..whole]);
        self.tail.drain(..whole);
    }

    fn finish(self) -> Result<Checked, CapsuleError> {
        let (found, said) = (hex(&self.hash.finalize()), hex(&self.tail));
        if self.tail.len() < TRAILER || self.size < 2 * 4096 {
            return Err(CapsuleError::Foreign("it is too short"));
        }
        // etcd pads to pages before the digest: without one, it is a copied database file.
        if found != said && self.size % BLOCK != TRAILER as u64 {
            return Err(CapsuleError::Foreign(
                "it is cut short, or has no digest at its end, as a database file copied from a data directory",
            ));
        }
        if found != said {
            return Err(CapsuleError::Damaged { found, said });
        }
        Ok(Checked {
            size: self.size,
            sha256: found,
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a capsule, or a plain snapshot, as its bytes come.
#[derive(Debug)]
pub struct Writer<W> {
    to: W,
    raw: bool,
    check: Check,
    said: u64,
    at: u64,
}

impl<W: Write> Writer<W> {
    /// To `to`; `raw` for a plain snapshot; `at` is the moment that the archive says, in seconds since 1970.
    pub fn new(to: W, raw: bool, at: u64) -> Self {
        let check = Check::default();
        Self {
            to,
            raw,
            check,
            said: 0,
            at,
        }
    }

    /// So many bytes will come.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn begin(&mut self, size: u64) -> io::Result<()> {
        self.said = size;
        if self.raw {
            return Ok(());
        }
        self.to
            .write_all(header(SNAPSHOT, size, self.at)?.as_bytes())
    }

    /// The next of them.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.check.update(bytes);
        self.to.write_all(bytes)
    }

    /// All have come: checks them, and writes what is said of them.
    ///
    /// # Errors
    /// When what came is not what was announced, or cannot be written.
    pub fn finish(
        mut self,
        metadata: impl FnOnce(&Checked) -> Metadata,
    ) -> Result<(W, Metadata), CapsuleError> {
        let (have, size) = (self.check.size, self.said);
        let checked = std::mem::take(&mut self.check).finish()?;
        if have != size {
            return Err(CapsuleError::Size { have, size });
        }
        let metadata = metadata(&checked);
        if !self.raw {
            let mut text = serde_json::to_vec_pretty(&metadata).expect("plain data becomes JSON");
            text.push(b'\n');
            self.rest(&text).map_err(io_error("written"))?;
        }
        self.to.flush().map_err(io_error("written"))?;
        Ok((self.to, metadata))
    }

    fn rest(&mut self, text: &[u8]) -> io::Result<()> {
        let size = text.len() as u64;
        self.to.write_all(&padding(self.said))?;
        self.to
            .write_all(header(METADATA, size, self.at)?.as_bytes())?;
        self.to.write_all(text)?;
        self.to.write_all(&padding(size))?;
        self.to.write_all(&[0; 2 * BLOCK as usize])
    }
}

fn header(name: &str, size: u64, at: u64) -> io::Result<tar::Header> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name)?;
    header.set_size(size);
    header.set_mode(0o600);
    header.set_mtime(at);
    header.set_cksum();
    Ok(header)
}

fn padding(size: u64) -> Vec<u8> {
    let over = (size % BLOCK) as usize;
    vec![0; if over == 0 { 0 } else { BLOCK as usize - over }]
}

/// The entry that a header describes, if it is one of a file.
fn entry(block: &[u8]) -> Option<(String, u64)> {
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes().copy_from_slice(block);
    let sum: u64 = block
        .iter()
        .enumerate()
        .map(|(i, byte)| u64::from(if (148..156).contains(&i) { b' ' } else { *byte }))
        .sum();
    if header.cksum().ok().map(u64::from) != Some(sum) || !header.entry_type().is_file() {
        return None;
    }
    let name = header.path().ok()?.to_str()?.to_owned();
    Some((name, header.size().ok()?))
}

/// Reads a capsule or a plain snapshot to its end; the snapshot goes to `to`, and is right when this returns.
///
/// # Errors
/// When it is cut short, damaged, of another kind, or cannot be read or written.
pub fn read(
    from: &mut dyn Read,
    to: &mut dyn Write,
) -> Result<(Checked, Option<Metadata>), CapsuleError> {
    let mut first = vec![0; BLOCK as usize];
    fill(from, &mut first)?;
    let mut check = Check::default();
    if first[MAGIC.0..].starts_with(&MAGIC.1) {
        pass(&mut check, to, &first)?;
        copy(from, to, &mut check, u64::MAX)?;
        return Ok((check.finish()?, None));
    }
    let Some((name, size)) = entry(&first) else {
        return Err(CapsuleError::Foreign("it begins otherwise"));
    };
    if name != SNAPSHOT {
        return Err(CapsuleError::Foreign("it is another tar archive"));
    }
    let have = copy(from, to, &mut check, size)?;
    if have < size {
        return Err(CapsuleError::Short { have, size });
    }
    let checked = check.finish()?;
    let metadata = read_metadata(from, size)?;
    if metadata.sha256 != checked.sha256 || metadata.size != checked.size {
        return Err(CapsuleError::Metadata("is of another snapshot".to_owned()));
    }
    Ok((checked, Some(metadata)))
}

/// What a capsule says of its snapshot, without reading that, and the digest that the snapshot is said to have. A plain
/// snapshot says only the latter.
///
/// # Errors
/// When it is of another kind, cut short, or cannot be read.
pub fn peek(from: &mut (impl Read + io::Seek)) -> Result<(String, Option<Metadata>), CapsuleError> {
    let mut first = vec![0; BLOCK as usize];
    fill(from, &mut first)?;
    if first[MAGIC.0..].starts_with(&MAGIC.1) {
        let end = io::SeekFrom::End(-(TRAILER as i64));
        from.seek(end).map_err(io_error("read"))?;
        let mut digest = [0; TRAILER];
        fill(from, &mut digest)?;
        return Ok((hex(&digest), None));
    }
    let Some((_, size)) = entry(&first).filter(|(name, _)| name == SNAPSHOT) else {
        return Err(CapsuleError::Foreign("it begins otherwise"));
    };
    let end = io::SeekFrom::Start(BLOCK.saturating_add(size));
    from.seek(end).map_err(io_error("read"))?;
    let metadata = read_metadata(from, size)?;
    Ok((metadata.sha256.clone(), Some(metadata)))
}

fn read_metadata(from: &mut dyn Read, size: u64) -> Result<Metadata, CapsuleError> {
    let mut over = padding(size);
    let missing = |_| CapsuleError::Metadata("is not there: the capsule is cut short".to_owned());
    from.read_exact(&mut over).map_err(missing)?;
    let mut block = vec![0; BLOCK as usize];
    from.read_exact(&mut block).map_err(missing)?;
    let found = entry(&block).filter(|(name, size)| name == METADATA && *size <= METADATA_LIMIT);
    let (_, size) = found.ok_or_else(|| CapsuleError::Metadata("is not there".to_owned()))?;
    let mut text = vec![0; size as usize];
    from.read_exact(&mut text).map_err(missing)?;
    let understood = serde_json::from_slice(&text);
    understood.map_err(|e| CapsuleError::Metadata(format!("cannot be understood: {e}")))
}

/// Bytes that were to come and did not.
enum Missing {
    /// There are no more.
    CutShort,
    /// They cannot be read.
    Unread(io::Error),
}

impl From<Missing> for CapsuleError {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::CutShort => Self::Foreign("it is too short"),
            Missing::Unread(source) => io_error("read")(source),
        }
    }
}

fn fill(from: &mut dyn Read, bytes: &mut [u8]) -> Result<(), Missing> {
    from.read_exact(bytes).map_err(|source| {
        if source.kind() == io::ErrorKind::UnexpectedEof {
            return Missing::CutShort;
        }
        Missing::Unread(source)
    })
}

/// An entry's content with what pads it. Its size is bounded by the caller; what comes is taken as it comes.
fn content(from: &mut dyn Read, size: u64) -> Result<Vec<u8>, Missing> {
    let mut bytes = Vec::new();
    let taken = from.take(size).read_to_end(&mut bytes);
    taken.map_err(Missing::Unread)?;
    if (bytes.len() as u64) < size {
        return Err(Missing::CutShort);
    }
    fill(from, &mut padding(size))?;
    Ok(bytes)
}

fn pass(check: &mut Check, to: &mut dyn Write, bytes: &[u8]) -> Result<(), CapsuleError> {
    check.update(bytes);
    to.write_all(bytes).map_err(io_error("written"))
}

/// Copies at most `size` bytes; says how many there were.
fn copy(
    from: &mut dyn Read,
    to: &mut dyn Write,
    check: &mut Check,
    size: u64,
) -> Result<u64, CapsuleError> {
    let (mut buffer, mut have) = (vec![0; 128 << 10], 0);
    while have < size {
        let want = usize::try_from(size - have).unwrap_or(usize::MAX);
        let room = buffer.len().min(want);
        let n = from.read(&mut buffer[..room]).map_err(io_error("read"))?;
        if n == 0 {
            break;
        }
        pass(check, to, &buffer[..n])?;
        have += n as u64;
    }
    Ok(have)
}

#[cfg(test)]
mod tests;
