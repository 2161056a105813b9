//! What is wanted of this host: documents, flags and what the host itself says, resolved before any work.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use api::{
    Cni, Credentials, Documents, Endpoint, Foreign, NodeConfiguration, Role, Secret, Version,
};
use bundle::Store;
use host::Inspect;
use serde_json::Value;

use crate::artifacts::{self, Artifacts, Wanted};
use crate::observe::Network;
use crate::record::Record;
use crate::{Error, kubeadm, paths};

/// Names that a `Credentials` document may hold for nodeadm; all but `token` lie in kubeadm's PKI folder.
pub(crate) const CREDENTIALS: [&str; 10] = [
    "ca.crt",
    "ca.key",
    "front-proxy-ca.crt",
    "front-proxy-ca.key",
    "sa.key",
    "sa.pub",
    "etcd/ca.crt",
    "apiserver-etcd-client.crt",
    "apiserver-etcd-client.key",
    "token",
];

/// The kubelet may set only these of Kubernetes' own labels for itself.
const KUBELET_LABELS: [&str; 2] = ["kubelet.kubernetes.io/", "node.kubernetes.io/"];

/// What the verb and its flags say.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Whether the verb makes the first node of a cluster.
    pub first: bool,
    /// The role that the verb stands for, where the document may not say another.
    pub role: Option<Role>,
    /// `--kubernetes-version`.
    pub version: Option<Version>,
    /// `--name`.
    pub name: Option<String>,
    /// `--address`.
    pub address: Option<IpAddr>,
    /// `--control-plane-endpoint`.
    pub endpoint: Option<Endpoint>,
    /// `--install-dir`.
    pub install_dir: Option<std::path::PathBuf>,
    /// `--cni`.
    pub cni: Option<Cni>,
    /// `--ignore-preflight-errors`.
    pub ignore: Vec<String>,
    /// Whether the store may still lack what is to be installed: the checks are made before anything is brought.
    pub store_may_lack: bool,
}

/// What is wanted of this host.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether this node begins the cluster.
    pub first: bool,
    /// The node's document with every default filled in.
    pub config: NodeConfiguration,
    /// Kubernetes' version.
    pub version: Version,
    /// The Node's name.
    pub name: String,
    /// This host's address.
    pub address: IpAddr,
    /// The interface that has it.
    pub interface: String,
    /// Its address of the other kind, where pods get addresses of both.
    pub other_address: Option<IpAddr>,
    /// Where all reach the API, `HOST:PORT`.
    pub endpoint: String,
    /// This host's own API server, `HOST:PORT`.
    pub api: String,
    /// The user's kubeadm, kubelet and kube-proxy documents that apply here.
    pub foreign: Vec<Foreign>,
    /// Certificates, keys, a token.
    pub credentials: BTreeMap<String, Secret>,
    /// Whether the etcd certificates of a control plane were handed over, now or in an earlier run.
    pub etcd_handed: bool,
    /// What is installed.
    pub artifacts: Artifacts,
    /// Where it is installed from.
    pub store: Store,
    /// As Go and OCI name it.
    pub arch: &'static str,
}

/// This machine's architecture, as Go and OCI name it.
#[must_use]
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

