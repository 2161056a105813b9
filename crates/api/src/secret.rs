//! What must not be seen: keys and tokens, handed from tool to tool on standard input alone.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{API_VERSION, Metadata};

/// A secret text. Its `Debug` shows nothing of it; it is serialized as it is, since it must arrive.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from being shown.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// `kind: Credentials`: certificates, keys and tokens for the tool that reads it, by their names in its own folder:
/// `ca.crt`, `server.key` for etcdadm; `ca.key`, `etcd/ca.crt`, `sa.pub` for nodeadm. Each tool refuses names that
/// it does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Credentials {
    /// `klusterkit.dev/v1alpha1`.
    pub api_version: String,
    /// `Credentials`.
    pub kind: String,
    /// May be empty.
    #[serde(default)]
    pub metadata: Metadata,
    /// Name to contents.
    pub files: BTreeMap<String, Secret>,
}

impl Credentials {
    /// With these files.
    #[must_use]
    pub fn new(files: BTreeMap<String, Secret>) -> Self {
        Self {
            api_version: API_VERSION.to_owned(),
            kind: "Credentials".to_owned(),
            metadata: Metadata::default(),
            files,
        }
    }
}
