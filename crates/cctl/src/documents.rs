//! What each host's tools are told: the cluster's configuration, broken down to one member and one node.
//!
//! The admin's own `EtcdConfiguration` and `NodeConfiguration`, if the cluster file holds them, are what is started from;
//! documents of kubeadm, kubelet and kube-proxy are handed on where they apply. Everything is written as JSON, a document
//! after the other.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::SystemTime;

use api::{
    Credentials, Documents, EtcdConfiguration, ExpectedMember, NodeConfiguration, NodeEtcd,
    NodeVip, Role, Secret,
};
use pki::etcd::{Identity, LEAVES, Leaf};
use pki::{Authority, San};
use serde::Serialize;
use serde_json::Value;
use state::{EtcdAuthority, HandedOn, Secrets, SshMachineStatus, State};

use crate::goal::{AllSeen, name_of};
use crate::{Error, Goal};

/// All documents of a cluster file but the cluster's own, as the state keeps them.
pub(crate) fn handed_on(documents: &Documents) -> Vec<HandedOn> {
    let value = |document: &dyn erased::Document| HandedOn {
        applies_to: None,
        document: document.value(),
    };
    let own = documents
        .etcd
        .iter()
        .map(|d| value(d))
        .chain(documents.node.iter().map(|d| value(d)));
    let foreign = documents.foreign.iter().map(|foreign| HandedOn {
        applies_to: foreign.applies_to.clone(),
        document: foreign.value.clone(),
    });
    own.chain(foreign).collect()
}

mod erased {
    use super::{Serialize, Value};

    /// A document of ours, whatever its kind.
    pub(super) trait Document {
        fn value(&self) -> Value;
    }

    impl<T: Serialize> Document for T {
        fn value(&self) -> Value {
            serde_json::to_value(self).expect("documents become JSON")
        }
    }
}

fn is_kind(document: &HandedOn, kind: &str) -> bool {
    document.document.get("apiVersion").and_then(Value::as_str) == Some(api::API_VERSION)
        && document.document.get("kind").and_then(Value::as_str) == Some(kind)
}

/// The admin's own document of this kind, or the default one.
fn template<T: serde::de::DeserializeOwned + Default>(goal: &Goal, kind: &str) -> T {
    let found = goal
        .documents
        .iter()
        .find(|document| is_kind(document, kind));
    found
        .and_then(|document| serde_json::from_value(document.document.clone()).ok())
        .unwrap_or_default()
}

fn text(documents: &[Value]) -> String {
    documents
        .iter()
        .map(|document| format!("{document}\n"))
        .collect::<Vec<_>>()
        .join("---\n")
}

fn url(address: &str, port: u16) -> String {
    if address.contains(':') {
        format!("https://[{address}]:{port}")
    } else {
        format!("https://{address}:{port}")
    }
}

/// Where a host's etcdadm keeps the certificate of etcd's authority.
pub(crate) fn etcd_authority_file(goal: &Goal) -> String {
    let document: EtcdConfiguration = template(goal, "EtcdConfiguration");
    document.certs_dir.join("ca.crt").display().to_string()
}

/// Client URLs of the members at these addresses.
pub(crate) fn client_urls(goal: &Goal, addresses: &[String]) -> Vec<String> {
    let port = template::<EtcdConfiguration>(goal, "EtcdConfiguration").client_port;
    addresses.iter().map(|address| url(address, port)).collect()
}

/// Where etcd's programs are installed on hosts.
pub(crate) fn etcd_folder(goal: &Goal) -> String {
    let document = template::<EtcdConfiguration>(goal, "EtcdConfiguration");
    document.install_dir.display().to_string()
}

