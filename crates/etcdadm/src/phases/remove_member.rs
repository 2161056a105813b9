//! Another member out of the member list: one that is dead, mostly.

use etcd::{Waits, hex_id};
use host::Phase;

use crate::survey::Reach;
use crate::{Change, Error, Machine, View};

/// Removes a member, guarded.
pub(crate) struct RemoveMember<'c> {
    pub(crate) reach: Reach<'c>,
    /// Its name, id or URL.
    pub(crate) member: String,
    /// The id that was typed to do it all the same.
    pub(crate) force: Option<String>,
}

impl<'a> Phase<Machine<'a>> for RemoveMember<'_> {
    fn name(&self) -> &'static str {
        "remove-member"
    }

    fn about(&self) -> &'static str {
        "remove the member from the member list, unless that would cost the majority"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let survey = self.reach.survey(seen)?;
        let Some(found) = survey.find(&self.member)? else {
            return Ok(Vec::new());
        };
        let (member, id) = (&found.member, found.id());
        let own = self.reach.configuration.peer_url();
        if survey.list.at_peer_url(&own).is_some_and(|m| m.id == id) {
            return Err(Error::OwnMember {
                member: member.to_string(),
            });
        }
        let mut plan = Vec::new();
        if !member.learner {
            let left = survey.quorum_without(id);
            let forced = self.force.as_deref() == Some(hex_id(id).as_str());
            if !left.holds() && !forced {
                return Err(Error::CostsQuorum {
                    what: format!("removing {member}"),
                    left: left.to_string(),
                    id: hex_id(id),
                });
            }
            // A leader that is removed takes what is being written with it, and leaves an election behind.
            if let (Some(leader), Some(heir)) = (survey.leader(), survey.heir(id))
                && leader.id() == id
                && found.serves
            {
                plan.push(move_leader(found.url(), heir));
            }
        }
        let (name, waits) = (member.name.clone(), Waits::seconds(60));
        let via = survey.via(id);
        plan.push(
            etcd::Change::Remove {
                via,
                name,
                id,
                waits,
            }
            .into(),
        );
        Ok(plan)
    }
}

/// Hands leadership from the member at `leader` to another one.
pub(super) fn move_leader(leader: String, to: &crate::survey::Seen) -> Change {
    etcd::Change::MoveLeader {
        via: vec![leader],
        name: to.member.name.clone(),
        to: to.id(),
        waits: Waits::seconds(10),
    }
    .into()
}
