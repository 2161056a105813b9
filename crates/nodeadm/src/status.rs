//! `nodeadm status`: what this node is and how it is.

use std::path::Path;

use api::Role;
use cli::Context;
use host::{Inspect, Local, UnitActivity};
use serde::Serialize;

use crate::Error;
use crate::cluster::{Cluster, Live};
use crate::observe::Network;
use crate::record::Record;
use crate::settings::Settings;

/// A node's state.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    name: String,
    role: &'static str,
    kubernetes_version: Option<String>,
    endpoint: String,
    containerd: bool,
    kubelet: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_ready: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_ready: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    holds_vip: Option<bool>,
}

/// Runs the verb.
///
/// # Errors
/// When nodeadm has set up nothing here, or the host cannot be read.
pub(crate) fn run(context: &mut Context, root: &Path) -> Result<(), cli::Error> {
    let seen = Local::new(root);
    let record = Record::read(&seen)?
        .ok_or_else(|| Error::Settings("nodeadm has set up nothing on this host".to_owned()))?;
    let settings = Settings::recorded(&record, root);
    let active = |unit: &str| -> Result<bool, Error> {
        Ok(seen.unit(unit)?.activity == UnitActivity::Active)
    };
    let master = settings.is_master();
    let live = Live::new(root, settings.api.clone());
    let node = || -> Option<bool> {
        let object = live
            .get(&format!("/api/v1/nodes/{}", settings.name))
            .ok()??;
        let conditions = object.pointer("/status/conditions")?.as_array()?;
        let ready = conditions
            .iter()
            .find(|condition| condition["type"] == "Ready")?;
        Some(ready["status"] == "True")
    };
    let addresses = Network::of(root).addresses;
    let status = Status {
        name: settings.name.clone(),
        role: if record.configuration.role == Role::Node {
            "node"
        } else {
            "master"
        },
        kubernetes_version: record
            .configuration
            .kubernetes_version
            .map(|version| version.to_string()),
        endpoint: settings.endpoint.clone(),
        containerd: active("containerd.service")?,
        kubelet: active("kubelet.service")?,
        api_ready: master.then(|| live.ready(&settings.api).is_ok()),
        node_ready: if master { node() } else { None },
        holds_vip: settings
            .config
            .vip
            .as_ref()
            .map(|vip| addresses.iter().any(|(_, own)| *own == vip.address)),
    };
    context.print(&status, api::yaml::to_string)
}
