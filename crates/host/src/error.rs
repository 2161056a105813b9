//! What can go wrong on a host, each with the path, unit or program that it went wrong with.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A failure to see or change a host.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read, written, made or moved.
    #[error("could not {action} {path}")]
    File {
        /// What was tried: `read`, `write`, `rename`, …
        action: &'static str,
        /// The path on the host.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is larger than anything that belongs there.
    #[error("{path} is {size} bytes, more than the {limit} that are read of such a file")]
    TooLarge {
        /// The path on the host.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The bound in bytes.
        limit: u64,
    },
    /// Something else lies where a file, folder or link is to be.
    #[error("{path} is {found}, not {wanted}")]
    InTheWay {
        /// The path on the host.
        path: PathBuf,
        /// What lies there.
        found: &'static str,
        /// What was to be there.
        wanted: &'static str,
    },
    /// A program could not be started.
    #[error("could not run {argv}")]
    Spawn {
        /// The argument vector, secrets are never in one.
        argv: String,
        /// Why not.
        source: io::Error,
    },
    /// A program ran and failed.
    #[error("{argv} failed ({status}){}", stderr_tail(.stderr))]
    Failed {
        /// The argument vector.
        argv: String,
        /// How it ended, as `exit code 1` or `signal 9`.
        status: String,
        /// The end of what it said on standard error.
        stderr: String,
    },
    /// A program did not end in time and was killed.
    #[error("{argv} did not end within {limit:?} and was killed{}", stderr_tail(.stderr))]
    Timeout {
        /// The argument vector.
        argv: String,
        /// How long it had.
        limit: Duration,
        /// The end of what it said on standard error.
        stderr: String,
    },
    /// A program said something that could not be understood.
    #[error("{argv} printed something unexpected: {detail}")]
    Output {
        /// The argument vector.
        argv: String,
        /// What was wrong with it.
        detail: String,
    },
    /// A unit did not come up.
    #[error("unit {unit} is {state}{}", log_tail(.log))]
    Unit {
        /// The unit's name.
        unit: String,
        /// Its state in systemd's words.
        state: String,
        /// The end of its log.
        log: String,
    },
    /// A condition did not come true in time.
    #[error("{reason}: not within {}s{}", .limit.as_secs(), last_seen(.last))]
    Deadline {
        /// What was waited for.
        reason: String,
        /// How long.
        limit: Duration,
        /// What was seen last.
        last: String,
    },
    /// Units and programs belong to a running host, not to a folder that stands for one.
    #[error("{what} needs the running host, not the folder {root}")]
    NotRunning {
        /// What was to be done.
        what: String,
        /// The folder that stood for the host's root.
        root: PathBuf,
    },
}

impl Error {
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }
}

fn stderr_tail(stderr: &str) -> String {
    if stderr.is_empty() {
        String::new()
    } else {
        format!(": {stderr}")
    }
}

fn log_tail(log: &str) -> String {
    if log.is_empty() {
        String::new()
    } else {
        format!("; the end of its log:\n{log}")
    }
}

fn last_seen(last: &str) -> String {
    if last.is_empty() {
        String::new()
    } else {
        format!(" (last seen: {last})")
    }
}
