//! A picture of a cluster: planned changes laid over what the real one says (the dry run), or over members that a test
//! puts there (the twin).
//!
//! As a twin it keeps etcd's rules for learners: as many as it allows, promoted only in sync, asked for only at voters.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::{
    Alarm, Change, Cluster, Credentials, Error, Keys, KvHash, Member, MemberStatus, Membership,
    Observe, Piece, Probe,
};

/// A cluster that changes only in our eyes.
#[derive(Clone, Default)]
pub struct Picture {
    /// What is asked when the picture does not know; without one, nobody is there.
    base: Option<Rc<dyn Observe>>,
    state: Rc<RefCell<State>>,
}

#[derive(Default)]
struct State {
    /// Loaded from the base at the first question.
    membership: Option<Membership>,
    /// Endpoints that are to be taken for healthy.
    healthy: BTreeSet<String>,
    statuses: BTreeMap<String, MemberStatus>,
    probes: BTreeMap<String, Result<Probe, Error>>,
    /// URLs at which nobody accepts connections.
    cut_off: BTreeSet<String>,
    /// Learners that are not in sync, with how often they still say so.
    lagging: BTreeMap<u64, u32>,
    max_learners: Option<usize>,
    alarms: Option<Vec<Alarm>>,
    /// Up to where the history is gone.
    compacted: i64,
    hash: Option<KvHash>,
    /// What every member sends as its database.
    database: Vec<u8>,
    /// Whom leadership was handed to.
    leader: Option<u64>,
    refusals: Vec<(String, Error)>,
}

impl Picture {
    /// Over what `base` says.
    pub fn over(base: impl Observe + 'static) -> Self {
        Self {
            base: Some(Rc::new(base)),
            state: Rc::default(),
        }
    }

    /// A cluster of these members, none of them healthy yet.
    pub fn of(membership: Membership) -> Self {
        let picture = Self::default();
        picture.state.borrow_mut().membership = Some(membership);
        picture
    }

    /// The member behind `endpoint` serves reads from now on.
    pub fn set_healthy(&self, endpoint: &str) {
        self.state.borrow_mut().healthy.insert(endpoint.to_owned());
    }

    /// What the member behind `endpoint` says of itself from now on.
    pub fn set_status(&self, endpoint: &str, status: MemberStatus) {
        self.state
            .borrow_mut()
            .statuses
            .insert(endpoint.to_owned(), status);
    }

    /// What a look at the member behind `endpoint` tells from now on; until said, nothing remarkable.
    pub fn set_probe(&self, endpoint: &str, probe: Result<Probe, Error>) {
        self.state
            .borrow_mut()
            .probes
            .insert(endpoint.to_owned(), probe);
    }

    /// Nobody accepts connections at `url` from now on.
    pub fn cut_off(&self, url: &str) {
        self.state.borrow_mut().cut_off.insert(url.to_owned());
    }

    /// These alarms, and no others.
    pub fn set_alarms(&self, alarms: &[Alarm]) {
        self.state.borrow_mut().alarms = Some(alarms.to_vec());
    }

    /// What every member sends as its database, and the digest of its keys.
    pub fn set_database(&self, bytes: &[u8], hash: KvHash) {
        let mut state = self.state.borrow_mut();
        state.database = bytes.to_vec();
        state.hash = Some(hash);
    }

    /// How many learners the cluster allows; as many as you like until said.
    pub fn set_max_learners(&self, max: usize) {
        self.state.borrow_mut().max_learners = Some(max);
    }

    /// The member `id` stays behind for `tries` promotions.
    pub fn set_lagging(&self, id: u64, tries: u32) {
        self.state.borrow_mut().lagging.insert(id, tries);
    }

    /// A change whose words contain `words` fails from now on.
    pub fn refuse(&self, words: &str, error: Error) {
        self.state
            .borrow_mut()
            .refusals
            .push((words.to_owned(), error));
    }

    /// Replaces the members, as when another host changed them.
    pub fn set_membership(&self, membership: Membership) {
        self.state.borrow_mut().membership = Some(membership);
    }

