//! A folder that appears whole or not at all.
#![expect(
    clippy::disallowed_methods,
    reason = "layouts are written here and in the store, beside their place"
)]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::oci;

/// A folder being filled beside its place. Dropped before [`PendingFolder::commit`], it is removed with what is in it.
#[derive(Debug)]
pub(crate) struct PendingFolder {
    target: PathBuf,
    temporary: PathBuf,
    committed: bool,
}

impl PendingFolder {
    /// Begins a folder that is to lie at `target`, where nothing may lie yet but an empty folder.
    pub(crate) fn new(target: &Path) -> io::Result<Self> {
        let taken = || io::Error::from(io::ErrorKind::AlreadyExists);
        match fs::symlink_metadata(target) {
            Ok(metadata) if !metadata.is_dir() || fs::read_dir(target)?.next().is_some() => {
                return Err(taken());
            }
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let name = target.file_name().ok_or_else(taken)?.to_string_lossy();
        let temporary = target.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
        fs::create_dir(&temporary)?;
        Ok(PendingFolder {
            target: target.to_owned(),
            temporary,
            committed: false,
        })
    }

    /// Where it lies meanwhile.
    pub(crate) fn path(&self) -> &Path {
        &self.temporary
    }

    /// Makes an empty layout in it, without an index.
    pub(crate) fn make_layout(&self) -> io::Result<()> {
        make_layout(&self.temporary)
    }

    /// Removes a file that was written into it.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.temporary.join(name))
    }

    /// Gives it its place, durably. `rename` replaces an empty folder, never one with something in it.
    pub(crate) fn commit(mut self) -> io::Result<()> {
        sync(&self.temporary)?;
        fs::rename(&self.temporary, &self.target)?;
        self.committed = true;
        match self.target.parent() {
            Some(parent) if parent != Path::new("") => sync(parent),
            _ => sync(Path::new(".")),
        }
    }
}

impl Drop for PendingFolder {
    fn drop(&mut self) {
        if !self.committed {
            // Only what this process wrote is in it; its name says that it is temporary.
            let _ = fs::remove_dir_all(&self.temporary);
        }
    }
}

/// A new file in a pending folder.
pub(crate) fn create_file(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
}

/// Makes the folders and the marker of a layout where they are missing. The index comes last, by whoever fills it.
pub(crate) fn make_layout(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path.join("blobs/sha256"))?;
    let marker = path.join("oci-layout");
    if fs::read(&marker).is_ok_and(|bytes| oci::is_layout_marker(&bytes)) {
        return Ok(());
    }
    host::write_atomically(&marker, 0o644, oci::LAYOUT_MARKER).map_err(io::Error::other)
}

/// Removes the working folder of a bundle that is there now, and nothing that this crate did not put into it.
pub(crate) fn remove_work(work: &Path) -> io::Result<()> {
    for name in ["files", "blobs"] {
        match fs::remove_dir_all(work.join(name)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    match fs::remove_dir(work) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Removes the temporary files in `folder` that nobody writes any more, of those whose final name `is_ours`.
///
/// Their names, `.NAME.PROCESS-NUMBER.tmp`, tell who wrote them; a process that still does has them open. (That a process
/// of this number lives says nothing: after a power loss the numbers begin anew.)
pub(crate) fn remove_abandoned(folder: &Path, is_ours: &dyn Fn(&str) -> bool) -> io::Result<()> {
    let folder = match folder.canonicalize() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for item in fs::read_dir(&folder)? {
        let name = item?.file_name();
        let path = folder.join(&name);
        if let Some((ours, process)) = name.to_str().and_then(parse_temporary)
            && is_ours(ours)
            && !is_open(&path, process)
        {
            match fs::remove_file(&path) {
                // Another run has removed it.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
    }
    Ok(())
}

/// The final name and the process of a temporary file.
fn parse_temporary(name: &str) -> Option<(&str, u32)> {
    let (ours, unique) = name
        .strip_prefix('.')?
        .strip_suffix(".tmp")?
        .rsplit_once('.')?;
    let (process, number) = unique.split_once('-')?;
    number.parse::<u64>().ok()?;
    Some((ours, process.parse().ok()?))
}

/// Whether `process` has the file open. Where that cannot be seen, it may have.
fn is_open(path: &Path, process: u32) -> bool {
    match fs::read_dir(format!("/proc/{process}/fd")) {
        Err(e) => e.kind() != io::ErrorKind::NotFound,
        Ok(open) => open
            .flatten()
            .any(|link| fs::read_link(link.path()).is_ok_and(|to| to == path)),
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}
