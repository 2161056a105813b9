//! The state as a whole, and what is sealed in it.

use std::collections::BTreeMap;
use std::fmt;

use api::{ClusterConfiguration, Secret};
use host::Digest;
use serde::{Deserialize, Serialize};

use crate::objects::{INFRASTRUCTURE, ObjectMeta, SshClusterSpec};
use crate::{Cluster, HandedOn, Machine, OldHost, SCHEMA_VERSION, SshCluster, SshMachine};

/// All of the file but its signature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct State {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Counts the writings.
    pub generation: u64,
    /// Names this cluster apart from all others, 32 hexadecimal digits.
    #[serde(rename = "clusterID")]
    pub cluster_id: String,
    /// The cluster.
    pub cluster: Cluster,
    /// What the admin wrote.
    pub ssh_cluster: SshCluster,
    /// Its machines.
    pub machines: Vec<Machine>,
    /// How they are reached, and how far they came.
    pub ssh_machines: Vec<SshMachine>,
    /// What exists by now, and is never to be begun anew.
    #[serde(default)]
    pub started: Started,
    /// The ids that this cluster's etcd has had, the newest last: each restore gives it a new one.
    #[serde(
        rename = "etcdClusterIDs",
        default,
        skip_serializing_if = "Vec::is_empty"
    )]
    pub etcd_cluster_ids: Vec<String>,
    /// The recovery that was begun last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
    /// Hosts that were given up and may come back with an old control plane or member: they are looked for until they
    /// were stopped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub old_hosts: Vec<OldHost>,
    /// The digests of the node tools that were brought to hosts last, by architecture and name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tools: BTreeMap<String, BTreeMap<String, Digest>>,
    /// The certificates of its authorities, which are no secret.
    pub authorities: AuthorityCertificates,
    /// Who vouches for whose signatures.
    pub vouching: Vouching,
    /// The secrets, sealed with age.
    pub sealed: String,
}

/// What exists by now. A host that shows nothing of it has lost it, and joins what the others have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Started {
    /// etcd has a first member.
    pub etcd: bool,
    /// Kubernetes has a first control plane.
    pub control_plane: bool,
}

/// A recovery from a snapshot of etcd. Until it is finished, nothing else may be done to the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Recovery {
    /// SHA-256 of the snapshot's database, hexadecimal.
    pub snapshot: String,
    /// When the snapshot was taken, RFC 3339.
    pub taken_at: String,
    /// When the recovery was begun, RFC 3339.
    pub begun_at: String,
    /// Hosts in whose place others are, by address: the old one, then the new one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub replaced: BTreeMap<String, String>,
    /// Where all reached the API before, where they are to reach it elsewhere: as `10.0.0.100` or `api.example.org:443`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_from: Option<String>,
    /// Which authority the new etcd has.
    #[serde(default, skip_serializing_if = "EtcdAuthority::is_kept")]
    pub etcd_authority: EtcdAuthority,
    /// Control planes that the admin named as gone for good.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dead: Vec<String>,
    /// Hosts whose old control plane and member are stopped and set aside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fenced: Vec<String>,
    /// Whether the snapshot is of a backup, whose files are put back on the control planes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_backup: bool,
    /// Whether etcd serves the snapshot's data.
    #[serde(default)]
    pub restored: bool,
    /// When every node ran a new pod, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
}

/// Which authority the etcd of a recovery has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EtcdAuthority {
    /// The same as before.
    #[default]
    Kept,
    /// A new one, which is not made yet.
    Wanted,
    /// A new one: it is the state's by now.
    Made,
}

impl EtcdAuthority {
    fn is_kept(&self) -> bool {
        *self == Self::Kept
    }
}

/// The certificates of a cluster's authorities, PEM.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthorityCertificates {
    /// Signs API servers, kubelets, users.
    pub kubernetes: String,
    /// Signs the aggregation layer's client.
    pub front_proxy: String,
    /// Signs etcd's members and clients.
    pub etcd: String,
}

/// Recipients: SSH public keys and age recipients, a line each.
pub type Recipients = Vec<String>;

