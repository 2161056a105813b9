//! What a recovery of this control plane needs besides etcd and the authorities: every file that its static pods name or
//! mount, and kubeadm's configuration.
//!
//! What a recovery makes anew (the authorities and what they issue, kubeconfigs, keepalived's files) is not taken, nor is
//! what belongs to the system or what pods write. All else that is named and cannot be taken is told: a missing file, one
//! that is too large, a key that a KMS has.
//!
//! What it deliberately does not do: change anything, ask the API, or look at workers' pods.

mod contents;
mod kept;
mod pod;

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use api::{HostFile, HostFiles, HostFolder, LeftOut};
use capsule::files::{COUNT_LIMIT, FILE_LIMIT, TOTAL_LIMIT, is_plain};
use host::{Digest, Inspect, Kind, Stat};

use crate::phases::CONTROL_PLANE;
use crate::{Error, paths};
use contents::Named;
use kept::{is_made_anew, is_the_system_s};
use pod::Pod;

/// A mounted folder with more than this holds data, and not configuration.
const FOLDER_COUNT: usize = 500;
/// See [`FOLDER_COUNT`].
const FOLDER_SIZE: u64 = 16 << 20;
/// How deep folders and files that name files are gone into.
const DEPTH: usize = 8;
/// As many links lead to a file at most.
const LINKS: usize = 8;

/// Files and what is said of them.
pub(crate) struct Gathered {
    pub index: HostFiles,
    /// In the index's order.
    pub contents: Vec<Vec<u8>>,
}

/// Looks at this host; `include` is what the admin wants besides, files or folders.
///
/// # Errors
/// When the static pods cannot be read, or one of `include` is not there.
pub(crate) fn gather(
    seen: &dyn Inspect,
    hostname: &str,
    include: &[PathBuf],
) -> Result<Gathered, Error> {
    let mut gathering = Gathering {
        seen,
        found: Gathered {
            index: HostFiles::new(hostname),
            contents: Vec::new(),
        },
        taken: BTreeSet::new(),
        total: 0,
    };
    for name in seen.list(Path::new(paths::MANIFESTS))?.unwrap_or_default() {
        // The kubelet passes hidden files over, too.
        if !name.starts_with('.') {
            gathering.manifest(&Path::new(paths::MANIFESTS).join(&name), &name);
        }
    }
    let kubeadm = Path::new(paths::KUBEADM_CONFIG);
    if seen.stat(kubeadm)?.is_some() {
        gathering.file(kubeadm, "kubeadm's configuration", false);
    }
    for path in include {
        if !is_plain(path) || seen.stat(path)?.is_none() {
            return Err(Error::Settings(format!(
                "{} is to be taken along, and is not there",
                path.display()
            )));
        }
        gathering.named(path, "--include", &Pod::default(), 0);
    }
    gathering.folders()?;
    Ok(gathering.found)
}

struct Gathering<'s> {
    seen: &'s dyn Inspect,
    found: Gathered,
    /// Files, and what was said of others: everything is looked at once.
    taken: BTreeSet<PathBuf>,
    total: u64,
}

