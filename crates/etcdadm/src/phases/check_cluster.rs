//! Whether this host and the cluster's members get along: clocks, ports, packets, room. Before the membership changes.

use std::time::Duration;

use etcd::{Credentials, Membership};
use host::Phase;

use crate::phases::add_learner::AWAIT_CLUSTER;
use crate::phases::checks::{Finding, fault, judge};
use crate::{Change, Configuration, Error, Machine, View};

/// By how much clocks may differ: certificates that were just issued must be valid elsewhere, too.
const CLOCKS: Duration = Duration::from_secs(10);

/// Checks the cluster from here.
pub(crate) struct CheckCluster<'c>(pub(crate) &'c Configuration);

impl<'a> Phase<Machine<'a>> for CheckCluster<'_> {
    fn name(&self) -> &'static str {
        "check-cluster"
    }

    fn about(&self) -> &'static str {
        "check from here that the members can be reached and agree on the time, before the membership changes"
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
                let waits = AWAIT_CLUSTER;
                return Ok(vec![etcd::Change::AwaitCluster { endpoints, waits }.into()]);
            }
            Err(error) => return Err(error.into()),
        };
        // Once the host is in the list, there is nothing left to be kept from.
        if list.at_peer_url(&configuration.peer_url()).is_some() {
            return Ok(Vec::new());
        }
        let cluster = Seen {
            seen,
            list: &list,
            credentials: &credentials,
        };
        let (clock, packets) = cluster.clock_and_packets();
        judge(
            [
                ("peer-ports", Ok(cluster.peer_ports())),
                ("clock", Ok(clock)),
                ("mtu", Ok(packets)),
                ("database-room", cluster.room(configuration)),
            ],
            &configuration.document.ignore_preflight_errors,
        )?;
        Ok(Vec::new())
    }
}

struct Seen<'s> {
    seen: &'s dyn View,
    list: &'s Membership,
    credentials: &'s Credentials,
}

impl Seen<'_> {
    /// Without a way to every voter, the member could never be in sync, or would be the one that breaks the majority.
    fn peer_ports(&self) -> Finding {
        let voters = self.list.members.iter().filter(|member| !member.learner);
        let closed: Vec<&str> = voters
            .flat_map(|member| &member.peer_urls)
            .filter(|url| self.seen.etcd().reaches(url).is_err())
            .map(String::as_str)
            .collect();
        if closed.is_empty() {
            return None;
        }
        fault(
            format!("nobody accepts connections at {}", closed.join(", ")),
            "open the peer ports between all members; a member that is gone for good must be removed first: `etcdadm member remove`",
        )
    }

    /// A member that cannot be asked at all is not this check's to tell: see `peer-ports`.
    fn clock_and_packets(&self) -> (Finding, Finding) {
        let (mut clocks, mut stuck) = (Vec::new(), Vec::new());
        for url in self.list.voter_urls() {
            match self.seen.etcd().probe(&url, self.credentials) {
                Ok(probe) => {
                    let ahead = probe.clock_ahead.unwrap_or(0);
                    if ahead.unsigned_abs() > CLOCKS.as_secs() {
                        let side = if ahead > 0 { "ahead of" } else { "behind" };
                        clocks.push(format!(
                            "the clock of {url} is {} s {side} this host's",
                            ahead.unsigned_abs()
                        ));
                    }
                }
                Err(etcd::Error::Timeout { .. }) => stuck.push(url),
                Err(_) => {}
            }
        }
        let clock = (!clocks.is_empty())
            .then(|| fault(clocks.join("; "), "let all hosts keep the same time (NTP)"))
            .flatten();
        let packets = (!stuck.is_empty())
            .then(|| {
                fault(
                    format!(
                        "{} accepts connections, but a request of several packets is not answered",
                        stuck.join(", ")
                    ),
                    "lower the MTU of the interface to what the path carries",
                )
            })
            .flatten();
        (clock, packets)
    }

    /// The member will fetch the whole database, and hold a second one whenever it is defragmented.
    fn room(&self, configuration: &Configuration) -> Result<Finding, Error> {
        let size = |url: &String| self.seen.etcd().status(url, self.credentials).ok();
        let status = self.list.voter_urls().iter().find_map(size);
        let needed = status.map_or(0, |status| status.db_size.max(0).unsigned_abs()) * 2;
        let folder = configuration.data_dir();
        let found = self.seen.host().file_system(folder)?;
        Ok(found.filter(|found| found.free < needed).and_then(|found| {
            fault(
                format!(
                    "{} has {} MB of room; twice the cluster's database is {} MB",
                    folder.display(),
                    found.free / 1_000_000,
                    needed / 1_000_000
                ),
                "make room, or choose another folder with --data-dir",
            )
        }))
    }
}
