//! Leadership handed to a named voter.

use host::Phase;

use crate::phases::remove_member::move_leader;
use crate::survey::Reach;
use crate::{Change, Error, Machine, View};

/// Hands leadership over.
pub(crate) struct MoveLeader<'c> {
    pub(crate) reach: Reach<'c>,
    /// Name, id or URL of the leader to be.
    pub(crate) member: String,
}

impl<'a> Phase<Machine<'a>> for MoveLeader<'_> {
    fn name(&self) -> &'static str {
        "move-leader"
    }

    fn about(&self) -> &'static str {
        "hand leadership to the member"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let survey = self.reach.survey(seen)?;
        let heir = survey.must_find(&self.member)?;
        let leader = survey.leader().ok_or(Error::Etcd(etcd::Error::NoLeader))?;
        if leader.id() == heir.id() {
            return Ok(Vec::new());
        }
        if heir.member.learner || !heir.serves {
            let why = heir.error.clone();
            return Err(Error::CannotLead {
                member: heir.member.to_string(),
                why: why.unwrap_or_else(|| "it is a learner".to_owned()),
            });
        }
        Ok(vec![move_leader(leader.url(), heir)])
    }
}
