//! Archives that come out the same whenever they are written: entries in the
//! order given, owned by root, dated alike, compressed without a name or date.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};
use tar::{EntryType, Header};

use crate::files::{self, FileError, at, hex};

/// The date of every entry: 1980-01-01, the first that every archiver can say.
pub const DATE: u64 = 315_532_800;

/// One entry of an archive.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name in the archive; a folder's ends in `/`.
    pub name: String,
    /// Permission bits.
    pub mode: u32,
    /// What it holds.
    pub content: Content,
}

/// What an entry holds.
#[derive(Debug, Clone)]
pub enum Content {
    /// Nothing: it is a folder.
    Folder,
    /// A copy of a file.
    Copy(PathBuf),
    /// These bytes.
    Bytes(Vec<u8>),
}

impl Entry {
    /// A folder that everybody may enter.
    pub fn folder(name: &str) -> Self {
        Self {
            name: format!("{}/", name.trim_end_matches('/')),
            mode: 0o755,
            content: Content::Folder,
        }
    }

    /// A program: a copy of a file that everybody may run.
    pub fn program(name: &str, from: impl Into<PathBuf>) -> Self {
        Self {
            name: name.to_owned(),
            mode: 0o755,
            content: Content::Copy(from.into()),
        }
    }

    /// A text that everybody may read.
    pub fn text(name: &str, text: &str) -> Self {
        Self {
            name: name.to_owned(),
            mode: 0o644,
            content: Content::Bytes(text.as_bytes().to_vec()),
        }
    }
}

/// What a written archive is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// SHA-256 of the compressed file, in hex.
    pub digest: String,
    /// SHA-256 of the archive within, in hex: what an image's configuration
    /// calls a layer's `diff_id`.
    pub inner: String,
    /// Length of the compressed file.
    pub size: u64,
}

impl Written {
    /// Keeps it beside the archive, in the same folder.
    pub(crate) fn keep(&self, folder: &Path) -> Result<(), FileError> {
        let text = format!("{}\n{}\n{}\n", self.digest, self.inner, self.size);
        files::write(&folder.join(KEPT), text.as_bytes())
    }

    /// Reads what was kept; nothing if it is not what [`Written::keep`] writes.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>, FileError> {
        let text = files::read(&folder.join(KEPT))?;
        let text = String::from_utf8_lossy(&text);
        let mut lines = text.lines().map(str::to_owned);
        Ok((|| {
            Some(Self {
                digest: lines.next()?,
                inner: lines.next()?,
                size: lines.next()?.parse().ok()?,
            })
        })())
    }
}

/// The file with an archive's digests.
const KEPT: &str = "digests.txt";

/// Writes a compressed archive.
///
/// # Errors
/// When a file cannot be read or the archive cannot be written.
pub fn write(to: &Path, entries: &[Entry]) -> Result<Written, FileError> {
    let mut writer = Writer::create(to)?;
    for entry in entries {
        writer.append(entry)?;
    }
    writer.finish()
}

/// An archive that is being written.
pub(crate) struct Writer {
    path: PathBuf,
    tar: tar::Builder<Hashing<GzEncoder<Hashing<BufWriter<File>>>>>,
}

impl Writer {
    pub(crate) fn create(path: &Path) -> Result<Self, FileError> {
        let file = at("create", path, File::create(path))?;
        let packed =
            GzBuilder::new().write(Hashing::new(BufWriter::new(file)), Compression::new(LEVEL));
        Ok(Self {
            path: path.to_owned(),
            tar: tar::Builder::new(Hashing::new(packed)),
        })
    }

    fn append(&mut self, entry: &Entry) -> Result<(), FileError> {
        let mut header = Header::new_gnu();
        header.set_mode(entry.mode);
        header.set_uid(0);
        header.set_gid(0);
        match &entry.content {
            Content::Folder => {
                header.set_entry_type(EntryType::Directory);
                header.set_size(0);
                self.append_as(&mut header, &entry.name, io::empty())
            }
            Content::Bytes(bytes) => {
                header.set_size(bytes.len() as u64);
                self.append_as(&mut header, &entry.name, bytes.as_slice())
            }
            Content::Copy(from) => {
                let file = at("open", from, File::open(from))?;
                let length = at("look at", from, file.metadata())?.len();
                header.set_size(length);
                self.append_as(&mut header, &entry.name, file)
            }
        }
    }

