//! Whether the cluster takes another release now: one minor at a time, everybody well, nobody too old.

use api::Version;
use host::Phase;

use crate::survey::Reach;
use crate::{Change, Error, Machine, View};

/// Before this release, 3.5 keeps two member lists that may differ, and 3.6 believes the other one: members that were
/// removed long ago come back to life. This one and later ones mend the difference before they are left.
const MENDED: Version = Version::new(3, 5, 26);

/// Checks the cluster.
pub(crate) struct CheckUpgrade<'c> {
    pub(crate) reach: Reach<'c>,
    /// Whether the cluster may stand still meanwhile.
    pub(crate) interrupt: bool,
}

impl<'a> Phase<Machine<'a>> for CheckUpgrade<'_> {
    fn name(&self) -> &'static str {
        "check-upgrade"
    }

    fn about(&self) -> &'static str {
        "check that all members are well, and that the release follows on theirs"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let configuration = self.reach.configuration;
        let wanted = configuration.version;
        let no = |text: String| Err(Error::NoUpgrade(text));
        let survey = self.reach.survey(seen)?;
        let own = survey.own(configuration);
        for (member, running) in survey.releases(own)? {
            let name = &member.member;
            let distance = i64::from(wanted.minor) - i64::from(running.minor);
            if running.major != wanted.major || !(-1..=1).contains(&distance) {
                return no(format!(
                    "{name} runs {running}, and etcd goes one minor release at a time to {wanted}"
                ));
            }
            if member.id() == own && running > wanted {
                return no(format!(
                    "{name} runs {running} already, which is newer than {wanted}"
                ));
            }
            if distance == 1 && running.minor == MENDED.minor && running < MENDED {
                return no(format!(
                    "{name} runs {running}: before 3.6, all members must run {MENDED} or later, which mends a member list that 3.6 would misread"
                ));
            }
        }
        let restarts = survey
            .members
            .iter()
            .find(|member| member.id() == own)
            .is_some_and(|own| own.version() != Some(wanted));
        if restarts && !self.interrupt {
            survey.survives_restart(own)?;
        }
        Ok(Vec::new())
    }
}
