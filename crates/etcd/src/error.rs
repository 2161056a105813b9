//! What can go wrong in talking to a cluster.
//!
//! etcd tells several conditions apart by the message alone (a learner that is behind and a member that votes already have
//! one code), so they are recognised here, once, by their text. The client library's errors carry no cause of their own:
//! their text is kept as the detail.

use std::time::Duration;

/// A failure to see or change a cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nobody answers at the address.
    #[error("{endpoint} cannot be reached: {detail}")]
    Unreachable {
        /// Whom we asked.
        endpoint: String,
        /// In the transport's words.
        detail: String,
    },
    /// The member shows a certificate that our authority did not sign, or that is for another name.
    #[error("{endpoint} shows a certificate that cannot be trusted: {detail}")]
    Untrusted {
        /// Whom we asked.
        endpoint: String,
        /// In TLS's words.
        detail: String,
    },
    /// The connection is cut without a word: so a member ends it that does not like the client's certificate.
    #[error(
        "{endpoint} closed the connection, as a member does that does not accept our client certificate ({detail})"
    )]
    Rejected {
        /// Whom we asked.
        endpoint: String,
        /// In the transport's words.
        detail: String,
    },
    /// No answer in time.
    #[error("{endpoint} did not answer a {call} within {} ms", .limit.as_millis())]
    Timeout {
        /// Whom we asked.
        endpoint: String,
        /// What we asked.
        call: &'static str,
        /// For how long.
        limit: Duration,
    },
    /// Credentials or an endpoint that cannot be used at all.
    #[error("{0}")]
    Unusable(String),
    /// No endpoint to ask.
    #[error("no endpoint of the cluster is known")]
    NoEndpoint,
    /// A learner is asked for what only a voter may answer.
    #[error("{endpoint} is a learner")]
    Learner {
        /// Whom we asked.
        endpoint: String,
    },
    /// A learner is not ready to be promoted.
    #[error("the learner is not in sync with the leader yet")]
    NotInSync,
    /// A voter was not connected to all others for five seconds, etcd's measure of health for membership changes.
    #[error(
        "the cluster is not healthy enough for a membership change yet (all voters must have been connected for 5 s)"
    )]
    Unhealthy,
    /// The change would leave too few members that run.
    #[error("too few members are started for this membership change")]
    NotEnoughStarted,
    /// As many learners as the members allow are there already.
    #[error("the cluster has as many learners as it allows")]
    TooManyLearners,
    /// To be promoted, and a voter already.
    #[error("the member votes already")]
    AlreadyVoter,
    /// No member with this id.
    #[error("the cluster has no such member")]
    MemberNotFound,
    /// A member with this peer URL or id is there already.
    #[error("the cluster has a member with this peer URL already")]
    PeerUrlExists,
    /// No leader now.
    #[error("the cluster has no leader")]
    NoLeader,
    /// Asked to hand over leadership without having it.
    #[error("{endpoint} is not the leader")]
    NotLeader {
        /// Whom we asked.
        endpoint: String,
    },
    /// etcd itself gave up.
    #[error("etcd timed out: {0}")]
    EtcdTimeout(String),
    /// What came could not be put where it was to go; the receiver knows why.
    #[error("what {endpoint} sent could not be kept")]
    Sink {
        /// Who sent it.
        endpoint: String,
    },
    /// The history that was asked for is gone.
    #[error("the revision has been compacted")]
    Compacted,
    /// Any other answer.
    #[error("{endpoint} refused a {call}: {detail}")]
    Refused {
        /// Whom we asked.
        endpoint: String,
        /// What we asked.
        call: &'static str,
        /// In etcd's words.
        detail: String,
    },
    /// A wait that came to its end.
    #[error("not within {} s; last seen: {last}", .limit.as_secs())]
    Deadline {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
        /// What was seen last.
        last: Box<Error>,
    },
}

