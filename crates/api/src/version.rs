//! Versions of programs, as `v1.37.2`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A released version. Shown with a leading `v`, read with or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number.
    pub patch: u32,
}

/// A text that is no version.
#[derive(Debug, thiserror::Error)]
#[error("not a version such as v1.37.2: {0:?}")]
pub struct VersionError(String);

impl Version {
    /// The version of these three numbers.
    #[must_use]
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }

    /// Without the leading `v`, as some upstreams write it.
    #[must_use]
    pub fn bare(&self) -> String {
        format!("{}.{}.{}", self.major, self.minor, self.patch)
    }

    /// Whether it is of the minor release `major.minor` or a later one.
    #[must_use]
    pub fn at_least(&self, major: u32, minor: u32) -> bool {
        (self.major, self.minor) >= (major, minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let bad = || VersionError(text.chars().take(60).collect());
        let mut numbers = text
            .strip_prefix('v')
            .unwrap_or(text)
            .split('.')
            .map(|part| {
                let plain = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
                if plain {
                    part.parse::<u32>().map_err(|_| bad())
                } else {
                    Err(bad())
                }
            });
        let mut next = || numbers.next().unwrap_or_else(|| Err(bad()));
        let version = Self::new(next()?, next()?, next()?);
        if numbers.next().is_some() {
            Err(bad())
        } else {
            Ok(version)
        }
    }
}

impl Serialize for Version {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_with_or_without_v() {
        assert_eq!(
            "v1.37.2".parse::<Version>().unwrap(),
            Version::new(1, 37, 2)
        );
        assert_eq!("3.7.3".parse::<Version>().unwrap().to_string(), "v3.7.3");
        for bad in [
            "",
            "v",
            "1.37",
            "1.37.2.1",
            "1.37.x",
            "1.37.-2",
            "1.37.+2",
            "v1.37.2-rc.1",
            "99999999999.1.1",
        ] {
            assert!(bad.parse::<Version>().is_err(), "{bad}");
        }
    }
}
