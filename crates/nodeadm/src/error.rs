//! What can go wrong in setting a host up, by what is to be done about it.

use std::path::PathBuf;

use api::{Check, Verdict};
use cli::{Explain, Kind};

use crate::cluster::ClusterError;

/// A failure of nodeadm.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host could not be seen or changed.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] bundle::StoreError),
    /// A component could not be installed.
    #[error(transparent)]
    Install(#[from] bundle::InstallError),
    /// The cluster's API could not be asked or told.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A unit file cannot be written.
    #[error("the unit {unit} cannot be written")]
    Unit {
        /// The unit.
        unit: &'static str,
        /// Why not.
        source: systemd::UnitError,
    },
    /// The user's patch of containerd's configuration is at fault.
    #[error("containerdPatch is not TOML")]
    ContainerdPatch(#[source] toml::de::Error),
    /// Something that is needed is not in the store.
    #[error("the store {store} lacks {}", .missing.join(", "))]
    Missing {
        /// The store.
        store: PathBuf,
        /// What it lacks, in words.
        missing: Vec<String>,
    },
    /// The settings make no sense.
    #[error("{0}")]
    Settings(String),
    /// A file of a cluster's is at fault.
    #[error("{path} is at fault: {what}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Something that must not be replaced differs from what is wanted.
    #[error("{path} is there already and differs from what is to be written")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A check could not be made.
    #[error("{0}")]
    Untold(String),
    /// Checks failed.
    #[error("{}", checks(.0))]
    Preflight(Vec<Check>),
    /// Something did not come about in time.
    #[error("{reason}: not within {seconds}s (last seen: {last}){log}")]
    Deadline {
        /// What was waited for.
        reason: String,
        /// How long.
        seconds: u64,
        /// What was seen last.
        last: String,
        /// The end of the log that may tell more, beginning with a line break; or empty.
        log: String,
    },
    /// A pipe or program failed.
    #[error("could not {what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why not.
        source: std::io::Error,
    },
    /// containerd did not get its images.
    #[error(transparent)]
    Import(#[from] bundle::ImportError),
}

fn checks(checks: &[Check]) -> String {
    let failed = |check: &&Check| matches!(check.verdict, Verdict::Failed | Verdict::Unknown);
    checks
        .iter()
        .filter(failed)
        .map(|check| {
            let how = if check.verdict == Verdict::Failed {
                ""
            } else {
                "could not be checked: "
            };
            format!("{}: {how}{}", check.name, check.message)
        })
        .collect::<Vec<_>>()
        .join("\n")
}

impl Explain for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Host(error) => error.kind(),
            Self::Settings(_) | Self::ContainerdPatch(_) | Self::Unit { .. } => Kind::Usage,
            Self::Preflight(_) | Self::Foreign { .. } | Self::Missing { .. } => Kind::Preflight,
            _ => Kind::Failed,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Host(error) => error.hints(),
            Self::Missing { .. } => {
                vec!["bring a bundle that holds it (cctl pushes one; `nodeadm download` fetches), or ask for what is there".to_owned()]
            }
            Self::Foreign { .. } => {
                vec![
                    "this host belongs to another cluster: take it down with `nodeadm reset` first"
                        .to_owned(),
                ]
            }
            Self::Preflight(checks) => {
                let failed =
                    |check: &&Check| matches!(check.verdict, Verdict::Failed | Verdict::Unknown);
                let mut hints: Vec<String> = checks
                    .iter()
                    .filter(failed)
                    .filter_map(|check| check.hint.clone())
                    .collect();
                hints.dedup();
                hints.push(
                    "name what may be ignored with --ignore-preflight-errors NAME[,NAME]"
                        .to_owned(),
                );
                hints
            }
            _ => Vec::new(),
        }
    }
}
