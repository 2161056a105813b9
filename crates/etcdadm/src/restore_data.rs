//! The changes of a restore: the snapshot made a data directory that is proven, and that directory given its place.
//!
//! Everything is made in a folder beside the data directory, so on its file system. What is given its place is the very
//! directory that served on loopback; nothing that was there is touched before.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use api::Version;
use etcd::Observe;
use host::{Change, Host, Inspect, Local};
use serde::{Deserialize, Serialize};

use crate::proof::{Proof, Subject};
use crate::save::rfc3339;
use crate::verify::{Programs, Restored, prove};
use crate::{Error, snapshot};

/// How many revisions a second stands for: more than any etcd writes.
const PER_SECOND: i64 = 100_000;
/// By so many the snapshot's revision is lifted at least.
const AT_LEAST: i64 = 1_000_000_000;
/// What lies in a restored data directory and says what it was restored from.
pub(crate) const MARKER: &str = "member/restored.json";

/// What a restored data directory says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Marker {
    /// The SHA-256 of the snapshot's database.
    pub(crate) sha256: String,
    /// When it was restored, RFC 3339.
    pub(crate) restored_at: String,
    /// The snapshot's revision.
    pub(crate) from_revision: i64,
    /// The revision that it was lifted to.
    pub(crate) revision: i64,
    /// How many keys there are.
    pub(crate) keys: u64,
    /// The new cluster's token.
    pub(crate) token: String,
}

impl Marker {
    /// What the data directory says of itself, if it was restored.
    pub(crate) fn read(
        seen: &(impl Inspect + ?Sized),
        data_dir: &Path,
    ) -> Result<Option<Self>, Error> {
        let path = data_dir.join(MARKER);
        let Some(bytes) = seen.read(&path, 1 << 20)? else {
            return Ok(None);
        };
        let understood = serde_json::from_slice(&bytes);
        understood
            .map(Some)
            .map_err(|source| Error::Record { path, source })
    }
}

/// The revision that a database holds which shows this one: one that was never written to shows 1, and holds none.
fn stored(revision: i64) -> i64 {
    if revision <= 1 { 0 } else { revision }
}

/// The revision that a snapshot's is lifted to: above every one that a client can have seen.
///
/// It follows the clock, so that it needs no counter that could be lost, and a second restore of the same snapshot comes
/// out above the first. A snapshot that is above the clock was restored by a clock that went ahead: nothing is sure then.
pub(crate) fn lifted(revision: i64, now: SystemTime) -> Result<i64, Error> {
    let seconds = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let clock = i64::try_from(seconds).unwrap_or(0) * PER_SECOND;
    if revision > clock {
        return Err(Error::ClockBack { revision, clock });
    }
    Ok(clock.max(revision + AT_LEAST))
}

/// Make a data directory out of a snapshot, and prove it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestoreData {
    /// The capsule or plain snapshot.
    pub snapshot: PathBuf,
    /// The folder that all of it is made in; the directory is `data` in it.
    pub folder: PathBuf,
    /// Where programs are installed.
    pub install_dir: PathBuf,
    /// The release of the snapshot.
    pub version: Version,
    /// The member's name.
    pub name: String,
    /// Where other members will reach it.
    pub peer_url: String,
    /// Keeps members of other clusters out.
    pub token: String,
    /// Whether revisions are lifted.
    pub bump: bool,
}

impl fmt::Display for RestoreData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "restore {} as {} at {} into {}, {}and prove it",
            self.snapshot.display(),
            self.name,
            self.peer_url,
            self.folder.join("data").display(),
            if self.bump {
                "its revision lifted above all that was ever seen, "
            } else {
                ""
            }
        )
    }
}