impl Gathering<'_> {
    fn left_out(&mut self, path: &Path, why: &str, what: impl Into<String>) {
        self.found.index.left_out.push(LeftOut {
            path: path.display().to_string(),
            why: why.to_owned(),
            what: what.into(),
        });
    }

    /// A static pod, what its arguments name and what it mounts.
    fn manifest(&mut self, path: &Path, name: &str) {
        let own = CONTROL_PLANE.contains(&name);
        let why = if own {
            "a control plane's static pod"
        } else {
            "a static pod"
        };
        let Some(text) = self.file(path, why, !own) else {
            return;
        };
        // nodeadm's own, whole.
        if name == "keepalived.yaml" {
            return;
        }
        let pod = match Pod::read(&String::from_utf8_lossy(&text)) {
            Ok(pod) => pod,
            Err(error) => {
                let what = format!("what it names is not known: {error}");
                return self.left_out(path, why, what);
            }
        };
        for argument in &pod.arguments {
            let why = format!("{} of {}", argument.flag, pod.name);
            // What is mounted nowhere lies in the image.
            let Some(path) = pod.on_host(&argument.container, &argument.path) else {
                continue;
            };
            self.named(&path, &why, &pod, 0);
            let taken = self.found.index.file(&path).is_some();
            if taken && argument.flag == "--encryption-provider-config" {
                self.found.index.encryption.push(path);
            }
        }
        for path in &pod.volumes {
            if !is_the_system_s(path) && !is_made_anew(path) {
                self.mounted(path, &format!("mounted by {}", pod.name));
            }
        }
    }

    /// Something that an argument, or another file, names: it and what it names itself.
    fn named(&mut self, path: &Path, why: &str, pod: &Pod, depth: usize) {
        if is_made_anew(path) || kept::is_written(path) {
            return;
        }
        let kind = match resolve(self.seen, path) {
            Ok(Some((_, stat))) => stat.kind,
            Ok(None) => return self.once(path, why, "it is not there"),
            Err(error) => return self.once(path, why, told(&error)),
        };
        match kind {
            Kind::Dir => self.tree(path, why),
            Kind::Other => self.once(path, why, "it is a socket, pipe or device"),
            Kind::File | Kind::Link => {
                let Some(bytes) = self.file(path, why, true) else {
                    return;
                };
                if depth < DEPTH {
                    self.inside(path, &bytes, pod, depth);
                }
            }
        }
    }

    /// What a file of configuration names.
    fn inside(&mut self, path: &Path, bytes: &[u8], pod: &Pod, depth: usize) {
        let why = format!("named in {}", path.display());
        for named in contents::named(bytes) {
            let found = match named {
                Named::Kms { name, endpoint } => {
                    let what = format!(
                        "the key is with the KMS plugin {name}: what it encrypted can be read with it alone"
                    );
                    self.left_out(Path::new(&endpoint), &why, what);
                    continue;
                }
                Named::Absolute(inside) => pod.anywhere(&inside),
                Named::Relative(name) => path.parent().map(|folder| folder.join(name)),
            };
            // A word that is no file's name is no fault.
            let Some(found) = found.filter(|found| is_plain(found)) else {
                continue;
            };
            let is_file = resolve(self.seen, &found)
                .is_ok_and(|there| there.is_some_and(|(_, stat)| stat.kind == Kind::File));
            if is_file && !is_the_system_s(&found) {
                self.named(&found, &why, pod, depth + 1);
            }
        }
    }

    fn mounted(&mut self, path: &Path, why: &str) {
        match resolve(self.seen, path) {
            Ok(Some((_, stat))) => match stat.kind {
                Kind::Dir => self.tree(path, why),
                Kind::Other => self.once(path, why, "it is a socket, pipe or device"),
                Kind::File | Kind::Link => drop(self.file(path, why, true)),
            },
            // The kubelet makes what is not there.
            Ok(None) => {}
            Err(error) => self.once(path, why, told(&error)),
        }
    }

    /// A folder: all of it, or nothing where it holds more than configuration.
    fn tree(&mut self, top: &Path, why: &str) {
        let mut walk = Walk::default();
        if let Err(error) = walk.add(self.seen, top, 0) {
            return self.once(top, why, told(&error));
        }
        if walk.full {
            let most = FOLDER_SIZE >> 20;
            let what = format!(
                "it holds more than configuration: above {FOLDER_COUNT} files, or {most} MiB"
            );
            return self.once(top, why, what);
        }
        for path in walk.files {
            self.file(&path, why, true);
        }
        for (path, what) in walk.left_out {
            self.once(&path, why, what);
        }
    }

    /// Tells of it, once.
    fn once(&mut self, path: &Path, why: &str, what: impl Into<String>) {
        if self.taken.insert(path.to_owned()) {
            self.left_out(path, why, what);
        }
    }

    /// Takes a file; gives its bytes the first time.
    fn file(&mut self, path: &Path, why: &str, put_back: bool) -> Option<Vec<u8>> {
        if !self.taken.insert(path.to_owned()) {
            return None;
        }
        match self.read(path) {
            Ok((stat, bytes)) => {
                self.total += bytes.len() as u64;
                self.found.index.files.push(HostFile {
                    path: path.to_owned(),
                    mode: stat.mode & 0o777,
                    uid: stat.uid,
                    gid: stat.gid,
                    size: bytes.len() as u64,
                    sha256: Digest::of(&bytes).to_string(),
                    why: why.to_owned(),
                    put_back,
                });
                self.found.contents.push(bytes.clone());
                Some(bytes)
            }
            Err(what) => {
                self.left_out(path, why, what);
                None
            }
        }
    }

    fn read(&self, path: &Path) -> Result<(Stat, Vec<u8>), String> {
        if !is_plain(path) {
            return Err("its name has no form that could be put back".to_owned());
        }
        let (real, stat) = resolve(self.seen, path)
            .map_err(|error| told(&error))?
            .ok_or("it is not there")?;
        if stat.kind != Kind::File {
            return Err(format!("it is {}", stat.kind.words()));
        }
        let size = stat.size;
        if size > FILE_LIMIT {
            let most = FILE_LIMIT >> 20;
            return Err(format!(
                "it is too large: {size} bytes, more than {most} MiB"
            ));
        }
        if self.total + size > TOTAL_LIMIT || self.found.index.files.len() >= COUNT_LIMIT {
            return Err("all files together are too large".to_owned());
        }
        let read = self.seen.read(&real, FILE_LIMIT);
        let bytes = read.map_err(|error| told(&error))?;
        Ok((stat, bytes.ok_or("it is gone")?))
    }

    /// The folders that the files which are put back lie in, with their modes.
    fn folders(&mut self) -> Result<(), Error> {
        let mut folders = BTreeSet::new();
        for file in self.found.index.files.iter().filter(|file| file.put_back) {
            let above = file.path.ancestors().skip(1);
            folders.extend(
                above
                    .filter(|path| *path != Path::new("/"))
                    .map(Path::to_owned),
            );
        }
        for path in folders {
            if let Some(stat) = self.seen.stat(&path)?.filter(|stat| stat.kind == Kind::Dir) {
                let mode = stat.mode;
                self.found.index.folders.push(HostFolder { path, mode });
            }
        }
        Ok(())
    }
}

