//! What each etcd release takes as configuration: a table, and the environment that comes out of it.
//!
//! etcd reads every flag from a variable `ETCD_…` as well, so the unit runs a bare `etcd` and the file holds the rest. From
//! release to release flags lose the prefix `experimental` or move among the feature gates; `TABLE` is the one place
//! that knows.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use api::Version;

/// How many learners each member of ≥3.6 allows: always the same, because each member checks with its own value.
pub const MAX_LEARNERS: &str = "8";

/// Something that releases do differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// More than one learner at a time.
    ManyLearners,
    /// Data compared with the other members' before serving.
    InitialCorruptCheck,
    /// How often watchers hear that nothing changed; kube-apiserver's consistent reads from cache live on it.
    WatchProgress,
}

/// What a release has of each feature: the variable and its value, if anything.
type Row = [(Feature, Option<(&'static str, &'static str)>); 3];

/// Release by release: the first minor, and what it has of each feature (variable and value).
const TABLE: [(u32, Row); 3] = [
    (
        5,
        [
            (Feature::ManyLearners, None),
            (
                Feature::InitialCorruptCheck,
                Some(("ETCD_EXPERIMENTAL_INITIAL_CORRUPT_CHECK", "true")),
            ),
            (
                Feature::WatchProgress,
                Some(("ETCD_EXPERIMENTAL_WATCH_PROGRESS_NOTIFY_INTERVAL", "5s")),
            ),
        ],
    ),
    (
        6,
        [
            (
                Feature::ManyLearners,
                Some(("ETCD_MAX_LEARNERS", MAX_LEARNERS)),
            ),
            (
                Feature::InitialCorruptCheck,
                Some(("ETCD_FEATURE_GATES", "InitialCorruptCheck=true")),
            ),
            (
                Feature::WatchProgress,
                Some(("ETCD_WATCH_PROGRESS_NOTIFY_INTERVAL", "5s")),
            ),
        ],
    ),
    (
        7,
        [
            (
                Feature::ManyLearners,
                Some(("ETCD_MAX_LEARNERS", MAX_LEARNERS)),
            ),
            (
                Feature::InitialCorruptCheck,
                Some(("ETCD_FEATURE_GATES", "InitialCorruptCheck=true")),
            ),
            (
                Feature::WatchProgress,
                Some(("ETCD_WATCH_PROGRESS_NOTIFY_INTERVAL", "5s")),
            ),
        ],
    ),
];

/// A configuration that etcd would not take.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SettingsError {
    /// A release without an entry in the table.
    #[error("etcd {0} is not supported: 3.5, 3.6 and 3.7 are")]
    Unsupported(Version),
    /// A variable that the tool itself must set.
    #[error("{0} cannot be set as further environment: it follows from the configuration")]
    Owned(String),
    /// A further variable that is not etcd's or Go's.
    #[error("{0} is not a variable of etcd's (ETCD_…) or of Go's runtime (GO…)")]
    Foreign(String),
    /// etcd separates members by commas and names from URLs by `=`.
    #[error(
        "a member cannot be called {0:?}: a name has no comma, no equals sign and no control character, and is not empty"
    )]
    Name(String),
}

/// How a member without data begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// As the first of a new cluster with this token, which keeps members of other clusters out.
    New {
        /// Any text that no other cluster has.
        token: String,
    },
    /// As one more of a cluster that exists; name and peer URL of all members, itself included.
    Existing {
        /// Name and peer URL, in the cluster's order.
        members: Vec<(String, String)>,
    },
}

/// All that a member is configured by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The member's name.
    pub name: String,
    /// Where others reach it.
    pub peer_url: String,
    /// Where clients reach it.
    pub client_url: String,
    /// Where it listens for clients besides `client_url`.
    pub local_client_url: String,
    /// Where its data lies.
    pub data_dir: String,
    /// The folder of the pairs.
    pub certs_dir: String,
    /// How it begins.
    pub beginning: Beginning,
    /// The user's own variables; they win over the table's, not over the rest.
    pub extra: BTreeMap<String, String>,
}

/// The variables that a member's beginning is told by: of no effect once it has data.
pub const INITIAL: [&str; 3] = [
    "ETCD_INITIAL_CLUSTER",
    "ETCD_INITIAL_CLUSTER_STATE",
    "ETCD_INITIAL_CLUSTER_TOKEN",
];