    /// Appends under a header of the caller's, which gets name and date here.
    pub(crate) fn append_as(
        &mut self,
        header: &mut Header,
        name: &str,
        content: impl io::Read,
    ) -> Result<(), FileError> {
        header.set_mtime(DATE);
        let appended = match header.as_gnu_mut() {
            // Written as given: the crate would drop a leading `./`.
            Some(gnu) if name.len() <= gnu.name.len() => {
                gnu.name.fill(0);
                gnu.name[..name.len()].copy_from_slice(name.as_bytes());
                header.set_cksum();
                self.tar.append(header, content)
            }
            _ => self.tar.append_data(header, name, content),
        };
        at("add to", &self.path, appended)
    }

    /// The same for a link, whose target stands in the header.
    pub(crate) fn append_link(
        &mut self,
        header: &mut Header,
        name: &str,
        target: &Path,
    ) -> Result<(), FileError> {
        header.set_mtime(DATE);
        let appended = self.tar.append_link(header, name, target);
        at("add to", &self.path, appended)
    }

    pub(crate) fn finish(self) -> Result<Written, FileError> {
        let path = self.path;
        let packed = at("finish", &path, self.tar.into_inner())?;
        let inner = packed.digest();
        let file = at("finish", &path, packed.into_inner().finish())?;
        let (digest, size) = (file.digest(), file.length);
        at("finish", &path, file.into_inner().flush())?;
        Ok(Written {
            digest,
            inner,
            size,
        })
    }
}

/// Hosts unpack these many times, and one machine packs them once.
const LEVEL: u32 = 6;

/// Passes bytes on and remembers their digest.
struct Hashing<W> {
    to: W,
    hash: Sha256,
    length: u64,
}

impl<W> Hashing<W> {
    fn new(to: W) -> Self {
        Self {
            to,
            hash: Sha256::new(),
            length: 0,
        }
    }

    fn digest(&self) -> String {
        hex(&self.hash.clone().finalize())
    }

    fn into_inner(self) -> W {
        self.to
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.to.write(bytes)?;
        self.hash.update(&bytes[..taken]);
        self.length += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use flate2::read::GzDecoder;

    use super::*;

    fn sample(folder: &Path, name: &str) -> (PathBuf, Written) {
        let source = folder.join("tool");
        std::fs::write(&source, b"#!tool").unwrap();
        let path = folder.join(name);
        let entries = [
            Entry::folder("bin"),
            Entry::program("bin/tool", &source),
            Entry::text("README", "hello\n"),
        ];
        let written = write(&path, &entries).unwrap();
        (path, written)
    }

    #[test]
    fn names_modes_owners_and_dates() {
        let dir = tempfile::tempdir().unwrap();
        let (path, _) = sample(dir.path(), "a.tar.gz");
        let mut archive = tar::Archive::new(GzDecoder::new(File::open(path).unwrap()));
        let mut text = String::new();
        for entry in archive.entries().unwrap() {
            let entry = entry.unwrap();
            let h = entry.header();
            writeln!(
                text,
                "{:o} {}:{} {} {} {}",
                h.mode().unwrap(),
                h.uid().unwrap(),
                h.gid().unwrap(),
                h.mtime().unwrap(),
                h.size().unwrap(),
                entry.path().unwrap().display()
            )
            .unwrap();
        }
        insta::assert_snapshot!(text, @r"
        755 0:0 315532800 0 bin/
        755 0:0 315532800 6 bin/tool
        644 0:0 315532800 6 README
        ");
    }

    #[test]
    fn two_runs_give_the_same_bytes_and_the_digests_are_theirs() {
        let dir = tempfile::tempdir().unwrap();
        let (first, written) = sample(dir.path(), "a.tar.gz");
        let (second, _) = sample(dir.path(), "b.tar.gz");
        let bytes = files::read(&first).unwrap();
        assert_eq!(bytes, files::read(&second).unwrap());
        assert_eq!(written.digest, files::sha256(&bytes));
        assert_eq!(written.size, bytes.len() as u64);
        let mut inner = Vec::new();
        io::copy(&mut GzDecoder::new(bytes.as_slice()), &mut inner).unwrap();
        assert_eq!(written.inner, files::sha256(&inner));
    }
}
