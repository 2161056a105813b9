//! What can be wrong with a state file, or with the keys that open it.

use std::path::PathBuf;

/// The state cannot be read, opened or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none.
    #[error("there is no state file {path}")]
    None {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// There is one where a new one was to be made.
    #[error("{path} is a cluster's state already")]
    Exists {
        /// Where it lies.
        path: PathBuf,
    },
    /// It is beyond what a state file can be.
    #[error("{path} is no state file: {what}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Its YAML is at fault.
    #[error("{path} cannot be understood")]
    Yaml {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: api::yaml::YamlError,
    },
    /// An older or newer schema.
    #[error(
        "{path} has schema version {found}, and only {} is understood",
        crate::SCHEMA_VERSION
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: u64,
    },
    /// Somebody changed it, or half of it.
    #[error("{path}: its signature does not fit: it was changed by something else than cctl")]
    Signature {
        /// The file.
        path: PathBuf,
    },
    /// The admin's word for the signing key does not fit.
    #[error("{path}: the word of {signer} for its signing key or its recipients does not fit")]
    Voucher {
        /// The file.
        path: PathBuf,
        /// Whose word it is said to be.
        signer: String,
    },
    /// A key file that cannot be read.
    #[error("could not read the key {path}")]
    KeyFile {
        /// The key.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A key that cannot do what is asked of it.
    #[error("the key {path} cannot be used: {what}")]
    Key {
        /// The key.
        path: PathBuf,
        /// Why not.
        what: String,
    },
    /// A text that is no recipient.
    #[error("{text:?} is neither an SSH public key (ed25519 or RSA) nor an age recipient")]
    Recipient {
        /// The text.
        text: String,
    },
    /// None of the keys opens it.
    #[error("{path} is not sealed for {identity}")]
    NotForUs {
        /// The file.
        path: PathBuf,
        /// The key that was tried.
        identity: PathBuf,
    },
    /// Sealing or opening failed.
    #[error("the secrets of {path} could not be {action}: {what}")]
    Seal {
        /// The file.
        path: PathBuf,
        /// `sealed` or `opened`.
        action: &'static str,
        /// Why not.
        what: String,
    },
    /// Signing failed.
    #[error("{path}: {what}")]
    Sign {
        /// The key that was to sign.
        path: PathBuf,
        /// Why not.
        what: String,
    },
    /// No random numbers.
    #[error("the system gave no random numbers: {0}")]
    Random(String),
    /// Another run works on it.
    #[error("the state is in use")]
    Lock(#[source] host::LockError),
    /// It could not be written.
    #[error("could not write the state")]
    Write(#[source] host::Error),
    /// A file could not be read.
    #[error("could not read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl Error {
    /// What the admin can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::None { .. } => "name it with --state, or make a cluster with `cctl apply -f cluster.yaml`".to_owned(),
            Self::Exists { .. } => "name another file with --state".to_owned(),
            Self::Signature { .. } | Self::Malformed { .. } | Self::Yaml { .. } => "take the last good copy of it; change a cluster by its cluster file and `cctl apply`, never by editing the state".to_owned(),
            Self::Schema { found: 0..=2, .. } => "turn it into the present form with `cctl migrate`".to_owned(),
            Self::Schema { .. } => "use a newer cctl".to_owned(),
            Self::NotForUs { .. } => "name a key that it is sealed for with --identity; `cctl get cluster` lists them".to_owned(),
            Self::Key { .. } | Self::KeyFile { .. } => "name an ed25519 or RSA key file, or an age identity, with --identity: keys that only an agent or a token holds can log in, but open nothing".to_owned(),
            Self::Lock(host::LockError::Held { .. }) => "wait until that run has ended, then run this one again".to_owned(),
            _ => return None,
        })
    }
}
