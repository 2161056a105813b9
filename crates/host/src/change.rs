//! The changes that this crate can make to a host, as data.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::{Condition, Digest};

/// The contents of a file to be written. Shown and journaled as size and digest, never as bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Content(Vec<u8>);

impl Content {
    /// The bytes themselves.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = Digest::of(&self.0).to_string();
        write!(f, "{} bytes, sha256 {}…", self.0.len(), &digest[..12])
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({self})")
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Digest::of(&self.0).serialize(serializer)
    }
}

/// What to tell systemd about a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnitAction {
    /// Start at boot from now on.
    Enable,
    /// No longer start at boot.
    Disable,
    /// Start, and wait until it is active.
    Start,
    /// Start, without waiting.
    StartInBackground,
    /// Stop and start, and wait until it is active.
    Restart,
    /// Stop, and wait until it has ended.
    Stop,
    /// Make it impossible to start.
    Mask,
    /// Undo a mask.
    Unmask,
    /// Forget that it failed.
    ResetFailed,
}

impl UnitAction {
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Start | Self::StartInBackground => "start",
            Self::Restart => "restart",
            Self::Stop => "stop",
            Self::Mask => "mask",
            Self::Unmask => "unmask",
            Self::ResetFailed => "reset-failed",
        }
    }
}

/// A program to be run for its effect. Arguments are never secret; what is goes by standard input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run {
    /// The program: an absolute path, or a name looked up in the system's own folders.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Environment variables besides PATH and LC_ALL, which are fixed. Never secret.
    pub env: Vec<(String, String)>,
    /// What it reads on standard input.
    pub stdin: Option<Content>,
    /// What is true once it has succeeded, for the dry run.
    pub makes: Vec<Condition>,
    /// How long it may take.
    #[serde(skip)]
    pub limit: Duration,
}

impl Run {
    /// Runs `program` with `args`, for two minutes at most.
    pub fn new<I: IntoIterator<Item = S>, S: Into<String>>(
        program: impl Into<String>,
        args: I,
    ) -> Self {
        Self {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            stdin: None,
            makes: Vec::new(),
            limit: Duration::from_secs(120),
        }
    }

    /// The same, and `condition` is true afterwards.
    #[must_use]
    pub fn making(mut self, condition: Condition) -> Self {
        self.makes.push(condition);
        self
    }

    /// The same, with `content` on standard input.
    #[must_use]
    pub fn reading(mut self, content: impl Into<Content>) -> Self {
        self.stdin = Some(content.into());
        self
    }

    /// The same, for `limit` at most.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The argument vector in one line, for messages.
    #[must_use]
    pub fn argv(&self) -> String {
        std::iter::once(&self.program)
            .chain(&self.args)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// A condition to be waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wait {
    /// What is to become true.
    pub condition: Condition,
    /// Why the run needs it, as shown to the admin: `etcd to accept connections`.
    pub reason: String,
    /// How often to look.
    #[serde(skip)]
    pub poll: Duration,
    /// When to give up.
    #[serde(skip)]
    pub limit: Duration,
}

/// One change to a host. Paths are the host's own, absolute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Make a folder, and those above it (0755).
    MakeDir {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Write a file atomically, with its mode from the moment of creation.
    WriteFile {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What is in it.
        content: Content,
    },
    /// Set the permission bits of a file or folder.
    SetMode {
        /// The file or folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Make a symbolic link, replacing another link.
    Link {
        /// Where the link lies.
        path: PathBuf,
        /// Where it points.
        target: PathBuf,
    },
    /// Move a file or folder out of the way, on the same file system. Nothing is lost.
    SetAside {
        /// What is moved.
        path: PathBuf,
        /// Where it goes; nothing may lie there.
        to: PathBuf,
    },
    /// Remove a file, a link or an empty folder.
    Remove {
        /// What is removed.
        path: PathBuf,
    },
    /// Remove a folder with all that is in it, which must be what this tool made and can make again. Other file
    /// systems mounted below it are not entered: it fails instead.
    RemoveTree {
        /// The folder.
        path: PathBuf,
    },
    /// Let systemd read its unit files again.
    ReloadUnits,
    /// Tell systemd about a unit.
    Unit {
        /// The unit's name with its suffix.
        name: String,
        /// What to tell.
        action: UnitAction,
    },
    /// Set a kernel parameter now (a file makes it last).
    Sysctl {
        /// Its dotted name.
        key: String,
        /// Its value.
        value: String,
    },
    /// Run a program.
    Run(Run),
    /// Wait for a condition.
    Wait(Wait),
}

impl Change {
    /// A file with mode 0644.
    pub fn file(path: impl Into<PathBuf>, content: impl Into<Content>) -> Self {
        Self::WriteFile {
            path: path.into(),
            mode: 0o644,
            content: content.into(),
        }
    }

    /// A file with mode 0600.
    pub fn private_file(path: impl Into<PathBuf>, content: impl Into<Content>) -> Self {
        Self::WriteFile {
            path: path.into(),
            mode: 0o600,
            content: content.into(),
        }
    }

    /// Something about a unit.
    pub fn unit(name: impl Into<String>, action: UnitAction) -> Self {
        Self::Unit {
            name: name.into(),
            action,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MakeDir { path, mode } => {
                write!(f, "make folder {} ({mode:04o})", path.display())
            }
            Self::WriteFile {
                path,
                mode,
                content,
            } => write!(f, "write {} ({mode:04o}, {content})", path.display()),
            Self::SetMode { path, mode } => {
                write!(f, "set the mode of {} to {mode:04o}", path.display())
            }
            Self::Link { path, target } => {
                write!(f, "link {} to {}", path.display(), target.display())
            }
            Self::SetAside { path, to } => {
                write!(f, "set {} aside as {}", path.display(), to.display())
            }
            Self::Remove { path } => write!(f, "remove {}", path.display()),
            Self::RemoveTree { path } => write!(f, "remove {} and all in it", path.display()),
            Self::ReloadUnits => write!(f, "let systemd read its unit files again"),
            Self::Unit {
                name,
                action: UnitAction::StartInBackground,
            } => write!(f, "start {name} in the background"),
            Self::Unit { name, action } => write!(f, "{} {name}", action.verb()),
            Self::Sysctl { key, value } => write!(f, "set {key} to {value}"),
            Self::Run(run) => write!(f, "run {}", run.argv()),
            Self::Wait(wait) => write!(
                f,
                "wait for {} (at most {}s)",
                wait.reason,
                wait.limit.as_secs()
            ),
        }
    }
}
