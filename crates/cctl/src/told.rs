//! What a run tells while it goes on: lines for people, or one JSON object a line for programs.
//!
//! People hear of a node tool's phase once it changes something; programs hear of every phase and every change, each with
//! its host and its step.

use std::collections::BTreeMap;

use cli::Progress;
use serde::Serialize;

use crate::error::Failure;
use crate::plan::Step;
use crate::tool::Event;

/// One thing that is told. `host` is a host's address; what has none happens here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub(crate) enum Told<'a> {
    /// A step begins.
    Step {
        #[serde(flatten)]
        place: Place<'a>,
        /// What is done, in words.
        words: String,
    },
    /// A step is done, and written to the state.
    StepDone {
        #[serde(flatten)]
        place: Place<'a>,
        words: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<&'a str>,
    },
    /// A step failed; what does not wait for it goes on.
    StepFailed {
        #[serde(flatten)]
        place: Place<'a>,
        words: String,
        error: String,
    },
    /// A phase of the node tool that the step runs.
    Phase {
        #[serde(flatten)]
        place: Place<'a>,
        phase: &'a str,
        about: &'a str,
    },
    /// A change that the node tool is about to make.
    Change {
        #[serde(flatten)]
        place: Place<'a>,
        phase: &'a str,
        change: &'a str,
    },
    /// A phase of the node tool that has nothing more to change.
    PhaseDone {
        #[serde(flatten)]
        place: Place<'a>,
        phase: &'a str,
    },
    /// Something worth knowing.
    Note {
        #[serde(flatten)]
        place: Place<'a>,
        note: &'a str,
    },
}

/// Where something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Place<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    /// The phase of the plan, as `form-etcd`; none while hosts are looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'static str>,
}

impl<'a> Place<'a> {
    fn of(step: &'a Step) -> Self {
        Self {
            host: step.host.as_deref(),
            step: Some(step.phase),
        }
    }
}

impl<'a> Told<'a> {
    pub(crate) fn step(step: &'a Step) -> Self {
        Self::Step {
            place: Place::of(step),
            words: step.words(),
        }
    }

    pub(crate) fn step_done(step: &'a Step, note: Option<&'a str>) -> Self {
        Self::StepDone {
            place: Place::of(step),
            words: step.words(),
            note,
        }
    }

    pub(crate) fn step_failed(step: &'a Step, failure: &Failure) -> Self {
        Self::StepFailed {
            place: Place::of(step),
            words: step.words(),
            error: failure.to_string(),
        }
    }

    /// Something about a host that is looked at.
    pub(crate) fn about(host: &'a str, note: &'a str) -> Self {
        let place = Place {
            host: Some(host),
            step: None,
        };
        Self::Note { place, note }
    }

    /// Says it, for people with the host called `label`.
    pub(crate) fn say(&self, label: &str, progress: &mut Progress) {
        let text = match self {
            Self::Step { words, .. } => format!("{label}: {words}"),
            Self::StepDone {
                words, note: None, ..
            } => format!("{label}: done: {words}"),
            Self::StepDone {
                words,
                note: Some(note),
                ..
            } => format!("{label}: done: {words} ({note})"),
            Self::StepFailed { words, .. } => format!("{label}: FAILED: {words}"),
            Self::Note { place, note } if place.step.is_some() => format!("{label}:   {note}"),
            Self::Note { note, .. } => format!("{label}: {note}"),
            Self::Phase { .. } | Self::Change { .. } | Self::PhaseDone { .. } => String::new(),
        };
        progress.tell(self, &text);
    }
}

/// The node tools' own progress, passed on.
#[derive(Default)]
pub(crate) struct Talk {
    /// By step: what the phase that it is in does, and whether people heard of it.
    phases: BTreeMap<usize, (String, bool)>,
}

impl Talk {
    pub(crate) fn say(
        &mut self,
        step: &Step,
        label: &str,
        number: usize,
        event: &Event,
        progress: &mut Progress,
    ) {
        let place = Place::of(step);
        match event {
            Event::Phase { phase, about } => {
                self.phases.insert(number, (about.clone(), false));
                progress.tell(
                    &Told::Phase {
                        place,
                        phase,
                        about,
                    },
                    "",
                );
            }
            Event::Change { phase, change } => {
                let mut text = String::new();
                if let Some((about, told @ false)) = self.phases.get_mut(&number) {
                    *told = true;
                    text = format!("{label}:   {about}");
                }
                progress.tell(
                    &Told::Change {
                        place,
                        phase,
                        change,
                    },
                    &text,
                );
            }
            Event::PhaseDone { phase } => progress.tell(&Told::PhaseDone { place, phase }, ""),
            Event::Note { note } => Told::Note { place, note }.say(label, progress),
            Event::Continuing {
                change: Some(change),
            } => {
                let note = format!("the run before was cut off at: {change}");
                Told::Note { place, note: &note }.say(label, progress);
            }
            Event::Continuing { change: None } | Event::Error { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Action, Plan};

    #[test]
    fn programs_hear_of_host_and_step() {
        let mut plan = Plan::default();
        plan.add("form-etcd", Some("10.0.0.1"), Action::JoinMember, vec![]);
        let json = |told: &Told<'_>| serde_json::to_string(told).unwrap();
        let step = &plan.steps[0];
        insta::assert_snapshot!(json(&Told::step(step)), @r#"{"event":"step","host":"10.0.0.1","step":"form-etcd","words":"join etcd (etcdadm join)"}"#);
        insta::assert_snapshot!(json(&Told::step_done(step, Some("member 1"))), @r#"{"event":"step-done","host":"10.0.0.1","step":"form-etcd","words":"join etcd (etcdadm join)","note":"member 1"}"#);
        let place = Place::of(step);
        insta::assert_snapshot!(json(&Told::Change { place, phase: "add-learner", change: "add it" }), @r#"{"event":"change","host":"10.0.0.1","step":"form-etcd","phase":"add-learner","change":"add it"}"#);
        insta::assert_snapshot!(json(&Told::about("10.0.0.1", "bring etcdadm")), @r#"{"event":"note","host":"10.0.0.1","note":"bring etcdadm"}"#);
    }
}
