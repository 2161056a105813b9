//! Writes the certificates and keys that were handed over. An authority that is there already and differs is never
//! replaced: that would be another cluster's. Only etcd's may be: a recovery can give etcd a new one, and hands over the
//! pair that it issued with it; the old one is set aside.

use std::path::Path;
use std::time::SystemTime;

use host::{Inspect, Phase};
use pki::Certificate;
use pki::etcd::{Identity, Leaf, profile};

use super::make_certificates::aside;
use super::plan_file;
use crate::change::Change;
use crate::{Error, Node, Settings, paths};

/// The certificate of etcd's authority.
const ETCD_CA: &str = "etcd/ca.crt";

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
            if differs && name == ETCD_CA && issued_its_client(settings) {
                plan.extend(set_aside(seen, &path)?);
            } else if differs && !LEAVES.contains(&name.as_str()) {
                return Err(Error::Foreign { path });
            }
            let mode = if name.ends_with(".key") { 0o600 } else { 0o644 };
            plan.extend(plan_file(seen, &path, mode, secret.reveal())?);
        }
        Ok(plan)
    }
}

/// Whether the authority of etcd that was handed over issued the API server's pair that was handed over with it: it is the
/// one that etcd has now, and not a slip.
fn issued_its_client(settings: &Settings) -> bool {
    let handed = |name: &str| {
        settings
            .credentials
            .get(name)
            .map(|secret| secret.reveal().as_bytes())
    };
    let nobody = Identity {
        name: String::new(),
        addresses: Vec::new(),
        extra_server_sans: Vec::new(),
    };
    let mut wanted = profile(Leaf::ApiserverClient, &nobody);
    let [certificate, key] = LEAVES.map(handed);
    let authority = handed(ETCD_CA).and_then(|pem| Certificate::parse_all(pem).ok());
    let (Some(own), Some(authority)) = (certificate, authority) else {
        return false;
    };
    // Whom it names is the issuer's business.
    if let Ok(own) = Certificate::parse(own) {
        wanted.common_name = own.common_name;
    }
    wanted.sans.clear();
    pki::check(Some(own), key, &wanted, &authority, SystemTime::now()).is_right()
}

fn set_aside(seen: &dyn Inspect, path: &Path) -> Result<Vec<Change>, Error> {
    let pem = seen.read(path, 1 << 20)?.unwrap_or_default();
    let Ok(old) = Certificate::parse(&pem) else {
        return Ok(Vec::new());
    };
    let to = aside(path, &old);
    // It was set aside before, by a run that was cut off.
    if seen.stat(&to)?.is_some() {
        return Ok(Vec::new());
    }
    let path = path.to_owned();
    Ok(vec![host::Change::SetAside { path, to }.into()])
}
