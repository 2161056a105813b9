//! The runner: where a plan becomes effects, journaled, one change at a time.

use std::error::Error as StdError;
use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::{Change, Error, Host, Inspect, Journal, JournalError};

/// What a run acts on: a view to observe through and a way to apply the changes that belong to it.
pub trait Effects {
    /// What phases observe through. It offers no way to change anything.
    type View: ?Sized;
    /// The changes that can be made.
    type Change: Clone + PartialEq + Serialize + fmt::Display;
    /// What can go wrong in observing or changing.
    type Error: StdError + 'static;

    /// The reading half.
    fn view(&self) -> &Self::View;

    /// Makes one change. Doing it twice leaves the same as doing it once.
    ///
    /// # Errors
    /// Names what was being changed.
    fn apply(&mut self, change: &Self::Change) -> Result<(), Self::Error>;
}

/// A step of a verb: it observes and tells what is still to be changed. It cannot change anything itself.
pub trait Phase<E: Effects + ?Sized> {
    /// Verb-object, as `install-binaries`: the name in `--skip-phases`, `phase X`, logs and the journal.
    fn name(&self) -> &'static str;

    /// One line for the help text.
    fn about(&self) -> &'static str;

    /// The changes still to be made, in order; none when all is right. Observed anew after each.
    ///
    /// # Errors
    /// When it cannot be told, or when something is in the way that this phase must not change.
    fn plan(&self, seen: &E::View) -> Result<Vec<E::Change>, E::Error>;
}

/// What a run tells while it goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Event<'a> {
    /// The run before this one did not come to its end.
    Continuing {
        /// Its goal.
        goal: &'a str,
        /// The change that it was making.
        change: Option<&'a str>,
    },
    /// A phase begins.
    Phase {
        /// Its name.
        phase: &'a str,
        /// What it does.
        about: &'a str,
    },
    /// A change is about to be made (or would be, in a dry run).
    Change {
        /// The phase.
        phase: &'a str,
        /// The change in words.
        change: &'a str,
    },
    /// A phase has nothing more to change.
    PhaseDone {
        /// The phase.
        phase: &'a str,
        /// How many changes it made.
        changes: usize,
    },
    /// Something worth knowing about a wait or a long change.
    Note {
        /// In words.
        note: &'a str,
    },
}

/// Hears of events.
pub trait Report {
    /// Hears of one.
    fn event(&mut self, event: &Event<'_>);
}

/// Hears of events and says nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Report for Silent {
    fn event(&mut self, _: &Event<'_>) {}
}

/// A run stopped.
#[derive(Debug, thiserror::Error)]
pub enum RunError<E: StdError + 'static> {
    /// A phase could not tell what is to be done, or must not do it.
    #[error("phase {phase} stopped before it changed anything more")]
    Plan {
        /// The phase.
        phase: &'static str,
        /// Why.
        source: E,
    },
    /// A change failed.
    #[error("phase {phase} could not {change}")]
    Apply {
        /// The phase.
        phase: &'static str,
        /// The change in words.
        change: String,
        /// Why.
        source: E,
    },
    /// A change was made, and then planned again: it did not take, or somebody undoes it.
    #[error("phase {phase}: {change}: done, but it did not take effect")]
    NoEffect {
        /// The phase.
        phase: &'static str,
        /// The change in words.
        change: String,
    },
    /// The journal cannot be written, so nothing may be changed.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// One change that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// The phase.
    pub phase: &'static str,
    /// The change in words.
    pub change: String,
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct Summary {
    /// All changes, in order. Empty when all was right already.
    pub changes: Vec<Applied>,
}

/// How often one phase may make the same change; after others it may be due again, as systemd's reload is.
const MOST_TIMES: usize = 20;

/// Walks phases.
pub struct Runner<'a> {
    report: &'a mut dyn Report,
    journal: Option<Journal>,
}

