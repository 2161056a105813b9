//! What a first member left that ended before it was ever ready, out of the way, so that the next one begins with nothing.
//!
//! Such data may be past use: where the disk was full in the midst of the first writes, etcd comes up with a log that does
//! not say that it is a member of anything, and waits for ever for a leader. That nobody was ever served from it is not
//! guessed. etcd serves clients only after it has published, through its log, where clients reach it. So a log that is
//! whole from its first segment on, and holds no such entry, is of a member that served nobody and took in no other.

use std::path::Path;

use etcd::settings::INITIAL;
use host::{Inspect, Phase};

use crate::phases::SetDataAside;
use crate::{Change, Configuration, Error, Machine, View, paths, runs};

/// The only segment of a log that nothing was ever purged from.
const FIRST_SEGMENT: &str = "0000000000000000-0000000000000000.wal";
/// A database that was made and never written to.
const EMPTY_DATABASE: u64 = 64 << 10;

/// Sets the data of a first member aside that was never ready.
pub(crate) struct SetUnreadyAside<'c>(pub(crate) &'c Configuration);

impl<'a> Phase<Machine<'a>> for SetUnreadyAside<'_> {
    fn name(&self) -> &'static str {
        "set-unready-aside"
    }

    fn about(&self) -> &'static str {
        "move what a first member left that was never ready out of the way"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let host = seen.host();
        // Who runs may be ready in a moment.
        if !runs::member(seen, self.0)?.has_ended() || !never_ready(host, self.0)? {
            return Ok(Vec::new());
        }
        SetDataAside(self.0).plan(seen)
    }
}

/// Whether what lies in the data directory is surely of a first member that served nobody.
pub(crate) fn never_ready(
    host: &dyn Inspect,
    configuration: &Configuration,
) -> Result<bool, Error> {
    let member = configuration.data_dir().join("member");
    let (wal, snap) = (member.join("wal"), member.join("snap"));
    if host.list(&member)?.is_none() || !began_alone(host)? {
        return Ok(false);
    }
    let ends = |name: &&String, end: &str| name.ends_with(end);
    let snapshots = host.list(&snap)?.unwrap_or_default();
    if snapshots.iter().any(|name| ends(&name, ".snap")) {
        return Ok(false);
    }
    let segments = host.list(&wal)?.unwrap_or_default();
    let mut segments = segments.iter().filter(|name| ends(name, ".wal"));
    match (segments.next(), segments.next()) {
        // No log was made. Should one have been lost, the database tells.
        (None, _) => {
            let database = host.stat(&snap.join("db"))?;
            Ok(database.is_none_or(|stat| stat.size <= EMPTY_DATABASE))
        }
        (Some(first), None) if first == FIRST_SEGMENT => {
            let needles = published(configuration);
            let needles: Vec<&[u8]> = needles.iter().map(Vec::as_slice).collect();
            let found = host.contains(&wal.join(first), &needles)?;
            Ok(found == Some(false))
        }
        _ => Ok(false),
    }
}

/// Whether the environment says that the member begins a cluster by itself, with its log in the data directory.
fn began_alone(host: &dyn Inspect) -> Result<bool, Error> {
    let text = host.read_text(Path::new(paths::ENVIRONMENT))?;
    let variables = systemd::parse_environment(&text.unwrap_or_default());
    let value = |key: &str| {
        let mut found = variables.iter().filter(|(k, _)| k == key);
        found.next().map(|(_, value)| value.as_str())
    };
    let alone = value(INITIAL[0]).is_some_and(|members| !members.contains(','));
    Ok(alone && value(INITIAL[1]) == Some("new") && value("ETCD_WAL_DIR").is_none())
}

/// What stands in the log once the member has published where clients reach it, whatever the port was: of 3.5 as JSON, of
/// later releases as a field with the URL's length before it.
fn published(configuration: &Configuration) -> Vec<Vec<u8>> {
    let url = configuration.client_url();
    let (before, _) = url.rsplit_once(':').unwrap_or((&url, ""));
    let before = format!("{before}:");
    let mut needles = vec![b"clientURLs".to_vec()];
    for digits in 1..=5 {
        let length = u8::try_from(before.len() + digits).unwrap_or(u8::MAX);
        let mut needle = vec![0x12, length];
        needle.extend_from_slice(before.as_bytes());
        needles.push(needle);
    }
    needles
}
