//! Gives a control plane's kubelet its client certificate where it renews it, from its very first start.
//!
//! kubeadm puts the certificate into the kubeconfig itself and lets the kubelet move to the renewable one by a restart
//! after it came up (`kubelet-finalize`). With the same files in place before the first start there is none.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use host::Phase;
use serde_json::{Value, json};

use super::plan_link;
use crate::change::Change;
use crate::{Error, Node, paths};

const PEM: &str = "/var/lib/kubelet/pki/kubelet-client-initial.pem";
const CURRENT: &str = paths::KUBELET_CERTIFICATE;

/// See the module.
pub struct RotateKubeletCertificate;

impl Phase<Node> for RotateKubeletCertificate {
    fn name(&self) -> &'static str {
        "rotate-kubelet-certificate"
    }

    fn about(&self) -> &'static str {
        "put the kubelet's client certificate where the kubelet renews it"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let seen = node.host();
        let path = Path::new(paths::KUBERNETES).join("kubelet.conf");
        let fault = |what: &str| Error::File {
            path: path.clone(),
            what: what.to_owned(),
        };
        // In a dry run kubeadm has not written it.
        let Some(text) = seen.read_text(&path)?.filter(|text| !text.is_empty()) else {
            return Ok(Vec::new());
        };
        let mut config: Value =
            api::yaml::from_str(&text).map_err(|error| fault(&error.to_string()))?;
        let embedded = |key: &str| {
            let data = config
                .pointer("/users/0/user")
                .and_then(|user| user.get(key))
                .and_then(Value::as_str)?;
            STANDARD.decode(data).ok()
        };
        let (Some(mut pem), Some(key)) = (
            embedded("client-certificate-data"),
            embedded("client-key-data"),
        ) else {
            return Ok(Vec::new());
        };
        pem.extend_from_slice(&key);
        let mut plan: Vec<Change> = Vec::new();
        // kubeadm makes it for root alone, if it is the first to make it.
        if seen.stat(Path::new(paths::KUBELET))?.is_none() {
            let folder = host::Change::MakeDir {
                path: paths::KUBELET.into(),
                mode: 0o700,
            };
            plan.push(folder.into());
        }
        if seen.read(Path::new(PEM), 1 << 20)?.as_deref() != Some(&pem[..]) {
            plan.push(host::Change::private_file(PEM, pem).into());
        }
        // A certificate that the kubelet has renewed since is the better one.
        if seen.stat(Path::new(CURRENT))?.is_none() {
            plan.extend(plan_link(seen, Path::new(CURRENT), Path::new(PEM))?);
        }
        config["users"][0]["user"] = json!({"client-certificate": CURRENT, "client-key": CURRENT});
        plan.push(host::Change::private_file(&path, api::yaml::to_string(&config)).into());
        Ok(plan)
    }
}
