//! Another configuration for a member that runs: what may change and when, the cluster told of a new address, one restart.

use std::path::Path;
use std::time::SystemTime;

use api::EtcdConfiguration;
use etcd::Waits;
use host::{Inspect, Phase};

use crate::change::running_variables;
use crate::phases::restart_member::hand_over;
use crate::phases::{Begin, StartMember, WriteConfiguration};
use crate::runs::Running;
use crate::start::Start;
use crate::survey::{Reach, Survey};
use crate::{Change, Configuration, Error, Machine, View, facts, runs};

/// Checks what is to change.
pub(crate) struct CheckChange<'c> {
    pub(crate) reach: Reach<'c>,
    /// What the member is now.
    pub(crate) from: &'c EtcdConfiguration,
    /// Whether the cluster may stand still meanwhile.
    pub(crate) interrupt: bool,
}

impl<'a> Phase<Machine<'a>> for CheckChange<'_> {
    fn name(&self) -> &'static str {
        "check-change"
    }

    fn about(&self) -> &'static str {
        "check that the member can be changed so, and that all others are well"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let (configuration, from) = (self.reach.configuration, self.from);
        let to = &configuration.document;
        let no = |what: String| Err(Error::NoChange(what));
        let fixed = [
            ("its name", &from.metadata.name, &to.metadata.name),
            (
                "its release",
                &from.version.map(|v| v.to_string()).unwrap_or_default(),
                &configuration.version.to_string(),
            ),
            (
                "initSystem",
                &from.init_system.to_string(),
                &to.init_system.to_string(),
            ),
            ("dataDir", &shown(&from.data_dir), &shown(&to.data_dir)),
            ("certsDir", &shown(&from.certs_dir), &shown(&to.certs_dir)),
            (
                "installDir",
                &shown(&from.install_dir),
                &shown(&to.install_dir),
            ),
        ];
        for (what, from, to) in fixed {
            if from != to && !from.is_empty() {
                return no(format!("{what} would change from {from} to {to}"));
            }
        }
        let own = facts::addresses(seen.host())?;
        if !own.contains(&configuration.address) {
            let address = configuration.address;
            return no(format!("{address} is not an address of this host"));
        }
        if !configuration.has_data(seen.host())? {
            let data_dir = configuration.data_dir().to_owned();
            return Err(Error::NoData { data_dir });
        }
        let survey = self.reach.survey(seen)?;
        let own = own_id(&self.reach, seen, &survey)?;
        survey.others_serve(own)?;
        if !self.interrupt && restarts(&self.reach, seen)? {
            survey.survives_restart(own)?;
        }
        Ok(Vec::new())
    }
}

/// Tells the cluster where the member will be reached.
pub(crate) struct MoveMember<'c>(pub(crate) Reach<'c>);

impl<'a> Phase<Machine<'a>> for MoveMember<'_> {
    fn name(&self) -> &'static str {
        "move-member"
    }

    fn about(&self) -> &'static str {
        "tell the cluster where other members will reach this one"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let survey = self.0.survey(seen)?;
        let id = own_id(&self.0, seen, &survey)?;
        let peer_url = self.0.configuration.peer_url();
        let member = survey.list.members.iter().find(|member| member.id == id);
        let Some(member) = member.filter(|member| member.peer_urls != [peer_url.clone()]) else {
            return Ok(Vec::new());
        };
        let others = survey.via(id);
        Ok(vec![
            etcd::Change::MoveMember {
                via: if others.is_empty() {
                    self.0.ask()
                } else {
                    others
                },
                name: member.name.clone(),
                id,
                peer_url,
                waits: Waits::seconds(60),
            }
            .into(),
        ])
    }
}

/// Restarts the member, where it runs with another configuration than the one that is written.
pub(crate) struct RestartOutdated<'c>(pub(crate) Reach<'c>);

impl<'a> Phase<Machine<'a>> for RestartOutdated<'_> {
    fn name(&self) -> &'static str {
        "restart-outdated"
    }

    fn about(&self) -> &'static str {
        "hand leadership over and restart etcd, where it runs with another configuration"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let begin = Begin::Join;
        let start = StartMember {
            configuration: self.0.configuration,
            begin,
        };
        let mut plan = start.plan(seen)?;
        let configuration = self.0.configuration;
        let running = runs::member(seen, configuration)?;
        if plan.is_empty() && running.is_active() && outlived(seen, configuration, running)? {
            plan.push(Change::Start(Start::of_member(configuration, true, "")));
        }
        if let [Change::Start(Start { restart: true, .. })] = plan.as_slice()
            && let Some(first) = self.0.endpoints.first()
            && let Some(change) = hand_over(&self.0, seen, first)?
        {
            plan.insert(0, change);
        }
        Ok(plan)
    }
}

/// This host's member, by what runs here; else by where it is, or was, reached.
fn own_id(reach: &Reach<'_>, seen: &dyn View, survey: &Survey) -> Result<u64, Error> {
    let credentials = reach.credentials(seen)?;
    let running = running_urls(seen.host(), reach.configuration)?;
    let of = |url: &String| seen.etcd().status(url, &credentials).ok();
    if let Some(status) = running.iter().find_map(of) {
        return Ok(status.id);
    }
    let at = |url: String| survey.list.at_peer_url(&url).map(|member| member.id);
    let name = &reach.configuration.name;
    let named = || {
        survey
            .list
            .members
            .iter()
            .find(|member| member.name == *name)
    };
    let found = at(reach.configuration.peer_url()).or_else(|| named().map(|member| member.id));
    found.ok_or(Error::NoMember)
}

/// Whether the member is restarted: it is to be told something else than it was, or does not run.
fn restarts(reach: &Reach<'_>, seen: &dyn View) -> Result<bool, Error> {
    let running = runs::member(seen, reach.configuration)?;
    let (configuration, begin) = (reach.configuration, Begin::Join);
    let write = WriteConfiguration {
        configuration,
        begin,
    };
    let start = StartMember {
        configuration,
        begin,
    };
    let variables = write.variables(seen)?;
    Ok(!running.is_active()
        || !write.changes(seen)?.is_empty()
        || start.outdated(seen, running.pid, &variables)?
        || outlived(seen, configuration, running)?)
}

/// Whether the running member was started before what it is started from was written.
fn outlived(
    seen: &dyn View,
    configuration: &Configuration,
    running: Running,
) -> Result<bool, Error> {
    let written = seen.host().stat(configuration.runs().started_from())?;
    let started = facts::started_at(seen.host(), running.pid, SystemTime::now())?;
    Ok(started
        .zip(written)
        .is_some_and(|(started, written)| written.changed > started))
}

/// Where the running member answers clients.
pub(crate) fn running_urls(
    seen: &dyn Inspect,
    configuration: &Configuration,
) -> Result<Vec<String>, Error> {
    let pid = configuration.runs().observe(seen)?.pid;
    let variables = running_variables(seen, pid)?;
    let listens = variables
        .iter()
        .find(|(key, _)| key == "ETCD_LISTEN_CLIENT_URLS");
    let urls = listens.map(|(_, urls)| urls.split(',').map(str::to_owned));
    // The loopback one stands last.
    Ok(urls.into_iter().flatten().rev().collect())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
