//! Private keys: made new (P-256), or read in the forms that OpenSSL, Go and older tools write.
//!
//! The signing backend understands PKCS#8 alone. PKCS#1 ("RSA PRIVATE KEY") and SEC1 ("EC PRIVATE KEY", with or without a
//! parameter block before it) are wrapped in a PKCS#8 header in memory; the text that was read stays what is written back.

use std::fmt;

use rcgen::{KeyPair, PublicKeyData};
use x509_parser::pem::Pem;

use crate::Secret;

/// Why a private key cannot be had or used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No block of the text is a private key.
    #[error("no private key in the text")]
    Missing,
    /// The text looks like PEM and is not.
    #[error("the text is not PEM")]
    Pem(#[source] x509_parser::error::PEMError),
    /// The key is protected by a passphrase.
    #[error("the private key is encrypted, which is not supported here")]
    Encrypted,
    /// A curve that the signing backend has no code for.
    #[error("the private key's curve is not supported (P-256 and P-384 are)")]
    Curve,
    /// The bytes are no key, or of a kind that the backend refuses (an RSA key under 2048 bits, for one).
    #[error("the private key cannot be used: {0}")]
    Unusable(String),
    /// The system gave no randomness.
    #[error("no key could be made: {0}")]
    Generate(String),
}

/// A private key and the PEM text that it is kept as.
pub struct PrivateKey {
    pair: KeyPair,
    pem: Secret,
}

impl PrivateKey {
    /// A new P-256 key.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = KeyPair::generate().map_err(|e| KeyError::Generate(e.to_string()))?;
        let pem = Secret::new(pair.serialize_pem());
        Ok(Self { pair, pem })
    }

    /// Reads the first private key of a PEM text.
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyError> {
        for block in Pem::iter_from_buffer(text) {
            let block = block.map_err(KeyError::Pem)?;
            let pkcs8 = match block.label.as_str() {
                "PRIVATE KEY" => block.contents,
                "RSA PRIVATE KEY" => {
                    if text.windows(9).any(|w| w == b"ENCRYPTED") {
                        return Err(KeyError::Encrypted);
                    }
                    wrap(RSA_ALGORITHM, &block.contents)
                }
                "EC PRIVATE KEY" => wrap(&ec_algorithm(&block.contents)?, &block.contents),
                "ENCRYPTED PRIVATE KEY" => return Err(KeyError::Encrypted),
                _ => continue,
            };
            let pair = KeyPair::try_from(pkcs8).map_err(|e| KeyError::Unusable(e.to_string()))?;
            return Ok(Self {
                pair,
                pem: Secret::new(text),
            });
        }
        Err(KeyError::Missing)
    }

    /// The text that was read, byte by byte, or PKCS#8 for a key made here.
    pub fn pem(&self) -> &Secret {
        &self.pem
    }

    /// The public half as a `PUBLIC KEY` block.
    pub fn public_pem(&self) -> String {
        self.pair.public_key_pem()
    }

    /// The public half as a DER SubjectPublicKeyInfo.
    pub fn public_der(&self) -> Vec<u8> {
        self.pair.subject_public_key_info()
    }

    /// The bits inside the SubjectPublicKeyInfo: what is compared with a certificate's.
    pub(crate) fn public_bits(&self) -> &[u8] {
        self.pair.public_key_raw()
    }

    pub(crate) fn pair(&self) -> &KeyPair {
        &self.pair
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey")
            .field("pem", &self.pem)
            .finish_non_exhaustive()
    }
}

/// AlgorithmIdentifier rsaEncryption with NULL parameters (RFC 8017, appendix A.1).
const RSA_ALGORITHM: &[u8] = &[
    0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];
/// OBJECT IDENTIFIER id-ecPublicKey (RFC 5480).
const EC_PUBLIC_KEY: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// OBJECT IDENTIFIER prime256v1.
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// OBJECT IDENTIFIER secp384r1.
const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];

/// The AlgorithmIdentifier for a SEC1 key (RFC 5915): the curve that it names, or else the one that its secret's length tells.
fn ec_algorithm(sec1: &[u8]) -> Result<Vec<u8>, KeyError> {
    let unusable = || KeyError::Unusable("not a SEC1 structure".to_owned());
    let (_, body, _) = read_tlv(sec1).ok_or_else(unusable)?;
    let (_, _version, rest) = read_tlv(body).ok_or_else(unusable)?;
    let (_, secret, rest) = read_tlv(rest).ok_or_else(unusable)?;
    let curve = match (read_tlv(rest), secret.len()) {
        (Some((0xa0, P256, _)), _) => P256,
        (Some((0xa0, P384, _)), _) => P384,
        (Some((0xa0, _, _)), _) => return Err(KeyError::Curve),
        (_, 32) => P256,
        (_, 48) => P384,
        _ => return Err(KeyError::Curve),
    };
    Ok(tlv(0x30, &[EC_PUBLIC_KEY, curve].concat()))
}

/// The first DER value: tag, contents, and what follows it.
fn read_tlv(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = der.split_first_chunk()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x82 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            (bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b)), rest)
        }
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((tag, value, rest))
}

/// PrivateKeyInfo (RFC 5208) around a key in its own form.
fn wrap(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    let mut inner = vec![0x02, 0x01, 0x00];
    inner.extend_from_slice(algorithm);
    inner.extend_from_slice(&tlv(0x04, key));
    tlv(0x30, &inner)
}

/// One DER value with its tag and definite length.
fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    if value.len() < 0x80 {
        out.push(value.len() as u8);
    } else {
        let length = value.len().to_be_bytes();
        let length = &length[length.iter().take_while(|b| **b == 0).count()..];
        out.push(0x80 | length.len() as u8);
        out.extend_from_slice(length);
    }
    out.extend_from_slice(value);
    out
}

#[cfg(test)]
mod tests;
