//! The entries of a tar stream that nobody vouches for.
//!
//! One pass, a fixed amount of memory, every header's checksum compared, and an end that must be there: two zero
//! blocks, then nothing but zeros. Long names (GNU `L`, pax `path`) are understood up to [`MAX_EXTENSION`] bytes.
//! What a plain archive of release files or blobs never has, sparse files above all, is an error; it is not guessed at.
//! The digest of a whole archive is often known only after its last byte, so nothing here trusts an earlier one.
//!
//! This module writes no file. Entry point: [`Entries::new`], then [`Entries::next_entry`].

use std::io::{self, Read};

use tar::{EntryType, Header};

/// Size of a tar block; headers take one, content is padded to a multiple.
pub const BLOCK: u64 = 512;

/// Most bytes that one long name or one set of pax records may take.
pub const MAX_EXTENSION: u64 = 64 * 1024;

/// What is wrong with a tar stream.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The underlying reader failed; a digest that does not match arrives this way as well.
    #[error("cannot read the archive at byte {offset}")]
    Read {
        /// Bytes read before.
        offset: u64,
        /// The cause.
        source: io::Error,
    },
    /// The stream ends inside an entry, or before the two zero blocks that end an archive.
    #[error("the archive is cut off after {offset} bytes")]
    Truncated {
        /// Bytes read before.
        offset: u64,
    },
    /// A header whose checksum or numbers do not add up.
    #[error("no valid tar header at byte {offset}")]
    BadHeader {
        /// Where the header begins.
        offset: u64,
    },
    /// A long name or pax header beyond [`MAX_EXTENSION`].
    #[error("the archive's extended header at byte {offset} is too large: {size} bytes")]
    ExtensionTooLarge {
        /// Where the header begins.
        offset: u64,
        /// What it claims to hold.
        size: u64,
    },
    /// Something that a plain archive never has.
    #[error("the archive has {what} at byte {offset}, which is not accepted")]
    Unsupported {
        /// Where the header begins.
        offset: u64,
        /// Name of the feature.
        what: &'static str,
    },
    /// Bytes other than zero after the end of the archive.
    #[error("the archive has trailing data after its end")]
    TrailingData,
}

/// What kind of thing an entry is. Links and devices are reported, so that a caller can name what it refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A hard link.
    Hardlink,
    /// A device, a FIFO or a type unknown here.
    Special,
}

impl Kind {
    /// As error messages name it.
    pub fn describe(self) -> &'static str {
        match self {
            Kind::File => "a file",
            Kind::Directory => "a directory",
            Kind::Symlink => "a symbolic link",
            Kind::Hardlink => "a hard link",
            Kind::Special => "a device or a special file",
        }
    }
}

/// One entry's header. Its content is read from [`Entries`], which is a `Read` that ends with the entry.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The name as the archive has it, unchecked.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Bytes of content (files only, else 0).
    pub size: u64,
    /// Permission bits as the archive has them.
    pub mode: u32,
    /// Offset of the content within the stream.
    pub offset: u64,
}

/// Reads a tar stream entry by entry. As a `Read` it gives the current entry's content.
pub struct Entries<R> {
    inner: R,
    offset: u64,
    /// Content of the current entry still to be read, and the padding behind it.
    remaining: u64,
    padding: u64,
    ended: bool,
}

impl<R: Read> Entries<R> {
    /// Starts at the first header of `inner`.
    pub fn new(inner: R) -> Self {
        Entries {
            inner,
            offset: 0,
            remaining: 0,
            padding: 0,
            ended: false,
        }
    }

    /// Bytes of the stream read so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Gives back the reader, wherever it stands.
    pub fn into_inner(self) -> R {
        self.inner
    }