/// What etcdadm is told on the host at `address`. It depends on the cluster's configuration alone, so that a member that is
/// right stays as it is: all members are endpoints, and all are expected, whether they exist already or not.
pub(crate) fn etcd(
    goal: &Goal,
    seen: &AllSeen,
    address: &str,
    credentials: Option<Credentials>,
) -> String {
    let mut document: EtcdConfiguration = template(goal, "EtcdConfiguration");
    let name = |address: &str| {
        goal.machine(address)
            .map(|machine| name_of(machine, seen.get(address)))
            .unwrap_or_default()
    };
    let members = goal.members();
    document.metadata.name = name(address);
    document.version = Some(goal.configuration.etcd.version);
    document.address = address.parse().ok();
    document.endpoints = client_urls(goal, &members);
    let expected = |other: &String| ExpectedMember {
        name: name(other),
        peer_url: url(other, document.peer_port),
    };
    document.expected_members = members.iter().skip(1).map(expected).collect();
    for check in &goal.configuration.ignore_preflight_errors {
        if !document.ignore_preflight_errors.contains(check) {
            document.ignore_preflight_errors.push(check.clone());
        }
    }
    let mut documents = vec![erased::Document::value(&document)];
    documents.extend(credentials.map(|credentials| erased::Document::value(&credentials)));
    text(&documents)
}

/// What nodeadm is told on the host at `address`.
pub(crate) fn node(
    goal: &Goal,
    seen: &AllSeen,
    address: &str,
    credentials: Option<Credentials>,
) -> String {
    let configuration = &goal.configuration;
    let Some(machine) = goal.machine(address) else {
        return String::new();
    };
    let mut document: NodeConfiguration = template(goal, "NodeConfiguration");
    let master = machine.is(Role::Master);
    document.metadata.name = name_of(machine, seen.get(address));
    document
        .cluster_name
        .clone_from(&configuration.metadata.name);
    document.role = if master { Role::Master } else { Role::Node };
    document.kubernetes_version = Some(configuration.kubernetes.version);
    document.address = Some(machine.address);
    document.control_plane_endpoint = Some(configuration.control_plane_endpoint.clone());
    document.network = configuration.network.clone();
    document.vip = configuration
        .keepalived()
        .filter(|_| master)
        .and_then(|vip| {
            let template = document.vip.take();
            let peers: Vec<IpAddr> = configuration
                .masters()
                .map(|m| m.address)
                .filter(|other| *other != machine.address)
                .collect();
            Some(NodeVip {
                address: configuration.control_plane_endpoint.address()?,
                interface: vip.interface,
                router_id: vip.router_id.unwrap_or(51),
                peers,
                image: template.and_then(|template| template.image),
            })
        });
    let members = goal.members();
    if master && !members.contains(&address.to_owned()) {
        document.etcd = NodeEtcd {
            endpoints: client_urls(goal, &members),
            ..document.etcd
        };
    }
    document.labels.extend(machine.labels.clone());
    if machine.taints.is_some() {
        document.taints.clone_from(&machine.taints);
    }
    let arch = seen
        .get(address)
        .map(|seen| seen.facts.architecture.clone())
        .unwrap_or_default();
    if let Some(artifacts) = &goal.artifacts {
        for (name, version) in artifacts.component_versions(configuration, &arch) {
            document.components.entry(name).or_insert(version);
        }
    }
    for check in &configuration.ignore_preflight_errors {
        if !document.ignore_preflight_errors.contains(check) {
            document.ignore_preflight_errors.push(check.clone());
        }
    }
    let role = if master { "master" } else { "node" };
    let ours = |handed: &HandedOn| {
        is_kind(handed, "EtcdConfiguration") || is_kind(handed, "NodeConfiguration")
    };
    let applies = |handed: &&HandedOn| {
        !ours(handed)
            && handed
                .applies_to
                .as_deref()
                .is_none_or(|to| to == role || to == address)
    };
    let mut documents = vec![erased::Document::value(&document)];
    documents.extend(
        goal.documents
            .iter()
            .filter(applies)
            .map(|handed| handed.document.clone()),
    );
    documents.extend(credentials.map(|credentials| erased::Document::value(&credentials)));
    text(&documents)
}

/// A new authority for etcd, which the recovery that is under way is to have: the state's from its next writing on.
///
/// # Errors
/// When none can be made.
pub(crate) fn make_etcd_authority(state: &mut State, secrets: &mut Secrets) -> Result<(), Error> {
    let made = Authority::generate(pki::etcd::CA_NAME, SystemTime::now());
    let made = made.map_err(|source| Error::Certificates {
        who: "etcd".to_owned(),
        source,
    })?;
    let pair = made.pair();
    state.authorities.etcd = pair.certificate;
    secrets.etcd_key = Secret::new(String::from_utf8_lossy(pair.key.expose()));
    if let Some(recovery) = &mut state.recovery {
        recovery.etcd_authority = EtcdAuthority::Made;
    }
    Ok(())
}

