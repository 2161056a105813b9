//! One run at a time on a host.
#![expect(
    clippy::disallowed_methods,
    reason = "a lock file is neither plan nor data"
)]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// Held while it lives. The kernel gives it back when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: Flock<File>,
}

/// The lock cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run holds it.
    #[error("another run holds {path}: {owner}")]
    Held {
        /// The lock file.
        path: PathBuf,
        /// What the holder wrote into it.
        owner: String,
    },
    /// The file cannot be opened.
    #[error("could not lock {path}")]
    File {
        /// The lock file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Lock {
    /// Takes the lock at `path` at once or not at all; `owner` tells others who holds it.
    ///
    /// # Errors
    /// [`LockError::Held`] with the holder's words, [`LockError::File`].
    pub fn take(path: &Path, owner: &str) -> Result<Self, LockError> {
        let error = |source| LockError::File {
            path: path.to_owned(),
            source,
        };
        if let Some(folder) = path.parent() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(error)?;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(error)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut file) => {
                file.set_len(0)
                    .and_then(|()| file.rewind())
                    .map_err(error)?;
                writeln!(file, "{owner}").map_err(error)?;
                Ok(Self { _file: file })
            }
            Err((mut file, Errno::EWOULDBLOCK)) => {
                let mut owner = String::new();
                let _ = Read::by_ref(&mut file).take(200).read_to_string(&mut owner);
                Err(LockError::Held {
                    path: path.to_owned(),
                    owner: owner.trim().to_owned(),
                })
            }
            Err((_, errno)) => Err(error(errno.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_is_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lib/lock");
        let first = Lock::take(&path, "etcdadm init, process 7").unwrap();
        let error = Lock::take(&path, "etcdadm join, process 8").unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "another run holds {}: etcdadm init, process 7",
                path.display()
            )
        );
        drop(first);
        Lock::take(&path, "etcdadm join, process 8").unwrap();
    }
}
