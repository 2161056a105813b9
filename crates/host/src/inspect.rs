//! The reading half of the seam.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::{Digest, Error};

/// What lies at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link, which is never followed here.
    Link,
    /// A device, socket or pipe.
    Other,
}

impl Kind {
    /// In words, for messages.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::File => "a file",
            Self::Dir => "a folder",
            Self::Link => "a symbolic link",
            Self::Other => "neither file nor folder",
        }
    }
}

/// What `lstat` tells of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: Kind,
    /// The permission bits, as 0o644.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Device and inode: two paths on one file system have one device.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Last change of the contents, nanoseconds since 1970.
    pub modified: i128,
    /// Last change of the inode, nanoseconds since 1970; cannot be set by a program.
    pub changed: i128,
}

/// A file system that something lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSystem {
    /// Bytes that can still be written by others than root.
    pub free: u64,
    /// Whether programs on it cannot be run.
    pub no_exec: bool,
    /// Whether nothing on it can be written.
    pub read_only: bool,
}

/// A read-only question to a program of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Query {
    /// The program: an absolute path, or a name looked up in the system's own folders.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// How long it may take.
    #[serde(skip)]
    pub limit: Duration,
}

impl Query {
    /// Asks `program` with `args`, for 30 s at most.
    pub fn new<I: IntoIterator<Item = S>, S: Into<String>>(
        program: impl Into<String>,
        args: I,
    ) -> Self {
        Self {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            limit: Duration::from_secs(30),
        }
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.program)?;
        self.args.iter().try_for_each(|arg| write!(f, " {arg}"))
    }
}

/// What a program said and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output, at most 64 MiB.
    pub stdout: Vec<u8>,
    /// The end of standard error, trimmed.
    pub stderr: String,
}

impl Output {
    /// Whether it ended with 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }

    /// Standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// Whether a unit runs, in systemd's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnitActivity {
    /// `inactive` or unknown to systemd.
    #[default]
    Inactive,
    /// `activating` or `reloading`.
    Activating,
    /// `active`.
    Active,
    /// `deactivating`.
    Deactivating,
    /// `failed`.
    Failed,
}

/// What systemd knows of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unit {
    /// Whether systemd has a file for it.
    pub loaded: bool,
    /// Whether it is masked.
    pub masked: bool,
    /// Whether it starts at boot.
    pub enabled: bool,
    /// Whether it runs.
    pub activity: UnitActivity,
    /// Whether its file changed since systemd read it.
    pub needs_reload: bool,
    /// The main process, 0 when there is none.
    pub main_pid: u32,
}

/// Something about a host that is true or not, and that a program can wait for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Condition {
    /// Something lies at this path.
    Exists(PathBuf),
    /// Something in the folder whose name ends so was changed then or later.
    Changed {
        /// The folder.
        folder: PathBuf,
        /// How its name ends.
        ending: String,
        /// The time, in nanoseconds of Unix time.
        #[serde(skip)]
        since: i128,
    },
    /// The unit is active.
    UnitActive(String),
    /// The program ends with 0.
    Succeeds(Query),
    /// A TCP connection to this address is accepted.
    Listening(SocketAddr),
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(path) => write!(f, "{} exists", path.display()),
            Self::Changed { folder, ending, .. } => {
                write!(f, "a new {}/*{ending} exists", folder.display())
            }
            Self::UnitActive(unit) => write!(f, "{unit} is active"),
            Self::Succeeds(query) => write!(f, "`{query}` succeeds"),
            Self::Listening(address) => write!(f, "{address} accepts connections"),
        }
    }
}

/// Whether `bytes` stand anywhere in `text`; none stand nowhere.
pub(crate) fn stands_in(text: &[u8], bytes: &[u8]) -> bool {
    let Some(first) = bytes.first() else {
        return false;
    };
    let begins = text.iter().enumerate().filter(|(_, byte)| *byte == first);
    begins
        .into_iter()
        .any(|(at, _)| text[at..].starts_with(bytes))
}