/// Who vouches for the signing key, and who can open the secrets.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Vouching {
    /// The public half of the key that signs every generation.
    pub signing_key: String,
    /// Whom the secrets are sealed for.
    pub recipients: Recipients,
    /// The admin's SSH public key that vouches for both; nobody does when the admin has only an age identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// The admin's signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voucher: Option<String>,
}

/// What is sealed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Secrets {
    /// The key of the authority for API servers, kubelets, users.
    pub kubernetes_key: Secret,
    /// The key of the aggregation layer's authority.
    pub front_proxy_key: Secret,
    /// The key of etcd's authority.
    pub etcd_key: Secret,
    /// The service-account key.
    pub service_account_key: Secret,
    /// The admin's kubeconfig, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_kubeconfig: Option<Secret>,
    /// The key that signs every generation; set when the state is created.
    #[serde(default)]
    pub signing_key: Secret,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(…)")
    }
}

impl State {
    /// A new cluster's, of which nothing is done yet. What is sealed and signed comes by [`crate::Open::create`].
    #[must_use]
    pub fn new(
        configuration: ClusterConfiguration,
        documents: Vec<HandedOn>,
        authorities: AuthorityCertificates,
    ) -> Self {
        let name = configuration.metadata.name.clone();
        let mut state = Self {
            schema_version: SCHEMA_VERSION,
            generation: 0,
            cluster_id: String::new(),
            cluster: Cluster::of(&configuration),
            ssh_cluster: SshCluster {
                api_version: INFRASTRUCTURE.to_owned(),
                kind: "SSHCluster".to_owned(),
                metadata: ObjectMeta::named(&name),
                spec: SshClusterSpec {
                    configuration: configuration.clone(),
                    documents: Vec::new(),
                },
            },
            machines: Vec::new(),
            ssh_machines: Vec::new(),
            started: Started::default(),
            etcd_cluster_ids: Vec::new(),
            recovery: None,
            old_hosts: Vec::new(),
            tools: BTreeMap::new(),
            authorities,
            vouching: Vouching::default(),
            sealed: String::new(),
        };
        state.set_configuration(configuration, documents);
        state
    }

    /// What the admin wrote.
    #[must_use]
    pub fn configuration(&self) -> &ClusterConfiguration {
        &self.ssh_cluster.spec.configuration
    }

    /// Takes over what the admin wrote now. Machines that are no longer in it stay among [`State::ssh_machines`] until
    /// [`State::forget`], since something of ours may be on them.
    pub fn set_configuration(
        &mut self,
        configuration: ClusterConfiguration,
        documents: Vec<HandedOn>,
    ) {
        self.cluster = Cluster::of(&configuration);
        self.machines = configuration
            .machines
            .iter()
            .map(|machine| Machine::of(&configuration, machine))
            .collect();
        for machine in &configuration.machines {
            let fresh = SshMachine::of(&configuration, machine);
            match self
                .ssh_machines
                .iter_mut()
                .find(|known| known.spec.address == fresh.spec.address)
            {
                Some(known) => {
                    known.metadata = fresh.metadata;
                    known.spec = crate::SshMachineSpec {
                        host_keys: std::mem::take(&mut known.spec.host_keys),
                        ..fresh.spec
                    };
                }
                None => self.ssh_machines.push(fresh),
            }
        }
        self.ssh_cluster.spec = SshClusterSpec {
            configuration,
            documents,
        };
    }

    /// What is known of the host with this address.
    #[must_use]
    pub fn machine(&self, address: &str) -> Option<&SshMachine> {
        self.ssh_machines
            .iter()
            .find(|machine| machine.spec.address == address)
    }

    /// The same, to be changed.
    pub fn machine_mut(&mut self, address: &str) -> Option<&mut SshMachine> {
        self.ssh_machines
            .iter_mut()
            .find(|machine| machine.spec.address == address)
    }

    /// Forgets a host that nothing of ours is on any more.
    pub fn forget(&mut self, address: &str) {
        self.ssh_machines
            .retain(|machine| machine.spec.address != address);
        let mut configuration = self.configuration().clone();
        configuration
            .machines
            .retain(|machine| machine.address.to_string() != address);
        let documents = std::mem::take(&mut self.ssh_cluster.spec.documents);
        self.set_configuration(configuration, documents);
    }
}
