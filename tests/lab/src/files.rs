//! Small file helpers whose errors carry the path.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};

use crate::error::Error;

/// Makes a folder and those above it.
pub(crate) fn make_dir(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(Error::io("make folder", path))
}

/// Writes a whole file with this mode, set before there is anything in it.
pub(crate) fn write(path: &Path, bytes: impl AsRef<[u8]>, mode: u32) -> Result<(), Error> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .map_err(Error::io("open", path))?;
    // The mode of `open` is subject to the umask, and does nothing when the file was there before.
    file.set_permissions(fs::Permissions::from_mode(mode))
        .map_err(Error::io("set the mode of", path))?;
    file.write_all(bytes.as_ref())
        .map_err(Error::io("write", path))
}

/// Writes a file beside its place and moves it there: a reader sees the old or the new one, never half of it.
pub(crate) fn replace(path: &Path, bytes: impl AsRef<[u8]>, mode: u32) -> Result<(), Error> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = std::path::PathBuf::from(beside);
    write(&beside, bytes, mode)?;
    fs::rename(&beside, path).map_err(Error::io("replace", path))
}

/// Reads a small text file.
pub(crate) fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(Error::io("read", path))
}

/// Removes a file if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Removes a tree if it is there.
pub(crate) fn remove_tree(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Makes a symbolic link, in place of whatever file or link had that name.
pub(crate) fn link(target: &str, path: &Path) -> Result<(), Error> {
    remove(path)?;
    std::os::unix::fs::symlink(target, path).map_err(Error::io("link", path))
}

/// Names in a folder, sorted; none if there is no such folder.
pub(crate) fn names(path: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("list", path)(e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(
            entry
                .map_err(Error::io("list", path))?
                .file_name()
                .to_string_lossy()
                .into_owned(),
        );
    }
    names.sort();
    Ok(names)
}

/// Takes the lock that this file stands for; `None` if somebody else has it. It ends with the value, or with the process.
pub(crate) fn try_lock(path: &Path) -> Result<Option<Flock<fs::File>>, Error> {
    take(path, FlockArg::LockExclusiveNonblock)
}

/// Takes the lock that this file stands for, when it is free.
pub(crate) fn lock(path: &Path) -> Result<Flock<fs::File>, Error> {
    loop {
        if let Some(lock) = take(path, FlockArg::LockExclusive)? {
            return Ok(lock);
        }
    }
}

fn take(path: &Path, how: FlockArg) -> Result<Option<Flock<fs::File>>, Error> {
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(Error::io("open", path))?;
    match Flock::lock(file, how) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, nix::errno::Errno::EWOULDBLOCK | nix::errno::Errno::EINTR)) => Ok(None),
        Err((_, source)) => Err(Error::Sys {
            call: "flock",
            target: path.display().to_string(),
            source,
        }),
    }
}