    /// The next entry, whatever was left unread of the one before; `None` after a proper end of the archive.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        self.next_entry_by(&mut discard)
    }

    /// As [`Entries::next_entry`], with unread content skipped by `skip`, for readers that can seek. `skip` passes
    /// over exactly as many bytes as it is told, or says how many there were.
    pub fn next_entry_by(
        &mut self,
        skip: &mut dyn FnMut(&mut R, u64) -> io::Result<u64>,
    ) -> Result<Option<Entry>, Error> {
        if self.ended {
            return Ok(None);
        }
        self.skip_rest(skip)?;
        let mut long_name: Option<Vec<u8>> = None;
        loop {
            let at = self.offset;
            let Some(header) = self.read_header()? else {
                self.check_end()?;
                self.ended = true;
                return Ok(None);
            };
            let bad = || Error::BadHeader { offset: at };
            let size = header.entry_size().map_err(|_| bad())?;
            match header.entry_type() {
                EntryType::GNULongName => {
                    let mut name = self.read_extension(at, size)?;
                    while name.last() == Some(&0) {
                        name.pop();
                    }
                    long_name = Some(name);
                    continue;
                }
                EntryType::GNULongLink => {
                    self.read_extension(at, size)?;
                    continue;
                }
                EntryType::XHeader | EntryType::XGlobalHeader => {
                    let records = self.read_extension(at, size)?;
                    for (key, value) in pax_records(&records).ok_or_else(bad)? {
                        match key {
                            b"path" => long_name = Some(value.to_vec()),
                            // A second opinion on where an entry ends is how two readers come to see two archives.
                            b"size" => {
                                return Err(Error::Unsupported {
                                    offset: at,
                                    what: "a pax size record",
                                });
                            }
                            k if k.starts_with(b"GNU.sparse") => {
                                return Err(Error::Unsupported {
                                    offset: at,
                                    what: "a sparse file",
                                });
                            }
                            _ => {}
                        }
                    }
                    continue;
                }
                EntryType::GNUSparse => {
                    return Err(Error::Unsupported {
                        offset: at,
                        what: "a sparse file",
                    });
                }
                _ => {}
            }
            let kind = match header.entry_type() {
                EntryType::Regular | EntryType::Continuous => Kind::File,
                EntryType::Directory => Kind::Directory,
                EntryType::Symlink => Kind::Symlink,
                EntryType::Link => Kind::Hardlink,
                _ => Kind::Special,
            };
            let name = long_name
                .take()
                .unwrap_or_else(|| header.path_bytes().into_owned());
            // The oldest archives mark a directory by its name alone.
            let kind = if kind == Kind::File && name.ends_with(b"/") {
                Kind::Directory
            } else {
                kind
            };
            if kind != Kind::File && size != 0 {
                return Err(Error::Unsupported {
                    offset: at,
                    what: "a directory, link or device with content",
                });
            }
            let mode = header.mode().map_err(|_| bad())? & 0o7777;
            self.remaining = size;
            self.padding = (BLOCK - size % BLOCK) % BLOCK;
            return Ok(Some(Entry {
                name,
                kind,
                size,
                mode,
                offset: self.offset,
            }));
        }
    }

    fn skip_rest(
        &mut self,
        skip: &mut dyn FnMut(&mut R, u64) -> io::Result<u64>,
    ) -> Result<(), Error> {
        let all = self
            .remaining
            .checked_add(self.padding)
            .ok_or(Error::BadHeader {
                offset: self.offset,
            })?;
        if all > 0 {
            let skipped = skip(&mut self.inner, all).map_err(|source| Error::Read {
                offset: self.offset,
                source,
            })?;
            self.offset += skipped;
            if skipped < all {
                return Err(Error::Truncated {
                    offset: self.offset,
                });
            }
        }
        (self.remaining, self.padding) = (0, 0);
        Ok(())
    }

    /// The next header, or `None` for a block of zeros.
    fn read_header(&mut self) -> Result<Option<Header>, Error> {
        let at = self.offset;
        let mut header = Header::new_old();
        self.fill(header.as_mut_bytes())?;
        let bytes = header.as_bytes();
        if bytes.iter().all(|b| *b == 0) {
            return Ok(None);
        }
        let sum = bytes
            .iter()
            .enumerate()
            .map(|(i, b)| {
                if (148..156).contains(&i) {
                    32
                } else {
                    u32::from(*b)
                }
            })
            .sum::<u32>();
        match header.cksum() {
            Ok(told) if told == sum => Ok(Some(header)),
            _ => Err(Error::BadHeader { offset: at }),
        }
    }

    /// After the first zero block: a second one, then zeros to the end (archives are padded to a record's size).
    fn check_end(&mut self) -> Result<(), Error> {
        let mut block = [0; BLOCK as usize];
        self.fill(&mut block)?;
        let mut rest = [0; 8192];
        let mut got = block.len();
        rest[..got].copy_from_slice(&block);
        loop {
            if rest[..got].iter().any(|b| *b != 0) {
                return Err(Error::TrailingData);
            }
            got = self.read_some(&mut rest)?;
            if got == 0 {
                return Ok(());
            }
        }
    }

    fn read_extension(&mut self, at: u64, size: u64) -> Result<Vec<u8>, Error> {
        if size > MAX_EXTENSION {
            return Err(Error::ExtensionTooLarge { offset: at, size });
        }
        let mut bytes = vec![0; size.next_multiple_of(BLOCK) as usize];
        self.fill(&mut bytes)?;
        bytes.truncate(size as usize);
        Ok(bytes)
    }

    fn read_some(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        loop {
            match self.inner.read(buf) {
                Ok(n) => {
                    self.offset += n as u64;
                    return Ok(n);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(Error::Read {
                        offset: self.offset,
                        source,
                    });
                }
            }
        }
    }

    fn fill(&mut self, buf: &mut [u8]) -> Result<(), Error> {
        let mut done = 0;
        while done < buf.len() {
            match self.read_some(&mut buf[done..])? {
                0 => {
                    return Err(Error::Truncated {
                        offset: self.offset,
                    });
                }
                n => done += n,
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Entries<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.remaining == 0 || buf.is_empty() {
            return Ok(0);
        }
        let most = usize::try_from(self.remaining)
            .unwrap_or(usize::MAX)
            .min(buf.len());
        let n = self.inner.read(&mut buf[..most])?;
        if n == 0 {
            let cut = Error::Truncated {
                offset: self.offset,
            };
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, cut));
        }
        self.offset += n as u64;
        self.remaining -= n as u64;
        Ok(n)
    }
}

fn discard<R: Read>(reader: &mut R, bytes: u64) -> io::Result<u64> {
    let mut buf = [0; 16 * 1024];
    let mut left = bytes;
    while left > 0 {
        let most = left.min(buf.len() as u64) as usize;
        match reader.read(&mut buf[..most]) {
            Ok(0) => break,
            Ok(n) => left -= n as u64,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(bytes - left)
}

/// Splits pax records (`LENGTH KEY=VALUE\n`, POSIX.1-2001); `None` where they are not well formed.
fn pax_records(mut bytes: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|b| *b == b' ')?;
        let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
        if length > bytes.len() || length < space + 2 || bytes[length - 1] != b'\n' {
            return None;
        }
        let record = &bytes[space + 1..length - 1];
        let equals = record.iter().position(|b| *b == b'=')?;
        records.push((&record[..equals], &record[equals + 1..]));
        bytes = &bytes[length..];
    }
    Some(records)
}

#[cfg(test)]
mod tests;
