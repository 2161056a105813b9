//! Changes to a cluster, as data, and how long each may wait.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::{Alarm, hex_id};

/// How long a change waits for what etcd needs time for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Waits {
    /// When to give up.
    pub limit: Duration,
    /// How often to try again.
    pub poll: Duration,
}

impl Waits {
    /// For `seconds` at most, trying ten times a second.
    pub const fn seconds(seconds: u64) -> Self {
        Self {
            limit: Duration::from_secs(seconds),
            poll: Duration::from_millis(100),
        }
    }
}

/// One change to a cluster. `via` are the client URLs of voters, tried in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Add a member that does not vote yet. Its name is for people: etcd learns it when the member starts.
    AddLearner {
        /// Whom to ask.
        via: Vec<String>,
        /// The member's name.
        name: String,
        /// Where others will reach it.
        peer_url: String,
        /// Peer URLs of members that are being added at the same time: they are waited for, up to `patience`, but
        /// not insisted on.
        beside: Vec<String>,
        /// How long to wait for `beside`.
        #[serde(skip)]
        patience: Duration,
        /// How long to wait until the cluster takes the learner.
        #[serde(skip)]
        waits: Waits,
    },
    /// Let a learner vote, as soon as it is in sync.
    Promote {
        /// Whom to ask.
        via: Vec<String>,
        /// The member's name.
        name: String,
        /// Its id; 0 where only the run will know it.
        id: u64,
        /// How long to wait for it to be in sync, and for a healthy cluster.
        #[serde(skip)]
        waits: Waits,
    },
    /// Remove a member.
    Remove {
        /// Whom to ask; not the member itself, where others are left.
        via: Vec<String>,
        /// The member's name.
        name: String,
        /// Its id.
        id: u64,
        /// How long to wait for a healthy cluster.
        #[serde(skip)]
        waits: Waits,
    },
    /// Tell the cluster where a member will be reached from now on.
    MoveMember {
        /// Whom to ask.
        via: Vec<String>,
        /// The member's name.
        name: String,
        /// Its id.
        id: u64,
        /// Where others will reach it.
        peer_url: String,
        /// How long to wait for a healthy cluster.
        #[serde(skip)]
        waits: Waits,
    },
    /// Hand leadership to another voter.
    MoveLeader {
        /// The client URL of the leader, which alone can do it.
        via: Vec<String>,
        /// Name of the leader to be.
        name: String,
        /// Its id.
        to: u64,
        /// How long to wait.
        #[serde(skip)]
        waits: Waits,
    },
    /// Give space that compaction freed back to the file system. The member answers nothing meanwhile.
    Defragment {
        /// The member's client URL.
        endpoint: String,
        /// Its name.
        name: String,
        /// How long it may take.
        #[serde(skip)]
        limit: Duration,
    },
    /// Forget the history of keys before a revision, and wait until it is gone.
    Compact {
        /// Whom to ask.
        via: Vec<String>,
        /// The oldest revision that can be read afterwards.
        revision: i64,
        /// How long it may take.
        #[serde(skip)]
        limit: Duration,
    },
    /// Take an alarm back.
    Disarm {
        /// Whom to ask.
        via: Vec<String>,
        /// The alarm.
        alarm: Alarm,
        /// Name of the member that it is of.
        name: String,
    },
    /// Let the cluster go back to an earlier minor release, and wait until every member's data is as that release writes it.
    Downgrade {
        /// The client URLs of all members.
        via: Vec<String>,
        /// The release, as `3.6.0`.
        target: String,
        /// How long.
        #[serde(skip)]
        waits: Waits,
    },
    /// Wait, but not insist, until members that were added have been started.
    ///
    /// A member that begins asks all others for their version, and one that is beginning itself has its port open and
    /// does not answer: two that start at once hold each other up for 7 s.
    AwaitStarted {
        /// Whom to ask.
        via: Vec<String>,
        /// Peer URLs of the members.
        peer_urls: Vec<String>,
        /// How long.
        #[serde(skip)]
        patience: Duration,
    },
    /// Wait until the member behind an endpoint serves reads that a majority agrees to.
    AwaitHealthy {
        /// The member's client URL.
        endpoint: String,
        /// How long.
        #[serde(skip)]
        waits: Waits,
    },
    /// Wait until a cluster that is just coming up answers at one of these endpoints.
    AwaitCluster {
        /// Client URLs of its members.
        endpoints: Vec<String>,
        /// How long.
        #[serde(skip)]
        waits: Waits,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddLearner { name, peer_url, .. } => {
                write!(f, "add member {name} at {peer_url} as a learner")
            }
            Self::Promote { name, id: 0, .. } => {
                write!(f, "promote learner {name} (<member id of {name}>)")
            }
            Self::Promote { name, id, .. } => write!(f, "promote learner {name} ({})", hex_id(*id)),
            Self::Remove { name, id, .. } => write!(f, "remove member {name} ({})", hex_id(*id)),
            Self::MoveMember { name, peer_url, .. } => {
                write!(f, "tell the cluster that {name} is reached at {peer_url}")
            }
            Self::MoveLeader { name, to, .. } => {
                write!(f, "hand leadership to {name} ({})", hex_id(*to))
            }
            Self::Defragment { name, .. } => write!(f, "defragment {name}'s database"),
            Self::Compact { revision, .. } => {
                write!(f, "compact the history before revision {revision}")
            }
            Self::Disarm { alarm, name, .. } => {
                write!(f, "take the alarm {} of {name} back", alarm.kind)
            }
            Self::Downgrade { target, .. } => {
                write!(f, "let the cluster go back to {target}")
            }
            Self::AwaitStarted {
                peer_urls,
                patience,
                ..
            } => {
                write!(
                    f,
                    "wait for {} to be started (at most {} s)",
                    peer_urls.join(", "),
                    patience.as_secs()
                )
            }
            Self::AwaitHealthy { endpoint, waits } => {
                write!(
                    f,
                    "wait until {endpoint} serves reads (at most {} s)",
                    waits.limit.as_secs()
                )
            }
            Self::AwaitCluster { endpoints, waits } => {
                write!(
                    f,
                    "wait until the cluster answers at {} (at most {} s)",
                    endpoints.join(" or "),
                    waits.limit.as_secs()
                )
            }
        }
    }
}
