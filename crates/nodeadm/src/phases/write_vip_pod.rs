//! Writes keepalived's static pod and its configuration.

use std::path::Path;

use host::Phase;

use super::plan_file;
use crate::change::Change;
use crate::{Error, Node, keepalived, paths};

/// See the module.
pub struct WriteVipPod;

impl Phase<Node> for WriteVipPod {
    fn name(&self) -> &'static str {
        "write-vip-pod"
    }

    fn about(&self) -> &'static str {
        "let keepalived hold the endpoint's address, if it is to"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let (seen, settings) = (node.host(), node.settings());
        let manifest = Path::new(paths::MANIFESTS).join("keepalived.yaml");
        let conf = Path::new(paths::KEEPALIVED).join("keepalived.conf");
        let (Some(vip), Some(image)) =
            (&settings.config.vip, &settings.artifacts.images.keepalived)
        else {
            let mut plan: Vec<Change> = Vec::new();
            for path in [manifest, conf] {
                if seen.stat(&path)?.is_some() {
                    plan.push(host::Change::Remove { path }.into());
                }
            }
            return Ok(plan);
        };
        let text = keepalived::configuration(settings, vip);
        let pod = keepalived::pod(settings, image, &text);
        let mut plan = plan_file(seen, &conf, 0o644, &text)?;
        plan.extend(plan_file(
            seen,
            &manifest,
            0o600,
            &api::yaml::to_string(&pod),
        )?);
        Ok(plan)
    }
}
