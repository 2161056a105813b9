//! Carrying a plan out: every step as soon as what it waits for is there, all hosts at once, each finished step written to
//! the state before anything else.
//!
//! A step that fails stops what waits for it and nothing else: the other hosts go on to their end, so that a second run has
//! as little left as can be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, mpsc};

use api::{MemberResult, Secret};
use cli::Progress;
use state::{Open, Phase};

use crate::documents::{self, Issuer};
use crate::error::Failure;
use crate::fleet::Fleet;
use crate::goal::AllSeen;
use crate::plan::{Action, After, Plan};
use crate::recover::now;
use crate::snapshot::Proven;
use crate::told::{Talk, Told};
use crate::tool::Event;
use crate::{Error, Goal, kubeconfig, old, work};

/// What all steps share.
pub(crate) struct Shared<'a> {
    pub goal: &'a Goal,
    pub fleet: &'a Fleet,
    pub seen: &'a AllSeen,
    /// Its authority for etcd may become another one on the way.
    pub issuer: RwLock<Issuer>,
    /// The workers' tokens, by address; never written anywhere.
    pub tokens: Mutex<BTreeMap<String, Secret>>,
    /// What a recovery restores.
    pub snapshot: Option<&'a Proven>,
}

impl Shared<'_> {
    /// The cluster's authorities.
    pub(crate) fn issuer(&self) -> RwLockReadGuard<'_, Issuer> {
        self.issuer.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a step brought.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The member that it made.
    pub member: Option<MemberResult>,
    /// Something worth saying at its end.
    pub note: Option<String>,
}

pub(crate) enum Message {
    Event(usize, Event),
    Done(usize, Box<Result<Outcome, Error>>),
}

/// Carries `plan` out.
///
/// # Errors
/// [`Error::Partial`] when some steps are done and some are not; a step's own error when nothing was done.
pub(crate) fn execute(
    plan: &Plan,
    shared: &Shared<'_>,
    open: &mut Open,
    progress: &mut Progress,
) -> Result<(), Error> {
    let count = plan.steps.len();
    let mut board = Board::new(plan);
    let mut failures: Vec<Failure> = Vec::new();
    let mut talk = Talk::default();
    let (sender, receiver) = mpsc::channel::<Message>();
    std::thread::scope(|scope| -> Result<(), Error> {
        loop {
            for number in board.start_ready() {
                let step = &plan.steps[number];
                Told::step(step).say(&label(shared, step.host.as_deref()), progress);
                let sender = sender.clone();
                scope.spawn(move || {
                    let say = sender.clone();
                    let mut hear = move |event| drop(say.send(Message::Event(number, event)));
                    let result = work::run(shared, step, &mut hear);
                    drop(sender.send(Message::Done(number, Box::new(result))));
                });
            }
            if board.running == 0 {
                return Ok(());
            }
            let message = receiver.recv().expect("a step that runs holds a sender");
            match message {
                Message::Event(number, event) => {
                    let step = &plan.steps[number];
                    let host = label(shared, step.host.as_deref());
                    if let Event::PhaseDone { phase } = &event {
                        board.reached.insert((number, phase.clone()));
                    }
                    talk.say(step, &host, number, &event, progress);
                }
                Message::Done(number, result) => {
                    let step = &plan.steps[number];
                    board.running -= 1;
                    match *result {
                        Ok(outcome) => {
                            board.done.insert(number);
                            let note = outcome.note.clone();
                            record(open, shared, step.host.as_deref(), &step.action, outcome)?;
                            Told::step_done(step, note.as_deref())
                                .say(&label(shared, step.host.as_deref()), progress);
                        }
                        Err(error) => {
                            board.failed.insert(number);
                            let failure = Failure {
                                host: step.host.clone().unwrap_or_default(),
                                step: step.phase.to_owned(),
                                error: Box::new(error),
                            };
                            Told::step_failed(step, &failure)
                                .say(&label(shared, step.host.as_deref()), progress);
                            failures.push(failure);
                        }
                    }
                }
            }
        }
    })?;
    let done = board.done.len();
    match (failures.len(), done) {
        (0, _) => Ok(()),
        (_, 0) => Err(Error::Several(failures)),
        _ => Err(Error::Partial {
            done,
            all: count,
            failures,
        }),
    }
}

fn label(shared: &Shared<'_>, host: Option<&str>) -> String {
    match host {
        None => "here".to_owned(),
        Some(host) => shared
            .fleet
            .get(host)
            .map_or_else(|| host.to_owned(), |remote| remote.label.clone()),
    }
}

/// Which steps are where.
struct Board<'a> {
    plan: &'a Plan,
    started: BTreeSet<usize>,
    done: BTreeSet<usize>,
    failed: BTreeSet<usize>,
    reached: BTreeSet<(usize, String)>,
    running: usize,
}

impl<'a> Board<'a> {
    fn new(plan: &'a Plan) -> Self {
        Self {
            plan,
            started: BTreeSet::new(),
            done: BTreeSet::new(),
            failed: BTreeSet::new(),
            reached: BTreeSet::new(),
            running: 0,
        }
    }

