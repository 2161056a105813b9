//! Writes the certificates and keys that were handed over. An authority that is there already and differs is never
//! replaced: that would be another cluster's.

use std::path::Path;

use host::Phase;

use super::plan_file;
use crate::change::Change;
use crate::{Error, Node, paths};

/// What may be renewed; all else is the cluster's identity.
const LEAVES: [&str; 2] = ["apiserver-etcd-client.crt", "apiserver-etcd-client.key"];
/// All that a worker gets.
const OF_WORKERS: [&str; 1] = ["ca.crt"];

/// See the module.
pub struct WritePki;

impl Phase<Node> for WritePki {
    fn name(&self) -> &'static str {
        "write-pki"
    }

    fn about(&self) -> &'static str {
        "write the authorities and keys that were handed over"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let (seen, settings) = (node.host(), node.settings());
        let mut plan = Vec::new();
        for (name, secret) in &settings.credentials {
            let wanted = if settings.is_master() {
                name != "token"
            } else {
                OF_WORKERS.contains(&name.as_str())
            };
            if !wanted {
                continue;
            }
            let path = Path::new(paths::PKI).join(name);
            let there = seen.read(&path, 1 << 20)?;
            let differs = there.is_some_and(|bytes| bytes != secret.reveal().as_bytes());
            if differs && !LEAVES.contains(&name.as_str()) {
                return Err(Error::Foreign { path });
            }
            let mode = if name.ends_with(".key") { 0o600 } else { 0o644 };
            plan.extend(plan_file(seen, &path, mode, secret.reveal())?);
        }
        Ok(plan)
    }
}
