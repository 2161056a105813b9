//! What a member is to be, with nothing left open: resolved before any work.
//!
//! A flag wins over the document, the document over the record of an earlier run, the record over defaults.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use api::{EtcdConfiguration, InitSystem, Secret, Version};
use host::Inspect;
use pki::San;
use pki::etcd::{Identity, LEAVES};

use crate::pod::Pod;
use crate::runs::Runs;
use crate::{Error, facts};

/// The release that is installed when none is named.
pub const DEFAULT_VERSION: Version = Version::new(3, 7, 3);
/// Where releases come from.
pub const DEFAULT_RELEASE_URL: &str = "https://github.com/etcd-io/etcd/releases/download";
/// The image of a static pod, but for its tag: upstream's.
const DEFAULT_IMAGE: &str = "gcr.io/etcd-development/etcd";
/// Settings of the unit that etcd's disk and processor share is steered by.
const PRIORITIES: [&str; 9] = [
    "Nice",
    "IOSchedulingClass",
    "IOSchedulingPriority",
    "CPUSchedulingPolicy",
    "CPUSchedulingPriority",
    "CPUWeight",
    "IOWeight",
    "StartupCPUWeight",
    "StartupIOWeight",
];
const DEFAULT_PRIORITIES: [&str; 3] = [
    "Nice=-10",
    "IOSchedulingClass=best-effort",
    "IOSchedulingPriority=2",
];

/// What a member is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// The document with all defaults resolved; what the record keeps.
    pub document: EtcdConfiguration,
    /// Its name.
    pub name: String,
    /// etcd's release.
    pub version: Version,
    /// As release files name it.
    pub arch: &'static str,
    /// The image of a static pod: its full reference.
    pub image: String,
    /// Where peers and clients reach it.
    pub address: IpAddr,
    /// Client URLs of members to join.
    pub endpoints: Vec<String>,
    /// Peer URLs of members that join at the same time.
    pub expected: Vec<String>,
    /// Further names in the server's certificate.
    pub extra_sans: Vec<San>,
    /// Settings of the unit, name and value.
    pub priorities: Vec<(String, String)>,
    /// Certificates and keys handed in, by file name.
    pub given: BTreeMap<String, Secret>,
    /// A token for a new cluster, unlike any other's.
    pub token: String,
}

impl Configuration {
    /// Resolves what `document` leaves open.
    ///
    /// # Errors
    /// [`Error::Configuration`] says which field makes no sense.
    pub fn resolve(
        mut document: EtcdConfiguration,
        given: BTreeMap<String, Secret>,
        seen: &dyn Inspect,
        token: String,
    ) -> Result<Self, Error> {
        let bad = |text: String| Err(Error::Configuration(text));
        let name = match document.metadata.name.as_str() {
            "" => facts::hostname(seen)?.ok_or_else(|| {
                Error::Configuration("the host has no name: say --name".to_owned())
            })?,
            name => name.to_owned(),
        };
        let address = match document.address {
            Some(address) => address,
            None => default_address(seen)?,
        };
        if address.is_loopback() || address.is_unspecified() || address.is_multicast() {
            return bad(format!(
                "the address {address} is not one that other members can reach"
            ));
        }
        if document.client_port == document.peer_port
            || document.client_port == 0
            || document.peer_port == 0
        {
            return bad(format!(
                "the ports {} and {} do not differ, or are 0",
                document.client_port, document.peer_port
            ));
        }
        let version = document.version.unwrap_or(DEFAULT_VERSION);
        etcd::settings::supports(version, etcd::Feature::ManyLearners)?;
        for (field, path) in [
            ("certsDir", &mut document.certs_dir),
            ("installDir", &mut document.install_dir),
            ("dataDir", &mut document.data_dir),
        ] {
            *path = plain_path(field, path)?;
        }
        if document
            .install_dir
            .to_string_lossy()
            .contains(['"', '\'', '\\'])
        {
            return bad(format!(
                "installDir: systemd starts no program from {:?}, whose path has quotes or backslashes",
                document.install_dir
            ));
        }
        let mut endpoints = Vec::new();
        for endpoint in &document.endpoints {
            endpoints.push(endpoint_url(endpoint)?);
        }
        let mut extra_sans = Vec::new();
        for san in &document.extra_sans {
            extra_sans.push(
                San::parse(san).map_err(|e| Error::Configuration(format!("extraSans: {e}")))?,
            );
        }
        let lines = document.disk_priorities.clone();
        let lines = lines.unwrap_or_else(|| DEFAULT_PRIORITIES.map(str::to_owned).to_vec());
        let priorities = lines
            .iter()
            .map(|line| priority(line))
            .collect::<Result<Vec<_>, _>>()?;
        let known = |file: &str| {
            let (stem, suffix) = file.rsplit_once('.').unwrap_or((file, ""));
            matches!(suffix, "crt" | "key")
                && (stem == "ca" || LEAVES.iter().any(|leaf| leaf.file_stem() == stem))
        };
        if let Some(file) = given.keys().find(|file| !known(file)) {
            return bad(format!(
                "credentials hold {file:?}, which is none of etcd's files"
            ));
        }
        let own = url(address, document.peer_port);
        let expected = document.expected_members.iter();
        let mut expected = expected
            .map(|member| peer_url(&member.peer_url))
            .collect::<Result<Vec<_>, _>>()?;
        expected.retain(|peer| *peer != own);
        document.metadata.name.clone_from(&name);
        document.address = Some(address);
        document.version = Some(version);
        document.endpoints.clone_from(&endpoints);
        document.disk_priorities = Some(lines);
        let arch = facts::architecture();
        let image = image(document.image.as_deref(), version)?;
        Ok(Self {
            document,
            name,
            version,
            arch,
            image,
            address,
            endpoints,
            expected,
            extra_sans,
            priorities,
            given,
            token,
        })
    }

