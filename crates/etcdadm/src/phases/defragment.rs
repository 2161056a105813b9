//! Databases as small as what is in them: one member at a time, the leader last and no longer leading.
//!
//! A member that is being defragmented answers nothing. Those that serve must be a majority without it, and all must serve
//! before the next begins. One that would hardly become smaller is left alone.

use std::time::Duration;

use host::Phase;

use crate::phases::remove_member::move_leader;
use crate::survey::{Reach, Seen};
use crate::{Change, Error, Machine, View};

/// How long a large database may take.
const LIMIT: Duration = Duration::from_secs(900);
/// So much must be gained at least, of the database's size and in bytes.
const WORTH: (i64, i64) = (10, 1 << 20);

/// Defragments members.
pub(crate) struct Defragment<'c> {
    pub(crate) reach: Reach<'c>,
    /// One alone, by its name, id or URL.
    pub(crate) only: Option<String>,
    /// Whether the cluster may stand still meanwhile.
    pub(crate) interrupt: bool,
}

impl<'a> Phase<Machine<'a>> for Defragment<'_> {
    fn name(&self) -> &'static str {
        "defragment"
    }

    fn about(&self) -> &'static str {
        "give free space in databases back, one member at a time, the leader last"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let survey = self.reach.survey(seen)?;
        let leader = survey.leader().map_or(0, Seen::id);
        let only = match &self.only {
            Some(text) => Some(survey.must_find(text)?.id()),
            None => None,
        };
        let chosen = |member: &&Seen| only.is_none_or(|id| member.id() == id) && worth_it(member);
        let mut members: Vec<&Seen> = survey.members.iter().filter(chosen).collect();
        members.sort_by_key(|member| member.id() == leader);
        let mut plan = Vec::new();
        for member in members {
            let left = survey.quorum_without(member.id());
            // The majority is of all voters, this one included: it comes back.
            let costs = !member.member.learner && left.serving < survey.quorum().needed();
            if costs && !self.interrupt {
                return Err(Error::StandsStill {
                    member: member.member.to_string(),
                    serving: left.serving,
                    needed: survey.quorum().needed(),
                });
            }
            if member.id() == leader
                && let Some(heir) = survey.heir(leader)
                && !costs
            {
                plan.push(move_leader(member.url(), heir));
            }
            plan.push(
                etcd::Change::Defragment {
                    endpoint: member.url(),
                    name: member.member.name.clone(),
                    limit: LIMIT,
                }
                .into(),
            );
        }
        Ok(plan)
    }
}

fn worth_it(member: &Seen) -> bool {
    member.status.as_ref().is_some_and(|status| {
        let free = status.db_size - status.db_in_use;
        free >= WORTH.1 && free >= status.db_size / WORTH.0
    })
}