impl<'a> Runner<'a> {
    /// A runner that tells `report` and journals to `journal`; a dry run has no journal.
    pub fn new(report: &'a mut dyn Report, journal: Option<Journal>) -> Self {
        Self { report, journal }
    }

    /// Walks `phases` in order, each until it plans nothing more.
    ///
    /// # Errors
    /// [`RunError`], at the first failure. What was done stays done; the next run goes on from there.
    pub fn run<E: Effects>(
        &mut self,
        effects: &mut E,
        phases: &[&dyn Phase<E>],
    ) -> Result<Summary, RunError<E::Error>> {
        let mut summary = Summary::default();
        let result = phases
            .iter()
            .try_for_each(|phase| self.walk(effects, *phase, &mut summary));
        if let Some(journal) = &mut self.journal {
            match &result {
                Ok(()) => journal.end()?,
                // The run's own error is the one to tell; the journal's comes second.
                Err(error) => drop(journal.failed(error.to_string())),
            }
        }
        result.map(|()| summary)
    }

    fn walk<E: Effects>(
        &mut self,
        effects: &mut E,
        phase: &dyn Phase<E>,
        summary: &mut Summary,
    ) -> Result<(), RunError<E::Error>> {
        let name = phase.name();
        self.report.event(&Event::Phase {
            phase: name,
            about: phase.about(),
        });
        let mut last: Option<E::Change> = None;
        let mut changes = 0;
        loop {
            let plan = phase
                .plan(effects.view())
                .map_err(|source| RunError::Plan {
                    phase: name,
                    source,
                })?;
            let Some(change) = plan.into_iter().next() else {
                break;
            };
            let words = change.to_string();
            // Or it is undone by the next one, and planned again, and undone again.
            let again = |done: &&Applied| done.phase == name && done.change == words;
            if last.as_ref() == Some(&change)
                || summary.changes.iter().filter(again).count() >= MOST_TIMES
            {
                return Err(RunError::NoEffect {
                    phase: name,
                    change: words,
                });
            }
            self.report.event(&Event::Change {
                phase: name,
                change: &words,
            });
            if let Some(journal) = &mut self.journal {
                let data = serde_json::to_value(&change).unwrap_or(serde_json::Value::Null);
                journal.intend(name, words.clone(), data)?;
            }
            effects.apply(&change).map_err(|source| RunError::Apply {
                phase: name,
                change: words.clone(),
                source,
            })?;
            summary.changes.push(Applied {
                phase: name,
                change: words,
            });
            changes += 1;
            last = Some(change);
        }
        self.report.event(&Event::PhaseDone {
            phase: name,
            changes,
        });
        Ok(())
    }
}

/// Effects on a host alone.
pub struct OnHost<'a>(pub &'a mut dyn Host);

impl<'a> Effects for OnHost<'a> {
    type View = dyn Inspect + 'a;
    type Change = Change;
    type Error = Error;

    fn view(&self) -> &Self::View {
        self.0
    }

    fn apply(&mut self, change: &Change) -> Result<(), Error> {
        self.0.apply(change)
    }
}

/// Looks every `poll` until `check` is content, for `limit` at most. `check` answers `Ok(Ok(value))` when it is,
/// `Ok(Err(what it saw))` when not yet.
///
/// # Errors
/// The check's own, at once. Running out of time is `Ok(Err(what was seen last))`.
pub fn poll_until<T, E>(
    limit: Duration,
    poll: Duration,
    mut check: impl FnMut() -> Result<Result<T, String>, E>,
) -> Result<Result<T, String>, E> {
    let deadline = Instant::now() + limit;
    loop {
        match check()? {
            Ok(value) => return Ok(Ok(value)),
            Err(last) if Instant::now() >= deadline => return Ok(Err(last)),
            Err(_) => {
                std::thread::sleep(poll.min(deadline.saturating_duration_since(Instant::now())))
            }
        }
    }
}