    /// Nobody's: for the help text, which lists phases without walking them.
    pub(crate) fn nobody() -> Self {
        Self {
            document: EtcdConfiguration::default(),
            name: String::new(),
            version: DEFAULT_VERSION,
            arch: facts::architecture(),
            image: String::new(),
            address: IpAddr::from([0, 0, 0, 0]),
            endpoints: Vec::new(),
            expected: Vec::new(),
            extra_sans: Vec::new(),
            priorities: Vec::new(),
            given: BTreeMap::new(),
            token: String::new(),
        }
    }

    /// What keeps the member running.
    #[must_use]
    pub fn runs(&self) -> Runs {
        match self.document.init_system {
            InitSystem::Systemd => Runs::Unit,
            InitSystem::Kubelet => Runs::Pod(Pod {
                data_dir: self.data_dir().to_owned(),
                endpoint: self.local_url(),
            }),
        }
    }

    /// Where other members reach this one.
    #[must_use]
    pub fn peer_url(&self) -> String {
        url(self.address, self.document.peer_port)
    }

    /// Where clients reach this member.
    #[must_use]
    pub fn client_url(&self) -> String {
        url(self.address, self.document.client_port)
    }

    /// Where this host reaches its own member.
    #[must_use]
    pub fn local_url(&self) -> String {
        let loopback = match self.address {
            IpAddr::V4(_) => IpAddr::from([127, 0, 0, 1]),
            IpAddr::V6(_) => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
        };
        url(loopback, self.document.client_port)
    }

    /// Where certificates and keys lie.
    #[must_use]
    pub fn certs_dir(&self) -> &Path {
        &self.document.certs_dir
    }

    /// Where programs lie.
    #[must_use]
    pub fn install_dir(&self) -> &Path {
        &self.document.install_dir
    }

    /// Where data lies.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.document.data_dir
    }

    /// Who the member is, for its certificates.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity {
            name: self.name.clone(),
            addresses: vec![San::Ip(self.address)],
            extra_server_sans: self.extra_sans.clone(),
        }
    }

    /// Whether the data directory holds a member's data: etcd then reads its beginning from there.
    ///
    /// # Errors
    /// When the host cannot be observed.
    pub fn has_data(&self, seen: &dyn Inspect) -> Result<bool, Error> {
        has_data(seen, self.data_dir())
    }
}

/// Whether `data_dir` holds a member's data.
pub(crate) fn has_data(seen: &dyn Inspect, data_dir: &Path) -> Result<bool, Error> {
    let wal = seen.list(&data_dir.join("member/wal"))?.unwrap_or_default();
    Ok(wal.iter().any(|name| name.ends_with(".wal")))
}

