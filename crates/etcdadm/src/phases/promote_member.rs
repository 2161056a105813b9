//! The learner becomes a voter, as soon as it is in sync.

use etcd::Waits;
use host::Phase;

use crate::{Change, Configuration, Error, Machine, View};

/// Promotes the member.
pub(crate) struct PromoteMember<'c>(pub(crate) &'c Configuration);

impl<'a> Phase<Machine<'a>> for PromoteMember<'_> {
    fn name(&self) -> &'static str {
        "promote-member"
    }

    fn about(&self) -> &'static str {
        "let the member vote, as soon as it is in sync with the leader"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let configuration = self.0;
        let credentials = crate::machine::credentials(seen.host(), configuration.certs_dir())?;
        let mut ask = configuration.endpoints.clone();
        ask.push(configuration.local_url());
        let list = seen.etcd().members(&ask, &credentials)?;
        let peer_url = configuration.peer_url();
        let member = list.at_peer_url(&peer_url);
        let data_dir = || configuration.data_dir().to_owned();
        let member = member.ok_or_else(|| Error::Removed {
            data_dir: data_dir(),
            peer_url: peer_url.clone(),
        })?;
        if !member.learner {
            return Ok(Vec::new());
        }
        Ok(vec![
            etcd::Change::Promote {
                via: list.voter_urls(),
                name: configuration.name.clone(),
                id: member.id,
                waits: Waits::seconds(600),
            }
            .into(),
        ])
    }
}
