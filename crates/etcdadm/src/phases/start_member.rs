//! The member, running with the configuration that is written.
//!
//! What a running member was started with is read from its process, not remembered: a run that was cut off between the
//! writing and the restart is finished by the next.

use std::time::Duration;

use etcd::settings::INITIAL;
use host::Phase;

use crate::change::running_variables;
use crate::phases::set_unready_aside::never_ready;
use crate::phases::{Begin, WriteConfiguration};
use crate::start::Start;
use crate::{Change, Configuration, Error, Machine, View, runs};

/// How long a member may take to fetch the cluster's data.
const LIMIT: Duration = Duration::from_secs(600);

/// How long a first member may take that begins with nothing: a few writes, on the slowest of disks.
const FIRST_LIMIT: Duration = Duration::from_secs(90);

/// How long members that are to start first are waited for.
const PATIENCE: Duration = Duration::from_secs(15);
/// The same, of members that nobody said to be joining: one may have been added and given up.
const SHORT_PATIENCE: Duration = Duration::from_secs(3);

/// Starts the member.
pub(crate) struct StartMember<'c> {
    pub(crate) configuration: &'c Configuration,
    pub(crate) begin: Begin,
}

impl<'a> Phase<Machine<'a>> for StartMember<'_> {
    fn name(&self) -> &'static str {
        "start-member"
    }

    fn about(&self) -> &'static str {
        "start etcd, or restart it where it runs with another configuration"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let running = runs::member(seen, self.configuration)?;
        let write = WriteConfiguration {
            configuration: self.configuration,
            begin: self.begin,
        };
        let variables = write.variables(seen)?;
        let told = variables
            .iter()
            .find(|(key, _)| key == INITIAL[0])
            .map(|(_, value)| value.clone())
            .unwrap_or_default();
        // With data it may have a long log to go through; as a first member that begins it has nothing to wait for.
        let first = self.begin == Begin::Init
            && (!self.configuration.has_data(seen.host())?
                || never_ready(seen.host(), self.configuration)?);
        let start = |restart, after| {
            Change::Start(Start {
                after,
                limit: if first { FIRST_LIMIT } else { LIMIT },
                first,
                ..Start::of_member(self.configuration, restart, told.clone())
            })
        };
        if running.is_active() {
            let outdated = self.outdated(seen, running.pid, &variables)?;
            return Ok(if outdated {
                vec![start(true, None)]
            } else {
                Vec::new()
            });
        }
        // Members may have come or gone since the configuration was written.
        let mut plan = write.environment(seen)?;
        plan.push(start(false, self.after(seen)?));
        Ok(plan)
    }
}

impl StartMember<'_> {
    /// Of members that join at the same time, one starts after the other, in the order of their URLs.
    fn after(&self, seen: &dyn View) -> Result<Option<etcd::Change>, Error> {
        let configuration = self.configuration;
        if self.begin != Begin::Join || configuration.has_data(seen.host())? {
            return Ok(None);
        }
        let own = configuration.peer_url();
        let credentials = crate::machine::credentials(seen.host(), configuration.certs_dir())?;
        let list = seen
            .etcd()
            .members(&configuration.endpoints, &credentials)?;
        let first = list
            .members
            .iter()
            .filter(|member| !member.started())
            .flat_map(|member| member.peer_urls.iter());
        let peer_urls: Vec<String> = first.filter(|url| **url < own).cloned().collect();
        if peer_urls.is_empty() {
            return Ok(None);
        }
        let expected = peer_urls
            .iter()
            .any(|url| configuration.expected.contains(url));
        let patience = if expected { PATIENCE } else { SHORT_PATIENCE };
        Ok(Some(etcd::Change::AwaitStarted {
            via: list.voter_urls(),
            peer_urls,
            patience,
        }))
    }

    /// Whether the process has other variables than those that are to be.
    pub(super) fn outdated(
        &self,
        seen: &dyn View,
        pid: u32,
        variables: &[(String, String)],
    ) -> Result<bool, Error> {
        let mut running = running_variables(seen.host(), pid)?;
        running.retain(|(key, _)| !INITIAL.contains(&key.as_str()));
        // Not etcd's process (a picture of a host has none): nothing to go by.
        if running.is_empty() {
            return Ok(false);
        }
        let mut wanted: Vec<&(String, String)> = variables
            .iter()
            .filter(|(key, _)| key.starts_with("ETCD_") && !INITIAL.contains(&key.as_str()))
            .collect();
        let mut running: Vec<&(String, String)> = running.iter().collect();
        wanted.sort();
        running.sort();
        Ok(wanted != running)
    }
}
