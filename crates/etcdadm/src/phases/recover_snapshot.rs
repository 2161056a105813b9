//! What is left of a cluster that lost its majority, in a capsule.

use std::cell::Cell;
use std::path::PathBuf;

use host::Phase;

use crate::recover_data::RecoverData;
use crate::{Change, Configuration, Error, Machine, View};

/// Takes the snapshot.
pub(crate) struct RecoverSnapshot<'c> {
    configuration: &'c Configuration,
    /// Whatever others have.
    force: bool,
    /// Whether others were asked: once this member is stopped, nobody can be compared with it.
    compared: Cell<bool>,
}

/// Where the capsule lies until the recovery is done.
pub(crate) fn capsule(configuration: &Configuration) -> PathBuf {
    let mut name = configuration.data_dir().as_os_str().to_owned();
    name.push(".recovered.capsule");
    name.into()
}

impl<'c> RecoverSnapshot<'c> {
    pub(crate) fn new(configuration: &'c Configuration, force: bool) -> Self {
        let compared = Cell::new(false);
        Self {
            configuration,
            force,
            compared,
        }
    }

    /// Nobody may serve, and nobody who answers may have newer data.
    fn compare(&self, seen: &dyn View) -> Result<(), Error> {
        let configuration = self.configuration;
        let credentials = crate::machine::credentials(seen.host(), configuration.certs_dir())?;
        let mut ask = vec![configuration.local_url()];
        ask.extend(configuration.endpoints.iter().cloned());
        let (etcd, own_url) = (seen.etcd(), configuration.peer_url());
        let list = etcd.remembered(&ask, &credentials).unwrap_or_default();
        ask.extend(list.voter_urls());
        // Only a majority answers this.
        if let Ok(list) = etcd.members(&ask, &credentials) {
            return Err(Error::StillServes {
                members: list
                    .members
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", "),
            });
        }
        if self.force {
            return Ok(());
        }
        let age = |url: &str| {
            let status = etcd.status(url, &credentials).ok()?;
            Some((status.raft_term, status.raft_index))
        };
        // What an entry of a later term holds was agreed on later, whatever its index.
        let own = age(&configuration.local_url());
        for member in &list.members {
            let url = member.client_urls.first();
            let theirs = url.filter(|_| !member.peer_urls.contains(&own_url));
            if let Some(theirs) = theirs.and_then(|url| age(url))
                && Some(theirs.1) > own.map(|own| own.1)
            {
                return Err(Error::Newer {
                    member: member.to_string(),
                    theirs: theirs.1,
                    own: own.map_or(0, |own| own.1),
                });
            }
        }
        Ok(())
    }
}

impl<'a> Phase<Machine<'a>> for RecoverSnapshot<'_> {
    fn name(&self) -> &'static str {
        "recover-snapshot"
    }

    fn about(&self) -> &'static str {
        "refuse while a majority serves or another has newer data; take a snapshot of a copy of this member's"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let configuration = self.configuration;
        let to = capsule(configuration);
        if seen.host().stat(&to)?.is_some() {
            return Ok(Vec::new());
        }
        let data_dir = configuration.data_dir().to_owned();
        if !configuration.has_data(seen.host())? {
            return Err(Error::NoData { data_dir });
        }
        if !self.compared.get() {
            self.compare(seen)?;
            self.compared.set(true);
        }
        let mut plan = Vec::new();
        plan.extend(configuration.runs().stop(seen.host())?);
        let mut folder = data_dir.as_os_str().to_owned();
        folder.push(".recovering");
        plan.push(Change::Recover(RecoverData {
            data_dir,
            folder: folder.into(),
            to,
            etcd: configuration.install_dir().join("etcd"),
            name: configuration.name.clone(),
            peer_url: configuration.peer_url(),
        }));
        Ok(plan)
    }
}

/// The capsule kept, out of the way of the next recovery.
pub(crate) struct KeepCapsule<'c>(pub(crate) &'c Configuration);

impl<'a> Phase<Machine<'a>> for KeepCapsule<'_> {
    fn name(&self) -> &'static str {
        "keep-capsule"
    }

    fn about(&self) -> &'static str {
        "keep the capsule that the data came from"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let from = capsule(self.0);
        if seen.host().stat(&from)?.is_none() {
            return Ok(Vec::new());
        }
        let to = super::set_data_aside::aside(&from, seen.now());
        Ok(vec![Change::Place { from, to }])
    }
}