impl Error {
    /// Whether the same may well succeed a moment later: worth waiting for. A member that is starting or ending cuts
    /// connections, too, and a learner becomes a voter.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Rejected { .. }
                | Self::Learner { .. }
                | Self::Timeout { .. }
                | Self::NotInSync
                | Self::Unhealthy
                | Self::TooManyLearners
                | Self::NoLeader
                | Self::EtcdTimeout(_)
                | Self::NotLeader { .. }
        )
    }

    /// Whether another endpoint of the same cluster may well answer otherwise.
    pub(crate) fn is_of_the_endpoint(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Untrusted { .. }
                | Self::Rejected { .. }
                | Self::Timeout { .. }
                | Self::Learner { .. }
                | Self::NoLeader
                | Self::EtcdTimeout(_)
                | Self::NotLeader { .. }
        )
    }

    /// Of an answer of etcd's (a gRPC status): which condition it is.
    pub(crate) fn of_status(endpoint: &str, call: &'static str, code: Code, message: &str) -> Self {
        let endpoint = endpoint.to_owned();
        let detail = message.to_owned();
        let etcd = message
            .strip_prefix("etcdserver: ")
            .or_else(|| message.strip_prefix("membership: "));
        match etcd.map(str::to_ascii_lowercase).as_deref() {
            Some("can only promote a learner member which is in sync with leader") => {
                return Self::NotInSync;
            }
            Some("can only promote a learner member") => return Self::AlreadyVoter,
            Some("unhealthy cluster") => return Self::Unhealthy,
            Some("re-configuration failed due to not enough started members") => {
                return Self::NotEnoughStarted;
            }
            Some("too many learner members in cluster") => return Self::TooManyLearners,
            Some("member not found") => return Self::MemberNotFound,
            Some("peer urls already exists" | "member id already exist") => {
                return Self::PeerUrlExists;
            }
            Some("mvcc: required revision has been compacted") => return Self::Compacted,
            Some("no leader" | "leader changed") => return Self::NoLeader,
            Some("not leader") => return Self::NotLeader { endpoint },
            Some("rpc not supported for learner") => return Self::Learner { endpoint },
            Some(other) if other.starts_with("request timed out") || other == "server stopped" => {
                return Self::EtcdTimeout(other.to_owned());
            }
            Some(_) => {
                return Self::Refused {
                    endpoint,
                    call,
                    detail,
                };
            }
            None => {}
        }
        let says = |word: &str| message.contains(word);
        match code {
            Code::Unavailable | Code::Unknown if says("certificate") || says("UnknownIssuer") => {
                Self::Untrusted { endpoint, detail }
            }
            Code::Unavailable if says("alert") => Self::Rejected { endpoint, detail },
            Code::Cancelled | Code::Unknown
                if says("operation was canceled") || says("connection closed") || says("alert") =>
            {
                Self::Rejected { endpoint, detail }
            }
            Code::Unavailable => Self::Unreachable { endpoint, detail },
            Code::Unknown if says("transport error") => Self::Unreachable { endpoint, detail },
            _ => Self::Refused {
                endpoint,
                call,
                detail,
            },
        }
    }
}

/// The few gRPC codes that matter, so that this module does not depend on the client library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Cancelled,
    Unknown,
    Unavailable,
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: Code, message: &str) -> Error {
        Error::of_status("https://10.0.0.1:2379", "member add", code, message)
    }

    #[test]
    fn etcds_messages_are_told_apart() {
        let cases = [
            (
                "etcdserver: can only promote a learner member which is in sync with leader",
                Error::NotInSync,
            ),
            (
                "etcdserver: can only promote a learner member",
                Error::AlreadyVoter,
            ),
            ("etcdserver: unhealthy cluster", Error::Unhealthy),
            (
                "etcdserver: too many learner members in cluster",
                Error::TooManyLearners,
            ),
            (
                "membership: too many learner members in cluster",
                Error::TooManyLearners,
            ),
            ("etcdserver: member not found", Error::MemberNotFound),
            ("etcdserver: Peer URLs already exists", Error::PeerUrlExists),
            ("etcdserver: no leader", Error::NoLeader),
            (
                "etcdserver: rpc not supported for learner",
                Error::Learner {
                    endpoint: "https://10.0.0.1:2379".into(),
                },
            ),
        ];
        for (message, error) in cases {
            assert_eq!(of(Code::Other, message), error, "{message}");
        }
        assert!(
            of(
                Code::Unavailable,
                "etcdserver: request timed out, possibly due to connection lost"
            )
            .is_passing()
        );
        assert!(!of(Code::Other, "etcdserver: mvcc: database space exceeded").is_passing());
    }

    #[test]
    fn transport_troubles_are_told_apart() {
        assert!(matches!(
            of(Code::Unavailable, "tcp connect error"),
            Error::Unreachable { .. }
        ));
        assert!(matches!(
            of(Code::Unavailable, "invalid peer certificate: UnknownIssuer"),
            Error::Untrusted { .. }
        ));
        assert!(matches!(
            of(Code::Cancelled, "operation was canceled"),
            Error::Rejected { .. }
        ));
        assert!(matches!(
            of(Code::Unknown, "transport error"),
            Error::Unreachable { .. }
        ));
    }
}
