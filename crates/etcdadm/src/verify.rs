//! A snapshot proven by restoring it: a real etcd of its release serves it on loopback, and says what is in it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use api::Version;
use bundle::{Install, InstallFile, Store};
use etcd::{Keys, Observe};
use host::{Change, Host, Run};
use serde::Serialize;

use crate::proof::{Proof, Subject};
use crate::{Error, facts, older};
use capsule::{Checked, Metadata};

/// How long restoring a large snapshot may take.
const LIMIT: Duration = Duration::from_secs(900);
/// The member that a snapshot is restored as, only to look at it.
const NAME: &str = "proof";
const PEER_URL: &str = "https://127.0.0.1:1";

/// etcd's programs of one release.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) etcd: PathBuf,
    pub(crate) etcdutl: PathBuf,
}

impl Programs {
    /// Those that are installed if they are of this minor release; else out of the store, into `folder`.
    ///
    /// # Errors
    /// [`Error::NoArtifact`].
    pub(crate) fn of(
        host: &mut dyn Host,
        install_dir: &Path,
        version: Version,
        folder: &Path,
    ) -> Result<Self, Error> {
        let (etcd, etcdutl) = (install_dir.join("etcd"), install_dir.join("etcdutl"));
        let installed = older::release(host, &etcd);
        let same = |v: Version| (v.major, v.minor) == (version.major, version.minor);
        if installed.is_some_and(same) && host.stat(&etcdutl)?.is_some() {
            return Ok(Self { etcd, etcdutl });
        }
        let (store, arch) = (Store::new(host.root()), facts::architecture());
        let component = store.component(host, "etcd", &version.to_string(), arch)?;
        let top = format!("etcd-{version}-linux-{arch}");
        let file = format!("{top}.tar.gz");
        let archive = component
            .as_ref()
            .and_then(|component| component.file(&file))
            .ok_or_else(|| Error::NoArtifact {
                version,
                arch,
                store: store.path().to_owned(),
            })?;
        let programs = Self {
            etcd: folder.join("etcd"),
            etcdutl: folder.join("etcdutl"),
        };
        let file = |path: &PathBuf| InstallFile {
            member: Some(format!(
                "{top}/{}",
                path.file_name().unwrap_or_default().to_string_lossy()
            )),
            path: path.clone(),
            mode: 0o755,
        };
        let install = Install {
            component: format!("etcd {version}"),
            archive: archive.path.clone(),
            digest: archive.digest,
            files: vec![file(&programs.etcd), file(&programs.etcdutl)],
            folders: Vec::new(),
            receipt: folder.join("receipt.json"),
        };
        host.apply(&Change::MakeDir {
            path: folder.to_owned(),
            mode: 0o700,
        })?;
        install.apply(host.root())?;
        Ok(programs)
    }

    /// Makes a data directory out of a snapshot.
    pub(crate) fn restore(
        &self,
        host: &mut dyn Host,
        snapshot: &Path,
        to: &Restored<'_>,
    ) -> Result<(), Error> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut arguments = vec![
            "snapshot".to_owned(),
            "restore".to_owned(),
            text(snapshot),
            "--data-dir".to_owned(),
            text(to.data_dir),
            "--name".to_owned(),
            to.name.to_owned(),
            "--initial-cluster".to_owned(),
            format!("{}={}", to.name, to.peer_url),
            "--initial-advertise-peer-urls".to_owned(),
            to.peer_url.to_owned(),
            "--initial-cluster-token".to_owned(),
            to.token.to_owned(),
        ];
        if to.bump > 0 {
            arguments.extend(["--bump-revision".to_owned(), to.bump.to_string()]);
            arguments.push("--mark-compacted".to_owned());
        }
        let run = Run::new(text(&self.etcdutl), arguments).within(LIMIT);
        Ok(host.apply(&Change::Run(run))?)
    }
}