    fn is_met(&self, after: &After) -> bool {
        match after {
            After::Done(other) => self.done.contains(other),
            After::Reached(other, phase) => {
                self.done.contains(other) || self.reached.contains(&(*other, (*phase).to_owned()))
            }
        }
    }

    /// The steps that can begin now; they count as running from here on.
    fn start_ready(&mut self) -> Vec<usize> {
        let ready: Vec<usize> = (0..self.plan.steps.len())
            .filter(|number| {
                !self.started.contains(number)
                    && self.plan.steps[*number]
                        .after
                        .iter()
                        .all(|after| self.is_met(after))
            })
            .collect();
        self.started.extend(&ready);
        self.running += ready.len();
        ready
    }
}

/// Writes down what a step brought. What is written here is on the disk before anything that waited for the step begins.
fn record(
    open: &mut Open,
    shared: &Shared<'_>,
    host: Option<&str>,
    action: &Action,
    outcome: Outcome,
) -> Result<(), Error> {
    match action {
        Action::InitMember | Action::RestoreMember => {
            open.state.started.etcd = true;
            let id = outcome.member.as_ref().map(|member| &member.cluster_id);
            open.state.etcd_cluster_ids.extend(id.cloned());
        }
        Action::InitControlPlane => open.state.started.control_plane = true,
        Action::MakeEtcdAuthority => {
            documents::make_etcd_authority(&mut open.state, &mut open.secrets)?;
            let issuer = Issuer::new(&open.state, &open.secrets)?;
            *shared
                .issuer
                .write()
                .unwrap_or_else(PoisonError::into_inner) = issuer;
        }
        Action::KeepKubeconfig => {
            open.secrets.admin_kubeconfig = Some(kubeconfig::admin(
                &shared.goal.configuration,
                &open.state,
                &open.secrets,
            )?);
        }
        _ => {}
    }
    if let Some(host) = host
        && let Some(machine) = open.state.machine_mut(host)
    {
        let status = &mut machine.status;
        status.last_step = action.words();
        match action {
            Action::InitControlPlane => {
                (status.set_up, status.first, status.phase) = (true, true, Phase::Running)
            }
            Action::JoinControlPlane | Action::JoinWorker => {
                (status.set_up, status.phase) = (true, Phase::Running)
            }
            Action::ResetNode => {
                (status.set_up, status.first, status.phase) = (false, false, Phase::Deleting)
            }
            Action::FenceControlPlane => (status.set_up, status.first) = (false, false),
            Action::ResetMember { .. } => {
                (status.etcd_member_id, status.phase) = (None, Phase::Deleting)
            }
            Action::InitMember
            | Action::JoinMember
            | Action::Prepare
            | Action::SendEtcd
            | Action::SendKubernetes
                if status.phase == Phase::Pending =>
            {
                status.phase = Phase::Provisioning;
            }
            _ => {}
        }
        if let Some(member) = outcome.member {
            status.etcd_member_id = Some(member.member_id);
            if machine.spec.roles == [api::Role::Etcd] {
                machine.status.phase = Phase::Running;
            }
        }
    }
    if *action == Action::FenceMember
        && let Some(host) = host
    {
        old::stopped(&mut open.state, host);
    }
    if let Some(recovery) = &mut open.state.recovery {
        match action {
            Action::FenceMember if recovery.finished_at.is_none() => {
                recovery.fenced.extend(host.map(str::to_owned));
            }
            Action::RestoreMember => recovery.restored = true,
            Action::ProveNodes => {
                recovery.finished_at = Some(now());
                let gone: Vec<String> = recovery.replaced.keys().cloned().collect();
                gone.iter().for_each(|host| open.state.forget(host));
            }
            _ => {}
        }
    }
    if *action == Action::Forget
        && let Some(host) = host
    {
        open.state.give_up(host, &now());
        open.state.forget(host);
    }
    Ok(open.save()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_begin_when_what_they_wait_for_is_there() {
        let mut plan = Plan::default();
        let first = plan.add("a", Some("h1"), Action::InitControlPlane, Vec::new());
        let second = plan.add(
            "b",
            Some("h2"),
            Action::JoinControlPlane,
            vec![After::Reached(first, "wait-for-api")],
        );
        let third = plan.add(
            "c",
            Some("h1"),
            Action::Verify,
            vec![After::Done(first), After::Done(second)],
        );
        let mut board = Board::new(&plan);
        assert_eq!(board.start_ready(), [first]);
        assert_eq!(board.start_ready(), [0usize; 0]);
        board.reached.insert((first, "wait-for-api".to_owned()));
        assert_eq!(board.start_ready(), [second]);
        board.done.insert(first);
        board.failed.insert(second);
        assert_eq!(
            board.start_ready(),
            [0usize; 0],
            "nothing begins after a step that failed"
        );
        board.done.insert(second);
        assert_eq!(board.start_ready(), [third]);
    }
}
