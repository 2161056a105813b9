//! Secrets sealed with age, armoured; and whole files, as they stream.

use std::io::{Read, Write};
use std::path::Path;

use age::armor::{ArmoredReader, ArmoredWriter, Format};

use crate::{Error, Identity, Recipient, Secrets};

/// Secrets are a few kilobytes of keys.
const LIMIT: u64 = 1 << 20;

pub(crate) fn seal(
    path: &Path,
    secrets: &Secrets,
    recipients: &[Recipient],
) -> Result<String, Error> {
    let failed = |what: &dyn std::fmt::Display| Error::Seal {
        path: path.to_owned(),
        action: "sealed",
        what: what.to_string(),
    };
    let plain = serde_json::to_vec(secrets).expect("plain data becomes JSON");
    let mut armored = Vec::new();
    let armor =
        ArmoredWriter::wrap_output(&mut armored, Format::AsciiArmor).map_err(|e| failed(&e))?;
    let mut writer = sealing(path, recipients, armor)?;
    writer
        .write_all(&plain)
        .and_then(|()| writer.finish())
        .and_then(ArmoredWriter::finish)
        .map_err(|e| failed(&e))?;
    let mut text = String::from_utf8(armored).expect("armour is ASCII");
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// What is written to this goes to `to` sealed for `recipients`, in age's binary format: `age --decrypt` opens it, too.
/// [`Sealing::finish`] ends it; what was not ended does not open to its end.
///
/// # Errors
/// When nothing can be sealed for them, or `to` cannot be written.
pub fn sealing<W: Write>(
    path: &Path,
    recipients: &[Recipient],
    to: W,
) -> Result<Sealing<W>, Error> {
    let failed = |what: &dyn std::fmt::Display| Error::Seal {
        path: path.to_owned(),
        action: "sealed",
        what: what.to_string(),
    };
    let recipients: Vec<_> = recipients.iter().map(Recipient::to_age).collect();
    let encryptor = age::Encryptor::with_recipients(
        recipients.iter().map(|r| r.as_ref() as &dyn age::Recipient),
    )
    .map_err(|e| failed(&e))?;
    Ok(Sealing(encryptor.wrap_output(to).map_err(|e| failed(&e))?))
}

/// See [`sealing`].
pub struct Sealing<W: Write>(age::stream::StreamWriter<W>);

impl<W: Write> std::fmt::Debug for Sealing<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealing")
    }
}

impl<W: Write> Write for Sealing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl<W: Write> Sealing<W> {
    /// Writes what ends it, and gives the writer back.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(self) -> std::io::Result<W> {
        self.0.finish()
    }
}

/// Whether a file that begins so was sealed by [`sealing`].
#[must_use]
pub fn is_sealed(beginning: &[u8]) -> bool {
    beginning.starts_with(b"age-encryption.org/v1\n")
}

/// What [`sealing`] sealed, as it is read.
///
/// # Errors
/// When it is not sealed for `identity`, or is no such file. Damage shows as an error while it is read.
pub fn opening<R: Read>(
    path: &Path,
    identity: &Identity,
    from: R,
) -> Result<impl Read + use<R>, Error> {
    let identities = identity.age_identities()?;
    let decryptor = age::Decryptor::new(from).map_err(|e| Error::Seal {
        path: path.to_owned(),
        action: "opened",
        what: e.to_string(),
    })?;
    decryptor
        .decrypt(identities.iter().map(AsRef::as_ref))
        .map_err(|error| match error {
            age::DecryptError::NoMatchingKeys => Error::NotForUs {
                path: path.to_owned(),
                identity: identity.path().to_owned(),
            },
            other => Error::Seal {
                path: path.to_owned(),
                action: "opened",
                what: other.to_string(),
            },
        })
}

pub(crate) fn open(path: &Path, sealed: &str, identity: &Identity) -> Result<Secrets, Error> {
    let failed = |what: &dyn std::fmt::Display| Error::Seal {
        path: path.to_owned(),
        action: "opened",
        what: what.to_string(),
    };
    let reader = opening(path, identity, ArmoredReader::new(sealed.as_bytes()))?;
    let mut plain = Vec::new();
    reader
        .take(LIMIT)
        .read_to_end(&mut plain)
        .map_err(|e| failed(&e))?;
    serde_json::from_slice(&plain).map_err(|_| failed(&"what is sealed is not what belongs there"))
}