/// Reads a host. Nothing here changes it.
pub trait Inspect {
    /// What lies at `path`, without following a link; `None` if nothing does.
    ///
    /// # Errors
    /// [`Error::File`], when it cannot be told.
    fn stat(&self, path: &Path) -> Result<Option<Stat>, Error>;

    /// The contents of a file, `None` if there is none; more than `limit` bytes are refused.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::TooLarge`].
    fn read(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Error>;

    /// The names in a folder, sorted; `None` if there is no such folder.
    ///
    /// # Errors
    /// [`Error::File`].
    fn list(&self, path: &Path) -> Result<Option<Vec<String>>, Error>;

    /// Where a symbolic link points; `None` if there is no link.
    ///
    /// # Errors
    /// [`Error::File`].
    fn read_link(&self, path: &Path) -> Result<Option<PathBuf>, Error>;

    /// The digest of a file of any size, `None` if there is none.
    ///
    /// # Errors
    /// [`Error::File`].
    fn digest(&self, path: &Path) -> Result<Option<Digest>, Error>;

    /// Whether any of these strings of bytes stands in a file of any size, `None` if there is no file.
    ///
    /// # Errors
    /// [`Error::File`].
    fn contains(&self, path: &Path, any: &[&[u8]]) -> Result<Option<bool>, Error> {
        let holds = |text: Vec<u8>| any.iter().any(|bytes| stands_in(&text, bytes));
        Ok(self.read(path, u64::MAX - 1)?.map(holds))
    }

    /// What systemd knows of a unit.
    ///
    /// # Errors
    /// When systemd cannot be asked.
    fn unit(&self, name: &str) -> Result<Unit, Error>;

    /// What systemd knows of several units, in their order: asked at once where that can be.
    ///
    /// # Errors
    /// When systemd cannot be asked.
    fn units(&self, names: &[&str]) -> Result<Vec<Unit>, Error> {
        names.iter().map(|name| self.unit(name)).collect()
    }

    /// Asks a program. Ending with another code than 0 is an answer, not an error.
    ///
    /// # Errors
    /// When it cannot be started or does not end in time.
    fn query(&self, query: &Query) -> Result<Output, Error>;

    /// Whether a condition holds that is about files alone; of another one, that it does not.
    ///
    /// # Errors
    /// [`Error::File`].
    fn lies_there(&self, condition: &Condition) -> Result<bool, Error> {
        match condition {
            Condition::Exists(path) => Ok(self.stat(path)?.is_some()),
            Condition::Changed {
                folder,
                ending,
                since,
            } => {
                let names = self.list(folder)?.unwrap_or_default();
                for name in names.iter().filter(|name| name.ends_with(ending)) {
                    let stat = self.stat(&folder.join(name))?;
                    if stat.is_some_and(|stat| stat.changed >= *since) {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    /// Whether `condition` holds now.
    ///
    /// # Errors
    /// When it cannot be told.
    fn holds(&self, condition: &Condition) -> Result<bool, Error>;

    /// What is known of the file system that `path` lies on, or will lie on once it is made; `None` where it cannot be
    /// told, as of a host in memory.
    ///
    /// # Errors
    /// [`Error::File`].
    fn file_system(&self, path: &Path) -> Result<Option<FileSystem>, Error> {
        let _ = path;
        Ok(None)
    }

    /// The folder that stands for the host's root: `/` on a running host.
    fn root(&self) -> &Path;

    /// Whether planned changes are only laid over what is there: a dry run.
    fn is_dry_run(&self) -> bool {
        false
    }

    /// The contents of a text file of at most 1 MiB, `None` if there is none.
    ///
    /// # Errors
    /// As [`Inspect::read`]; bytes that are no UTF-8 are replaced.
    fn read_text(&self, path: &Path) -> Result<Option<String>, Error> {
        Ok(self
            .read(path, 1 << 20)?
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }
}
