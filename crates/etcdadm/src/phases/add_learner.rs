//! This host in the member list, as a member that does not vote yet.
//!
//! What is already there decides: a member that was added and never started is ours if it has our peer URL; one that has
//! run and lost its data is replaced; data without a member is nothing to go on from.

use std::time::Duration;

use api::Version;
use etcd::{Feature, Member, Waits};
use host::Phase;

use crate::survey::Reach;
use crate::{Change, Configuration, Error, Machine, View};

/// How long others that join at the same time are waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the cluster's first answer is waited for.
pub(crate) const AWAIT_CLUSTER: Waits = Waits::seconds(30);

/// Adds the member as a learner.
pub(crate) struct AddLearner<'c>(pub(crate) &'c Configuration);

impl<'a> Phase<Machine<'a>> for AddLearner<'_> {
    fn name(&self) -> &'static str {
        "add-learner"
    }

    fn about(&self) -> &'static str {
        "add this host to the member list, as a learner"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let configuration = self.0;
        let credentials = crate::machine::credentials(seen.host(), configuration.certs_dir())?;
        let mut ask = configuration.endpoints.clone();
        ask.push(configuration.local_url());
        let list = match seen.etcd().members(&ask, &credentials) {
            Ok(list) => list,
            // The cluster may be just coming up: its first member is begun at the same time, or elects a leader.
            Err(error) if error.is_passing() => {
                let endpoints = configuration.endpoints.clone();
                return Ok(vec![
                    etcd::Change::AwaitCluster {
                        endpoints,
                        waits: AWAIT_CLUSTER,
                    }
                    .into(),
                ]);
            }
            Err(error) => return Err(error.into()),
        };
        let peer_url = configuration.peer_url();
        let data_dir = || configuration.data_dir().to_owned();
        match (
            list.at_peer_url(&peer_url),
            configuration.has_data(seen.host())?,
        ) {
            (Some(member), false) if member.started() => return self.give_up(seen, member),
            (None, true) => {
                return Err(Error::Removed {
                    data_dir: data_dir(),
                    peer_url,
                });
            }
            (Some(_), _) => return Ok(Vec::new()),
            (None, false) => {}
        }
        if let Some(other) = list.members.iter().find(|m| m.name == configuration.name) {
            return Err(name_taken(other));
        }
        let running = self.running_version(seen, &list.voter_urls(), &credentials)?;
        // Without room for several learners, waiting for the others to be added would be waiting for oneself.
        let together = etcd::settings::supports(running, Feature::ManyLearners)
            .is_ok_and(|value| value.is_some());
        Ok(vec![
            etcd::Change::AddLearner {
                via: list.voter_urls(),
                name: configuration.name.clone(),
                peer_url,
                beside: if together {
                    configuration.expected.clone()
                } else {
                    Vec::new()
                },
                patience: PATIENCE,
                waits: Waits::seconds(300),
            }
            .into(),
        ])
    }
}

impl AddLearner<'_> {
    /// A member that has run and whose data is gone cannot go on as who it was: it might have voted for what it no longer
    /// knows. It is removed, and added again as one that knows nothing yet; where a majority is left without it.
    fn give_up(&self, seen: &dyn View, member: &Member) -> Result<Vec<Change>, Error> {
        let configuration = self.0;
        let reach = Reach {
            configuration,
            endpoints: configuration.endpoints.clone(),
        };
        let survey = reach.survey(seen)?;
        let left = survey.quorum_without(member.id);
        let runs = survey.find(&etcd::hex_id(member.id))?;
        if runs.is_some_and(|member| member.serves) || !left.holds() {
            return Err(Error::LostData {
                member: member.to_string(),
                data_dir: configuration.data_dir().to_owned(),
                left: left.to_string(),
            });
        }
        let (id, name) = (member.id, member.name.clone());
        let (via, waits) = (survey.via(id), Waits::seconds(60));
        Ok(vec![
            etcd::Change::Remove {
                via,
                name,
                id,
                waits,
            }
            .into(),
        ])
    }

    /// The oldest release that a voter runs, with which ours must get along.
    fn running_version(
        &self,
        seen: &dyn View,
        voters: &[String],
        credentials: &etcd::Credentials,
    ) -> Result<Version, Error> {
        let wanted = self.0.version;
        let mut oldest: Option<Version> = None;
        let mut last = etcd::Error::NoEndpoint;
        for voter in voters {
            // One that is down says nothing about the others; whether enough are up, etcd itself decides.
            let status = match seen.etcd().status(voter, credentials) {
                Ok(status) => status,
                Err(error) => {
                    last = error;
                    continue;
                }
            };
            let skew = || Error::VersionSkew {
                wanted,
                running: status.version.clone(),
            };
            let version: Version = status.version.parse().map_err(|_| skew())?;
            let distance = i64::from(wanted.minor) - i64::from(version.minor);
            if wanted.major != version.major || !(0..=1).contains(&distance) {
                return Err(skew());
            }
            oldest = Some(oldest.map_or(version, |o| o.min(version)));
        }
        oldest.ok_or_else(|| last.into())
    }
}

fn name_taken(other: &Member) -> Error {
    Error::NameTaken {
        name: other.name.clone(),
        peer_url: other.peer_urls.join(","),
    }
}
