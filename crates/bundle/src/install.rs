//! The change "put these members of that blob into their places".
//!
//! The blob, a plain file or a tar compressed with gzip, is read once: its digest is computed on the way, its members are
//! written beside their places with their final modes and synced. Only when the whole blob was what it should be are they
//! renamed; until then no file of the host is touched. Last comes a receipt, which tells the next run by `stat` alone
//! that nothing is left to do ([`Install::is_done`]), so that hundreds of megabytes are not hashed to find that out.
//!
//! It is data: a tool puts it into its own `Change` type and calls [`Install::apply`] with the host's root folder, or
//! [`Install::rehearse`] with the overlay of a dry run. It makes no folder above the targets' own, follows no link
//! inside an archive and takes no path from one.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use host::{Digest, Host, Inspect, Pending};
use serde::{Deserialize, Serialize};

use crate::contents::is_plain_name;
use crate::folder;
use crate::receipt::{Receipt, ReceiptFile};
use crate::tar_stream::{self, Entries, Kind};
use crate::verifying_reader::VerifyingReader;

/// Most bytes that one installed file may have.
const MAX_FILE: u64 = 4 << 30;
/// Most bytes that an archive may unpack to.
const MAX_UNPACKED: u64 = 64 << 30;

/// Files cannot be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The blob cannot be opened.
    #[error("cannot read {path}")]
    Open {
        /// The blob, as the host names it.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The blob is not what it should be (a [`crate::Mismatch`] is in the chain), or cannot be read. Nothing was
    /// installed.
    #[error("{path} is damaged or cannot be read; nothing was installed from it")]
    Blob {
        /// The blob, as the host names it.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The blob is no sound archive. Nothing was installed.
    #[error("{path} is no sound tar archive; nothing was installed from it")]
    Archive {
        /// The blob, as the host names it.
        path: PathBuf,
        /// The cause.
        source: tar_stream::Error,
    },
    /// The blob lacks a member. Nothing was installed.
    #[error("{path} has no file {member}; nothing was installed from it")]
    NoMember {
        /// The blob, as the host names it.
        path: PathBuf,
        /// The member.
        member: String,
    },
    /// A member is not what can be installed. Nothing was installed.
    #[error("{path}: its member {member} {what}; nothing was installed from it")]
    BadMember {
        /// The blob, as the host names it.
        path: PathBuf,
        /// The member.
        member: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// One blob is either a file or an archive.
    #[error("{component} cannot be installed both as a file and as an archive")]
    Mixed {
        /// What was to be installed, in words.
        component: String,
    },
    /// A place cannot be written to.
    #[error("cannot write {path}")]
    Write {
        /// The file, as the host names it.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file cannot be given its place, or the host cannot be observed.
    #[error(transparent)]
    Host(#[from] host::Error),
}

/// Puts members of one blob into their places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Install {
    /// What is installed, in words, as `etcd v3.7.3`.
    pub component: String,
    /// The blob, as the host names it.
    pub archive: PathBuf,
    /// Its digest.
    pub digest: Digest,
    /// The files that come out of it.
    #[serde(default)]
    pub files: Vec<InstallFile>,
    /// The folders whose programs come out of it.
    #[serde(default)]
    pub folders: Vec<InstallFolder>,
    /// Where the receipt lies, as the host names it.
    pub receipt: PathBuf,
}

/// One file to be installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallFile {
    /// Its name in the archive, as `etcd-v3.7.3-linux-amd64/etcd`; `None` for the blob itself.
    pub member: Option<String>,
    /// Where it goes, as the host names it.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
}

/// A folder of an archive, all of whose programs (executable regular files directly in it) are to be installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallFolder {
    /// Its name in the archive; empty for the top.
    pub member: String,
    /// The folder that they go to, as the host names it.
    pub path: PathBuf,
    /// Their permission bits.
    pub mode: u32,
}

impl fmt::Display for Install {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "install {} from sha256 {}…: ",
            self.component,
            &self.digest.to_string()[..12]
        )?;
        let files = self
            .files
            .iter()
            .map(|file| file.path.display().to_string());
        let folders = self
            .folders
            .iter()
            .map(|folder| format!("programs into {}", folder.path.display()));
        write!(f, "{}", files.chain(folders).collect::<Vec<_>>().join(", "))
    }
}

/// A file written beside its place.
struct Written {
    pending: Pending,
    /// As the host names it.
    path: PathBuf,
    mode: u32,
    digest: Digest,
    size: u64,
}

impl Install {
    /// Whether nothing is left to do: the receipt is of this blob, and every file of it is still what was installed,
    /// told by size, mode, time and inode, and where these differ by digest.
    ///
    /// # Errors
    /// When the host cannot be observed.
    pub fn is_done(&self, seen: &(impl Inspect + ?Sized)) -> Result<bool, host::Error> {
        let Some(receipt) = Receipt::read(seen, &self.receipt)? else {
            return Ok(false);
        };
        if receipt.archive != self.digest || receipt.folders != self.folders {
            return Ok(false);
        }
        let all_listed = self.files.iter().all(|file| {
            receipt.files.iter().any(|done| {
                done.path == file.path && done.mode == file.mode && done.member == file.member
            })
        });
        Ok(all_listed && receipt.holds(seen)?)
    }

