//! `kind: EtcdConfiguration`: what etcdadm needs to know about a member.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{API_VERSION, Metadata, Version};

/// A member of an etcd cluster. What is not said has a default that etcdadm prints (`etcdadm config print`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EtcdConfiguration {
    /// `klusterkit.dev/v1alpha1`.
    pub api_version: String,
    /// `EtcdConfiguration`.
    pub kind: String,
    /// The member's name; the host's unless said.
    #[serde(default)]
    pub metadata: Metadata,
    /// As `v3.7.3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The address that peers and clients reach it by; that of the default route unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The port for clients.
    #[serde(default = "client_port")]
    pub client_port: u16,
    /// The port for peers.
    #[serde(default = "peer_port")]
    pub peer_port: u16,
    /// For a join: client URLs of members.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<String>,
    /// Members that join at the same time: all of them become learners before the first is promoted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expected_members: Vec<ExpectedMember>,
    /// Further names and addresses in the server's certificate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_sans: Vec<String>,
    /// Where certificates and keys lie.
    #[serde(default = "certs_dir")]
    pub certs_dir: PathBuf,
    /// Where programs are installed.
    #[serde(default = "install_dir")]
    pub install_dir: PathBuf,
    /// Where etcd keeps its data.
    #[serde(default = "data_dir")]
    pub data_dir: PathBuf,
    /// What keeps the member running.
    #[serde(default, skip_serializing_if = "InitSystem::is_systemd")]
    pub init_system: InitSystem,
    /// For a static pod: its image. A reference without a tag gets the release's; upstream's unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Where releases are downloaded from when the host has no artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_url: Option<String>,
    /// Lines for the unit's `[Service]` section, as `Nice=-10`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_priorities: Option<Vec<String>>,
    /// Further variables for etcd's environment, as `ETCD_QUOTA_BACKEND_BYTES: "8589934592"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra_environment: BTreeMap<String, String>,
    /// Names of preflight checks that may fail.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore_preflight_errors: Vec<String>,
}

impl Default for EtcdConfiguration {
    fn default() -> Self {
        Self {
            api_version: API_VERSION.to_owned(),
            kind: "EtcdConfiguration".to_owned(),
            metadata: Metadata::default(),
            version: None,
            address: None,
            client_port: client_port(),
            peer_port: peer_port(),
            endpoints: Vec::new(),
            expected_members: Vec::new(),
            extra_sans: Vec::new(),
            certs_dir: certs_dir(),
            install_dir: install_dir(),
            data_dir: data_dir(),
            init_system: InitSystem::default(),
            image: None,
            release_url: None,
            disk_priorities: None,
            extra_environment: BTreeMap::new(),
            ignore_preflight_errors: Vec::new(),
        }
    }
}

/// What keeps a member running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum InitSystem {
    /// systemd, as a unit.
    #[default]
    Systemd,
    /// The host's kubelet, as a static pod.
    Kubelet,
}

impl InitSystem {
    fn is_systemd(&self) -> bool {
        *self == Self::Systemd
    }
}

impl fmt::Display for InitSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Systemd => "systemd",
            Self::Kubelet => "kubelet",
        })
    }
}

impl FromStr for InitSystem {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "systemd" => Ok(Self::Systemd),
            "kubelet" => Ok(Self::Kubelet),
            _ => Err("neither systemd nor kubelet".to_owned()),
        }
    }
}

/// A member that is known to join, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExpectedMember {
    /// Its name.
    pub name: String,
    /// Its peer URL, by which the member list knows it.
    pub peer_url: String,
}

fn client_port() -> u16 {
    2379
}

fn peer_port() -> u16 {
    2380
}

fn certs_dir() -> PathBuf {
    "/etc/etcd/pki".into()
}

fn install_dir() -> PathBuf {
    "/opt/bin".into()
}

fn data_dir() -> PathBuf {
    "/var/lib/etcd".into()
}

/// `HOST[:PORT]`, where a host is an IPv4 address, an IPv6 address (in brackets when a port follows) or a DNS name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Address or name.
    pub host: String,
    /// The port, if said.
    pub port: Option<u16>,
}

impl Endpoint {
    /// The host's address, if it is one and not a name.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// The port, or the API server's usual 6443.
    #[must_use]
    pub fn port_or_api(&self) -> u16 {
        self.port.unwrap_or(6443)
    }

    /// `HOST:PORT` with the API server's port unless another is said, IPv6 in brackets.
    #[must_use]
    pub fn with_api_port(&self) -> String {
        Self {
            host: self.host.clone(),
            port: Some(self.port_or_api()),
        }
        .to_string()
    }

    /// `https://HOST:PORT` of the API server.
    #[must_use]
    pub fn api_url(&self) -> String {
        format!("https://{}", self.with_api_port())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.host.contains(':'), self.port) {
            (true, Some(port)) => write!(f, "[{}]:{port}", self.host),
            (false, Some(port)) => write!(f, "{}:{port}", self.host),
            (_, None) => f.write_str(&self.host),
        }
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("not HOST[:PORT]: {text:?}");
        let port = |digits: &str| {
            digits
                .parse::<u16>()
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(bad)
        };
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, after) = rest.split_once(']').ok_or_else(bad)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| bad())?;
            (
                host,
                if after.is_empty() {
                    None
                } else {
                    Some(port(after.strip_prefix(':').ok_or_else(bad)?)?)
                },
            )
        } else if text.parse::<IpAddr>().is_ok() {
            (text, None)
        } else {
            match text.split_once(':') {
                Some((host, digits)) => (host, Some(port(digits)?)),
                None => (text, None),
            }
        };
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':');
        if host.is_empty() || host.starts_with('-') || !host.chars().all(named) {
            return Err(bad());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl Serialize for Endpoint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_as_they_are_shown() {
        for text in [
            "10.77.0.100",
            "10.77.0.100:6443",
            "k8s.example.org:443",
            "[fd00::1]:6443",
            "api",
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        assert_eq!(
            "fd00::1".parse::<Endpoint>().unwrap().with_api_port(),
            "[fd00::1]:6443"
        );
        for bad in [
            "",
            ":1",
            "a:b",
            "a:0",
            "a:70000",
            "[fd00::1",
            "[x]:1",
            "a b",
            "https://a",
            "-o:22",
        ] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }
}
