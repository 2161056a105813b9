//! Hosts that were given up with an old control plane on them, and may be back: reached by what the state remembers of them,
//! by the keys that they had, and only where what is on them is this cluster's still.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cli::Progress;
use host::Digest;
use ssh::{Client, Target};
use state::{OldHost, SshMachine, State};

use crate::error::Failure;
use crate::fleet::{Fleet, Remote, label, on_all, target};
use crate::goal::Goal;
use crate::settings::Settings;
use crate::told::Told;
use crate::{Error, documents, phases, put};

/// How long an answer may take of one who is looked for.
pub(crate) const PROBE: Duration = Duration::from_secs(1);
/// Whose cluster a control plane is of.
const AUTHORITY: &str = "/etc/kubernetes/pki/ca.crt";

/// Who looks for one host.
pub(crate) struct Seeker {
    old: OldHost,
    /// The cluster, as if this were its only machine.
    goal: Goal,
    state: State,
    settings: Settings,
    target: Target,
    client: Client,
}

impl Seeker {
    /// Prepares for looking for it.
    ///
    /// # Errors
    /// When nothing could be prepared here.
    pub(crate) fn new(
        goal: &Goal,
        state: &State,
        old: &OldHost,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let (mut goal, mut state, mut settings) = (goal.clone(), state.clone(), settings.clone());
        goal.configuration.machines = vec![old.machine.clone()];
        let mut known = SshMachine::of(&goal.configuration, &old.machine);
        known.spec.host_keys.clone_from(&old.host_keys);
        known.status.hostname.clone_from(&old.hostname);
        known.status.architecture.clone_from(&old.architecture);
        state.ssh_machines = vec![known];
        // One that shows other keys is another installation, whoever vouches for them.
        if !old.host_keys.is_empty() {
            (settings.accept_new_host_keys, settings.known_hosts) = (false, None);
        }
        let client = phases::client(&goal, Some(&state), &settings)?;
        Ok(Self {
            target: target(&goal.configuration, &old.machine, &settings),
            old: old.clone(),
            goal,
            state,
            settings,
            client,
        })
    }

    /// Its address.
    pub(crate) fn address(&self) -> String {
        self.old.address()
    }

    /// How it is called.
    pub(crate) fn label(&self) -> String {
        let name = self.old.machine.name.as_deref();
        label(name.or(Some(&self.old.hostname)), &self.address())
    }

    /// Whether somebody answers at its address.
    pub(crate) fn answers(&self) -> bool {
        self.target.answers(PROBE)
    }

    /// Connects to it, and brings the node tools where it lacks them; `note` hears of that.
    ///
    /// # Errors
    /// The connection's; another host's key; another cluster's control plane.
    pub(crate) fn reach(&self, note: &(dyn Fn(&Remote, &str) + Sync)) -> Result<Remote, Error> {
        let (machine, state) = (&self.old.machine, Some(&self.state));
        let remote = phases::connect(&self.client, &self.goal, machine, state, &self.settings)?;
        self.check(&remote)?;
        phases::bring_tools(remote, self.goal.artifacts.as_ref(), state, note)
    }

    /// Refuses a host that another cluster has made its own meanwhile.
    fn check(&self, remote: &Remote) -> Result<(), Error> {
        let authorities = &self.state.authorities;
        let (path, ours) = if self.old.machine.is(api::Role::Master) {
            let ours = Digest::of(authorities.kubernetes.as_bytes());
            (AUTHORITY.to_owned(), vec![ours])
        } else {
            let now = Digest::of(authorities.etcd.as_bytes());
            let path = documents::etcd_authority_file(&self.goal);
            (path, vec![self.old.etcd_authority, now])
        };
        let found = put::digests(remote, &[path])?;
        if found.iter().all(|(digest, _)| ours.contains(digest)) {
            return Ok(());
        }
        Err(Error::Refused(format!(
            "{} is of another cluster by now: nothing is stopped there; `cctl fence --forget {}` ends the search",
            remote.label, remote.address
        )))
    }
}

/// Old hosts that were looked for once.
#[derive(Default)]
pub(crate) struct Found {
    /// Those that are back.
    pub back: Fleet,
    /// Those that do not answer.
    pub away: Vec<String>,
    /// Those that answer, and what hinders.
    pub hindered: Vec<Failure>,
    /// Their connections live as long as these.
    pub seekers: Vec<Seeker>,
}

/// Looks for these once, all at once.
///
/// # Errors
/// When nothing could be prepared here.
pub(crate) fn look_for(
    progress: &mut Progress,
    goal: &Goal,
    state: &State,
    settings: &Settings,
    hosts: &[&OldHost],
) -> Result<Found, Error> {
    let seekers = hosts
        .iter()
        .map(|old| Seeker::new(goal, state, old, settings))
        .collect::<Result<Vec<_>, _>>()?;
    let progress = Mutex::new(progress);
    let note = |remote: &Remote, what: &str| {
        let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        Told::about(&remote.address, what).say(&remote.label, &mut progress);
    };
    let looked = on_all(&seekers, Seeker::address, |seeker| {
        Ok(seeker.answers().then(|| seeker.reach(&note)))
    })?;
    let mut found = Found::default();
    for (seeker, reached) in seekers.iter().zip(looked) {
        let address = seeker.address();
        match reached {
            None => found.away.push(address),
            Some(Ok(remote)) => drop(found.back.insert(address, remote)),
            Some(Err(error)) => found.hindered.push(Failure::on(&address, error)),
        }
    }
    found.seekers = seekers;
    Ok(found)
}

/// Nothing of the old cluster serves on this host any more.
pub(crate) fn stopped(state: &mut State, host: &str) {
    state.settle(host);
    if let Some(machine) = state.machine_mut(host) {
        let status = &mut machine.status;
        (status.set_up, status.first, status.etcd_member_id) = (false, false, None);
    }
}
