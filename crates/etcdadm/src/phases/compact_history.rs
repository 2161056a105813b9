//! Old revisions forgotten, on all members at once.

use std::cell::Cell;
use std::time::Duration;

use host::Phase;

use crate::survey::Reach;
use crate::{Change, Error, Machine, View};

/// How long it may take until all of a long history is gone.
const LIMIT: Duration = Duration::from_secs(900);

/// Compacts the history.
pub(crate) struct CompactHistory<'c> {
    reach: Reach<'c>,
    /// How many revisions are kept.
    keep: i64,
    /// Up to where: decided once, since the revision goes on.
    revision: Cell<Option<i64>>,
}

impl<'c> CompactHistory<'c> {
    /// Keeps the last `keep` revisions, or compacts up to `revision`.
    pub(crate) fn new(reach: Reach<'c>, keep: i64, revision: Option<i64>) -> Self {
        let revision = Cell::new(revision);
        Self {
            reach,
            keep,
            revision,
        }
    }
}

impl<'a> Phase<Machine<'a>> for CompactHistory<'_> {
    fn name(&self) -> &'static str {
        "compact-history"
    }

    fn about(&self) -> &'static str {
        "forget the history of keys but for the last revisions"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let survey = self.reach.survey(seen)?;
        let newest = survey.members.iter().filter_map(|m| m.status.as_ref());
        let newest = newest.map(|status| status.revision).max().unwrap_or(0);
        let revision = self.revision.get().unwrap_or(newest - self.keep);
        self.revision.set(Some(revision));
        if revision > newest {
            return Err(Error::NoSuchRevision { revision, newest });
        }
        let (via, credentials) = (survey.via(0), self.reach.credentials(seen)?);
        if revision <= 1 || seen.etcd().compacted(&via, &credentials, revision)? {
            return Ok(Vec::new());
        }
        Ok(vec![
            etcd::Change::Compact {
                via,
                revision,
                limit: LIMIT,
            }
            .into(),
        ])
    }
}
