//! Writes the file by which kubeadm finds the cluster and knows it: the endpoint and the authority's certificate.

use std::path::Path;

use host::Phase;

use super::plan_file;
use crate::change::Change;
use crate::{Error, Node, kubeadm, paths};

/// See the module.
pub struct WriteDiscovery;

impl Phase<Node> for WriteDiscovery {
    fn name(&self) -> &'static str {
        "write-discovery"
    }

    fn about(&self) -> &'static str {
        "write down where the cluster is and how it is known"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let (seen, settings) = (node.host(), node.settings());
        let handed = settings
            .credentials
            .get("ca.crt")
            .map(|ca| ca.reveal().to_owned());
        let ca = match handed {
            Some(ca) => Some(ca),
            None => seen.read_text(&Path::new(paths::PKI).join("ca.crt"))?,
        };
        // Whoever only wants to see the plan has no certificate to give.
        let ca = ca
            .or_else(|| seen.is_dry_run().then(String::new))
            .ok_or_else(|| {
                Error::Settings(
                    "a worker needs Credentials with `ca.crt`, the authority's certificate"
                        .to_owned(),
                )
            })?;
        plan_file(
            seen,
            Path::new(paths::DISCOVERY),
            0o600,
            &kubeadm::discovery(settings, &ca),
        )
    }
}
