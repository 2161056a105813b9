//! The change "take a snapshot of that member and put it there": streamed, checked on the way, renamed when it is right.

use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use etcd::{Cluster, Credentials, Piece};
use host::{Host, Pending};
use serde::Serialize;

use crate::Error;
use capsule::{MemberOf, Metadata, Writer};

/// Take a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Save {
    /// The member's client URL.
    pub endpoint: String,
    /// Its name.
    pub name: String,
    /// The file; nothing for standard output.
    pub to: Option<PathBuf>,
    /// Whether only etcd's own snapshot is written, without what is said of it.
    pub raw: bool,
}

impl fmt::Display for Save {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.raw {
            "plain snapshot"
        } else {
            "snapshot"
        };
        write!(f, "take a {what} of {} into ", self.name)?;
        match &self.to {
            Some(path) => write!(f, "{}", path.display()),
            None => f.write_str("standard output"),
        }
    }
}

impl Save {
    /// Makes the change; says what was taken.
    ///
    /// # Errors
    /// [`Error::Capsule`], [`Error::Etcd`]; no file is then left.
    pub(crate) fn apply(
        &self,
        host: &dyn Host,
        etcd: &dyn Cluster,
        credentials: &Credentials,
        note: &mut dyn FnMut(&str),
    ) -> Result<(), Error> {
        if host.is_dry_run() {
            return Ok(());
        }
        match &self.to {
            None => {
                let stdout = std::io::stdout().lock();
                self.stream(stdout, etcd, credentials, note).map(drop)
            }
            Some(path) => {
                let file = Pending::new(path, 0o600)?;
                let (file, metadata) = self.stream(file, etcd, credentials, note)?;
                file.commit()?;
                note(&format!(
                    "{}: {} bytes, {} keys at revision {}, sha256 {}",
                    path.display(),
                    metadata.size,
                    metadata.keys,
                    metadata.hash.revision,
                    metadata.sha256
                ));
                Ok(())
            }
        }
    }

    fn stream<W: Write>(
        &self,
        to: W,
        etcd: &dyn Cluster,
        credentials: &Credentials,
        note: &mut dyn FnMut(&str),
    ) -> Result<(W, Metadata), Error> {
        let endpoint = &self.endpoint;
        let list = etcd.members(std::slice::from_ref(endpoint), credentials)?;
        let status = etcd.status(endpoint, credentials)?;
        // Taken before the snapshot, so of a revision that is in it.
        let hash = etcd.hash(endpoint, credentials, status.revision)?;
        let keys = etcd.count(endpoint, credentials, hash.revision)?;
        let now = SystemTime::now();
        let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let mut writer = Writer::new(to, self.raw, seconds);
        let (mut failure, mut size, mut told, mut have) = (None, 0, 0, 0);
        let sent = etcd.snapshot(endpoint, credentials, &mut |piece| {
            let result = match piece {
                Piece::Size(bytes) => {
                    size = bytes;
                    writer.begin(bytes)
                }
                Piece::Bytes(bytes) => {
                    have += bytes.len() as u64;
                    let tenth = have * 10 / size.max(1);
                    if tenth > told && size > 100_000_000 {
                        told = tenth;
                        note(&format!("{} of {} MB", have / 1_000_000, size / 1_000_000));
                    }
                    writer.write(bytes)
                }
            };
            result.map_err(|error| {
                let kind = error.kind();
                failure = Some(error);
                kind.into()
            })
        });
        if let Some(source) = failure {
            let action = "written";
            return Err(capsule::CapsuleError::Io { action, source }.into());
        }
        sent?;
        let metadata = |checked: &capsule::Checked| Metadata {
            api_version: api::API_VERSION.to_owned(),
            kind: "EtcdSnapshot".to_owned(),
            taken_at: rfc3339(now),
            cluster_id: etcd::hex_id(list.cluster_id),
            member: self.name.clone(),
            etcd_version: status.version.clone(),
            storage_version: status.storage_version.clone(),
            members: list.members.iter().map(member_of).collect(),
            hash,
            keys,
            size: checked.size,
            sha256: checked.sha256.clone(),
        };
        Ok(writer.finish(metadata)?)
    }
}

fn member_of(member: &etcd::Member) -> MemberOf {
    MemberOf {
        name: member.name.clone(),
        peer_urls: member.peer_urls.clone(),
        client_urls: member.client_urls.clone(),
    }
}

/// A moment as RFC 3339 writes it, to the second.
pub(crate) fn rfc3339(now: SystemTime) -> String {
    let now = time::OffsetDateTime::from(now);
    let (date, clock) = (now.date(), now.time());
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        clock.hour(),
        clock.minute(),
        clock.second()
    )
}