fn url(address: IpAddr, port: u16) -> String {
    match address {
        IpAddr::V4(v4) => format!("https://{v4}:{port}"),
        IpAddr::V6(v6) => format!("https://[{v6}]:{port}"),
    }
}

/// An absolute path without `..`, that systemd and etcd read as it stands.
fn plain_path(field: &str, path: &Path) -> Result<PathBuf, Error> {
    let text = path
        .to_str()
        .filter(|text| !text.chars().any(char::is_control));
    let Some(text) = text.filter(|_| path.is_absolute()) else {
        return Err(Error::Configuration(format!(
            "{field}: {} is not an absolute path in plain text",
            path.display()
        )));
    };
    let normal = path.components().all(|c| {
        matches!(
            c,
            std::path::Component::RootDir | std::path::Component::Normal(_)
        )
    });
    if !normal || path.parent().is_none() || text.trim() != text {
        return Err(Error::Configuration(format!(
            "{field}: {text:?} cannot be used as a folder"
        )));
    }
    Ok(path.components().collect())
}

/// Whether a reference names one image and no other: by a tag or a digest.
pub(crate) fn is_exact(reference: &str) -> bool {
    let (_, name) = reference.rsplit_once('/').unwrap_or(("", reference));
    name.contains([':', '@'])
}

/// The full reference of the image that is to be.
fn image(named: Option<&str>, version: Version) -> Result<String, Error> {
    let named = named.unwrap_or(DEFAULT_IMAGE);
    let known = |b: u8| b.is_ascii_alphanumeric() || b"-._/:@".contains(&b);
    let registry = named.split_once('/').map_or("", |(registry, _)| registry);
    // What has no registry in front is another image with every runtime.
    if !named.bytes().all(known) || !registry.contains(['.', ':']) {
        return Err(Error::Configuration(format!(
            "image: {named:?} is no full reference, as {DEFAULT_IMAGE} is"
        )));
    }
    Ok(if is_exact(named) {
        named.to_owned()
    } else {
        format!("{named}:{version}")
    })
}

fn priority(line: &str) -> Result<(String, String), Error> {
    let parts = line
        .split_once('=')
        .map(|(key, value)| (key.trim(), value.trim()));
    let plain = |value: &str| {
        !value.is_empty()
            && value
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    match parts {
        Some((key, value)) if PRIORITIES.contains(&key) && plain(value) => {
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => Err(Error::Configuration(format!(
            "diskPriorities: {line:?} is none of {}",
            PRIORITIES.join("=, ") + "="
        ))),
    }
}

/// A client URL out of what an admin writes: `10.0.0.1`, `10.0.0.1:2379`, `https://10.0.0.1:2379`.
pub(crate) fn endpoint_url(text: &str) -> Result<String, Error> {
    url_with_port(text, 2379)
}

/// A peer URL out of what an admin writes, as [`endpoint_url`].
pub(crate) fn peer_url(text: &str) -> Result<String, Error> {
    url_with_port(text, 2380)
}

fn url_with_port(text: &str, port: u16) -> Result<String, Error> {
    let bad = |why: String| Error::Configuration(format!("{text:?} is no endpoint: {why}"));
    if text.starts_with("http://") {
        return Err(bad("members speak TLS only (https://)".to_owned()));
    }
    let bare = text
        .strip_prefix("https://")
        .unwrap_or(text)
        .trim_end_matches('/');
    let endpoint: api::Endpoint = bare.parse().map_err(bad)?;
    let with_port = api::Endpoint {
        port: Some(endpoint.port.unwrap_or(port)),
        ..endpoint
    };
    Ok(format!("https://{with_port}"))
}

/// The one address that others can mean: that of the only one there is.
fn default_address(seen: &dyn Inspect) -> Result<IpAddr, Error> {
    let all = facts::addresses(seen)?;
    let v4: Vec<&IpAddr> = all.iter().filter(|a| a.is_ipv4()).collect();
    match (v4.as_slice(), all.as_slice()) {
        ([one], _) => Ok(**one),
        ([], [one]) => Ok(*one),
        ([], []) => Err(Error::Configuration("the host has no address that others can reach: say --bind-address".to_owned())),
        _ => facts::default_route_address(&all).ok_or_else(|| {
            let list = all.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
            Error::Configuration(format!("the host has several addresses and no default route: say --bind-address, one of {list}"))
        }),
    }
}

#[cfg(test)]
mod tests;
