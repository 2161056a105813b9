//! Backups by the clock: what was ordered, what came of it on this host, and whether all is well with them.
//!
//! The order and the log are files under `/var/lib/etcdadm`. All members have the same order and their timers go off at the
//! same second; the one that leads then takes the backup. So a host knows of its own backups, and of the others that
//! somebody else led when it looked.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use host::Inspect;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::save::rfc3339;
use crate::{Error, paths};

/// So many missed in a row are told as a failure.
const TOO_MANY: u64 = 2;

/// How often; each divides a day, so that all hosts mean the same seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Every {
    /// Twelve times an hour.
    #[value(name = "5m")]
    #[serde(rename = "5m")]
    FiveMinutes,
    /// Four times an hour.
    #[value(name = "15m")]
    #[serde(rename = "15m")]
    QuarterHour,
    /// Twice an hour.
    #[value(name = "30m")]
    #[serde(rename = "30m")]
    HalfHour,
    /// Every hour.
    #[value(name = "1h")]
    #[serde(rename = "1h")]
    Hour,
    /// Four times a day.
    #[value(name = "6h")]
    #[serde(rename = "6h")]
    SixHours,
    /// Twice a day.
    #[value(name = "12h")]
    #[serde(rename = "12h")]
    TwelveHours,
    /// Once a day.
    #[value(name = "24h")]
    #[serde(rename = "24h")]
    Day,
}

impl Every {
    /// Between two.
    pub(crate) fn seconds(self) -> u64 {
        60 * match self {
            Self::FiveMinutes => 5,
            Self::QuarterHour => 15,
            Self::HalfHour => 30,
            Self::Hour => 60,
            Self::SixHours => 6 * 60,
            Self::TwelveHours => 12 * 60,
            Self::Day => 24 * 60,
        }
    }

    /// As systemd's timers say it, in UTC.
    pub(crate) fn calendar(self) -> &'static str {
        match self {
            Self::FiveMinutes => "*-*-* *:00/5:00 UTC",
            Self::QuarterHour => "*-*-* *:00/15:00 UTC",
            Self::HalfHour => "*-*-* *:00/30:00 UTC",
            Self::Hour => "*-*-* *:00:00 UTC",
            Self::SixHours => "*-*-* 00/6:00:00 UTC",
            Self::TwelveHours => "*-*-* 00/12:00:00 UTC",
            Self::Day => "*-*-* 00:00:00 UTC",
        }
    }
}

/// What was ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Order {
    /// Where backups go.
    pub(crate) folder: PathBuf,
    /// How often.
    pub(crate) every: Every,
    /// So many of the newest are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keep_last: Option<usize>,
    /// The newest of each of so many days is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keep_daily: Option<usize>,
    /// How often one is proven by restoring it, in hours.
    pub(crate) verify_hours: u64,
    /// The copy of this program that was made for the timer, where the program itself is not sure to stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) copy: Option<PathBuf>,
}

/// A backup that was taken or proven here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Done {
    /// When, in seconds since 1970.
    pub(crate) at: u64,
    /// The file.
    pub(crate) file: PathBuf,
}

/// What came of it on this host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Log {
    /// When it was ordered, in seconds since 1970.
    pub(crate) since: u64,
    /// When the timer went off last and somebody was found who leads.
    pub(crate) looked: u64,
    /// Who led then.
    pub(crate) leader: String,
    /// The last backup that was taken here.
    pub(crate) taken: Option<Done>,
    /// The last one that was proven here.
    pub(crate) verified: Option<Done>,
    /// How often in a row it failed.
    pub(crate) failures: u64,
    /// Why, the last time.
    pub(crate) why: String,
}

impl Order {
    /// The host's order, if there is one.
    pub(crate) fn read(seen: &dyn Inspect) -> Result<Option<Self>, Error> {
        read(seen, paths::BACKUP_ORDER)
    }

    pub(crate) fn to_text(&self) -> String {
        text(self)
    }
}

impl Log {
    /// What is known; nothing yet where the file is not there.
    pub(crate) fn read(seen: &dyn Inspect) -> Result<Self, Error> {
        Ok(read(seen, paths::BACKUP_LOG)?.unwrap_or_default())
    }

    pub(crate) fn to_text(&self) -> String {
        text(self)
    }
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("plain data becomes JSON") + "\n"
}

fn read<T: DeserializeOwned>(seen: &dyn Inspect, path: &str) -> Result<Option<T>, Error> {
    let path = Path::new(path);
    let Some(bytes) = seen.read(path, 1 << 20)? else {
        return Ok(None);
    };
    let record = |source| Error::Record {
        path: path.to_owned(),
        source,
    };
    serde_json::from_slice(&bytes).map(Some).map_err(record)
}

/// Seconds since 1970.
pub(crate) fn seconds(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// How backups are, as this host knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Backups {
    /// Where they go.
    pub(crate) folder: PathBuf,
    /// How often, in seconds.
    pub(crate) every_seconds: u64,
    /// Whether none was missed, or one at most.
    pub(crate) healthy: bool,
    /// How many were missed in a row: failed, or not begun.
    pub(crate) missed: u64,
    /// Who led when the timer went off last; that host took the backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_leader: Option<String>,
    /// Age in seconds of the last one that was taken here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) age_seconds: Option<u64>,
    /// When the last one was taken here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) taken_at: Option<String>,
    /// When one was proven here by restoring it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) verified_at: Option<String>,
    /// Why the last one failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
}