    fn load(&self, endpoints: &[String], credentials: &Credentials) -> Result<(), Error> {
        if self.state.borrow().membership.is_some() {
            return Ok(());
        }
        let membership = match &self.base {
            Some(base) => base.members(endpoints, credentials)?,
            None => {
                let endpoint = endpoints.first().cloned().ok_or(Error::NoEndpoint)?;
                return Err(Self::nobody(&endpoint));
            }
        };
        self.state.borrow_mut().membership = Some(membership);
        Ok(())
    }
}

impl Observe for Picture {
    fn members(
        &self,
        endpoints: &[String],
        credentials: &Credentials,
    ) -> Result<Membership, Error> {
        if endpoints.is_empty() {
            return Err(Error::NoEndpoint);
        }
        self.load(endpoints, credentials)?;
        Ok(self.state.borrow().membership.clone().unwrap_or_default())
    }

    fn remembered(
        &self,
        endpoints: &[String],
        credentials: &Credentials,
    ) -> Result<Membership, Error> {
        self.members(endpoints, credentials)
    }

    fn status(&self, endpoint: &str, credentials: &Credentials) -> Result<MemberStatus, Error> {
        let state = self.state.borrow();
        let mut status = match (state.statuses.get(endpoint), &self.base) {
            (Some(status), _) => status.clone(),
            (None, Some(base)) if !state.healthy.contains(endpoint) => {
                base.status(endpoint, credentials)?
            }
            _ => {
                return Err(Self::nobody(endpoint));
            }
        };
        status.leader = state.leader.unwrap_or(status.leader);
        Ok(status)
    }

    fn healthy(&self, endpoint: &str, credentials: &Credentials) -> Result<(), Error> {
        if self.state.borrow().healthy.contains(endpoint) {
            return Ok(());
        }
        match &self.base {
            Some(base) => base.healthy(endpoint, credentials),
            None => Err(Self::nobody(endpoint)),
        }
    }

    fn probe(&self, endpoint: &str, credentials: &Credentials) -> Result<Probe, Error> {
        match (self.state.borrow().probes.get(endpoint), &self.base) {
            (Some(probe), _) => probe.clone(),
            (None, Some(base)) => base.probe(endpoint, credentials),
            (None, None) => Ok(Probe::default()),
        }
    }

    fn alarms(&self, endpoints: &[String], credentials: &Credentials) -> Result<Vec<Alarm>, Error> {
        match (&self.state.borrow().alarms, &self.base) {
            (Some(alarms), _) => Ok(alarms.clone()),
            (None, Some(base)) => base.alarms(endpoints, credentials),
            (None, None) => Ok(Vec::new()),
        }
    }

    fn compacted(
        &self,
        endpoints: &[String],
        credentials: &Credentials,
        revision: i64,
    ) -> Result<bool, Error> {
        if revision <= self.state.borrow().compacted {
            return Ok(true);
        }
        self.base.as_ref().map_or(Ok(false), |base| {
            base.compacted(endpoints, credentials, revision)
        })
    }

    fn hash(
        &self,
        endpoint: &str,
        credentials: &Credentials,
        revision: i64,
    ) -> Result<KvHash, Error> {
        match (self.state.borrow().hash, &self.base) {
            (Some(hash), _) => Ok(hash),
            (None, Some(base)) => base.hash(endpoint, credentials, revision),
            (None, None) => Err(Self::nobody(endpoint)),
        }
    }

    fn count(
        &self,
        endpoint: &str,
        credentials: &Credentials,
        revision: i64,
    ) -> Result<u64, Error> {
        match &self.base {
            Some(base) => base.count(endpoint, credentials, revision),
            None => Ok(0),
        }
    }

    fn keys(&self, endpoint: &str, credentials: &Credentials) -> Result<Keys, Error> {
        match &self.base {
            Some(base) => base.keys(endpoint, credentials),
            None => Err(Self::nobody(endpoint)),
        }
    }

