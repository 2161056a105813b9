//! Whether the cluster can take the next step from one authority to another: everybody well, nobody behind.

use etcd::Member;
use host::Phase;

use crate::authorities::{Authorities, Lag, Step, lagging};
use crate::phases::ReissueCertificates;
use crate::phases::restart_member::runs_right;
use crate::survey::Reach;
use crate::{Change, Error, Machine, View};

/// Checks the cluster.
pub(crate) struct CheckRotation<'c> {
    pub(crate) reach: Reach<'c>,
    pub(crate) step: Step,
    /// Whether the cluster may stand still meanwhile.
    pub(crate) interrupt: bool,
}

impl<'a> Phase<Machine<'a>> for CheckRotation<'_> {
    fn name(&self) -> &'static str {
        "check-rotation"
    }

    fn about(&self) -> &'static str {
        "ask every member by a handshake which authorities it accepts, and refuse where one is behind"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let configuration = self.reach.configuration;
        let authorities = Authorities::read(seen.host(), configuration, seen.now())?;
        // Finished twice is finished once.
        if self.step == Step::Finish && authorities.settled() {
            return Ok(Vec::new());
        }
        let survey = self.reach.survey(seen)?;
        let own = survey.own(configuration);
        survey.others_serve(own)?;
        let before = match self.step {
            Step::Trust => None,
            Step::Reissue => Some(Step::Trust),
            Step::Finish => Some(Step::Reissue),
        };
        if let Some(before) = before {
            let next = authorities.must_have_next(configuration)?;
            let credentials = self.reach.credentials(seen)?;
            // This host's own may be down, cut off between stop and start: it comes up with what is in its files.
            let asked: Vec<Member> = survey
                .members
                .iter()
                .filter(|member| member.id() != own || member.status.is_some())
                .map(|member| member.member.clone())
                .collect();
            let lags = lagging(seen.etcd(), &asked, &credentials, next, before);
            if !lags.is_empty() {
                let list = |words: Vec<String>, between| words.join(between);
                let name = |lag: &Lag| lag.member.clone();
                let why = |lag: &Lag| format!("{} {}", lag.member, lag.why);
                return Err(Error::Behind {
                    verb: before.verb(),
                    members: list(lags.iter().map(name).collect(), ", "),
                    why: list(lags.iter().map(why).collect(), "; "),
                });
            }
        }
        if self.restarts(seen, &authorities)? && !self.interrupt {
            survey.survives_restart(own)?;
        }
        Ok(Vec::new())
    }
}

impl CheckRotation<'_> {
    /// Whether this step restarts the member: not where it has been taken.
    fn restarts(&self, seen: &dyn View, authorities: &Authorities) -> Result<bool, Error> {
        let configuration = self.reach.configuration;
        let written = match self.step {
            Step::Trust => authorities.trusts_next(),
            Step::Reissue => ReissueCertificates(configuration).due(seen)?.is_empty(),
            Step::Finish => authorities.trusted.len() == 1 && authorities.trusts_next(),
        };
        Ok(!written || runs_right(seen, configuration)? != Some(true))
    }
}
