//! A snapshot of the log of a member that is about to become one of the next minor release, which would misread the log.
//!
//! A member that starts reads its log from the last snapshot on, though its data has long had all that stands there. What
//! an earlier release wrote makes a later one end at its start:
//!
//! - 3.6, of 3.5: a second learner is refused only when its addition comes to be applied, so the refused one stays in the
//!   log. 3.6 does not refuse it there, and then finds two members of one address, or one that has no address.
//! - 3.7, of 3.5: members told of their addresses and of the cluster's version in the form of etcd's first API, which 3.7
//!   cannot parse. 3.6 writes them otherwise.
//!
//! Behind a snapshot, nothing of that is read. etcd takes one when so many entries have come since the last: it is told
//! that one is enough, and started again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use host::{Condition, Phase, Wait};

use crate::change::running_variables;
use crate::phases::restart_member::hand_over;
use crate::phases::write_configuration;
use crate::record::Record;
use crate::start::{Start, ToldOnce};
use crate::survey::Reach;
use crate::{Change, Error, Machine, View, facts, paths, runs};

/// After how many entries etcd takes a snapshot of its log.
const COUNT: (&str, &str) = ("ETCD_SNAPSHOT_COUNT", "1");
/// What the log must not hold when a member goes on from this minor release of 3 to the next.
const MISREAD: [(u32, &[&[u8]]); 2] = [
    (5, &[br#""isLearner":true"#]),
    (6, &[b"/0/members/", b"/0/version"]),
];
const LIMIT: Duration = Duration::from_secs(120);

/// Has the member take a snapshot of its log.
pub(crate) struct SnapshotLog<'c> {
    reach: Reach<'c>,
    told: ToldOnce,
}

impl<'c> SnapshotLog<'c> {
    /// Asks the cluster through `reach`.
    pub(crate) fn new(reach: Reach<'c>) -> Self {
        Self {
            reach,
            told: ToldOnce::default(),
        }
    }

    /// Whether the member goes on to the next minor release, and its log holds what that one would misread. Which release
    /// it is of stands in its record until this is done: it may be down just now.
    fn is_needed(&self, seen: &dyn View) -> Result<bool, Error> {
        let wanted = self.reach.configuration.version;
        let recorded = Record::read(seen.host())?.and_then(|record| record.configuration.version);
        let leaves = |minor| {
            let is = recorded.is_some_and(|recorded| recorded.minor == minor);
            is && wanted.minor == minor + 1
        };
        let Some((_, misread)) = MISREAD.iter().find(|(minor, _)| leaves(*minor)) else {
            return Ok(false);
        };
        let folder = self.folder("wal");
        let segments = seen.host().list(&folder)?.unwrap_or_default();
        for name in segments.iter().filter(|name| name.ends_with(".wal")) {
            if seen.host().contains(&folder.join(name), misread)? == Some(true) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn folder(&self, name: &str) -> PathBuf {
        let data = self.reach.configuration.data_dir();
        data.join("member").join(name)
    }
}

impl<'a> Phase<Machine<'a>> for SnapshotLog<'_> {
    fn name(&self) -> &'static str {
        "snapshot-log"
    }

    fn about(&self) -> &'static str {
        "have etcd take a snapshot of its log, where the next minor release would misread what stands there"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        if !self.is_needed(seen)? {
            return Ok(Vec::new());
        }
        let host = seen.host();
        let pid = runs::member(seen, self.reach.configuration)?.pid;
        let (key, count) = COUNT;
        let runs_so = running_variables(host, pid)?
            .iter()
            .any(|(k, value)| k == key && value == count);
        if let (true, Some(since)) = (runs_so, facts::started_at(host, pid, seen.now())?) {
            let condition = Condition::Changed {
                folder: self.folder("snap"),
                ending: ".snap".to_owned(),
                since,
            };
            if host.holds(&condition)? {
                return Ok(Vec::new());
            }
            let wait = Wait {
                condition,
                reason: "etcd to have taken a snapshot of its log".to_owned(),
                poll: Duration::from_millis(100),
                limit: LIMIT,
            };
            return Ok(vec![host::Change::Wait(wait).into()]);
        }
        // What stands there is of the release that runs; the other one's is written in its turn.
        let text = host.read_text(Path::new(paths::ENVIRONMENT))?;
        let mut variables = systemd::parse_environment(&text.unwrap_or_default());
        variables.retain(|(known, _)| known != key);
        variables.push((key.to_owned(), count.to_owned()));
        let mut plan = write_configuration::written(host, &variables)?;
        let local = self.reach.configuration.local_url();
        plan.extend(hand_over(&self.reach, seen, &local)?);
        plan.push(Change::Start(Start::of_member(
            self.reach.configuration,
            pid != 0,
            "",
        )));
        Ok(self.told.leave(seen.host(), plan))
    }
}