    fn snapshot(
        &self,
        endpoint: &str,
        credentials: &Credentials,
        to: &mut dyn FnMut(Piece<'_>) -> std::io::Result<()>,
    ) -> Result<(), Error> {
        if let Some(base) = &self.base {
            return base.snapshot(endpoint, credentials, to);
        }
        let database = &self.state.borrow().database;
        let sink = |_| Error::Sink {
            endpoint: endpoint.to_owned(),
        };
        to(Piece::Size(database.len() as u64)).map_err(sink)?;
        database
            .chunks(7)
            .try_for_each(|chunk| to(Piece::Bytes(chunk)))
            .map_err(sink)
    }

    fn reaches(&self, url: &str) -> Result<(), Error> {
        if self.state.borrow().cut_off.contains(url) {
            return Err(Self::nobody(url));
        }
        self.base.as_ref().map_or(Ok(()), |base| base.reaches(url))
    }
}

impl Picture {
    fn nobody(endpoint: &str) -> Error {
        Error::Unreachable {
            endpoint: endpoint.to_owned(),
            detail: "nobody is there".to_owned(),
        }
    }
}

impl Cluster for Picture {
    fn apply(
        &mut self,
        change: &Change,
        credentials: &Credentials,
        _: &mut dyn FnMut(&str),
    ) -> Result<(), Error> {
        let words = change.to_string();
        if let Some((_, error)) = self
            .state
            .borrow()
            .refusals
            .iter()
            .find(|(refused, _)| words.contains(refused))
        {
            return Err(error.clone());
        }
        let via = match change {
            Change::AwaitHealthy { endpoint, .. } => {
                self.set_healthy(endpoint);
                return Ok(());
            }
            Change::AwaitStarted { .. } => return Ok(()),
            // Nobody waits for a picture: what is there now is all there is.
            Change::AwaitCluster { endpoints, .. } => {
                return self.members(endpoints, credentials).map(drop);
            }
            Change::Defragment { endpoint, .. } => {
                let mut status = self.status(endpoint, credentials)?;
                status.db_size = status.db_in_use;
                self.set_status(endpoint, status);
                return Ok(());
            }
            Change::Compact { revision, .. } => {
                self.state.borrow_mut().compacted = *revision;
                return Ok(());
            }
            Change::Disarm { via, alarm, .. } => {
                let mut left = self.alarms(via, credentials)?;
                left.retain(|known| known != alarm);
                self.set_alarms(&left);
                return Ok(());
            }
            Change::Downgrade { via, target, .. } => {
                for endpoint in via {
                    let mut status = self.status(endpoint, credentials)?;
                    status.storage_version.clone_from(target);
                    self.set_status(endpoint, status);
                }
                return Ok(());
            }
            Change::AddLearner { via, .. }
            | Change::Promote { via, .. }
            | Change::Remove { via, .. }
            | Change::MoveMember { via, .. }
            | Change::MoveLeader { via, .. } => via,
        };
        self.load(via, credentials)?;
        let mut state = self.state.borrow_mut();
        let max = state.max_learners;
        let lagging = match change {
            Change::Promote { id, .. } => state.lagging.get(id).copied().unwrap_or(0),
            _ => 0,
        };
        let list = state.membership.get_or_insert_default();
        match change {
            Change::AddLearner { peer_url, .. } => {
                if list.at_peer_url(peer_url).is_some() {
                    return Ok(());
                }
                if max.is_some_and(|max| list.members.iter().filter(|m| m.learner).count() >= max) {
                    return Err(Error::TooManyLearners);
                }
                // Only etcd will know the id; 0 stands for it.
                list.members.push(Member {
                    id: 0,
                    name: String::new(),
                    peer_urls: vec![peer_url.clone()],
                    client_urls: Vec::new(),
                    learner: true,
                });
            }
            Change::Promote { id, .. } => {
                if lagging > 0 {
                    return Err(Error::NotInSync);
                }
                list.members
                    .iter_mut()
                    .find(|m| m.id == *id)
                    .ok_or(Error::MemberNotFound)?
                    .learner = false;
            }
            Change::Remove { id, .. } => list.members.retain(|m| m.id != *id),
            Change::MoveMember { id, peer_url, .. } => {
                let moved = list.members.iter_mut().find(|m| m.id == *id);
                moved.ok_or(Error::MemberNotFound)?.peer_urls = vec![peer_url.clone()];
            }
            Change::MoveLeader { to, .. } => state.leader = Some(*to),
            // Dealt with above: they need no member list.
            Change::AwaitHealthy { .. }
            | Change::AwaitStarted { .. }
            | Change::AwaitCluster { .. }
            | Change::Defragment { .. }
            | Change::Compact { .. }
            | Change::Disarm { .. }
            | Change::Downgrade { .. } => {}
        }
        Ok(())
    }
}
