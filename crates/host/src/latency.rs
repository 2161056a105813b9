//! How long a disk takes until what was written is safe.
#![expect(clippy::disallowed_methods, reason = "writes a file that nobody sees")]

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;

use crate::Error;

/// Writes `size` bytes in `folder` again and again, each time until they are on the disk, and gives how long each took, the
/// shortest first. Stops when `enough` says so of all that were timed, and after `limit`. The file has no name when the
/// first byte is written: nothing is left, however this ends.
///
/// # Errors
/// [`Error::File`].
pub fn write_latency(
    folder: &Path,
    size: usize,
    enough: impl Fn(&[Duration]) -> bool,
    limit: Duration,
) -> Result<Vec<Duration>, Error> {
    let path = folder.join(format!(".latency.{}", std::process::id()));
    let error = || Error::file("write", &path);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(OFlag::O_DSYNC.bits())
        .open(&path)
        .map_err(error())?;
    fs::remove_file(&path).map_err(error())?;
    let (bytes, begun) = (vec![0; size], Instant::now());
    let mut took = Vec::new();
    while begun.elapsed() < limit && !enough(&took) {
        let start = Instant::now();
        file.write_all(&bytes).map_err(error())?;
        took.push(start.elapsed());
    }
    took.sort_unstable();
    Ok(took)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_writes_are_timed_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let ten = |took: &[Duration]| took.len() == 10;
        let took = write_latency(dir.path(), 2300, ten, Duration::from_secs(60)).unwrap();
        assert_eq!(took.len(), 10);
        assert!(took.is_sorted() && took[0] > Duration::ZERO);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let none = write_latency(dir.path(), 2300, ten, Duration::ZERO).unwrap();
        assert!(none.is_empty());
        assert!(write_latency(&dir.path().join("none"), 1, ten, Duration::ZERO).is_err());
    }
}
