//! This host out of the member list, before anything else of it goes.
//!
//! A member that stays in the list and never comes back costs the cluster its margin; so it is better not to reset than
//! not to know. The last member has no one to tell.

use std::cell::RefCell;

use etcd::{Credentials, Membership, Waits};
use host::Phase;

use crate::{Change, Configuration, Error, Machine, View};

/// Removes the member from the cluster.
pub(crate) struct LeaveCluster<'c> {
    configuration: &'c Configuration,
    /// Members named on the command line.
    endpoints: Vec<String>,
    /// Where others answer, learned while this member could still be asked.
    others: RefCell<Vec<String>>,
}

impl<'c> LeaveCluster<'c> {
    pub(crate) fn new(configuration: &'c Configuration, endpoints: Vec<String>) -> Self {
        Self {
            configuration,
            endpoints,
            others: RefCell::default(),
        }
    }

    fn members(
        &self,
        seen: &dyn View,
        credentials: &Credentials,
    ) -> Result<Membership, etcd::Error> {
        let mut ask = self.others.borrow().clone();
        ask.extend(self.endpoints.iter().cloned());
        ask.extend(self.configuration.endpoints.iter().cloned());
        // A member that was removed may remember the list from before: it is asked only when nobody else answers.
        ask.retain(|url| *url != self.configuration.client_url());
        ask.push(self.configuration.local_url());
        seen.etcd().members(&ask, credentials)
    }
}

impl<'a> Phase<Machine<'a>> for LeaveCluster<'_> {
    fn name(&self) -> &'static str {
        "leave-cluster"
    }

    fn about(&self) -> &'static str {
        "remove this member from the cluster, unless it is the last"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let configuration = self.configuration;
        let credentials = match crate::machine::credentials(seen.host(), configuration.certs_dir())
        {
            // Without credentials and data it was never a member, or all of it is gone already.
            Err(Error::NoCredentials { .. }) if !configuration.has_data(seen.host())? => {
                return Ok(Vec::new());
            }
            other => other?,
        };
        let list = match self.members(seen, &credentials) {
            Ok(list) => list,
            // One that has begun nothing and joins nobody has nobody to leave.
            Err(_)
                if !configuration.has_data(seen.host())?
                    && configuration.endpoints.is_empty()
                    && self.endpoints.is_empty() =>
            {
                return Ok(Vec::new());
            }
            Err(source) => return Err(Error::CannotTell { source }),
        };
        let Some(own) = list.at_peer_url(&configuration.peer_url()) else {
            return Ok(Vec::new());
        };
        let others: Vec<_> = list.members.iter().filter(|m| m.id != own.id).collect();
        if others.is_empty() {
            return Ok(Vec::new());
        }
        let via: Vec<String> = others
            .iter()
            .filter(|m| !m.learner)
            .flat_map(|m| m.client_urls.iter().cloned())
            .collect();
        *self.others.borrow_mut() = via.clone();
        let mut plan = Vec::new();
        if !own.learner {
            let left = others.iter().filter(|m| !m.learner).count();
            let serves = |m: &&&etcd::Member| {
                !m.learner
                    && m.client_urls
                        .first()
                        .is_some_and(|url| seen.etcd().healthy(url, &credentials).is_ok())
            };
            let healthy: Vec<_> = others.iter().filter(serves).collect();
            let needed = left / 2 + 1;
            if healthy.len() < needed {
                return Err(Error::LosesQuorum {
                    member: own.to_string(),
                    left,
                    healthy: healthy.len(),
                    needed,
                });
            }
            // A leader that is removed takes what is being written with it, and leaves an election behind.
            let status = seen.etcd().status(&configuration.local_url(), &credentials);
            if let Some(heir) = healthy.first()
                && status.is_ok_and(|status| status.leader == own.id)
            {
                plan.push(
                    etcd::Change::MoveLeader {
                        via: vec![configuration.local_url()],
                        name: heir.name.clone(),
                        to: heir.id,
                        waits: Waits::seconds(10),
                    }
                    .into(),
                );
            }
        }
        let name = configuration.name.clone();
        plan.push(
            etcd::Change::Remove {
                via,
                name,
                id: own.id,
                waits: Waits::seconds(60),
            }
            .into(),
        );
        Ok(plan)
    }
}
