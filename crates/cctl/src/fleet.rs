//! The hosts of a run: how each is called, reached, and what lies ready on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::ClusterConfiguration;
use host::Digest;
use ssh::{Connection, Target};

use crate::Error;
use crate::error::Failure;
use crate::settings::Settings;

/// Where node tools lie on hosts, by digest.
pub(crate) const BIN: &str = "/var/cache/klusterkit/bin";

/// What cctl keeps on hosts, for root alone: a copy of the state, a recovery's snapshot.
pub(crate) const FOLDER: &str = "/var/lib/cctl";

/// Digests of the node tools of one architecture, by name.
pub(crate) type ToolDigests = BTreeMap<String, Digest>;

/// A host that is connected.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    /// Its address, by which all else names it.
    pub address: String,
    /// How it is called in messages: its name, and its address where that is another.
    pub label: String,
    pub connection: Arc<Connection>,
    /// As Go and OCI name it.
    pub arch: String,
    /// The digests of the tools that it uses.
    pub tools: ToolDigests,
}

impl Remote {
    /// Where a node tool lies.
    pub(crate) fn tool(&self, name: &str) -> String {
        let digest = self
            .tools
            .get(name)
            .map(ToString::to_string)
            .unwrap_or_default();
        format!("{BIN}/{digest}/{name}")
    }
}

/// All hosts of a run, by address.
pub(crate) type Fleet = BTreeMap<String, Remote>;

/// How a machine is reached.
pub(crate) fn target(
    configuration: &ClusterConfiguration,
    machine: &api::Machine,
    settings: &Settings,
) -> Target {
    let ssh = machine.ssh.as_ref().unwrap_or(&configuration.ssh);
    Target {
        address: machine.address.to_string(),
        port: ssh.port,
        user: ssh.user.clone(),
        identity_file: ssh
            .identity_file
            .as_ref()
            .map(|file| settings.expand(file).display().to_string()),
        options: ssh.options.clone(),
    }
}

/// How a machine is called.
pub(crate) fn label(name: Option<&str>, address: &str) -> String {
    match name {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => address.to_owned(),
    }
}

/// Does something on all of these at once; all failures are told together.
pub(crate) fn on_all<T: Sync, R: Send>(
    items: &[T],
    name: impl Fn(&T) -> String,
    work: impl Fn(&T) -> Result<R, Error> + Sync,
) -> Result<Vec<R>, Error> {
    let results: Vec<Result<R, Error>> = std::thread::scope(|scope| {
        let handles: Vec<_> = items
            .iter()
            .map(|item| scope.spawn(|| work(item)))
            .collect();
        handles
            .into_iter()
            .map(|handle| {
                handle
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    });
    let (mut done, mut failures) = (Vec::new(), Vec::new());
    for (item, result) in items.iter().zip(results) {
        match result {
            Ok(value) => done.push(value),
            Err(error) => failures.push(Failure::on(&name(item), error)),
        }
    }
    match failures.len() {
        0 => Ok(done),
        1 => Err(*failures.remove(0).error),
        _ => Err(Error::Several(failures)),
    }
}
