//! etcd's pairs on a host: names, subjects and uses as etcdadm has always written them.
//!
//! One authority signs for peers and clients alike. [`LEAVES`] is the list; [`profile`] says what each must contain.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{LEAF_VALIDITY, Profile, San, Usage};

/// Common name of a new etcd authority.
pub const CA_NAME: &str = "etcd";

/// One of the pairs beside the authority's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Leaf {
    /// What clients see.
    Server,
    /// What other members see, and what this one shows them.
    Peer,
    /// etcdctl's and etcdadm's own.
    EtcdctlClient,
    /// kube-apiserver's.
    ApiserverClient,
}

/// All pairs that a host gets.
pub const LEAVES: [Leaf; 4] = [
    Leaf::Server,
    Leaf::Peer,
    Leaf::EtcdctlClient,
    Leaf::ApiserverClient,
];

impl Leaf {
    /// The files' name without `.crt` and `.key`.
    pub fn file_stem(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Peer => "peer",
            Self::EtcdctlClient => "etcdctl-etcd-client",
            Self::ApiserverClient => "apiserver-etcd-client",
        }
    }
}

/// Who a member is, for its certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The member's name.
    pub name: String,
    /// The addresses or names under which peers and clients reach it.
    pub addresses: Vec<San>,
    /// More names for the server's certificate.
    pub extra_server_sans: Vec<San>,
}

/// What `leaf` must contain on the host of `identity`.
///
/// A member name that is no DNS name (etcd takes any text) stands in the subject but not among the names: nothing connects
/// to it. The loopback addresses are always the server's: etcdctl and a local kube-apiserver use them.
pub fn profile(leaf: Leaf, identity: &Identity) -> Profile {
    let name = &identity.name;
    let own: Vec<San> = San::parse(name)
        .into_iter()
        .chain(identity.addresses.iter().cloned())
        .collect();
    let (common_name, organization, usage, mut sans) = match leaf {
        Leaf::Server => {
            let loopback = [
                San::Dns("localhost".into()),
                San::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
                San::Ip(IpAddr::V6(Ipv6Addr::LOCALHOST)),
            ];
            let sans = own
                .into_iter()
                .chain(loopback)
                .chain(identity.extra_server_sans.iter().cloned())
                .collect();
            (name.clone(), None, Usage::Both, sans)
        }
        Leaf::Peer => (name.clone(), None, Usage::Both, own),
        Leaf::EtcdctlClient => (
            format!("{name}-etcdctl"),
            Some("system:masters".to_owned()),
            Usage::Client,
            Vec::new(),
        ),
        Leaf::ApiserverClient => (
            format!("{name}-kube-apiserver-etcd-client"),
            Some("system:masters".to_owned()),
            Usage::Client,
            Vec::new(),
        ),
    };
    let mut seen = std::collections::HashSet::new();
    sans.retain(|san| seen.insert(san.clone()));
    Profile {
        common_name,
        organization,
        usage,
        sans,
        validity: LEAF_VALIDITY,
    }
}

/// What `leaf` must contain at least to be kept: certificates of older tools name fewer loopback names, and serve as well.
pub fn required(leaf: Leaf, identity: &Identity) -> Profile {
    let mut profile = profile(leaf, identity);
    let nice = [
        San::Dns("localhost".into()),
        San::Ip(IpAddr::V6(Ipv6Addr::LOCALHOST)),
    ];
    let v6_only = identity
        .addresses
        .iter()
        .all(|address| matches!(address, San::Ip(IpAddr::V6(_))));
    profile
        .sans
        .retain(|san| v6_only || !nice.contains(san) || identity.extra_server_sans.contains(san));
    profile
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_of_an_older_tool_is_enough() {
        let identity = Identity {
            name: "h1".into(),
            addresses: vec![San::parse("10.0.0.1").unwrap()],
            extra_server_sans: vec![],
        };
        let names = |profile: Profile| {
            profile
                .sans
                .iter()
                .map(San::to_string)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(
            names(profile(Leaf::Server, &identity)),
            "h1 10.0.0.1 localhost 127.0.0.1 ::1"
        );
        assert_eq!(
            names(required(Leaf::Server, &identity)),
            "h1 10.0.0.1 127.0.0.1"
        );
        let v6 = Identity {
            addresses: vec![San::parse("fd00::1").unwrap()],
            ..identity
        };
        assert_eq!(
            names(required(Leaf::Server, &v6)),
            "h1 fd00::1 localhost 127.0.0.1 ::1"
        );
    }
}
