//! A reader that ends only when what it gave is what was promised.
//!
//! It reports its end (`Ok(0)`) after the promised number of bytes with the promised digest, and in no other case: more,
//! fewer or other bytes are errors. So whoever reads to the end has verified the content, and cannot forget to.

use std::io::{self, Read};

use host::{Digest, HashingReader};

/// How content differed from what was promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// More bytes came than were promised.
    #[error("content goes on after the {size} bytes of sha256:{digest}")]
    TooLong {
        /// The promised digest.
        digest: Digest,
        /// The promised size in bytes.
        size: u64,
    },
    /// Fewer bytes came than were promised.
    #[error("content ends after {read} of the {size} bytes of sha256:{digest}")]
    Truncated {
        /// The promised digest.
        digest: Digest,
        /// The promised size in bytes.
        size: u64,
        /// The bytes that came.
        read: u64,
    },
    /// Other bytes came than were promised.
    #[error("content has the digest sha256:{actual}, not sha256:{digest}")]
    Digest {
        /// The promised digest.
        digest: Digest,
        /// What it is.
        actual: Digest,
    },
}

impl Mismatch {
    /// The mismatch behind an error that came out of a [`VerifyingReader`], however deeply it is wrapped.
    pub fn behind<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e Mismatch> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(mismatch) = error.downcast_ref::<Mismatch>() {
                return Some(mismatch);
            }
            // An io::Error is transparent: its `source` is that of what it wraps.
            if let Some(inner) = error
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref)
            {
                next = Some(inner);
                continue;
            }
            next = error.source();
        }
        None
    }
}

enum State<R> {
    Reading(HashingReader<R>),
    Verified,
    Failed(Mismatch),
}

/// Checks digest and, where it is known beforehand, size of what is read through it.
pub struct VerifyingReader<R> {
    state: State<R>,
    digest: Digest,
    size: Option<u64>,
}

impl<R: Read> VerifyingReader<R> {
    /// Promises that `inner` gives exactly `size` bytes with this digest.
    pub fn new(inner: R, digest: Digest, size: u64) -> Self {
        VerifyingReader {
            state: State::Reading(HashingReader::new(inner)),
            digest,
            size: Some(size),
        }
    }

    /// As [`VerifyingReader::new`], where only the digest is known. The caller bounds what it takes.
    pub fn of_unknown_size(inner: R, digest: Digest) -> Self {
        VerifyingReader {
            state: State::Reading(HashingReader::new(inner)),
            digest,
            size: None,
        }
    }

    /// Reads what is left and checks it.
    ///
    /// # Errors
    /// As reading: a [`Mismatch`] inside, or the reader's own error.
    pub fn drain(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 128 * 1024];
        while self.read(&mut buffer)? > 0 {}
        Ok(())
    }

    fn fail(&mut self, mismatch: Mismatch) -> io::Error {
        self.state = State::Failed(mismatch);
        io::Error::new(io::ErrorKind::InvalidData, mismatch)
    }
}

impl<R: Read> Read for VerifyingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let reader = match &mut self.state {
            State::Reading(reader) => reader,
            State::Verified => return Ok(0),
            State::Failed(mismatch) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, *mismatch));
            }
        };
        let n = reader.read(buffer)?;
        let read = HashingReader::bytes(reader);
        let digest = self.digest;
        if let Some(size) = self.size {
            if read > size {
                return Err(self.fail(Mismatch::TooLong { digest, size }));
            }
            if n == 0 && read < size {
                return Err(self.fail(Mismatch::Truncated { digest, size, read }));
            }
        }
        if n == 0
            && let State::Reading(reader) = std::mem::replace(&mut self.state, State::Verified)
        {
            let (actual, _) = reader.finish();
            if actual != digest {
                return Err(self.fail(Mismatch::Digest { digest, actual }));
            }
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8], digest: Digest, size: u64) -> Result<Vec<u8>, io::Error> {
        let mut out = Vec::new();
        VerifyingReader::new(content, digest, size).read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn only_the_promised_content_comes_to_an_end() {
        let digest = Digest::of(b"content");
        assert_eq!(read(b"content", digest, 7).unwrap(), b"content");
        let mismatch = |content: &[u8], size| {
            let error = read(content, digest, size).unwrap_err();
            Mismatch::behind(&error).unwrap().to_string()
        };
        let d = digest.to_oci();
        assert_eq!(
            mismatch(b"content", 8),
            format!("content ends after 7 of the 8 bytes of {d}")
        );
        assert_eq!(
            mismatch(b"content", 6),
            format!("content goes on after the 6 bytes of {d}")
        );
        assert_eq!(
            mismatch(b"Content", 7),
            format!(
                "content has the digest {}, not {d}",
                Digest::of(b"Content").to_oci()
            )
        );
    }

    #[test]
    fn after_a_mismatch_nothing_more_is_given() {
        let mut reader = VerifyingReader::new(&b"abc"[..], Digest::of(b"x"), 3);
        let first = reader.drain().unwrap_err().to_string();
        assert_eq!(reader.drain().unwrap_err().to_string(), first);
    }

    #[test]
    fn without_a_size_the_digest_decides() {
        VerifyingReader::of_unknown_size(&b"abc"[..], Digest::of(b"abc"))
            .drain()
            .unwrap();
        assert!(
            VerifyingReader::of_unknown_size(&b"ab"[..], Digest::of(b"abc"))
                .drain()
                .is_err()
        );
    }
}
