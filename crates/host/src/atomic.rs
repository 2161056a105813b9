//! Files that appear whole or not at all.
#![expect(clippy::disallowed_methods, reason = "this is where files are written")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Error;

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// A file being written beside its place: it has its final mode from its creation, and takes its place by
/// [`Pending::commit`]. Dropped before, it leaves nothing behind.
#[derive(Debug)]
pub struct Pending {
    target: PathBuf,
    temporary: PathBuf,
    file: File,
    committed: bool,
}

impl Pending {
    /// Begins a file that is to lie at `target` with the permission bits `mode`.
    ///
    /// # Errors
    /// [`Error::File`], when nothing can be written in that folder.
    pub fn new(target: &Path, mode: u32) -> Result<Self, Error> {
        let temporary = beside(target)?;
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode & 0o700)
            .open(&temporary)
            .map_err(Error::file("write", target))?;
        let pending = Self {
            target: target.to_owned(),
            temporary,
            file,
            committed: false,
        };
        // The umask may have taken bits away; wider ones are given only now that the name is ours.
        pending
            .file
            .set_permissions(fs::Permissions::from_mode(mode))
            .map_err(Error::file("set the mode of", target))?;
        Ok(pending)
    }

    /// Where the file will lie.
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Makes the contents durable, without giving them their place yet.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn sync(&self) -> Result<(), Error> {
        self.file
            .sync_all()
            .map_err(Error::file("sync", &self.target))
    }

    /// Gives the file its place, durably.
    ///
    /// # Errors
    /// [`Error::File`]; the old file is then still in place.
    pub fn commit(self) -> Result<(), Error> {
        self.sync()?;
        sync_folder_of(&self.place()?)
    }

    /// Gives the file its place, and does not wait for the disk: after a power loss anything may be there, or nothing. For
    /// what is made anew by the next run.
    ///
    /// # Errors
    /// [`Error::File`]; the old file is then still in place.
    pub fn place(mut self) -> Result<PathBuf, Error> {
        fs::rename(&self.temporary, &self.target).map_err(Error::file("write", &self.target))?;
        self.committed = true;
        Ok(self.target.clone())
    }
}

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.committed {
            // Nothing is lost if this fails: the name says that it is temporary.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Removes what killed processes left beside the place of `name`: it may be a whole key. What a process that lives is
/// writing there stays.
fn clear_leftovers(folder: &Path, name: &str) -> Result<(), Error> {
    let processes = Path::new("/proc");
    // No folder: the writing itself will say so. No /proc: nobody can be told to be dead.
    let Some(entries) = fs::read_dir(folder)
        .ok()
        .filter(|_| processes.join("self").exists())
    else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let entry_name = entry.file_name();
        let Some(writer) = entry_name.to_str().and_then(|entry| writer(entry, name)) else {
            continue;
        };
        if processes.join(writer).exists() {
            continue;
        }
        if let Err(source) = fs::remove_file(entry.path())
            && source.kind() != io::ErrorKind::NotFound
        {
            return Err(Error::File {
                action: "remove",
                path: entry.path(),
                source,
            });
        }
    }
    Ok(())
}

/// The id of the process that writes `name` into the temporary file `entry`, if it is one.
fn writer<'e>(entry: &'e str, name: &str) -> Option<&'e str> {
    let rest = entry.strip_prefix('.')?.strip_prefix(name)?;
    let (process, count) = rest
        .strip_prefix('.')?
        .strip_suffix(".tmp")?
        .split_once('-')?;
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (number(process) && number(count)).then_some(process)
}

/// Writes `content` at `target` so that a reader, or a host that lost power, finds the old file or the new one.
///
/// # Errors
/// [`Error::File`]; the old file is then still in place.
pub fn write_atomically(target: &Path, mode: u32, content: &[u8]) -> Result<(), Error> {
    let mut pending = Pending::new(target, mode)?;
    pending
        .write_all(content)
        .map_err(Error::file("write", target))?;
    pending.commit()
}

/// Makes `path` a symbolic link to `target`, in the place of another link or of nothing.
///
/// # Errors
/// [`Error::File`]; what was there is then still in place.
pub(crate) fn link_atomically(path: &Path, target: &Path) -> Result<(), Error> {
    let temporary = beside(path)?;
    std::os::unix::fs::symlink(target, &temporary).map_err(Error::file("link", path))?;
    fs::rename(&temporary, path).map_err(Error::file("link", path))?;
    sync_folder_of(path)
}

/// A free name beside `target` for what is to take its place. What killed runs left of such names is removed.
fn beside(target: &Path) -> Result<PathBuf, Error> {
    let folder = folder_of(target);
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    clear_leftovers(folder, &name)?;
    let unique = COUNTER.fetch_add(1, Ordering::Relaxed);
    let temporary = folder.join(format!(".{name}.{}-{unique}.tmp", std::process::id()));
    // What a killed run with the same process id left is nobody's.
    match fs::remove_file(&temporary) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::File {
            action: "remove",
            path: temporary,
            source,
        }),
        _ => Ok(temporary),
    }
}

/// Where a file lies: a bare name lies in the present folder.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        None => Path::new("/"),
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
    }
}

pub(crate) fn sync_folder_of(path: &Path) -> Result<(), Error> {
    let folder = folder_of(path);
    File::open(folder)
        .and_then(|f| f.sync_all())
        .map_err(Error::file("sync", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_whole_and_with_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let mut pending = Pending::new(&path, 0o600).unwrap();
        pending.write_all(b"half").unwrap();
        assert!(!path.exists());
        drop(pending);
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            0,
            "a dropped file leaves nothing"
        );

        for (mode, content) in [(0o600, "one"), (0o666, "two")] {
            write_atomically(&path, mode, content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
                mode
            );
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_writer_left_goes_with_the_next_writing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let living = Pending::new(&path, 0o600).unwrap();
        // No process has a number as large as this.
        for name in [
            ".key.999999999-3.tmp",
            ".key.old.999999999-3.tmp",
            ".key.x-3.tmp",
        ] {
            fs::write(dir.path().join(name), "secret").unwrap();
        }
        write_atomically(&path, 0o600, b"new").unwrap();
        living.commit().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("old", dir.path().join(".link.999999999-0.tmp")).unwrap();
        link_atomically(&link, Path::new("key")).unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("key"));
        fs::remove_file(link).unwrap();
        let mut names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, [".key.old.999999999-3.tmp", ".key.x-3.tmp", "key"]);
    }

    #[test]
    fn a_failure_names_the_file_that_was_to_be() {
        let error = write_atomically(Path::new("/nowhere/at/all"), 0o644, b"").unwrap_err();
        assert_eq!(error.to_string(), "could not write /nowhere/at/all");
    }
}
