//! Applies flannel, with this cluster's pod network and endpoint put into its manifest.

use std::path::Path;

use host::{Digest, Phase};
use serde_json::{Value, json};

use crate::change::Change;
use crate::{Error, Node, cluster, flannel};

/// Which content of ours was applied last; what somebody changes in the cluster afterwards stays.
const APPLIED: &str = "klusterkit.dev/applied";

/// See the module.
pub struct ApplyNetwork;

impl Phase<Node> for ApplyNetwork {
    fn name(&self) -> &'static str {
        "apply-network"
    }

    fn about(&self) -> &'static str {
        "apply flannel, if it is to connect pods"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let settings = node.settings();
        let Some(flannel) = &settings.artifacts.flannel else {
            return Ok(Vec::new());
        };
        let (host, port) = settings.endpoint_parts();
        let objects = flannel::adapt(
            &flannel.objects,
            &settings.config.network.pod_subnet,
            &host,
            port,
        )
        .map_err(|what| Error::File {
            path: Path::new("kube-flannel.yml").to_owned(),
            what,
        })?;
        let mut plan = Vec::new();
        for mut object in objects {
            let digest = json!(Digest::of(object.to_string().as_bytes()).to_oci());
            let path = cluster::path(&object);
            let applied = node.cluster().get(&path)?;
            let applied = applied
                .as_ref()
                .and_then(|live| live.pointer("/metadata/annotations"));
            if applied.and_then(|annotations| annotations.get(APPLIED)) != Some(&digest) {
                annotate(&mut object, digest);
                plan.push(Change::apply(&object));
            }
        }
        Ok(plan)
    }
}

fn annotate(object: &mut Value, digest: Value) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
    annotations[APPLIED] = digest;
}