impl Settings {
    /// Resolves everything. What `documents` do not say, the record of an earlier run does.
    ///
    /// # Errors
    /// [`Error::Settings`] where it makes no sense, [`Error::Missing`] where the store lacks something.
    pub fn resolve(
        documents: Option<Documents>,
        overrides: &Overrides,
        seen: &dyn Inspect,
        network: &Network,
        store: Store,
    ) -> Result<Self, Error> {
        let record = Record::read(seen)?;
        let mut config = fill_with(
            documents.as_ref(),
            record.as_ref(),
            overrides,
            seen,
            network,
        )?;
        let arch = architecture();
        let name = config.metadata.name.clone();
        let address = config.address.expect("it was filled in above");
        let interface = network.interface_of(address).unwrap_or_default();
        let other_address = network
            .other_kind(address)
            .filter(|_| config.network.pod_subnet.contains(','));

        let known = config.kubernetes_version.map(|version| version.to_string());
        let version =
            match known {
                Some(version) => version,
                None => artifacts::newest(&store.entries(seen)?, "kubernetes", arch).ok_or_else(
                    || Error::Missing {
                        store: store.path().to_owned(),
                        missing: vec!["kubernetes".to_owned()],
                    },
                )?,
            };
        let version: Version = version
            .parse()
            .map_err(|error: api::VersionError| wrong(error.to_string()))?;
        config.kubernetes_version = Some(version);

        let credentials = credentials(documents.as_ref())?;
        let foreign: Vec<Foreign> = match (&documents, &record) {
            (Some(documents), _) => {
                let role = if config.role == Role::Node {
                    "node"
                } else {
                    "master"
                };
                documents
                    .foreign_for(role, &address.to_string())
                    .cloned()
                    .collect()
            }
            (None, Some(record)) => record.foreign(),
            (None, None) => Vec::new(),
        };
        kubeadm::check_versions(&foreign)?;

        let user = |kind: &str, pointer: &str| -> Option<Value> {
            let values = foreign.iter().filter(|foreign| foreign.kind == kind);
            values
                .filter_map(|foreign| foreign.value.pointer(pointer))
                .next_back()
                .cloned()
        };
        let text = |kind: &str, pointer: &str| user(kind, pointer)?.as_str().map(str::to_owned);
        let api = Endpoint {
            host: address.to_string(),
            port: Some(bind_port(&foreign)),
        }
        .to_string();
        let endpoint = match &config.control_plane_endpoint {
            Some(endpoint) => endpoint.with_api_port(),
            None if config.role == Role::Master => api.clone(),
            None => {
                return Err(wrong(
                    "a worker needs controlPlaneEndpoint: where it reaches the API",
                ));
            }
        };
        let found = artifacts::find(
            &store,
            seen,
            &Wanted {
                config: &config,
                version: version.to_string(),
                repository: text("ClusterConfiguration", "/imageRepository")
                    .unwrap_or_else(|| "registry.k8s.io".to_owned()),
                dns: (
                    text("ClusterConfiguration", "/dns/imageRepository"),
                    text("ClusterConfiguration", "/dns/imageTag"),
                ),
                arch,
            },
        );
        let artifacts = match found {
            Err(Error::Missing { .. }) if overrides.store_may_lack => Artifacts::default(),
            found => found?,
        };
        config.components = artifacts::versions(&artifacts);
        let first = overrides.first;
        let handed = seen
            .stat(&Path::new(paths::PKI).join("etcd/ca.crt"))?
            .is_some();
        Ok(Self {
            etcd_handed: handed || credentials.contains_key("etcd/ca.crt"),
            first,
            config,
            version,
            name,
            address,
            interface,
            other_address,
            endpoint,
            api,
            foreign,
            credentials,
            artifacts,
            store,
            arch,
        })
    }

    /// As an earlier run recorded it, without what is installed: for what only looks, or takes away.
    #[must_use]
    pub fn recorded(record: &Record, root: &Path) -> Self {
        let config = record.configuration.clone();
        let address = config.address.unwrap_or(IpAddr::from([127, 0, 0, 1]));
        let foreign = record.foreign();
        let api = Endpoint {
            host: address.to_string(),
            port: Some(bind_port(&foreign)),
        }
        .to_string();
        Self {
            first: record.first,
            version: config.kubernetes_version.unwrap_or(Version::new(0, 0, 0)),
            name: config.metadata.name.clone(),
            address,
            interface: String::new(),
            other_address: None,
            endpoint: config
                .control_plane_endpoint
                .as_ref()
                .map_or_else(|| api.clone(), Endpoint::with_api_port),
            api,
            foreign,
            credentials: BTreeMap::new(),
            etcd_handed: false,
            artifacts: Artifacts::default(),
            store: Store::new(root),
            arch: architecture(),
            config,
        }
    }

    /// Whether this is a control plane.
    #[must_use]
    pub fn is_master(&self) -> bool {
        self.config.role == Role::Master
    }

    /// Where one of the installed programs lies.
    #[must_use]
    pub fn program(&self, name: &str) -> String {
        self.config.install_dir.join(name).display().to_string()
    }

    /// The port of this host's own API server.
    #[must_use]
    pub fn api_port(&self) -> u16 {
        bind_port(&self.foreign)
    }

    /// The endpoint's host and port.
    #[must_use]
    pub fn endpoint_parts(&self) -> (String, u16) {
        let endpoint: Option<Endpoint> = self.endpoint.parse().ok();
        endpoint.map_or_else(
            || (self.endpoint.clone(), 6443),
            |e| (e.host.clone(), e.port_or_api()),
        )
    }
}

/// The port of this host's own API server.
fn bind_port(foreign: &[Foreign]) -> u16 {
    let documents = foreign
        .iter()
        .filter(|foreign| foreign.kind == "InitConfiguration");
    let mut ports = documents.filter_map(|foreign| {
        foreign
            .value
            .pointer("/localAPIEndpoint/bindPort")?
            .as_u64()
    });
    ports
        .next_back()
        .and_then(|port| u16::try_from(port).ok())
        .unwrap_or(6443)
}

/// The node's document with every default filled in that this host itself can tell.
///
/// # Errors
/// [`Error::Settings`] where it makes no sense.
pub(crate) fn fill(
    documents: Option<&Documents>,
    overrides: &Overrides,
    seen: &dyn Inspect,
    network: &Network,
) -> Result<NodeConfiguration, Error> {
    fill_with(
        documents,
        Record::read(seen)?.as_ref(),
        overrides,
        seen,
        network,
    )
}