    /// Makes the change on the host whose root folder is `root`. Folders of targets and receipt must be there.
    ///
    /// # Errors
    /// [`InstallError`]; the files at the places are then the old ones, unless the renaming itself failed half-way, which
    /// a second run mends.
    pub fn apply(&self, root: &Path) -> Result<(), InstallError> {
        let real = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
        let file =
            std::fs::File::open(real(&self.archive)).map_err(|source| InstallError::Open {
                path: self.archive.clone(),
                source,
            })?;
        self.remove_abandoned(&real)?;
        let mut blob = VerifyingReader::of_unknown_size(file, self.digest);
        let whole = self
            .files
            .iter()
            .filter(|file| file.member.is_none())
            .count();
        let written = match whole {
            0 => self.write_members(&mut blob, &real)?,
            n if n == self.files.len() && self.folders.is_empty() => {
                self.write_blob(&mut blob, &real)?
            }
            _ => {
                return Err(InstallError::Mixed {
                    component: self.component.clone(),
                });
            }
        };
        for (_, file) in &written {
            file.pending.sync()?;
        }
        let mut files = Vec::new();
        for (member, file) in written {
            let target = file.pending.target().to_owned();
            file.pending.commit()?;
            let write_error = |source| InstallError::Write {
                path: file.path.clone(),
                source,
            };
            let metadata = target.symlink_metadata().map_err(write_error)?;
            files.push(ReceiptFile {
                member,
                path: file.path,
                mode: file.mode,
                sha256: file.digest,
                size: file.size,
                modified: i128::from(metadata.mtime()) * 1_000_000_000
                    + i128::from(metadata.mtime_nsec()),
                inode: metadata.ino(),
            });
        }
        let receipt = self.receipt_of(files);
        Ok(host::write_atomically(
            &real(&self.receipt),
            0o644,
            &receipt.to_bytes(),
        )?)
    }

    /// Shows the change's effect on `host`, which is the overlay of a dry run: empty files stand for those that would be
    /// installed, and the receipt says so.
    ///
    /// # Errors
    /// As the host's.
    pub fn rehearse(&self, host: &mut (impl Host + ?Sized)) -> Result<(), host::Error> {
        let mut files = Vec::new();
        for InstallFile { member, path, mode } in self.files.iter().cloned() {
            host.apply(&host::Change::WriteFile {
                path: path.clone(),
                mode,
                content: Vec::new().into(),
            })?;
            let sha256 = Digest::of(b"");
            files.push(ReceiptFile {
                member,
                path,
                mode,
                sha256,
                size: 0,
                modified: 0,
                inode: 0,
            });
        }
        let content = self.receipt_of(files).to_bytes().into();
        host.apply(&host::Change::WriteFile {
            path: self.receipt.clone(),
            mode: 0o644,
            content,
        })
    }

    /// Removes what runs that were killed left beside the places.
    fn remove_abandoned(&self, real: &dyn Fn(&Path) -> PathBuf) -> Result<(), InstallError> {
        let remove = |folder: &Path, is_ours: &dyn Fn(&str) -> bool| {
            folder::remove_abandoned(&real(folder), is_ours).map_err(|source| InstallError::Write {
                path: folder.to_owned(),
                source,
            })
        };
        for path in self
            .files
            .iter()
            .map(|file| &file.path)
            .chain([&self.receipt])
        {
            let own = path.file_name().unwrap_or_default().to_string_lossy();
            remove(path.parent().unwrap_or(Path::new("/")), &|name| name == own)?;
        }
        self.folders
            .iter()
            .try_for_each(|wanted| remove(&wanted.path, &is_plain_name))
    }

    fn receipt_of(&self, files: Vec<ReceiptFile>) -> Receipt {
        Receipt {
            component: self.component.clone(),
            archive: self.digest,
            folders: self.folders.clone(),
            files,
        }
    }

    fn blob_error(&self, source: io::Error) -> InstallError {
        InstallError::Blob {
            path: self.archive.clone(),
            source,
        }
    }

    /// The blob is the file, at as many places as are asked for.
    fn write_blob(
        &self,
        blob: &mut impl Read,
        real: &dyn Fn(&Path) -> PathBuf,
    ) -> Result<Vec<(Option<String>, Written)>, InstallError> {
        let mut places = Vec::new();
        for file in &self.files {
            places.push((file, Pending::new(&real(&file.path), file.mode)?));
        }
        let mut size = 0;
        let mut buffer = vec![0; 128 * 1024];
        loop {
            let n = blob
                .read(&mut buffer)
                .map_err(|source| self.blob_error(source))?;
            if n == 0 {
                break;
            }
            size += n as u64;
            for (file, pending) in &mut places {
                let write_error = |source| InstallError::Write {
                    path: file.path.clone(),
                    source,
                };
                pending.write_all(&buffer[..n]).map_err(write_error)?;
            }
        }
        let written = |(file, pending): (&InstallFile, Pending)| {
            let InstallFile { path, mode, .. } = file.clone();
            (
                None,
                Written {
                    pending,
                    path,
                    mode,
                    digest: self.digest,
                    size,
                },
            )
        };
        Ok(places.into_iter().map(written).collect())
    }