impl RestoreData {
    /// Makes the change.
    ///
    /// # Errors
    /// Of the snapshot, of the programs, of the proof; the data directory is then as it was.
    pub(crate) fn apply(
        &self,
        host: &mut dyn Host,
        etcd: &dyn Observe,
        note: &mut dyn FnMut(&str),
    ) -> Result<(), Error> {
        let data_dir = self.folder.join("data");
        if host.is_dry_run() {
            host.apply(&Change::MakeDir {
                path: data_dir.clone(),
                mode: 0o700,
            })?;
            for (path, text) in [(MARKER, "{}"), ("member/wal/0.wal", "")] {
                host.apply(&Change::file(data_dir.join(path), text))?;
            }
            return Ok(());
        }
        let begin = [
            Change::RemoveTree {
                path: self.folder.clone(),
            },
            Change::MakeDir {
                path: self.folder.clone(),
                mode: 0o700,
            },
        ];
        begin.iter().try_for_each(|change| host.apply(change))?;
        let database = self.folder.join("snapshot.db");
        let local = Local::new(host.root());
        let (checked, metadata) = snapshot::extract(&local, &self.snapshot, &database)?;
        note(&format!("the snapshot is whole: sha256 {}", checked.sha256));
        let programs = self.folder.join("programs");
        let programs = Programs::of(host, &self.install_dir, self.version, &programs)?;
        let said = (&checked, metadata.as_ref());
        let proven = prove(host, etcd, &programs, &database, said, &self.folder, note)?;
        let now = SystemTime::now();
        let revision = if self.bump {
            lifted(proven.revision, now)?
        } else {
            proven.revision
        };
        note(&format!(
            "restoring it, revision {} lifted to {revision}",
            proven.revision
        ));
        programs.restore(
            host,
            &database,
            &Restored {
                data_dir: &data_dir,
                name: &self.name,
                peer_url: &self.peer_url,
                token: &self.token,
                bump: (revision - stored(proven.revision)).cast_unsigned(),
            },
        )?;
        let certificates = self.folder.join("certificates");
        let subject = Subject {
            etcd: &programs.etcd,
            data_dir: &data_dir,
            folder: &certificates,
            name: &self.name,
            peer_url: &self.peer_url,
            arguments: &[],
        };
        let (proof, status) = Proof::start(host, &subject, etcd, note)?;
        let keys = etcd.keys(&proof.endpoint, &proof.credentials)?;
        let old = std::slice::from_ref(&proof.endpoint);
        let compacted = etcd.compacted(old, &proof.credentials, proven.revision)?;
        proof.stop()?;
        if (keys.count, &keys.digest) != (proven.keys.count, &proven.keys.digest) {
            return Err(Error::Differs(format!(
                "{} keys were restored, and the snapshot has {}",
                keys.count, proven.keys.count
            )));
        }
        if status.revision < revision || self.bump && !compacted {
            let found = status.revision;
            return Err(Error::Differs(format!(
                "its revision is {found} after it was to be lifted to {revision}"
            )));
        }
        let marker = Marker {
            sha256: checked.sha256,
            restored_at: rfc3339(now),
            from_revision: proven.revision,
            revision,
            keys: keys.count,
            token: self.token.clone(),
        };
        let mut text = serde_json::to_vec_pretty(&marker).expect("plain data becomes JSON");
        text.push(b'\n');
        Ok(host.apply(&Change::file(data_dir.join(MARKER), text))?)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn revisions_are_lifted_above_all_that_was_seen() {
        let now = 1_795_435_558;
        assert_eq!(lifted(41, at(now)).unwrap(), 179_543_555_800_000);
        // Restored a minute ago, and restored again: above all that was written since.
        let first = lifted(41, at(now)).unwrap();
        let second = lifted(first + 600, at(now + 60)).unwrap();
        assert_eq!(second, first + 600 + AT_LEAST);
        // The same old snapshot again, a minute later: above the first restore, too.
        assert!(lifted(41, at(now + 60)).unwrap() > first + 600);
        assert!(matches!(
            lifted(first + 600, at(now - 3600)),
            Err(Error::ClockBack { .. })
        ));
        assert!(second < 1 << 53);
    }
}
