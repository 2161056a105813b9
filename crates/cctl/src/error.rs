//! What can go wrong, with the host and the step that it went wrong with.

use std::fmt;
use std::path::PathBuf;

use api::{Check, Verdict};
use cli::{Explain, Kind};

/// A failure of cctl.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state file.
    #[error(transparent)]
    State(#[from] state::Error),
    /// A host over SSH.
    #[error(transparent)]
    Ssh(#[from] ssh::Error),
    /// A node tool failed on its host.
    #[error("{host}: {what} failed{}", because(.causes))]
    Tool {
        /// The host.
        host: String,
        /// What was run, as `etcdadm join`.
        what: String,
        /// The tool's own exit code.
        code: i32,
        /// What it said, outermost first.
        causes: Vec<String>,
        /// Its hints.
        hints: Vec<String>,
    },
    /// A program of the host's said something strange.
    #[error("{host}: {what} printed something unexpected: {detail}")]
    Output {
        /// The host.
        host: String,
        /// What was run.
        what: String,
        /// What is strange about it.
        detail: String,
    },
    /// The cluster file makes no sense.
    #[error("the cluster file is at fault:\n{}", list(.0))]
    Faults(Vec<String>),
    /// Something is missing on the command line.
    #[error("{0}")]
    Usage(String),
    /// Checks failed before anything was changed.
    #[error("{}", checks(.0))]
    Preflight(Vec<HostCheck>),
    /// Something that hosts need is in no bundle.
    #[error("{}: the bundle lacks {}", .bundle.display(), .missing.join(", "))]
    NotInBundle {
        /// The bundle.
        bundle: PathBuf,
        /// What it lacks.
        missing: Vec<String>,
    },
    /// No bundle, and hosts lack something.
    #[error("hosts lack what a bundle would bring: {0}")]
    NoBundle(String),
    /// A bundle cannot be made.
    #[error(transparent)]
    Create(Box<bundle::create::CreateError>),
    /// What a host was to get of a bundle is not sound.
    #[error("{host}: what it was to get of the bundle {} cannot be sent", .bundle.display())]
    Unsound {
        /// The host.
        host: String,
        /// The bundle.
        bundle: PathBuf,
        /// What is wrong with it.
        source: std::io::Error,
    },
    /// A bundle cannot be read.
    #[error(transparent)]
    Layout(#[from] bundle::LayoutError),
    /// Certificates.
    #[error("certificates for {who} cannot be issued")]
    Certificates {
        /// For whom.
        who: String,
        /// Why not.
        source: pki::AuthorityError,
    },
    /// A key of the state's.
    #[error("the service-account key of the state cannot be used")]
    ServiceAccount(#[source] pki::KeyError),
    /// A host or machine that nobody knows.
    #[error("there is no machine {0} in the state")]
    NoMachine(String),
    /// A change that would lose quorum or the control plane.
    #[error("{0}")]
    Refused(String),
    /// A snapshot is not whole, or none.
    #[error("{what} is no sound snapshot")]
    Snapshot {
        /// Which.
        what: String,
        /// What is wrong with it.
        source: capsule::CapsuleError,
    },
    /// A backup is not whole, or none.
    #[error("{path} is no sound backup")]
    Backup {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: capsule::backup::BackupError,
    },
    /// Hosts that may still serve the old data cannot be stopped.
    #[error("control planes that may still serve the old data cannot be reached, and so not be stopped:\n{}", several(.0))]
    Unfenced(Vec<Failure>),
    /// Several hosts failed.
    #[error("{}", several(.0))]
    Several(Vec<Failure>),
    /// Not all hosts are done.
    #[error("{done} of {all} steps are done; not done:\n{}", several(.failures))]
    Partial {
        /// Steps that are done.
        done: usize,
        /// Steps that there were.
        all: usize,
        /// What failed.
        failures: Vec<Failure>,
    },
    /// A condition did not come true in time.
    #[error("{what}: not within {seconds}s; last seen: {last}")]
    Deadline {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
        /// What was seen last.
        last: String,
    },
    /// Reading a local file.
    #[error("could not read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Writing a local file.
    #[error("could not write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A change to a local file.
    #[error(transparent)]
    Host(#[from] host::Error),
}

impl Error {
    /// The same, where what could not be read here is a bundle.
    pub(crate) fn of_bundle(self, host: &str, bundle: PathBuf) -> Self {
        match self {
            Self::Ssh(ssh::Error::Input { source, .. }) => Self::Unsound {
                host: host.to_owned(),
                bundle,
                source,
            },
            other => other,
        }
    }

    /// The same, where a program of a host's is called by `words` instead of by its path and all its arguments.
    pub(crate) fn of_call(error: ssh::Error, words: String) -> Self {
        Self::Ssh(match error {
            ssh::Error::Lost { host, cause, .. } => ssh::Error::Lost {
                host,
                program: words,
                cause,
            },
            ssh::Error::Timeout { host, limit, .. } => ssh::Error::Timeout {
                host,
                program: words,
                limit,
            },
            ssh::Error::Received { host, source, .. } => ssh::Error::Received {
                host,
                program: words,
                source,
            },
            ssh::Error::Input { host, source, .. } => ssh::Error::Input {
                host,
                program: words,
                source,
            },
            other => other,
        })
    }
}

/// A check that failed, and where.
#[derive(Debug, Clone)]
pub struct HostCheck {
    /// The host; empty for what concerns several.
    pub host: String,
    /// The check.
    pub check: Check,
}

/// A step that failed.
#[derive(Debug)]
pub struct Failure {
    /// The host.
    pub host: String,
    /// The step; empty when it was no step of a plan.
    pub step: String,
    /// Why.
    pub error: Box<Error>,
}

impl Failure {
    /// Of a host, outside any plan.
    pub(crate) fn on(host: &str, error: Error) -> Self {
        Self {
            host: host.to_owned(),
            step: String::new(),
            error: Box::new(error),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.step.is_empty() {
            write!(f, "[{}] ", self.step)?;
        }
        write!(f, "{}", self.error)?;
        let mut next = std::error::Error::source(&self.error);
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}

impl From<bundle::create::CreateError> for Error {
    fn from(error: bundle::create::CreateError) -> Self {
        Self::Create(Box::new(error))
    }
}

fn because(causes: &[String]) -> String {
    causes.iter().map(|cause| format!(": {cause}")).collect()
}

fn list(faults: &[String]) -> String {
    faults
        .iter()
        .map(|fault| format!("  - {fault}"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn several(failures: &[Failure]) -> String {
    failures
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

fn checks(checks: &[HostCheck]) -> String {
    let line = |found: &HostCheck| {
        let how = if found.check.verdict == Verdict::Unknown {
            "could not be checked: "
        } else {
            ""
        };
        let host = if found.host.is_empty() {
            String::new()
        } else {
            format!("{}: ", found.host)
        };
        format!("{host}{}: {how}{}", found.check.name, found.check.message)
    };
    checks.iter().map(line).collect::<Vec<_>>().join("\n")
}

impl Explain for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::State(
                state::Error::Exists { .. }
                | state::Error::Key { .. }
                | state::Error::KeyFile { .. }
                | state::Error::Recipient { .. }
                | state::Error::None { .. },
            ) => Kind::Usage,
            Self::Ssh(ssh::Error::Option { .. }) => Kind::Usage,
            Self::Ssh(error) if error.is_unreachable() => Kind::Unreachable,
            Self::Tool { code: 3, .. } => Kind::Preflight,
            Self::Create(error) => crate::bundle::kind(error),
            Self::Faults(_) | Self::Usage(_) | Self::NoMachine(_) => Kind::Usage,
            Self::Preflight(_)
            | Self::NotInBundle { .. }
            | Self::NoBundle(_)
            | Self::Snapshot { .. }
            | Self::Backup { .. }
            | Self::Refused(_) => Kind::Preflight,
            Self::Unfenced(_) => Kind::Unreachable,
            Self::Several(failures) => {
                let kinds: Vec<Kind> = failures
                    .iter()
                    .map(|failure| failure.error.kind())
                    .collect();
                let first = kinds.first().copied().unwrap_or(Kind::Failed);
                if kinds.iter().all(|kind| *kind == first) {
                    first
                } else {
                    Kind::Failed
                }
            }
            Self::Partial { .. } => Kind::Partial,
            _ => Kind::Failed,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::State(error) => error.hint().into_iter().collect(),
            Self::Ssh(error) => error.hint().into_iter().collect(),
            Self::Tool {
                host,
                causes,
                hints,
                ..
            } => {
                let full = |cause: &String| cause.contains("No space left on device");
                let mut hints = hints.clone();
                if hints.is_empty() && causes.iter().any(full) {
                    hints.push(format!(
                        "make room on {host}: `df -h` shows where it is full"
                    ));
                }
                hints
            }
            Self::Create(error) => crate::bundle::hints(error),
            Self::Unfenced(failures) => {
                let dead: Vec<String> = failures
                    .iter()
                    .map(|failure| format!("--dead {}", failure.host))
                    .collect();
                vec![
                    format!("those that are gone for good are named: {}", dead.join(" ")),
                    "a host that was installed anew shows new keys: `cctl forget-host-key ADDRESS`, then add --accept-new-host-keys".to_owned(),
                ]
            }
            Self::Preflight(checks) => {
                let mut hints: Vec<String> = checks
                    .iter()
                    .filter_map(|found| found.check.hint.clone())
                    .collect();
                hints.dedup();
                hints.push(
                    "what may be so is named in the cluster file: ignorePreflightErrors: [NAME]"
                        .to_owned(),
                );
                hints
            }
            Self::NotInBundle { .. } => {
                vec!["make a bundle that holds these versions: `cctl bundle create`".to_owned()]
            }
            Self::Unsound { bundle, .. } => vec![format!(
                "see what is wrong with it by `cctl bundle verify {}`, and carry it over again",
                bundle.display()
            )],
            Self::NoBundle(_) => vec!["name the bundle: --bundle FILE".to_owned()],
            Self::Several(failures) | Self::Partial { failures, .. } => {
                let mut hints: Vec<String> = Vec::new();
                for hint in failures.iter().flat_map(|failure| failure.error.hints()) {
                    if !hints.contains(&hint) {
                        hints.push(hint);
                    }
                }
                if matches!(self, Self::Partial { .. }) {
                    hints.push("once that is mended, run the same command again: it goes on from what is done".to_owned());
                }
                hints
            }
            _ => Vec::new(),
        }
    }
}
