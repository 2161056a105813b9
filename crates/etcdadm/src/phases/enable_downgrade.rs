//! The way back to an earlier minor release: whether it is open, and the cluster told to take it.

use api::Version;
use etcd::Waits;
use host::Phase;

use crate::survey::{Reach, Seen};
use crate::{Change, Error, Machine, View};

/// The first release that can be left for an earlier one: before it, data does not say which release it is of.
const FIRST: u32 = 6;

/// Checks that the release is one that the cluster can go back to.
pub(crate) struct CheckDowngrade<'c> {
    pub(crate) reach: Reach<'c>,
    /// Whether the cluster may stand still meanwhile.
    pub(crate) interrupt: bool,
}

impl<'a> Phase<Machine<'a>> for CheckDowngrade<'_> {
    fn name(&self) -> &'static str {
        "check-downgrade"
    }

    fn about(&self) -> &'static str {
        "check that all members are well, and that etcd can go back from their release to this one"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let configuration = self.reach.configuration;
        let wanted = configuration.version;
        let no = |text: String| Err(Error::NoUpgrade(text));
        let survey = self.reach.survey(seen)?;
        let own = survey.own(configuration);
        for (member, running) in survey.releases(own)? {
            let name = &member.member;
            let distance = i64::from(running.minor) - i64::from(wanted.minor);
            if running.major != wanted.major || !(0..=1).contains(&distance) {
                return no(format!(
                    "{name} runs {running}, and etcd goes back one minor release at a time, not to {wanted}"
                ));
            }
            if distance == 1 && running.minor < FIRST {
                return no(format!(
                    "{name} runs {running}: etcd can go back from 3.6 on"
                ));
            }
            if member.id() == own && running < wanted {
                return no(format!(
                    "{name} runs {running} already, which is older than {wanted}"
                ));
            }
        }
        let restarts = survey.members.iter().find(|member| member.id() == own);
        if restarts.is_none_or(|own| own.version() != Some(wanted)) && !self.interrupt {
            survey.survives_restart(own)?;
        }
        Ok(Vec::new())
    }
}

/// Tells the cluster, unless every member's data is as the earlier release writes it.
pub(crate) struct EnableDowngrade<'c>(pub(crate) Reach<'c>);

impl<'a> Phase<Machine<'a>> for EnableDowngrade<'_> {
    fn name(&self) -> &'static str {
        "enable-downgrade"
    }

    fn about(&self) -> &'static str {
        "let the cluster go back, and wait until every member's data is as the earlier release writes it"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let wanted = self.0.configuration.version;
        let survey = self.0.survey(seen)?;
        let of = |text: &str| text.parse::<Version>().ok().map(|version| version.minor);
        let ahead = |member: &&Seen| {
            member.status.as_ref().is_some_and(|status| {
                of(&status.version) != Some(wanted.minor)
                    && of(&status.storage_version) != Some(wanted.minor)
            })
        };
        if !survey.members.iter().any(|member| ahead(&member)) {
            return Ok(Vec::new());
        }
        let answering = survey
            .members
            .iter()
            .filter(|member| member.status.is_some());
        Ok(vec![
            etcd::Change::Downgrade {
                via: answering.map(Seen::url).collect(),
                target: format!("{}.{}.0", wanted.major, wanted.minor),
                waits: Waits::seconds(120),
            }
            .into(),
        ])
    }
}
