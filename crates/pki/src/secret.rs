//! Bytes that must not be seen: private keys on their way to a file.
//!
//! This keeps secrets out of logs and error messages. It does not wipe memory: the processes are short-lived and the bytes
//! lie in a file beside them.

use std::fmt;

/// Secret bytes whose `Debug` form shows only how many there are.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Hides `bytes`.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes, for the one place that writes or uses them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_shows_no_byte() {
        assert_eq!(
            format!("{:?}", Secret::new("top secret")),
            "Secret(10 bytes)"
        );
    }
}
