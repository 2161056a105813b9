//! What can go wrong in a lab.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// An error of the lab; each names the host, path or command that it is about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file system call failed.
    #[error("cannot {what} {path}", path = path.display())]
    Io {
        /// What was tried, as a verb.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A system call other than on a plain file failed.
    #[error("{call} failed for {target}")]
    Sys {
        /// The call.
        call: &'static str,
        /// What it was about.
        target: String,
        /// Why not.
        source: nix::errno::Errno,
    },
    /// A program could not be started.
    #[error("cannot start {argv}")]
    Spawn {
        /// The command.
        argv: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A program ended badly.
    #[error("{label}: {argv} ended with {status}: {stderr}")]
    Failed {
        /// Where it ran.
        label: String,
        /// The command.
        argv: String,
        /// Its exit code, or the signal that ended it.
        status: String,
        /// The end of what it said.
        stderr: String,
    },
    /// A program did not end in time.
    #[error("{label}: {argv} did not end within {limit:?}")]
    Timeout {
        /// Where it ran.
        label: String,
        /// The command.
        argv: String,
        /// The time that it had.
        limit: Duration,
    },
    /// A condition did not come about in time.
    #[error("not within {limit:?}: {what}")]
    Deadline {
        /// The condition.
        what: String,
        /// The time that it had.
        limit: Duration,
    },
    /// A host did not come up, or went down at once.
    #[error("{host} did not start: {console}")]
    Boot {
        /// The host.
        host: String,
        /// The end of its console.
        console: String,
    },
    /// The host is off, and what was asked needs a running one.
    #[error("{host} is off")]
    Off {
        /// The host.
        host: String,
    },
    /// The host is on, and what was asked needs it to be off.
    #[error("{host} is on")]
    On {
        /// The host.
        host: String,
    },
    /// There is no such host in this lab.
    #[error("lab {lab} has no host {host}")]
    NoHost {
        /// The lab.
        lab: String,
        /// The host.
        host: String,
    },
    /// Something in a configuration cannot be used.
    #[error("{what} {value:?}: {rule}")]
    Config {
        /// Which setting.
        what: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        rule: &'static str,
    },
    /// Another process runs a lab of this name.
    #[error("lab {name} is in use by another process")]
    InUse {
        /// The lab.
        name: String,
    },
    /// A lab of this name was left up on purpose.
    #[error("lab {name} was left standing in {dir}: attach to it, or take it down first", dir = dir.display())]
    Standing {
        /// The lab.
        name: String,
        /// Its folder.
        dir: PathBuf,
    },
    /// A file of the lab's own does not say what it should.
    #[error("{path} is not what the lab wrote", path = path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: serde_json::Error,
    },
    /// Something that was to be taken away is still there.
    #[error("left behind: {what}")]
    Leftover {
        /// What it is.
        what: String,
    },
    /// The machine cannot do this.
    #[error("this machine cannot {what}")]
    Unsupported {
        /// What it cannot do.
        what: &'static str,
    },
}

impl Error {
    /// For `map_err`: an I/O error with its verb and path.
    pub(crate) fn io<'a>(
        what: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(std::io::Error) -> Self + 'a {
        move |source| Self::Io {
            what,
            path: path.to_path_buf(),
            source,
        }
    }

    /// For `map_err`: a system call's error with its target.
    pub(crate) fn sys(
        call: &'static str,
        target: impl Into<String>,
    ) -> impl FnOnce(nix::errno::Errno) -> Self {
        let target = target.into();
        move |source| Self::Sys {
            call,
            target,
            source,
        }
    }
}