/// The cluster's authorities, ready to issue.
pub(crate) struct Issuer {
    etcd: Authority,
    state: State,
    secrets: Secrets,
}

impl Issuer {
    /// From the state.
    ///
    /// # Errors
    /// When what it holds cannot issue.
    pub(crate) fn new(state: &State, secrets: &Secrets) -> Result<Self, Error> {
        let etcd = Authority::from_pem(
            state.authorities.etcd.as_bytes(),
            secrets.etcd_key.reveal().as_bytes(),
        )
        .map_err(|source| Error::Certificates {
            who: "etcd".to_owned(),
            source,
        })?;
        Ok(Self {
            etcd,
            state: state.clone(),
            secrets: secrets.clone(),
        })
    }

    /// What the state knew of a host when this run began.
    pub(crate) fn machine(&self, address: &str) -> Option<&SshMachineStatus> {
        self.state.machine(address).map(|machine| &machine.status)
    }

    fn issue(
        &self,
        leaf: Leaf,
        identity: &Identity,
        files: &mut BTreeMap<String, Secret>,
    ) -> Result<(), Error> {
        let profile = pki::etcd::profile(leaf, identity);
        let pair = self
            .etcd
            .issue(&profile, SystemTime::now())
            .map_err(|source| Error::Certificates {
                who: profile.common_name.clone(),
                source,
            })?;
        let stem = leaf.file_stem();
        files.insert(format!("{stem}.crt"), Secret::new(pair.certificate));
        files.insert(
            format!("{stem}.key"),
            Secret::new(String::from_utf8_lossy(pair.key.expose())),
        );
        Ok(())
    }

    /// A member's certificates and keys. The authority's key is not among them.
    pub(crate) fn member(&self, name: &str, address: IpAddr) -> Result<Credentials, Error> {
        let identity = Identity {
            name: name.to_owned(),
            addresses: vec![San::Ip(address)],
            extra_server_sans: Vec::new(),
        };
        let mut files = BTreeMap::from([(
            "ca.crt".to_owned(),
            Secret::new(&*self.state.authorities.etcd),
        )]);
        for leaf in LEAVES {
            self.issue(leaf, &identity, &mut files)?;
        }
        Ok(Credentials::new(files))
    }

    /// What a control plane needs of the cluster's authorities.
    pub(crate) fn master(&self, name: &str, address: IpAddr) -> Result<Credentials, Error> {
        let (public, secrets) = (&self.state.authorities, &self.secrets);
        let service_account = pki::kubernetes::ServiceAccountKey::from_pem(
            secrets.service_account_key.reveal().as_bytes(),
        )
        .map_err(Error::ServiceAccount)?;
        let mut files = BTreeMap::from([
            ("ca.crt".to_owned(), Secret::new(&*public.kubernetes)),
            ("ca.key".to_owned(), secrets.kubernetes_key.clone()),
            (
                "front-proxy-ca.crt".to_owned(),
                Secret::new(&*public.front_proxy),
            ),
            (
                "front-proxy-ca.key".to_owned(),
                secrets.front_proxy_key.clone(),
            ),
            ("sa.key".to_owned(), secrets.service_account_key.clone()),
            ("sa.pub".to_owned(), Secret::new(service_account.public)),
            ("etcd/ca.crt".to_owned(), Secret::new(&*public.etcd)),
        ]);
        let identity = Identity {
            name: name.to_owned(),
            addresses: vec![San::Ip(address)],
            extra_server_sans: Vec::new(),
        };
        self.issue(Leaf::ApiserverClient, &identity, &mut files)?;
        Ok(Credentials::new(files))
    }

    /// What a worker needs: the authority's certificate and its token.
    pub(crate) fn worker(&self, token: &str) -> Credentials {
        Credentials::new(BTreeMap::from([
            (
                "ca.crt".to_owned(),
                Secret::new(&*self.state.authorities.kubernetes),
            ),
            ("token".to_owned(), Secret::new(token)),
        ]))
    }
}

#[cfg(test)]
mod tests;
