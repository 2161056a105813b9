//! Whether a pair that exists will do, and if not, why.

use std::time::SystemTime;

use crate::{Certificate, PrivateKey, Profile, San};

/// What is to be said about an existing leaf and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It says all that it must, is valid now, and is the authority's.
    Right {
        /// Whole days that it stays valid.
        days_left: i64,
    },
    /// One or both files are not there.
    Missing,
    /// A file that is not what its name says.
    Unreadable(String),
    /// Ended, or not begun yet.
    Expired {
        /// Days since it ended, negative or zero as [`Certificate::days_left`] counts; positive for one that has not begun.
        days_left: i64,
    },
    /// Signed by none of the trusted authorities.
    WrongCa {
        /// Who it says signed it.
        issuer: String,
    },
    /// It does not vouch for names that it must.
    SanDrift {
        /// The names that it lacks.
        missing: Vec<San>,
    },
    /// It names another subject, or may not be used as it must.
    OtherSubject {
        /// The common name that it has.
        common_name: String,
    },
    /// The key is another certificate's.
    KeyMismatch,
}

impl Verdict {
    /// Whether nothing need be done.
    pub fn is_right(&self) -> bool {
        matches!(self, Self::Right { .. })
    }
}

/// Judges a leaf and its key, as read from their files, against what `profile` wants.
///
/// The order is the order of harm: what cannot work at all comes before what is merely out of date. More names than wanted
/// are no fault; a chain may follow the leaf in its file. `trusted` are the authorities of the bundle that peers verify with.
pub fn check(
    certificate: Option<&[u8]>,
    key: Option<&[u8]>,
    profile: &Profile,
    trusted: &[Certificate],
    now: SystemTime,
) -> Verdict {
    let (Some(certificate), Some(key)) = (certificate, key) else {
        return Verdict::Missing;
    };
    let (certificate, chain) = match Certificate::parse_all(certificate) {
        Ok(mut all) => (all.remove(0), all),
        Err(e) => return Verdict::Unreadable(e.to_string()),
    };
    match PrivateKey::from_pem(key) {
        Err(e) => return Verdict::Unreadable(e.to_string()),
        Ok(key) if !certificate.belongs_to(&key) => return Verdict::KeyMismatch,
        Ok(_) => {}
    }
    if !leads_to(&certificate, &chain, trusted) {
        return Verdict::WrongCa {
            issuer: certificate.issuer,
        };
    }
    let days_left = certificate.days_left(now);
    if certificate.not_after <= now || certificate.not_before > now {
        return Verdict::Expired { days_left };
    }
    let organization = profile
        .organization
        .iter()
        .all(|o| certificate.organizations.contains(o));
    let usable =
        certificate.usage == Some(profile.usage) || certificate.usage == Some(crate::Usage::Both);
    if certificate.common_name != profile.common_name || !organization || !usable {
        return Verdict::OtherSubject {
            common_name: certificate.common_name,
        };
    }
    let missing: Vec<San> = profile
        .sans
        .iter()
        .filter(|san| !certificate.sans.contains(san))
        .cloned()
        .collect();
    if missing.is_empty() {
        Verdict::Right { days_left }
    } else {
        Verdict::SanDrift { missing }
    }
}

/// Whether a trusted authority signed it, or one in the chain behind it did that a trusted one vouches for.
fn leads_to(certificate: &Certificate, chain: &[Certificate], trusted: &[Certificate]) -> bool {
    let mut last = certificate;
    for next in chain {
        if trusted.iter().any(|ca| last.signed_by(ca)) || !next.is_ca || !last.signed_by(next) {
            break;
        }
        last = next;
    }
    trusted.iter().any(|ca| last.signed_by(ca))
}

#[cfg(test)]
mod tests;
