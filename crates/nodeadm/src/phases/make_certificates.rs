//! Lets kubeadm issue the control plane's certificates, from the authorities that are there, or from new ones.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use host::Phase;
use pki::{Certificate, San};

use crate::change::Change;
use crate::{Error, Node, kubeadm, paths};

const NAMES: [&str; 10] = [
    "ca.crt",
    "front-proxy-ca.crt",
    "sa.key",
    "sa.pub",
    "apiserver.crt",
    "apiserver-kubelet-client.crt",
    "front-proxy-client.crt",
    "apiserver.key",
    "apiserver-kubelet-client.key",
    "front-proxy-client.key",
];

/// See the module.
pub struct MakeCertificates;

impl Phase<Node> for MakeCertificates {
    fn name(&self) -> &'static str {
        "make-certificates"
    }

    fn about(&self) -> &'static str {
        "issue the control plane's certificates (kubeadm init phase certs)"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let (seen, settings) = (node.host(), node.settings());
        let mut plan = Vec::new();
        // kubeadm keeps a certificate that is there, whatever names it has.
        let apiserver = Path::new(paths::PKI).join("apiserver.crt");
        if let Some(pem) = seen.read(&apiserver, 1 << 20)?
            && let Ok(certificate) = Certificate::parse(&pem)
            && lacks_a_name(node, &certificate)
        {
            for path in [apiserver, Path::new(paths::PKI).join("apiserver.key")] {
                let to = aside(&path, &certificate);
                plan.push(host::Change::SetAside { path, to }.into());
            }
        }
        let files: Vec<PathBuf> = NAMES
            .iter()
            .map(|name| Path::new(paths::PKI).join(name))
            .collect();
        let kubeadm = kubeadm::plan_files(
            seen,
            settings,
            "certs",
            &["init", "phase", "certs", "all"],
            &files,
        )?;
        plan.extend(kubeadm);
        Ok(plan)
    }
}

fn lacks_a_name(node: &Node, certificate: &Certificate) -> bool {
    let settings = node.settings();
    let (host, _) = settings.endpoint_parts();
    let mut names = settings.config.extra_sans.clone();
    names.push(host);
    names.push(settings.address.to_string());
    names.iter().any(|name| {
        let san = match name.parse() {
            Ok(address) => San::Ip(address),
            Err(_) => San::Dns(name.to_ascii_lowercase()),
        };
        !certificate.sans.contains(&san)
    })
}

/// Named by when the certificate ends, so that two of them never meet.
pub(super) fn aside(path: &Path, certificate: &Certificate) -> PathBuf {
    let until = certificate
        .not_after
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{name}.until-{until}"))
}
