//! What nodeadm set this host up as: written before anything else, read by later runs and by `reset`, so that neither
//! needs flags. No secret is in it.

use std::path::Path;

use api::{Foreign, NodeConfiguration};
use host::Inspect;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::settings::Settings;
use crate::{Error, paths};

/// The record of a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// nodeadm's version.
    pub tool: String,
    /// Whether this node began its cluster.
    pub first: bool,
    /// The node's document, all defaults filled in.
    pub configuration: NodeConfiguration,
    /// Whether the cluster's authorities were handed over, so that somebody else keeps them.
    #[serde(default)]
    pub authorities_handed: bool,
    /// The user's other documents.
    #[serde(default)]
    pub documents: Vec<Value>,
}

impl Record {
    /// Of these settings; `before` is what a run before wrote, which may have been handed what this one was not.
    #[must_use]
    pub fn of(settings: &Settings, before: Option<&Self>) -> Self {
        let handed = settings.credentials.contains_key("ca.key");
        Self {
            authorities_handed: handed || before.is_some_and(|before| before.authorities_handed),
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            first: settings.first,
            configuration: settings.config.clone(),
            documents: settings
                .foreign
                .iter()
                .map(|foreign| foreign.value.clone())
                .collect(),
        }
    }

    /// The record of this host, if there is one.
    ///
    /// # Errors
    /// When it cannot be read, or is no record.
    pub fn read(seen: &dyn Inspect) -> Result<Option<Self>, Error> {
        let path = Path::new(paths::RECORD);
        let Some(bytes) = seen.read(path, 1 << 20)? else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| Error::File {
                path: path.to_owned(),
                what: error.to_string(),
            })
    }

    /// As it is written.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("plain data becomes JSON");
        text.push('\n');
        text
    }

    /// The user's other documents.
    #[must_use]
    pub fn foreign(&self) -> Vec<Foreign> {
        let text = |value: &Value, key: &str| {
            value
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let foreign = |value: &Value| Foreign {
            api_version: text(value, "apiVersion"),
            kind: text(value, "kind"),
            applies_to: None,
            value: value.clone(),
        };
        self.documents.iter().map(foreign).collect()
    }
}