fn fill_with(
    documents: Option<&Documents>,
    record: Option<&Record>,
    overrides: &Overrides,
    seen: &dyn Inspect,
    network: &Network,
) -> Result<NodeConfiguration, Error> {
    let mut config = configuration(documents, record, overrides)?;
    if config.metadata.name.is_empty() {
        let hostname = seen.read_text(Path::new("/proc/sys/kernel/hostname"))?;
        config.metadata.name = hostname.unwrap_or_default().trim().to_lowercase();
    }
    if config.metadata.name.is_empty() {
        return Err(wrong("this host has no name: say metadata.name or --name"));
    }
    if config.address.is_none() {
        config.address = network.default_address;
    }
    let address = config.address.ok_or_else(|| {
        wrong("this host has no default route to tell its address by: say address or --address")
    })?;
    if let Some(vip) = &mut config.vip {
        if vip.interface.is_none() {
            vip.interface = network.interface_of(address);
        }
        if vip.interface.is_none() {
            return Err(wrong(
                "no interface has this host's address: say vip.interface",
            ));
        }
        if vip.router_id == 0 {
            return Err(wrong("vip.routerId is 0: VRRP's ids go from 1 to 255"));
        }
    }
    check_labels(&config)?;
    Ok(config)
}

fn wrong(what: impl Into<String>) -> Error {
    Error::Settings(what.into())
}

/// The node's document: from the input, else from the record; flags go over it.
fn configuration(
    documents: Option<&Documents>,
    record: Option<&Record>,
    overrides: &Overrides,
) -> Result<NodeConfiguration, Error> {
    let given = documents.and_then(|documents| documents.node.clone());
    let mut config = match (given, record, overrides.first) {
        (Some(mut config), Some(record), _) if config.components.is_empty() => {
            // What was installed stays as it is until somebody asks for something else.
            config
                .components
                .clone_from(&record.configuration.components);
            config
        }
        (Some(config), ..) => config,
        (None, Some(record), _) => record.configuration.clone(),
        (None, None, true) => NodeConfiguration::default(),
        (None, None, false) => {
            return Err(wrong(
                "there is no NodeConfiguration: say --config FILE, or --config - for standard input",
            ));
        }
    };
    if config.role == Role::Etcd {
        return Err(wrong(
            "role etcd is etcdadm's: nodeadm knows master and node",
        ));
    }
    if let Some(role) = overrides.role
        && config.role != role
    {
        return Err(wrong(
            "`init` makes a control plane, but the document's role is node: use `nodeadm join`",
        ));
    }
    if let Some(version) = overrides.version {
        config.kubernetes_version = Some(version);
    }
    if let Some(name) = &overrides.name {
        config.metadata.name.clone_from(name);
    }
    if let Some(address) = overrides.address {
        config.address = Some(address);
    }
    if let Some(endpoint) = &overrides.endpoint {
        config.control_plane_endpoint = Some(endpoint.clone());
    }
    if let Some(install_dir) = &overrides.install_dir {
        config.install_dir.clone_from(install_dir);
    }
    if let Some(cni) = overrides.cni {
        config.network.cni = cni;
    }
    if !config.install_dir.is_absolute() {
        return Err(wrong(format!(
            "installDir {} is not an absolute path",
            config.install_dir.display()
        )));
    }
    for name in &overrides.ignore {
        if !config.ignore_preflight_errors.contains(name) {
            config.ignore_preflight_errors.push(name.clone());
        }
    }
    Ok(config)
}

fn credentials(documents: Option<&Documents>) -> Result<BTreeMap<String, Secret>, Error> {
    let given: Option<&Credentials> =
        documents.and_then(|documents| documents.credentials.as_ref());
    let files = given
        .map(|credentials| credentials.files.clone())
        .unwrap_or_default();
    match files
        .keys()
        .find(|name| !CREDENTIALS.contains(&name.as_str()))
    {
        Some(unknown) => Err(wrong(format!(
            "Credentials: there is no file {unknown:?} here; known: {}",
            CREDENTIALS.join(", ")
        ))),
        None => Ok(files),
    }
}

fn check_labels(config: &NodeConfiguration) -> Result<(), Error> {
    for key in config.labels.keys() {
        let prefix = key.split_once('/').map_or("", |(prefix, _)| prefix);
        let reserved = prefix == "kubernetes.io"
            || prefix == "k8s.io"
            || prefix.ends_with(".kubernetes.io")
            || prefix.ends_with(".k8s.io");
        let allowed = KUBELET_LABELS
            .iter()
            .any(|allowed| key.starts_with(allowed))
            || key.starts_with("topology.kubernetes.io/");
        if reserved && !allowed {
            return Err(wrong(format!(
                "labels: {key} belongs to Kubernetes, a node may not give it to itself; label it with kubectl"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
