//! Unpacks a module zip: what a Go module proxy serves.
//!
//! Just that: stored and deflated files of less than 4 GiB, no encryption, no
//! folders of their own, no modes (the format of module zips has none). The
//! caller has checked the file's digest, so this guards against mistakes and
//! names that lead elsewhere, not against an attacker with time.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use flate2::read::DeflateDecoder;

use crate::files::{self, FileError, at};

/// Why a zip cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is no zip, or one of a kind that is not read here.
    #[error("{} is not a zip that can be read here: {what}", path.display())]
    Format {
        /// The zip.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// Unpacks the files whose names begin with `prefix` into `to`, without it.
///
/// # Errors
/// When the zip is not understood or a file cannot be written.
pub fn unpack(zip: &Path, prefix: &str, to: &Path) -> Result<(), Error> {
    let mut file = at("open", zip, File::open(zip))?;
    let format = |what| Error::Format {
        path: zip.to_owned(),
        what,
    };
    let directory =
        at("read", zip, directory(&mut file))?.ok_or_else(|| format("no end record"))?;
    let mut rest = directory.as_slice();
    while rest.starts_with(b"PK\x01\x02") {
        let entry = Entry::parse(rest).ok_or_else(|| format("a short entry"))?;
        rest = &rest[entry.record..];
        let Some(name) = entry.name.strip_prefix(prefix) else {
            continue;
        };
        let below = Path::new(name);
        if !below
            .components()
            .all(|c| matches!(c, Component::Normal(_)))
        {
            return Err(format("a name that leads elsewhere"));
        }
        let content = at("read", zip, entry.content(&mut file))?
            .ok_or_else(|| format("an unknown compression"))?;
        if content.len() != entry.length {
            return Err(format("a file of another length than said"));
        }
        files::write(&to.join(below), &content)?;
    }
    Ok(())
}

/// The central directory, found by the record at the zip's end.
fn directory(file: &mut File) -> io::Result<Option<Vec<u8>>> {
    const RECORD: usize = 22;
    let length = file.metadata()?.len();
    let tail = length.min(RECORD as u64 + 0xffff);
    file.seek(SeekFrom::Start(length - tail))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    let found = end.windows(4).rposition(|four| four == b"PK\x05\x06");
    let Some(record) = found.and_then(|at| end.get(at..at + RECORD)) else {
        return Ok(None);
    };
    let size = u64::from(u32_at(record, 12));
    file.seek(SeekFrom::Start(u64::from(u32_at(record, 16))))?;
    let mut directory = Vec::new();
    file.take(size).read_to_end(&mut directory)?;
    Ok(Some(directory))
}

/// A file, as the central directory describes it.
struct Entry {
    name: String,
    method: u16,
    packed: u64,
    length: usize,
    offset: u64,
    /// The length of its record in the directory.
    record: usize,
}

impl Entry {
    fn parse(bytes: &[u8]) -> Option<Self> {
        const FIXED: usize = 46;
        let fixed = bytes.get(..FIXED)?;
        let name = usize::from(u16_at(fixed, 28));
        let record = FIXED + name + usize::from(u16_at(fixed, 30)) + usize::from(u16_at(fixed, 32));
        bytes.get(..record)?;
        Some(Self {
            name: String::from_utf8(bytes[FIXED..FIXED + name].to_vec()).ok()?,
            method: u16_at(fixed, 10),
            packed: u32_at(fixed, 20).into(),
            length: usize::try_from(u32_at(fixed, 24)).ok()?,
            offset: u32_at(fixed, 42).into(),
            record,
        })
    }

    fn content(&self, file: &mut File) -> io::Result<Option<Vec<u8>>> {
        let mut local = [0; 30];
        file.seek(SeekFrom::Start(self.offset))?;
        file.read_exact(&mut local)?;
        let skipped = i64::from(u16_at(&local, 26)) + i64::from(u16_at(&local, 28));
        file.seek(SeekFrom::Current(skipped))?;
        let packed = file.take(self.packed);
        let mut content = Vec::with_capacity(self.length);
        let most = self.length as u64 + 1;
        match self.method {
            0 => packed.take(most).read_to_end(&mut content)?,
            8 => DeflateDecoder::new(packed)
                .take(most)
                .read_to_end(&mut content)?,
            _ => return Ok(None),
        };
        Ok(Some(content))
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::DeflateEncoder;

    use super::*;

    /// A zip of these files, every other one deflated. Digests are left out:
    /// they are not looked at.
    pub(crate) fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let (mut out, mut directory) = (Vec::new(), Vec::new());
        for (index, (name, content)) in entries.iter().enumerate() {
            let method = if index % 2 == 0 { 8u16 } else { 0 };
            let packed = if method == 8 {
                let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(content).unwrap();
                encoder.finish().unwrap()
            } else {
                content.to_vec()
            };
            let number = |n: usize| u32::try_from(n).unwrap().to_le_bytes();
            let mut common = vec![20, 0, 0, 0];
            common.extend(method.to_le_bytes());
            common.extend([0; 8]);
            common.extend(number(packed.len()));
            common.extend(number(content.len()));
            common.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
            common.extend([0; 2]);
            directory.extend(b"PK\x01\x02\x14\0");
            directory.extend(&common);
            directory.extend([0; 10]);
            directory.extend(number(out.len()));
            directory.extend(name.as_bytes());
            out.extend(b"PK\x03\x04");
            out.extend(&common);
            out.extend(name.as_bytes());
            out.extend(packed);
        }
        let start = out.len();
        out.extend(&directory);
        out.extend(b"PK\x05\x06\0\0\0\0");
        out.extend([0; 4]);
        out.extend(u32::try_from(directory.len()).unwrap().to_le_bytes());
        out.extend(u32::try_from(start).unwrap().to_le_bytes());
        out.extend([0; 2]);
        out
    }

    fn unpacked(bytes: &[u8]) -> (tempfile::TempDir, Result<(), Error>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.zip");
        files::write(&path, bytes).unwrap();
        let result = unpack(&path, "mod@v1/", &dir.path().join("out"));
        (dir, result)
    }

    #[test]
    fn stored_and_deflated_files_come_out() {
        let long = b"go ".repeat(10_000);
        let (dir, result) = unpacked(&zip(&[
            ("mod@v1/bin/go", &long),
            ("mod@v1/VERSION", b"go1.26.8"),
            ("other/x", b"x"),
        ]));
        result.unwrap();
        let out = dir.path().join("out");
        assert_eq!(files::read(&out.join("bin/go")).unwrap(), long);
        assert_eq!(files::read(&out.join("VERSION")).unwrap(), b"go1.26.8");
        assert_eq!(files::walk(&out).unwrap().len(), 2);
    }

    #[test]
    fn what_is_wrong_is_refused() {
        assert!(unpacked(b"no zip").1.is_err());
        assert!(unpacked(&zip(&[("mod@v1/../../x", b"x")])).1.is_err());
        assert!(unpacked(&zip(&[("mod@v1//etc/x", b"x")])).1.is_err());
        let whole = zip(&[("mod@v1/a", b"content")]);
        let mut longer = whole.clone();
        let at = whole.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
        longer[at + 24] += 1;
        assert!(unpacked(&longer).1.is_err());
    }
}
