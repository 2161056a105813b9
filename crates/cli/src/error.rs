//! The one error type of the command lines: what kind, what happened, what to do.

use std::error::Error as StdError;
use std::fmt;

use host::RunError;

/// What kind of failure it is. The kind picks the heading and the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The operation failed.
    Failed,
    /// The command line or a document is at fault.
    Usage,
    /// A check before the work failed; nothing was changed.
    Preflight,
    /// A host cannot be reached.
    Unreachable,
    /// Some hosts are done and some are not.
    Partial,
    /// A bug of ours.
    Bug,
}

impl Kind {
    /// The exit code of this kind.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Preflight => 3,
            Self::Unreachable => 4,
            Self::Partial => 5,
            Self::Bug => 70,
        }
    }

    pub(crate) fn heading(self) -> &'static str {
        match self {
            Self::Failed => "error",
            Self::Usage => "usage error",
            Self::Preflight => "preflight failed, nothing was changed",
            Self::Unreachable => "host unreachable",
            Self::Partial => "done on some hosts, not on all",
            Self::Bug => "internal error, please report it",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Preflight => "preflight",
            Self::Unreachable => "unreachable",
            Self::Partial => "partial",
            Self::Bug => "bug",
        }
    }
}

/// A failure as it is shown.
#[derive(Debug)]
pub struct Error {
    /// Heading and exit code.
    pub kind: Kind,
    /// What happened, with its causes.
    pub source: Box<dyn StdError + Send + Sync>,
    /// What the admin can do about it, each one imperative sentence.
    pub hints: Vec<String>,
}

impl Error {
    /// Of this kind.
    pub fn new(kind: Kind, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            kind,
            source: source.into(),
            hints: Vec::new(),
        }
    }

    /// The command line or a document is at fault.
    pub fn usage(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Kind::Usage, source)
    }

    /// The same, with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// What happened, outermost first.
    #[must_use]
    pub fn causes(&self) -> Vec<String> {
        let mut causes = vec![self.source.to_string()];
        let mut next = self.source.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        causes
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.heading(), self.causes().join(": "))
    }
}

/// An error that knows its kind and what to do about it.
pub trait Explain: StdError + Send + Sync + 'static {
    /// Its kind; [`Kind::Failed`] unless said.
    fn kind(&self) -> Kind {
        Kind::Failed
    }

    /// What the admin can do.
    fn hints(&self) -> Vec<String> {
        Vec::new()
    }
}

impl<E: Explain> From<E> for Error {
    fn from(error: E) -> Self {
        Self {
            kind: error.kind(),
            hints: error.hints(),
            source: Box::new(error),
        }
    }
}

impl<E: Explain> Explain for RunError<E> {
    fn kind(&self) -> Kind {
        match self {
            Self::Plan { source, .. } | Self::Apply { source, .. } => source.kind(),
            Self::NoEffect { .. } => Kind::Bug,
            Self::Journal(_) => Kind::Failed,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Plan { source, .. } | Self::Apply { source, .. } => source.hints(),
            Self::NoEffect { .. } | Self::Journal(_) => Vec::new(),
        }
    }
}

impl Explain for host::Error {
    fn kind(&self) -> Kind {
        match self {
            Self::NotRunning { .. } => Kind::Usage,
            _ => Kind::Failed,
        }
    }

    fn hints(&self) -> Vec<String> {
        let denied =
            |source: &std::io::Error| source.kind() == std::io::ErrorKind::PermissionDenied;
        match self {
            Self::File { source, .. } if denied(source) => vec!["run it as root".to_owned()],
            Self::File { source, path, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                vec![format!(
                    "make room on the file system of {} and run it again",
                    path.display()
                )]
            }
            Self::NotRunning { .. } => vec!["add --dry-run".to_owned()],
            _ => Vec::new(),
        }
    }
}

impl Explain for host::LockError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Held { .. } => {
                vec!["wait until that run has ended, then run this one again".to_owned()]
            }
            Self::File { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                vec!["run it as root".to_owned()]
            }
            Self::File { .. } => Vec::new(),
        }
    }
}

impl Explain for host::JournalError {}

impl Explain for api::DocumentError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }
}

/// Gives any error a kind or a hint.
pub trait ResultExt<T> {
    /// As a failure of this kind.
    ///
    /// # Errors
    /// The same error, with its kind.
    fn kind(self, kind: Kind) -> Result<T, Error>;
}

impl<T, E: Into<Box<dyn StdError + Send + Sync>>> ResultExt<T> for Result<T, E> {
    fn kind(self, kind: Kind) -> Result<T, Error> {
        self.map_err(|error| Error::new(kind, error))
    }
}
