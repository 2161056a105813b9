//! Writes kubeadm's configuration: ours, with the user's documents merged over it.

use std::path::Path;

use host::{Inspect, Phase};
use serde_json::{Value, json};

use super::plan_file;
use crate::change::Change;
use crate::{Error, Node, bootstrap_token, coredns, kubeadm, paths};

/// See the module.
pub struct WriteKubeadmConfiguration;

impl Phase<Node> for WriteKubeadmConfiguration {
    fn name(&self) -> &'static str {
        "write-kubeadm-configuration"
    }

    fn about(&self) -> &'static str {
        "write kubeadm's configuration, the user's documents merged over ours"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let (seen, settings) = (node.host(), node.settings());
        let path = Path::new(paths::KUBEADM_CONFIG);
        // A token that was drawn once stays, or each run would have another configuration.
        let earlier = seen
            .read_text(path)?
            .and_then(|text| kubeadm::token_in(&text));
        if settings.is_master() {
            let token = earlier.unwrap_or_else(bootstrap_token::draw);
            let configuration = kubeadm::init_documents(settings, &token);
            let mut plan = plan_file(seen, path, 0o600, &configuration)?;
            let (host, port) = settings.endpoint_parts();
            plan.extend(plan_patch(
                seen,
                "corednsdeployment+strategic.json",
                &coredns::deployment_patch(&host, port),
            )?);
            return Ok(plan);
        }
        let handed = settings
            .credentials
            .get("token")
            .map(|token| token.reveal().trim().to_owned());
        // Whoever only wants to see the plan has no token to give.
        let placeholder = || {
            seen.is_dry_run()
                .then(|| "abcdef.0123456789abcdef".to_owned())
        };
        let token = handed.or(earlier).or_else(placeholder).ok_or_else(|| {
            Error::Settings("a worker needs Credentials with a `token` (and `ca.crt`): see `nodeadm token create`".into())
        })?;
        let mut plan = plan_file(
            seen,
            path,
            0o600,
            &kubeadm::join_documents(settings, &token),
        )?;
        let patch = kubeadm::kubelet_patch(settings).unwrap_or_else(|| json!({}));
        let name = "kubeletconfiguration+merge.json";
        plan.extend(plan_patch(seen, name, &patch)?);
        Ok(plan)
    }
}

/// One of kubeadm's patches: its name tells kubeadm what it is for, and how it is laid over.
fn plan_patch(seen: &dyn Inspect, name: &str, patch: &Value) -> Result<Vec<Change>, Error> {
    let path = Path::new(paths::PATCHES).join(name);
    plan_file(seen, &path, 0o600, &format!("{patch:#}\n"))
}
