//! Alarms taken back, when what they warn of is over.

use etcd::AlarmKind;
use host::Phase;

use crate::survey::Reach;
use crate::{Change, Error, Machine, View};

/// Disarms alarms.
pub(crate) struct DisarmAlarms<'c> {
    pub(crate) reach: Reach<'c>,
    /// Those of corrupt data, too: nothing but the admin can tell that it is mended.
    pub(crate) corrupt: bool,
}

impl<'a> Phase<Machine<'a>> for DisarmAlarms<'_> {
    fn name(&self) -> &'static str {
        "disarm-alarms"
    }

    fn about(&self) -> &'static str {
        "take alarms back, where what they warn of is over"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let survey = self.reach.survey(seen)?;
        let (via, credentials) = (survey.via(0), self.reach.credentials(seen)?);
        let mut plan = Vec::new();
        for alarm in seen.etcd().alarms(&via, &credentials)? {
            let of = survey.members.iter().find(|m| m.id() == alarm.member);
            let name = of.map_or_else(|| etcd::hex_id(alarm.member), |m| m.member.name.clone());
            if alarm.kind == AlarmKind::Corrupt && !self.corrupt {
                return Err(Error::CorruptMember { member: name });
            }
            // The alarm comes when a write would go beyond the quota, so the database itself is a little below it.
            let near = |quota: i64| quota - quota / 20;
            let full = of
                .and_then(|member| member.status.as_ref())
                .filter(|status| status.db_quota > 0 && status.db_size >= near(status.db_quota));
            if let Some(status) = full
                && alarm.kind == AlarmKind::NoSpace
            {
                return Err(Error::StillFull {
                    member: name,
                    size: status.db_size,
                    quota: status.db_quota,
                });
            }
            let via = via.clone();
            plan.push(etcd::Change::Disarm { via, alarm, name }.into());
        }
        Ok(plan)
    }
}
