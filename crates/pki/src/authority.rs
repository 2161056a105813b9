//! Certificate authorities: made, taken over from files, and issuing.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyUsagePurpose, SanType,
};

use crate::{Certificate, CertificateError, KeyError, Pair, PrivateKey, Profile, San, Usage};

/// How long a new authority is valid: ten years.
pub const CA_VALIDITY: Duration = Duration::from_secs(3650 * 24 * 3600);
/// How far back a new certificate's validity reaches, so that hosts whose clocks lag take it too.
const BACKDATE: Duration = Duration::from_secs(5 * 60);

/// Why an authority cannot be used, or cannot issue.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The certificate's text.
    #[error("the authority's certificate cannot be read")]
    Certificate(#[source] CertificateError),
    /// The key's text.
    #[error("the authority's key cannot be read")]
    Key(#[source] KeyError),
    /// A certificate that may not sign.
    #[error("the certificate {0:?} is not an authority's: it may not sign certificates")]
    NotAnAuthority(String),
    /// Certificate and key of two different authorities.
    #[error("the authority's key does not belong to its certificate {0:?}")]
    KeyMismatch(String),
    /// The authority ends before what it is to issue would begin.
    #[error("the authority {0:?} has expired")]
    Expired(String),
    /// A key for a new pair.
    #[error("no key for a new certificate")]
    NewKey(#[source] KeyError),
    /// The encoder's own complaint.
    #[error("the certificate {name:?} cannot be made: {message}")]
    Encode {
        /// Common name of what was to be made.
        name: String,
        /// What the encoder said.
        message: String,
    },
}

/// An authority with its key: it can issue.
#[derive(Debug)]
pub struct Authority {
    certificate: Certificate,
    certificate_pem: String,
    key: PrivateKey,
}

impl Authority {
    /// A new self-signed authority with a P-256 key, valid for [`CA_VALIDITY`] from `now`.
    pub fn generate(common_name: &str, now: SystemTime) -> Result<Self, AuthorityError> {
        Self::self_signed(
            common_name,
            PrivateKey::generate().map_err(AuthorityError::NewKey)?,
            now,
        )
    }

    /// A new self-signed authority with a key that exists, as one whose certificate was never written.
    pub fn self_signed(
        common_name: &str,
        key: PrivateKey,
        now: SystemTime,
    ) -> Result<Self, AuthorityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name(common_name, None);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        (params.not_before, params.not_after) = dates(now, CA_VALIDITY);
        let certificate_pem = params
            .self_signed(key.pair())
            .map_err(|e| encode(common_name, &e))?
            .pem();
        let certificate =
            Certificate::parse(certificate_pem.as_bytes()).map_err(AuthorityError::Certificate)?;
        Ok(Self {
            certificate,
            certificate_pem,
            key,
        })
    }

    /// Takes an authority over from PEM texts. Of several certificates (a bundle, while authorities are changed) the key's
    /// own is the one that signs.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, AuthorityError> {
        let all = Certificate::parse_all(certificate).map_err(AuthorityError::Certificate)?;
        let key = PrivateKey::from_pem(key).map_err(AuthorityError::Key)?;
        let own = all.iter().position(|one| one.belongs_to(&key));
        let parsed = all[own.unwrap_or(0)].clone();
        if !parsed.is_ca {
            return Err(AuthorityError::NotAnAuthority(parsed.common_name));
        }
        if own.is_none() {
            return Err(AuthorityError::KeyMismatch(parsed.common_name));
        }
        Ok(Self {
            certificate: parsed,
            certificate_pem: String::from_utf8_lossy(certificate).into_owned(),
            key,
        })
    }

    /// What its certificate says.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Certificate and key as they were read or made.
    pub fn pair(&self) -> Pair {
        Pair {
            certificate: self.certificate_pem.clone(),
            key: self.key.pem().clone(),
        }
    }

    /// Issues a certificate and a new P-256 key for it. A leaf never outlives its authority.
    pub fn issue(&self, profile: &Profile, now: SystemTime) -> Result<Pair, AuthorityError> {
        let key = PrivateKey::generate().map_err(AuthorityError::NewKey)?;
        Ok(Pair {
            certificate: self.issue_for(profile, &key, now)?,
            key: key.pem().clone(),
        })
    }

    /// Issues a certificate for a key that exists. So a pair is made, or renewed, by writing one file at a time, each of
    /// which is right as it stands.
    pub fn issue_for(
        &self,
        profile: &Profile,
        key: &PrivateKey,
        now: SystemTime,
    ) -> Result<String, AuthorityError> {
        if self.certificate.not_after <= now {
            return Err(AuthorityError::Expired(
                self.certificate.common_name.clone(),
            ));
        }
        let fail = |e: &rcgen::Error| encode(&profile.common_name, e);
        let mut params = parameters(profile)?;
        params.use_authority_key_identifier_extension = true;
        let left = self
            .certificate
            .not_after
            .duration_since(now)
            .unwrap_or_default();
        (params.not_before, params.not_after) = dates(now, profile.validity.min(left));
        let der = self.certificate.der().into();
        let issuer = Issuer::from_ca_cert_der(&der, self.key.pair()).map_err(|e| fail(&e))?;
        params
            .signed_by(key.pair(), &issuer)
            .map(|certificate| certificate.pem())
            .map_err(|e| fail(&e))
    }
}

/// What a leaf is to say, whoever signs it.
pub(crate) fn parameters(profile: &Profile) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    params.distinguished_name =
        distinguished_name(&profile.common_name, profile.organization.as_deref());
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = match profile.usage {
        Usage::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
        Usage::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
        Usage::Both => vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ],
    };
    for san in &profile.sans {
        params.subject_alt_names.push(match san {
            San::Ip(ip) => SanType::IpAddress(*ip),
            San::Dns(name) => SanType::DnsName(
                name.as_str()
                    .try_into()
                    .map_err(|e| encode(&profile.common_name, &e))?,
            ),
        });
    }
    Ok(params)
}

fn distinguished_name(common_name: &str, organization: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name.push(DnType::CommonName, common_name);
    name
}

/// From a little before `now` until `validity` after it, in whole seconds as certificates count.
fn dates(now: SystemTime, validity: Duration) -> (time::OffsetDateTime, time::OffsetDateTime) {
    let whole = |t: time::OffsetDateTime| t.replace_nanosecond(0).unwrap_or(t);
    let from = now.checked_sub(BACKDATE).unwrap_or(now);
    (whole(from.into()), whole((now + validity).into()))
}

pub(crate) fn encode(name: &str, error: &rcgen::Error) -> AuthorityError {
    AuthorityError::Encode {
        name: name.to_owned(),
        message: error.to_string(),
    }
}

#[cfg(test)]
mod tests;
