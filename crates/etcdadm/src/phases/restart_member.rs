//! The member, running with the certificates and authorities that are in its files: asked by a handshake, not remembered.

use std::collections::BTreeSet;
use std::time::SystemTime;

use etcd::Waits;
use host::Phase;
use pki::Certificate;

use crate::phases::reissue_certificates::certificate;
use crate::phases::remove_member::move_leader;
use crate::start::{Start, ToldOnce};
use crate::survey::Reach;
use crate::{Change, Configuration, Error, Machine, View, facts, runs};

/// Restarts the member, where it runs with other certificates than those in its files.
pub(crate) struct RestartMember<'c> {
    reach: Reach<'c>,
    told: ToldOnce,
}

impl<'c> RestartMember<'c> {
    /// Asks the cluster through `reach`.
    pub(crate) fn new(reach: Reach<'c>) -> Self {
        Self {
            reach,
            told: ToldOnce::default(),
        }
    }
}

impl<'a> Phase<Machine<'a>> for RestartMember<'_> {
    fn name(&self) -> &'static str {
        "restart-member"
    }

    fn about(&self) -> &'static str {
        "hand leadership over and restart etcd, unless it runs with what is in its files"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let configuration = self.reach.configuration;
        let local = configuration.local_url();
        let active = runs::member(seen, configuration)?.is_active();
        let start = |restart| Change::Start(Start::of_member(configuration, restart, ""));
        let mut plan = Vec::new();
        if active {
            match runs_right(seen, configuration)? {
                Some(true) => return Ok(plan),
                Some(false) => {}
                None => {
                    let (endpoint, waits) = (local, Waits::seconds(120));
                    return Ok(vec![etcd::Change::AwaitHealthy { endpoint, waits }.into()]);
                }
            }
            plan.extend(hand_over(&self.reach, seen, &local)?);
        }
        plan.push(start(active));
        Ok(self.told.leave(seen.host(), plan))
    }
}

/// What hands leadership to another member, where this host's leads: a leader that stops leaves an election behind.
pub(super) fn hand_over(
    reach: &Reach<'_>,
    seen: &dyn View,
    local: &str,
) -> Result<Option<Change>, Error> {
    let status = seen.etcd().status(local, &reach.credentials(seen)?);
    let Some(status) = status.ok().filter(|status| status.leader == status.id) else {
        return Ok(None);
    };
    let survey = reach.survey(seen)?;
    Ok(survey
        .heir(status.id)
        .map(|heir| move_leader(local.to_owned(), heir)))
}

/// Whether the running member accepts the authorities that are in the file, shows the certificates that are, and was
/// started after they were written; nothing where it does not answer.
pub(super) fn runs_right(
    seen: &dyn View,
    configuration: &Configuration,
) -> Result<Option<bool>, Error> {
    let (host, folder) = (seen.host(), configuration.certs_dir());
    let credentials = crate::machine::credentials(host, folder)?;
    let path = folder.join("ca.crt");
    let trusted = Certificate::parse_all(&credentials.ca)
        .map_err(|source| Error::Certificate { path, source })?;
    let trusted: BTreeSet<_> = trusted.iter().map(Certificate::subject_der).collect();
    for (url, file) in [
        (configuration.local_url(), "server.crt"),
        (configuration.peer_url(), "peer.crt"),
    ] {
        let probe = match seen.etcd().probe(&url, &credentials) {
            Ok(probe) => probe,
            // It trusts others than those who we are of now.
            Err(etcd::Error::Rejected { .. } | etcd::Error::Untrusted { .. }) => {
                return Ok(Some(false));
            }
            Err(_) => return Ok(None),
        };
        let own = certificate(host, &folder.join(file))?;
        let accepts: BTreeSet<_> = probe.accepts.into_iter().collect();
        if accepts != trusted || own.is_none_or(|own| own.der() != probe.certificate) {
            return Ok(Some(false));
        }
    }
    let pid = runs::member(seen, configuration)?.pid;
    let Some(started) = facts::started_at(host, pid, SystemTime::now())? else {
        return Ok(Some(true));
    };
    for name in ["ca.crt", "server.crt", "server.key", "peer.crt", "peer.key"] {
        let stat = host.stat(&folder.join(name))?;
        if stat.is_some_and(|stat| stat.changed > started) {
            return Ok(Some(false));
        }
    }
    Ok(Some(true))
}
