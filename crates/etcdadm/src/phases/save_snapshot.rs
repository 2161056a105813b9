//! A snapshot of the member that can best spare the time: a follower that is up to date.

use std::cell::Cell;
use std::path::PathBuf;

use host::Phase;

use crate::save::Save;
use crate::survey::{Reach, Seen};
use crate::{Change, Error, Machine, View};

/// Takes a snapshot.
pub(crate) struct SaveSnapshot<'c> {
    reach: Reach<'c>,
    to: Option<PathBuf>,
    raw: bool,
    /// One that is there is as good: it was taken by a run that was cut off.
    once: bool,
    /// There is no telling from the outside that this run took one.
    taken: Cell<bool>,
}

impl<'c> SaveSnapshot<'c> {
    /// Into this file, or to standard output.
    pub(crate) fn new(reach: Reach<'c>, to: Option<PathBuf>, raw: bool) -> Self {
        let taken = Cell::new(false);
        Self {
            reach,
            to,
            raw,
            once: false,
            taken,
        }
    }

    /// Into this file, unless it is there: before the member is upgraded.
    pub(crate) fn once(reach: Reach<'c>, to: PathBuf) -> Self {
        let once = true;
        Self {
            once,
            ..Self::new(reach, Some(to), false)
        }
    }
}

impl<'a> Phase<Machine<'a>> for SaveSnapshot<'_> {
    fn name(&self) -> &'static str {
        "save-snapshot"
    }

    fn about(&self) -> &'static str {
        "take a snapshot of the healthiest member, checked while it comes"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        if self.taken.replace(true) {
            return Ok(Vec::new());
        }
        if let Some(path) = &self.to
            && seen.host().stat(path)?.is_some()
        {
            if self.once {
                return Ok(Vec::new());
            }
            return Err(Error::SnapshotInTheWay { path: path.clone() });
        }
        if self.once {
            // Where the member runs the release already, nothing is ahead that the snapshot would be for.
            let configuration = self.reach.configuration;
            let credentials = self.reach.credentials(seen)?;
            let own = seen.etcd().status(&configuration.local_url(), &credentials);
            if own.is_ok_and(|own| own.version == configuration.version.bare()) {
                return Ok(Vec::new());
            }
        }
        let survey = self.reach.survey(seen)?;
        let named = self.reach.endpoints.first();
        let named = named.and_then(|url| survey.find(url).ok().flatten());
        let best = match named {
            Some(member) => member,
            None => {
                let leader = survey.leader().map_or(0, Seen::id);
                let serving = survey.voters().filter(|member| member.serves);
                let rank = |member: &&Seen| {
                    let status = member.status.as_ref();
                    let complains = status.is_some_and(|s| !s.errors.is_empty());
                    let applied = status.map_or(0, |s| s.raft_applied);
                    // Up to date to what is under way, then not the leader.
                    (!complains, applied / 100, member.id() != leader)
                };
                let best = serving.max_by_key(rank);
                best.ok_or(Error::Etcd(etcd::Error::NoEndpoint))?
            }
        };
        Ok(vec![Change::Save(Save {
            endpoint: best.url(),
            name: best.member.name.clone(),
            to: self.to.clone(),
            raw: self.raw,
        })])
    }
}