/// The files of a folder, before any is read.
#[derive(Default)]
struct Walk {
    files: Vec<PathBuf>,
    left_out: Vec<(PathBuf, &'static str)>,
    size: u64,
    full: bool,
}

impl Walk {
    fn add(&mut self, seen: &dyn Inspect, folder: &Path, depth: usize) -> Result<(), Error> {
        for name in seen.list(folder)?.unwrap_or_default() {
            let path = folder.join(name);
            if self.full || is_made_anew(&path) || is_the_system_s(&path) {
                continue;
            }
            let Some((_, stat)) = resolve(seen, &path)? else {
                self.left_out.push((path, "it is a link to nothing"));
                continue;
            };
            let is_link = seen.stat(&path)?.is_some_and(|own| own.kind == Kind::Link);
            match stat.kind {
                Kind::File | Kind::Link => {
                    self.size += stat.size;
                    self.files.push(path);
                }
                Kind::Dir if is_link => self.left_out.push((path, "it is a link to a folder")),
                Kind::Dir if depth < DEPTH => self.add(seen, &path, depth + 1)?,
                Kind::Dir => self.left_out.push((path, "it lies too deep")),
                Kind::Other => self.left_out.push((path, "it is a socket, pipe or device")),
            }
            self.full |= self.files.len() > FOLDER_COUNT || self.size > FOLDER_SIZE;
        }
        Ok(())
    }
}

/// What a path leads to in the end, and what lies there; `None` where nothing does.
fn resolve(seen: &dyn Inspect, path: &Path) -> Result<Option<(PathBuf, Stat)>, host::Error> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let Some(stat) = seen.stat(&path)? else {
            return Ok(None);
        };
        if stat.kind != Kind::Link {
            return Ok(Some((path, stat)));
        }
        let Some(target) = seen.read_link(&path)? else {
            return Ok(None);
        };
        path = plain(&path.parent().unwrap_or(Path::new("/")).join(target));
    }
    Ok(None)
}

/// An error with its causes, in one line.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

/// Without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => drop(out.pop()),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests;