/// What `version` has of `feature`.
///
/// # Errors
/// [`SettingsError::Unsupported`].
pub fn supports(
    version: Version,
    feature: Feature,
) -> Result<Option<(&'static str, &'static str)>, SettingsError> {
    let row = TABLE
        .iter()
        .find(|(minor, _)| version.major == 3 && version.minor == *minor);
    let (_, features) = row.ok_or(SettingsError::Unsupported(version))?;
    Ok(features
        .iter()
        .find(|(f, _)| *f == feature)
        .and_then(|(_, have)| *have))
}

/// The variables of a member, in the order in which they are written.
///
/// # Errors
/// [`SettingsError`].
pub fn environment(
    version: Version,
    settings: &Settings,
) -> Result<Vec<(String, String)>, SettingsError> {
    let Settings {
        name,
        peer_url,
        client_url,
        data_dir,
        certs_dir,
        ..
    } = settings;
    if name.is_empty() || name.contains([',', '=']) || name.chars().any(char::is_control) {
        return Err(SettingsError::Name(name.clone()));
    }
    let mut all: Vec<(String, String)> = Vec::new();
    let mut set = |key: &str, value: String| all.push((format!("ETCD_{key}"), value));
    set("NAME", name.clone());
    match &settings.beginning {
        Beginning::New { token } => {
            set("INITIAL_CLUSTER", format!("{name}={peer_url}"));
            set("INITIAL_CLUSTER_STATE", "new".to_owned());
            set("INITIAL_CLUSTER_TOKEN", token.clone());
        }
        Beginning::Existing { members } => {
            let mut list = String::new();
            for (name, url) in members {
                let _ = write!(
                    list,
                    "{}{name}={url}",
                    if list.is_empty() { "" } else { "," }
                );
            }
            set("INITIAL_CLUSTER", list);
            set("INITIAL_CLUSTER_STATE", "existing".to_owned());
        }
    }
    set("INITIAL_ADVERTISE_PEER_URLS", peer_url.clone());
    set("LISTEN_PEER_URLS", peer_url.clone());
    set("ADVERTISE_CLIENT_URLS", client_url.clone());
    set(
        "LISTEN_CLIENT_URLS",
        format!("{client_url},{}", settings.local_client_url),
    );
    set("CLIENT_CERT_AUTH", "true".to_owned());
    set("CERT_FILE", format!("{certs_dir}/server.crt"));
    set("KEY_FILE", format!("{certs_dir}/server.key"));
    set("TRUSTED_CA_FILE", format!("{certs_dir}/ca.crt"));
    set("PEER_CLIENT_CERT_AUTH", "true".to_owned());
    set("PEER_CERT_FILE", format!("{certs_dir}/peer.crt"));
    set("PEER_KEY_FILE", format!("{certs_dir}/peer.key"));
    set("PEER_TRUSTED_CA_FILE", format!("{certs_dir}/ca.crt"));
    set("DATA_DIR", data_dir.clone());
    set("STRICT_RECONFIG_CHECK", "true".to_owned());
    let owned = all.len();
    for feature in [
        Feature::ManyLearners,
        Feature::InitialCorruptCheck,
        Feature::WatchProgress,
    ] {
        if let Some((key, value)) = supports(version, feature)? {
            all.push((key.to_owned(), value.to_owned()));
        }
    }
    for (key, value) in &settings.extra {
        if all[..owned].iter().any(|(own, _)| own == key) || INITIAL.contains(&key.as_str()) {
            return Err(SettingsError::Owned(key.clone()));
        }
        if !key.starts_with("ETCD_") && !key.starts_with("GO") {
            return Err(SettingsError::Foreign(key.clone()));
        }
        match all.iter_mut().find(|(own, _)| own == key) {
            Some((_, own)) => own.clone_from(value),
            None => all.push((key.clone(), value.clone())),
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            name: "h1".into(),
            peer_url: "https://10.0.0.1:2380".into(),
            client_url: "https://10.0.0.1:2379".into(),
            local_client_url: "https://127.0.0.1:2379".into(),
            data_dir: "/var/lib/etcd".into(),
            certs_dir: "/etc/etcd/pki".into(),
            beginning: Beginning::New {
                token: "0a1b2c3d".into(),
            },
            extra: BTreeMap::new(),
        }
    }

    fn text(version: Version, settings: &Settings) -> String {
        let lines = environment(version, settings).unwrap();
        lines
            .into_iter()
            .map(|(key, value)| format!("{key}={value}\n"))
            .collect()
    }

    #[test]
    fn a_new_cluster() {
        insta::assert_snapshot!(text(Version::new(3, 7, 3), &settings()), @"
        ETCD_NAME=h1
        ETCD_INITIAL_CLUSTER=h1=https://10.0.0.1:2380
        ETCD_INITIAL_CLUSTER_STATE=new
        ETCD_INITIAL_CLUSTER_TOKEN=0a1b2c3d
        ETCD_INITIAL_ADVERTISE_PEER_URLS=https://10.0.0.1:2380
        ETCD_LISTEN_PEER_URLS=https://10.0.0.1:2380
        ETCD_ADVERTISE_CLIENT_URLS=https://10.0.0.1:2379
        ETCD_LISTEN_CLIENT_URLS=https://10.0.0.1:2379,https://127.0.0.1:2379
        ETCD_CLIENT_CERT_AUTH=true
        ETCD_CERT_FILE=/etc/etcd/pki/server.crt
        ETCD_KEY_FILE=/etc/etcd/pki/server.key
        ETCD_TRUSTED_CA_FILE=/etc/etcd/pki/ca.crt
        ETCD_PEER_CLIENT_CERT_AUTH=true
        ETCD_PEER_CERT_FILE=/etc/etcd/pki/peer.crt
        ETCD_PEER_KEY_FILE=/etc/etcd/pki/peer.key
        ETCD_PEER_TRUSTED_CA_FILE=/etc/etcd/pki/ca.crt
        ETCD_DATA_DIR=/var/lib/etcd
        ETCD_STRICT_RECONFIG_CHECK=true
        ETCD_MAX_LEARNERS=8
        ETCD_FEATURE_GATES=InitialCorruptCheck=true
        ETCD_WATCH_PROGRESS_NOTIFY_INTERVAL=5s
        ");
    }

    #[test]
    fn a_joining_member_of_an_older_release() {
        let url = |n: u8| format!("https://10.0.0.{n}:2380");
        let members = vec![("h0".into(), url(9)), ("h1".into(), url(1))];
        let settings = Settings {
            beginning: Beginning::Existing { members },
            ..settings()
        };
        let all = text(Version::new(3, 5, 35), &settings);
        let differing: String = all
            .lines()
            .filter(|l| l.contains("INITIAL_CLUSTER") || l.contains("EXPERIMENTAL"))
            .map(|l| format!("{l}\n"))
            .collect();
        insta::assert_snapshot!(differing, @"
        ETCD_INITIAL_CLUSTER=h0=https://10.0.0.9:2380,h1=https://10.0.0.1:2380
        ETCD_INITIAL_CLUSTER_STATE=existing
        ETCD_EXPERIMENTAL_INITIAL_CORRUPT_CHECK=true
        ETCD_EXPERIMENTAL_WATCH_PROGRESS_NOTIFY_INTERVAL=5s
        ");
        assert!(!all.contains("LEARNERS") && !all.contains("TOKEN"));
    }

    #[test]
    fn further_variables_win_over_the_table_and_nothing_else() {
        let with = |key: &str, value: &str| {
            let extra = BTreeMap::from([(key.to_owned(), value.to_owned())]);
            environment(
                Version::new(3, 7, 3),
                &Settings {
                    extra,
                    ..settings()
                },
            )
        };
        let quota = (
            "ETCD_QUOTA_BACKEND_BYTES".to_owned(),
            "8589934592".to_owned(),
        );
        assert_eq!(with(&quota.0, &quota.1).unwrap().last(), Some(&quota));
        let gates = with("ETCD_FEATURE_GATES", "x=true").unwrap();
        assert_eq!(
            gates
                .iter()
                .filter(|(key, value)| key == "ETCD_FEATURE_GATES" && value == "x=true")
                .count(),
            1
        );
        assert_eq!(
            with("ETCD_DATA_DIR", "/x"),
            Err(SettingsError::Owned("ETCD_DATA_DIR".into()))
        );
        assert_eq!(
            with("LD_PRELOAD", "/x"),
            Err(SettingsError::Foreign("LD_PRELOAD".into()))
        );
    }

    #[test]
    fn what_etcd_would_misread_is_refused() {
        for name in ["", "a,b", "a=b", "a\nb"] {
            let settings = Settings {
                name: name.into(),
                ..settings()
            };
            assert_eq!(
                environment(Version::new(3, 7, 3), &settings),
                Err(SettingsError::Name(name.into()))
            );
        }
        let old = Version::new(3, 4, 30);
        assert_eq!(
            environment(old, &settings()),
            Err(SettingsError::Unsupported(old))
        );
    }
}