/// How backups are; nothing where none were ordered.
pub(crate) fn health(seen: &dyn Inspect, now: SystemTime) -> Result<Option<Backups>, Error> {
    let Some(order) = Order::read(seen)? else {
        return Ok(None);
    };
    let log = Log::read(seen)?;
    Ok(Some(judge(&order, &log, seconds(now))))
}

fn judge(order: &Order, log: &Log, now: u64) -> Backups {
    let every = order.every.seconds();
    // A timer that did not go off leaves nothing behind but silence; one that did is given time to end.
    let grace = (every / 2).min(900);
    let silence = now.saturating_sub(log.looked.max(log.since));
    let missed = log.failures + silence.saturating_sub(grace) / every;
    let time = |at: u64| rfc3339(UNIX_EPOCH + Duration::from_secs(at));
    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
    let failing = log.failures > 0;
    let why = match missed {
        0 => None,
        _ if failing => some(&log.why),
        _ => Some(format!(
            "the timer has not gone off since {}",
            time(log.looked.max(log.since))
        )),
    };
    Backups {
        folder: order.folder.clone(),
        every_seconds: every,
        healthy: missed < TOO_MANY,
        missed,
        last_leader: some(&log.leader),
        age_seconds: log.taken.as_ref().map(|done| now.saturating_sub(done.at)),
        taken_at: log.taken.as_ref().map(|done| time(done.at)),
        verified_at: log.verified.as_ref().map(|done| time(done.at)),
        why,
    }
}

impl Backups {
    /// In a line, for people.
    pub(crate) fn line(&self, own: &str) -> String {
        let ago = |seconds: u64| match seconds {
            0..=119 => format!("{seconds} s ago"),
            120..=7199 => format!("{} min ago", seconds / 60),
            _ => format!("{} h ago", seconds / 3600),
        };
        let taken = self.age_seconds.map_or("none yet".to_owned(), ago);
        let mut line = format!(
            "backups into {}: the last here {taken}",
            self.folder.display()
        );
        if let Some(at) = &self.verified_at {
            line += &format!(", last proven {at}");
        }
        if let Some(leader) = self.last_leader.as_ref().filter(|leader| *leader != own) {
            line += &format!("; {leader} led last, and took it");
        }
        line
    }

    /// What is not right.
    pub(crate) fn warning(&self) -> Option<String> {
        let why = self.why.clone().unwrap_or_default();
        match self.missed {
            0 => None,
            1 => Some(format!("a backup was missed: {why}")),
            n => Some(format!("{n} backups were missed: {why}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_that_are_missed_are_too_many() {
        let order = Order {
            folder: "/var/backups/etcd".into(),
            every: Every::Hour,
            keep_last: None,
            keep_daily: None,
            verify_hours: 24,
            copy: None,
        };
        let now = 1_795_000_000;
        let done = |ago| Done {
            at: now - ago,
            file: "/var/backups/etcd/x".into(),
        };
        let log = Log {
            since: now - 90_000,
            looked: now - 600,
            leader: "h1".into(),
            taken: Some(done(600)),
            verified: Some(done(80_000)),
            ..Log::default()
        };
        let told = |log: &Log| {
            let told = judge(&order, log, now);
            let warning = told.warning().unwrap_or_default();
            format!("{} {}\n{warning}\n", told.healthy, told.line("h1"))
        };
        let mut said = told(&log);
        said += &told(&Log {
            looked: now - 8000,
            ..log.clone()
        });
        said += &told(&Log {
            looked: now - 12_000,
            ..log.clone()
        });
        said += &told(&Log {
            failures: 1,
            why: "the disk is full".into(),
            ..log.clone()
        });
        said += &told(&Log {
            failures: 2,
            why: "the disk is full".into(),
            ..log.clone()
        });
        said += &told(&Log {
            leader: "h2".into(),
            taken: None,
            verified: None,
            ..log
        });
        let fresh = Log {
            since: now - 100,
            ..Log::default()
        };
        said += &told(&fresh);
        insta::assert_snapshot!(said, @"
        true backups into /var/backups/etcd: the last here 10 min ago, last proven 2026-11-17T12:53:20Z

        true backups into /var/backups/etcd: the last here 10 min ago, last proven 2026-11-17T12:53:20Z
        a backup was missed: the timer has not gone off since 2026-11-18T08:53:20Z
        false backups into /var/backups/etcd: the last here 10 min ago, last proven 2026-11-17T12:53:20Z
        3 backups were missed: the timer has not gone off since 2026-11-18T07:46:40Z
        true backups into /var/backups/etcd: the last here 10 min ago, last proven 2026-11-17T12:53:20Z
        a backup was missed: the disk is full
        false backups into /var/backups/etcd: the last here 10 min ago, last proven 2026-11-17T12:53:20Z
        2 backups were missed: the disk is full
        true backups into /var/backups/etcd: the last here none yet; h2 led last, and took it

        true backups into /var/backups/etcd: the last here none yet
        ");
    }
}
