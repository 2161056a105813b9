//! What Kubernetes needs beside etcd's authority: two authorities and the service-account key pair.
//!
//! kubeadm issues everything else from these on the hosts, so only the authorities are made here, once a cluster.

use std::time::SystemTime;

use crate::{
    Authority, AuthorityError, KeyError, LEAF_VALIDITY, PrivateKey, Profile, Secret, Usage,
};

/// Common name of the authority of the API server, kubelets and users.
pub const CA_NAME: &str = "kubernetes";
/// Common name of the authority of the API aggregation layer.
pub const FRONT_PROXY_CA_NAME: &str = "front-proxy-ca";

/// The key pair that service-account tokens are signed with, in kubeadm's `sa.key` and `sa.pub`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccountKey {
    /// The private key, PEM.
    pub private: Secret,
    /// The public key, PEM.
    pub public: String,
}

impl ServiceAccountKey {
    /// A new P-256 pair.
    pub fn generate() -> Result<Self, KeyError> {
        let key = PrivateKey::generate()?;
        Ok(Self {
            private: key.pem().clone(),
            public: key.public_pem(),
        })
    }

    /// The pair of an existing private key.
    pub fn from_pem(private: &[u8]) -> Result<Self, KeyError> {
        let key = PrivateKey::from_pem(private)?;
        Ok(Self {
            private: key.pem().clone(),
            public: key.public_pem(),
        })
    }
}

/// Everything secret that a cluster is made from.
#[derive(Debug)]
pub struct Authorities {
    /// Signs API server, kubelets, users.
    pub kubernetes: Authority,
    /// Signs the aggregation layer's client.
    pub front_proxy: Authority,
    /// Signs etcd's members and clients.
    pub etcd: Authority,
    /// Signs service-account tokens.
    pub service_account: ServiceAccountKey,
}

impl Authorities {
    /// A new set, for a new cluster.
    pub fn generate(now: SystemTime) -> Result<Self, AuthorityError> {
        Ok(Self {
            kubernetes: Authority::generate(CA_NAME, now)?,
            front_proxy: Authority::generate(FRONT_PROXY_CA_NAME, now)?,
            etcd: Authority::generate(crate::etcd::CA_NAME, now)?,
            service_account: ServiceAccountKey::generate().map_err(AuthorityError::NewKey)?,
        })
    }
}

/// A user's client certificate, in the group `group` (`system:masters` may do everything, whatever the cluster's rules say).
pub fn user(name: &str, group: &str) -> Profile {
    Profile {
        common_name: name.to_owned(),
        organization: Some(group.to_owned()),
        usage: Usage::Client,
        sans: Vec::new(),
        validity: LEAF_VALIDITY,
    }
}