    /// Walks the archive to its end and writes what is asked for.
    fn write_members(
        &self,
        blob: &mut VerifyingReader<std::fs::File>,
        real: &dyn Fn(&Path) -> PathBuf,
    ) -> Result<Vec<(Option<String>, Written)>, InstallError> {
        let mut written: BTreeMap<String, Vec<Written>> = BTreeMap::new();
        let mut compressed = BufReader::with_capacity(128 * 1024, &mut *blob);
        let mut entries = Entries::new(MultiGzDecoder::new(&mut compressed).take(MAX_UNPACKED));
        let walked = loop {
            match entries.next_entry() {
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
                Ok(Some(entry)) => {
                    let name = String::from_utf8_lossy(&entry.name).into_owned();
                    let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
                    let targets = self.targets(&name, &entry);
                    if targets.is_empty() {
                        continue;
                    }
                    let bad = |what| InstallError::BadMember {
                        path: self.archive.clone(),
                        member: name.clone(),
                        what,
                    };
                    match entry.kind {
                        Kind::File if entry.size <= MAX_FILE => {}
                        Kind::File => return Err(bad("is too large")),
                        _ => return Err(bad("is no regular file")),
                    }
                    if written.contains_key(&name) {
                        return Err(bad("is there twice"));
                    }
                    written.insert(name, self.write_member(&mut entries, targets, real)?);
                }
            }
        };
        drop(entries);
        drop(compressed);
        // A damaged blob mostly shows as a broken archive first. What it should have been is the better thing to say.
        blob.drain().map_err(|source| self.blob_error(source))?;
        walked.map_err(|source| InstallError::Archive {
            path: self.archive.clone(),
            source,
        })?;
        self.all_there(&written)?;
        Ok(written
            .into_iter()
            .flat_map(|(name, files)| {
                files
                    .into_iter()
                    .map(move |file| (Some(name.clone()), file))
            })
            .collect())
    }

    /// Where the member `name` goes, with which mode.
    fn targets(&self, name: &str, entry: &tar_stream::Entry) -> Vec<(PathBuf, u32)> {
        let files = self
            .files
            .iter()
            .filter(|file| file.member.as_deref() == Some(name));
        let mut targets: Vec<_> = files.map(|file| (file.path.clone(), file.mode)).collect();
        let (folder, base) = name.rsplit_once('/').unwrap_or(("", name));
        if entry.kind == Kind::File && entry.mode & 0o111 != 0 && is_plain_name(base) {
            let folders = self
                .folders
                .iter()
                .filter(|wanted| wanted.member.trim_end_matches('/') == folder);
            targets.extend(folders.map(|wanted| (wanted.path.join(base), wanted.mode)));
        }
        targets
    }

    fn write_member(
        &self,
        entries: &mut impl Read,
        targets: Vec<(PathBuf, u32)>,
        real: &dyn Fn(&Path) -> PathBuf,
    ) -> Result<Vec<Written>, InstallError> {
        let mut places = Vec::new();
        for (path, mode) in targets {
            places.push((Pending::new(&real(&path), mode)?, path, mode));
        }
        let mut content = host::HashingReader::new(entries);
        let mut buffer = vec![0; 128 * 1024];
        loop {
            let n = content
                .read(&mut buffer)
                .map_err(|source| self.blob_error(source))?;
            if n == 0 {
                break;
            }
            for (pending, path, _) in &mut places {
                let write_error = |source| InstallError::Write {
                    path: path.clone(),
                    source,
                };
                pending.write_all(&buffer[..n]).map_err(write_error)?;
            }
        }
        let (digest, size) = content.finish();
        let written = |(pending, path, mode)| Written {
            pending,
            path,
            mode,
            digest,
            size,
        };
        Ok(places.into_iter().map(written).collect())
    }

    fn all_there(&self, written: &BTreeMap<String, Vec<Written>>) -> Result<(), InstallError> {
        let missing = |member: &str| InstallError::NoMember {
            path: self.archive.clone(),
            member: member.to_owned(),
        };
        for member in self.files.iter().filter_map(|file| file.member.as_deref()) {
            if !written.contains_key(member) {
                return Err(missing(member));
            }
        }
        for folder in &self.folders {
            let into = |file: &Written| file.path.parent() == Some(&folder.path);
            if !written.values().flatten().any(into) {
                return Err(missing(&format!("{}/*", folder.member)));
            }
        }
        Ok(())
    }
}
