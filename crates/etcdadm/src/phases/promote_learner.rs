//! A learner that some join left behind becomes a voter.

use etcd::Waits;
use host::Phase;

use crate::survey::{Quorum, Reach};
use crate::{Change, Error, Machine, View};

/// Promotes a member.
pub(crate) struct PromoteLearner<'c> {
    pub(crate) reach: Reach<'c>,
    /// Its name, id or URL.
    pub(crate) member: String,
}

impl<'a> Phase<Machine<'a>> for PromoteLearner<'_> {
    fn name(&self) -> &'static str {
        "promote-learner"
    }

    fn about(&self) -> &'static str {
        "let the learner vote, as soon as it is in sync, unless that would cost the majority"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let survey = self.reach.survey(seen)?;
        let found = survey.must_find(&self.member)?;
        if !found.member.learner {
            return Ok(Vec::new());
        }
        // One that does not run would count among the voters all the same.
        let now = survey.quorum();
        let then = Quorum {
            voters: now.voters + 1,
            serving: now.serving + usize::from(found.serves),
        };
        if !then.holds() || !found.serves {
            return Err(Error::PromotesDead {
                member: found.member.to_string(),
                left: then.to_string(),
                why: found.error.clone().unwrap_or_default(),
            });
        }
        Ok(vec![
            etcd::Change::Promote {
                via: survey.via(0),
                name: found.member.name.clone(),
                id: found.id(),
                waits: Waits::seconds(120),
            }
            .into(),
        ])
    }
}
