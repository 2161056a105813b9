//! `cctl fence --watch`: each host is looked for every second, by itself, until it was there and was stopped.
//!
//! The state is read anew all the while, so that a recovery that begins meanwhile names further hosts; no lock is held but
//! for writing down what was stopped.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cli::{Context, Progress};
use state::{OldHost, State};

use super::{Fenced, plan, share, stop, text, write_down};
use crate::arguments::FenceArgs;
use crate::fleet::{Fleet, Remote};
use crate::goal::Goal;
use crate::old::Seeker;
use crate::settings::Settings;
use crate::told::Told;
use crate::{Error, error::Failure};

/// From one look at a host to the next.
const ROUND: Duration = Duration::from_secs(1);

/// Looks for hosts until all that are named were stopped, or somebody interrupts it.
pub(super) fn run(
    context: &mut Context,
    settings: &Settings,
    args: &FenceArgs,
    goal: &Goal,
) -> Result<(), cli::Error> {
    let progress = Mutex::new(&mut context.progress);
    let watch = Watch {
        goal,
        progress: &progress,
        wanted: Mutex::default(),
    };
    let watch = &watch;
    let stopped = std::thread::scope(|scope| {
        let result = watch.run(settings, args, &|seeker, state, sender| {
            scope.spawn(move || watch.seek(&seeker, &state, &sender));
        });
        // Whatever ended it: those who look still are not waited for.
        locked(&watch.wanted).clear();
        result
    })?;
    let fenced = Fenced {
        cluster: goal.configuration.metadata.name.clone(),
        stopped,
        ..Fenced::default()
    };
    context.print(&fenced, text)
}

/// What those who look share.
struct Watch<'w, 'p> {
    goal: &'w Goal,
    progress: &'w Mutex<&'p mut Progress>,
    /// The addresses that are looked for still.
    wanted: Mutex<BTreeSet<String>>,
}

type Spawn<'s> = &'s dyn Fn(Seeker, State, Sender<String>);

impl Watch<'_, '_> {
    /// Has each host looked for, and writes down what was stopped; gives those back.
    fn run(
        &self,
        settings: &Settings,
        args: &FenceArgs,
        spawn: Spawn<'_>,
    ) -> Result<Vec<String>, Error> {
        let (sender, receiver) = mpsc::channel();
        let (mut seeking, mut stopped) = (BTreeSet::new(), Vec::new());
        let mut unwritten: Vec<String> = Vec::new();
        loop {
            let state = state::read(&settings.state)?;
            let still = still_wanted(&state, &args.addresses, &unwritten);
            for old in &still {
                if seeking.insert(old.address()) {
                    locked(&self.wanted).insert(old.address());
                    let seeker = Seeker::new(self.goal, &state, old, settings)?;
                    let what = format!("given up at {}: looked for every second", old.given_up_at);
                    self.say(&seeker, &what);
                    spawn(seeker, state.clone(), sender.clone());
                }
            }
            // Others may have stopped one, or ended the search for it.
            let addresses: BTreeSet<String> = still.iter().map(|old| old.address()).collect();
            locked(&self.wanted).retain(|address| addresses.contains(address));
            seeking.retain(|address| addresses.contains(address));
            if addresses.is_empty() && unwritten.is_empty() {
                return Ok(stopped);
            }
            match receiver.recv_timeout(ROUND) {
                Ok(address) => {
                    stopped.push(String::clone(&address));
                    unwritten.push(address);
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            if unwritten.is_empty() {
                continue;
            }
            match write_down(settings, &state, &unwritten) {
                Ok(open) => {
                    unwritten.clear();
                    // Whoever stops a host meanwhile has to say so, too.
                    let mut progress = locked(self.progress).clone();
                    share(settings, &open, self.goal, &mut progress);
                }
                // A recovery may be under way: the next look finds it further on.
                Err(Error::State(state::Error::Lock(_))) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn say(&self, seeker: &Seeker, what: &str) {
        Told::about(&seeker.address(), what).say(&seeker.label(), &mut locked(self.progress));
    }

    /// Looks for one host until it was stopped, or is not looked for any more.
    fn seek(&self, seeker: &Seeker, state: &State, stopped: &Sender<String>) {
        let mut last = String::new();
        while locked(&self.wanted).contains(&seeker.address()) {
            let begun = Instant::now();
            if seeker.answers() {
                match self.stop(seeker, state) {
                    Ok(()) => {
                        let took = begun.elapsed().as_secs_f32();
                        self.say(seeker, &format!("stopped {took:.1} s after it was seen"));
                        // Nobody listens any more when the watch has ended.
                        let _ = stopped.send(seeker.address());
                        return;
                    }
                    Err(failure) => {
                        let now = failure.to_string();
                        if now != last {
                            self.say(seeker, &format!("answers, and is not stopped yet: {now}"));
                            last = now;
                        }
                    }
                }
            }
            std::thread::sleep(ROUND.saturating_sub(begun.elapsed()));
        }
    }

    fn stop(&self, seeker: &Seeker, state: &State) -> Result<(), Failure> {
        let note = |_: &Remote, what: &str| self.say(seeker, what);
        let reached = seeker.reach(&note);
        let remote = reached.map_err(|error| Failure::on(&seeker.address(), error))?;
        let back = Fleet::from([(remote.address.clone(), remote.clone())]);
        stop(&remote, &plan(self.goal, state, &back), self.progress)
    }
}

/// Those of the state that are looked for, as far as they are named, and were not stopped just now.
fn still_wanted<'s>(state: &'s State, named: &[IpAddr], unwritten: &[String]) -> Vec<&'s OldHost> {
    let is_named = |old: &&OldHost| named.is_empty() || named.contains(&old.machine.address);
    let hosts = state.old_hosts.iter().filter(is_named);
    hosts
        .filter(|old| !unwritten.contains(&old.address()))
        .collect()
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
