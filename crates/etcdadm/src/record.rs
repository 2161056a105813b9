//! What was set up on this host, from what configuration: so that later verbs need no flags.
//!
//! The record is written before the first change and removed by `reset` with the last. It holds no secret.

use std::path::{Path, PathBuf};

use api::EtcdConfiguration;
use host::Inspect;
use serde::{Deserialize, Serialize};

use crate::{Error, paths};

/// What was set up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// `init` or `join`.
    pub verb: String,
    /// The configuration with all its defaults resolved.
    pub configuration: EtcdConfiguration,
    /// Folders that were not there before: a reset removes them again once they are empty.
    #[serde(default)]
    pub made_folders: Vec<PathBuf>,
}

impl Record {
    /// The host's record, if there is one.
    ///
    /// # Errors
    /// When it is there and cannot be read or understood.
    pub fn read(seen: &dyn Inspect) -> Result<Option<Self>, Error> {
        let path = Path::new(paths::RECORD);
        let Some(bytes) = seen.read(path, 1 << 20)? else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| Error::Record {
                path: path.to_owned(),
                source,
            })
    }

    pub(crate) fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("plain data becomes JSON");
        text.push('\n');
        text
    }
}