/// What a snapshot is restored as.
pub(crate) struct Restored<'r> {
    pub(crate) data_dir: &'r Path,
    pub(crate) name: &'r str,
    pub(crate) peer_url: &'r str,
    pub(crate) token: &'r str,
    /// By how much the revision is lifted, the old ones marked compacted.
    pub(crate) bump: u64,
}

/// What a proven snapshot is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Proven {
    /// SHA-256 of the database.
    pub(crate) sha256: String,
    /// Its size in bytes, that digest included.
    pub(crate) size: u64,
    /// The newest revision in it.
    pub(crate) revision: i64,
    /// Its keys.
    pub(crate) keys: Keys,
    /// Whether etcd's own digest over keys and history was the one that was taken with the snapshot.
    pub(crate) hash_compared: bool,
    /// The release that served it.
    pub(crate) etcd_version: String,
    /// When it was taken, where it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) taken_at: Option<String>,
}

/// Restores `snapshot` below `folder`, serves it, compares, and leaves nothing.
pub(crate) fn prove(
    host: &mut dyn Host,
    etcd: &dyn Observe,
    programs: &Programs,
    snapshot: &Path,
    said: (&Checked, Option<&Metadata>),
    folder: &Path,
    note: &mut dyn FnMut(&str),
) -> Result<Proven, Error> {
    let (checked, metadata) = said;
    let (data_dir, certificates) = (folder.join("proof"), folder.join("certificates"));
    let remove = |host: &mut dyn Host| -> Result<(), Error> {
        for path in [&data_dir, &certificates] {
            host.apply(&Change::RemoveTree { path: path.clone() })?;
        }
        Ok(())
    };
    remove(host)?;
    note("restoring the snapshot, to look at it");
    programs.restore(
        host,
        snapshot,
        &Restored {
            data_dir: &data_dir,
            name: NAME,
            peer_url: PEER_URL,
            token: NAME,
            bump: 0,
        },
    )?;
    let subject = Subject {
        etcd: &programs.etcd,
        data_dir: &data_dir,
        folder: &certificates,
        name: NAME,
        peer_url: PEER_URL,
        arguments: &[],
    };
    let (proof, status) = Proof::start(host, &subject, etcd, note)?;
    let (endpoint, credentials) = (&proof.endpoint, &proof.credentials);
    let keys = etcd.keys(endpoint, credentials)?;
    let mut hash_compared = false;
    if let Some(metadata) = metadata {
        let at = metadata.hash.revision;
        let differs = |what: String| Err(Error::Differs(what));
        if status.revision < at {
            return differs(format!(
                "it ends at revision {}, and the member had {at} when it was taken",
                status.revision
            ));
        }
        // History that was compacted while the snapshot was taken can be neither counted nor hashed.
        match etcd.hash(endpoint, credentials, at) {
            Ok(found) if found.compact_revision == metadata.hash.compact_revision => {
                if found.hash != metadata.hash.hash {
                    return differs(format!(
                        "its keys up to revision {at} have the hash {:08x}, and the member's had {:08x}",
                        found.hash, metadata.hash.hash
                    ));
                }
                hash_compared = true;
                let count = etcd.count(endpoint, credentials, at)?;
                if count != metadata.keys {
                    return differs(format!(
                        "it has {count} keys at revision {at}, and the member had {}",
                        metadata.keys
                    ));
                }
            }
            Ok(_) | Err(etcd::Error::Compacted) => {
                note(
                    "the history was compacted while the snapshot was taken: hashes cannot be compared",
                );
            }
            Err(error) => return Err(error.into()),
        }
    }
    let etcd_version = status.version.clone();
    proof.stop()?;
    remove(host)?;
    Ok(Proven {
        sha256: checked.sha256.clone(),
        size: checked.size,
        revision: status.revision,
        keys,
        hash_compared,
        etcd_version,
        taken_at: metadata.map(|metadata| metadata.taken_at.clone()),
    })
}
