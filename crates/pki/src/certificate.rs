//! Certificates that exist, read for what they say.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{PrivateKey, San, Usage};

/// Why a certificate cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// No block of the text is a certificate.
    #[error("no certificate in the text")]
    Missing,
    /// The text looks like PEM and is not.
    #[error("the text is not PEM")]
    Pem(#[source] x509_parser::error::PEMError),
    /// The block is no X.509 certificate.
    #[error("the certificate cannot be parsed")]
    Parse(#[source] x509_parser::error::X509Error),
    /// Dates before 1970.
    #[error("the certificate's dates are out of range")]
    Dates,
}

/// What one certificate says, and the DER bytes that it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Common name of the subject; empty where there is none.
    pub common_name: String,
    /// Organizations of the subject.
    pub organizations: Vec<String>,
    /// The issuer's name, in RFC 4514's manner, for people.
    pub issuer: String,
    /// The names it vouches for, in the certificate's order; kinds other than DNS and IP are left out.
    pub sans: Vec<San>,
    /// Whether it may sign certificates.
    pub is_ca: bool,
    /// Extended key usage, when there is one for TLS.
    pub usage: Option<Usage>,
    /// Valid from.
    pub not_before: SystemTime,
    /// Valid until.
    pub not_after: SystemTime,
    /// Serial number in hex, colons between bytes.
    pub serial: String,
    /// Subject key identifier.
    pub subject_key_id: Option<Vec<u8>>,
    /// Authority key identifier.
    pub authority_key_id: Option<Vec<u8>>,
    der: Vec<u8>,
}

impl Certificate {
    /// Reads the first certificate of a PEM text.
    pub fn parse(text: &[u8]) -> Result<Self, CertificateError> {
        Self::parse_all(text)?
            .into_iter()
            .next()
            .ok_or(CertificateError::Missing)
    }

    /// Reads every certificate of a PEM text, as in a bundle of authorities; at least one.
    pub fn parse_all(text: &[u8]) -> Result<Vec<Self>, CertificateError> {
        let mut all = Vec::new();
        for block in Pem::iter_from_buffer(text) {
            let block = block.map_err(CertificateError::Pem)?;
            if block.label == "CERTIFICATE" {
                all.push(Self::from_der(&block.contents)?);
            }
        }
        if all.is_empty() {
            Err(CertificateError::Missing)
        } else {
            Ok(all)
        }
    }

    /// Reads a DER certificate.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let (_, x509) =
            X509Certificate::from_der(der).map_err(|e| CertificateError::Parse(flatten(e)))?;
        let parse = CertificateError::Parse;
        let text = |a: &x509_parser::x509::AttributeTypeAndValue<'_>| {
            a.as_str().unwrap_or_default().to_owned()
        };
        let sans = x509
            .subject_alternative_name()
            .map_err(parse)?
            .map(|e| names(&e.value.general_names))
            .unwrap_or_default();
        let usage = x509.extended_key_usage().map_err(parse)?.and_then(|e| {
            match (e.value.server_auth, e.value.client_auth) {
                (true, true) => Some(Usage::Both),
                (true, false) => Some(Usage::Server),
                (false, true) => Some(Usage::Client),
                (false, false) => None,
            }
        });
        let mut subject_key_id = None;
        let mut authority_key_id = None;
        for extension in x509.iter_extensions() {
            match extension.parsed_extension() {
                x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(id) => {
                    subject_key_id = Some(id.0.to_vec())
                }
                x509_parser::extensions::ParsedExtension::AuthorityKeyIdentifier(id) => {
                    authority_key_id = id.key_identifier.as_ref().map(|k| k.0.to_vec());
                }
                _ => {}
            }
        }
        Ok(Self {
            common_name: x509
                .subject()
                .iter_common_name()
                .next()
                .map(text)
                .unwrap_or_default(),
            organizations: x509.subject().iter_organization().map(text).collect(),
            issuer: x509.issuer().to_string(),
            sans,
            is_ca: x509.is_ca(),
            usage,
            not_before: date(x509.validity().not_before.timestamp())?,
            not_after: date(x509.validity().not_after.timestamp())?,
            serial: x509.raw_serial_as_string(),
            subject_key_id,
            authority_key_id,
            der: der.to_vec(),
        })
    }

    /// The bytes that it was read from.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The DER SubjectPublicKeyInfo, of which kubeadm takes the SHA-256 as an authority's hash.
    pub fn public_key_der(&self) -> Vec<u8> {
        self.x509().public_key().raw.to_vec()
    }

    /// The subject's name as DER, as a TLS server names the authorities that it accepts.
    pub fn subject_der(&self) -> Vec<u8> {
        self.x509().subject().as_raw().to_vec()
    }

    /// The certificate as a PEM block.
    pub fn pem(&self) -> String {
        let mut out = "-----BEGIN CERTIFICATE-----\n".to_owned();
        for line in STANDARD.encode(&self.der).as_bytes().chunks(64) {
            out += &String::from_utf8_lossy(line);
            out.push('\n');
        }
        out + "-----END CERTIFICATE-----\n"
    }

    /// Whether `issuer`'s key signed it and `issuer` is named as its issuer.
    pub fn signed_by(&self, issuer: &Self) -> bool {
        let (own, other) = (self.x509(), issuer.x509());
        own.issuer() == other.subject() && own.verify_signature(Some(other.public_key())).is_ok()
    }

    /// Whether `key` is this certificate's.
    pub fn belongs_to(&self, key: &PrivateKey) -> bool {
        *self.x509().public_key().subject_public_key.data == *key.public_bits()
    }

    /// Whole days from `now` until it ends; negative when it has ended.
    pub fn days_left(&self, now: SystemTime) -> i64 {
        const DAY: u64 = 24 * 3600;
        match self.not_after.duration_since(now) {
            Ok(left) => (left.as_secs() / DAY) as i64,
            Err(past) => -(past.duration().as_secs().div_ceil(DAY) as i64),
        }
    }

    fn x509(&self) -> X509Certificate<'_> {
        X509Certificate::from_der(&self.der)
            .expect("the bytes were parsed when the value was made")
            .1
    }
}

fn flatten(
    error: x509_parser::nom::Err<x509_parser::error::X509Error>,
) -> x509_parser::error::X509Error {
    match error {
        x509_parser::nom::Err::Error(e) | x509_parser::nom::Err::Failure(e) => e,
        x509_parser::nom::Err::Incomplete(_) => x509_parser::error::X509Error::InvalidCertificate,
    }
}

fn date(seconds: i64) -> Result<SystemTime, CertificateError> {
    let seconds = u64::try_from(seconds).map_err(|_| CertificateError::Dates)?;
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_secs(seconds))
        .ok_or(CertificateError::Dates)
}

pub(crate) fn names(general: &[GeneralName<'_>]) -> Vec<San> {
    general
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(San::Dns(name.to_ascii_lowercase())),
            GeneralName::IPAddress(bytes) => match bytes.len() {
                4 => <[u8; 4]>::try_from(*bytes)
                    .ok()
                    .map(|b| San::Ip(IpAddr::from(b))),
                16 => <[u8; 16]>::try_from(*bytes)
                    .ok()
                    .map(|b| San::Ip(IpAddr::from(b))),
                _ => None,
            },
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::Certificate;
    use crate::Authority;

    #[test]
    fn text_and_bytes_are_the_same_certificate() {
        let authority = Authority::generate("etcd", SystemTime::now()).unwrap();
        let again = Certificate::parse(authority.certificate().pem().as_bytes()).unwrap();
        assert_eq!(again, *authority.certificate());
    }
}
