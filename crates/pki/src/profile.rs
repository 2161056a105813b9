//! What a leaf certificate is to say: subject, names, uses, how long.
//!
//! Profiles are values; [`crate::Authority::issue`] turns one into a certificate. Which profiles the tools use stands in
//! [`crate::etcd`] and [`crate::kubernetes`].

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// How long a leaf is valid: a year.
pub const LEAF_VALIDITY: Duration = Duration::from_secs(365 * 24 * 3600);

/// A name that a certificate vouches for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum San {
    /// A DNS name, in lower case; `*.` may stand in front.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

/// A text that is neither an address nor a DNS name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is neither an IP address nor a DNS name")]
pub struct SanError(String);

impl San {
    /// Reads an address or a DNS name; names are lowered, since TLS compares them so.
    pub fn parse(text: &str) -> Result<Self, SanError> {
        let bare = text
            .strip_prefix('[')
            .and_then(|t| t.strip_suffix(']'))
            .unwrap_or(text);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(Self::Ip(ip));
        }
        let name = text.strip_prefix("*.").unwrap_or(text);
        let label = |l: &str| {
            (1..=63).contains(&l.len())
                && l.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !l.starts_with('-')
                && !l.ends_with('-')
        };
        // A name whose last label is a number would be taken for an address by some and for a name by others.
        let numeric = name
            .rsplit('.')
            .next()
            .is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit()));
        if name.len() > 253 || numeric || !name.split('.').all(label) {
            return Err(SanError(text.to_owned()));
        }
        Ok(Self::Dns(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for San {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

/// In which part of a TLS connection a certificate may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// As a client only.
    Client,
    /// As a server only.
    Server,
    /// As both: an etcd member is its own proxy's client.
    Both,
}

/// What a leaf certificate is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Common name of the subject.
    pub common_name: String,
    /// Organization of the subject: a group, for Kubernetes.
    pub organization: Option<String>,
    /// Extended key usage.
    pub usage: Usage,
    /// The names it vouches for; empty for a client.
    pub sans: Vec<San>,
    /// How long it is valid from the moment of issue.
    pub validity: Duration,
}

#[cfg(test)]
mod tests {
    use super::San;

    #[test]
    fn names_and_addresses() {
        assert_eq!(San::parse("10.0.0.1"), Ok(San::Ip([10, 0, 0, 1].into())));
        assert_eq!(San::parse("[fd00::1]"), San::parse("fd00:0::1"));
        assert_eq!(
            San::parse("Node-1.Example"),
            Ok(San::Dns("node-1.example".into()))
        );
        assert_eq!(San::parse("*.example"), Ok(San::Dns("*.example".into())));
        for bad in [
            "",
            ".",
            "a b",
            "-a",
            "a..b",
            "10.0.0",
            "10.0.0.256",
            "ä.example",
            "a,b",
            "*",
        ] {
            assert!(San::parse(bad).is_err(), "{bad:?} was taken");
        }
    }
}
