//! What a cluster is made of, as its API tells it.

use std::fmt;

use pki::Secret;
use serde::Serialize;

/// What a client shows and trusts: PEM texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The authorities that members' certificates must be signed by.
    pub ca: Vec<u8>,
    /// The client's certificate.
    pub certificate: Vec<u8>,
    /// The client's key, in PKCS#8, PKCS#1 or SEC1.
    pub key: Secret,
}

/// A member of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Its id.
    #[serde(serialize_with = "hex")]
    pub id: u64,
    /// Its name; empty until it was started for the first time.
    pub name: String,
    /// Where other members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it; empty until it was started for the first time.
    pub client_urls: Vec<String>,
    /// Whether it does not vote yet.
    pub learner: bool,
}

impl Member {
    /// Whether it was ever started.
    pub fn started(&self) -> bool {
        !self.name.is_empty()
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.started() {
            write!(f, "{} ({})", self.name, hex_id(self.id))
        } else {
            write!(f, "{} at {}", hex_id(self.id), self.peer_urls.join(","))
        }
    }
}

/// All members of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Membership {
    /// The cluster's id.
    #[serde(serialize_with = "hex")]
    pub cluster_id: u64,
    /// The members, in the order in which etcd lists them.
    pub members: Vec<Member>,
}

impl Membership {
    /// The member that other members know by this peer URL.
    pub fn at_peer_url(&self, url: &str) -> Option<&Member> {
        self.members
            .iter()
            .find(|m| m.peer_urls.iter().any(|u| same_url(u, url)))
    }

    /// The client URLs of all started voters: where membership changes can be asked for.
    pub fn voter_urls(&self) -> Vec<String> {
        self.members
            .iter()
            .filter(|m| !m.learner)
            .flat_map(|m| m.client_urls.iter().cloned())
            .collect()
    }

    /// How many members vote.
    pub fn voters(&self) -> usize {
        self.members.iter().filter(|m| !m.learner).count()
    }
}

/// URLs compared without the slash that some tools end them with.
pub(crate) fn same_url(a: &str, b: &str) -> bool {
    a.trim_end_matches('/') == b.trim_end_matches('/')
}

/// What one member says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// Its id.
    #[serde(serialize_with = "hex")]
    pub id: u64,
    /// The cluster's id.
    #[serde(serialize_with = "hex")]
    pub cluster_id: u64,
    /// The leader's id, 0 when it knows of none.
    #[serde(serialize_with = "hex")]
    pub leader: u64,
    /// Whether it does not vote yet.
    pub learner: bool,
    /// etcd's version, without `v`.
    pub version: String,
    /// Version of the storage, empty before 3.6.
    pub storage_version: String,
    /// Size of the database file in bytes.
    pub db_size: i64,
    /// Bytes of it that are in use.
    pub db_in_use: i64,
    /// Raft's term.
    pub raft_term: u64,
    /// The last entry of the log that is committed.
    pub raft_index: u64,
    /// The last entry that is applied.
    pub raft_applied: u64,
    /// The revision of the keys.
    pub revision: i64,
    /// The largest size that the database may grow to, where the release tells.
    pub db_quota: i64,
    /// The release that the cluster is on its way back to (as `3.6.0`); empty where it is not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub downgrade_to: String,
    /// Alarms and other complaints, in etcd's words.
    pub errors: Vec<String>,
}

/// What a member complains of until it is told not to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlarmKind {
    /// Its database has reached its quota: nothing can be written to the cluster.
    NoSpace,
    /// Its data differs from the other members'.
    Corrupt,
}

impl fmt::Display for AlarmKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSpace => "no-space",
            Self::Corrupt => "corrupt",
        })
    }
}

/// An alarm of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Alarm {
    /// The member's id.
    #[serde(serialize_with = "hex")]
    pub member: u64,
    /// What it complains of.
    pub kind: AlarmKind,
}

/// All keys of a member, in one line: how many, and what they are and when they were written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Keys {
    /// How many there are.
    pub count: u64,
    /// The member's revision when they were read.
    pub revision: i64,
    /// SHA-256 over every key with its revisions, version and lease, in the order of keys.
    pub digest: String,
}

/// An id as etcd's tools show it: 16 hexadecimal digits.
pub fn hex_id(id: u64) -> String {
    format!("{id:016x}")
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the shape that serde calls"
)]
fn hex<S: serde::Serializer>(id: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex_id(*id))
}
