//! Secrets sealed with age, armoured.

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
    let recipients: Vec<_> = recipients.iter().map(Recipient::to_age).collect();
    let encryptor = age::Encryptor::with_recipients(
        recipients.iter().map(|r| r.as_ref() as &dyn age::Recipient),
    )
    .map_err(|e| failed(&e))?;
    let mut armored = Vec::new();
    let armor =
        ArmoredWriter::wrap_output(&mut armored, Format::AsciiArmor).map_err(|e| failed(&e))?;
    let mut writer = encryptor.wrap_output(armor).map_err(|e| failed(&e))?;
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

pub(crate) fn open(path: &Path, sealed: &str, identity: &Identity) -> Result<Secrets, Error> {
    let failed = |what: &dyn std::fmt::Display| Error::Seal {
        path: path.to_owned(),
        action: "opened",
        what: what.to_string(),
    };
    let identities = identity.age_identities()?;
    let decryptor =
        age::Decryptor::new(ArmoredReader::new(sealed.as_bytes())).map_err(|e| failed(&e))?;
    let reader = decryptor
        .decrypt(identities.iter().map(AsRef::as_ref))
        .map_err(|error| match error {
            age::DecryptError::NoMatchingKeys => Error::NotForUs {
                path: path.to_owned(),
                identity: identity.path().to_owned(),
            },
            other => failed(&other),
        })?;
    let mut plain = Vec::new();
    reader
        .take(LIMIT)
        .read_to_end(&mut plain)
        .map_err(|e| failed(&e))?;
    serde_json::from_slice(&plain).map_err(|_| failed(&"what is sealed is not what belongs there"))
}
