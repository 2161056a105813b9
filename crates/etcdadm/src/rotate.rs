//! `etcdadm certs rotate-ca`: a new authority in the place of the old one, without a moment in which members distrust each
//! other.
//!
//! etcd reads the authorities that it trusts only when it starts. So there are three steps, and all hosts take one before
//! any takes the next: trust both authorities, show certificates of the new one, trust the new one alone. Each is a restart
//! of this host's member, while the others serve. That all are there is not believed but asked: by a handshake, in which a
//! member says which authorities it accepts and shows who signed its certificate.

use std::fmt::Write as _;
use std::path::Path;
use std::time::SystemTime;

use cli::Context;
use etcd::{Client, Observe};
use host::{Local, Summary};
use serde::Serialize;

use crate::arguments::RotateVerb;
use crate::authorities::{Authorities, Step, lagging};
use crate::phases::{
    AdoptAuthority, AwaitHealth, CheckRotation, DropAuthority, ReissueCertificates, RemoveStaged,
    RestartMember, StageAuthority, TrustAuthority,
};
use crate::survey::Reach;
use crate::verbs::{AnyPhase, Walk, print_changes, reach, walked};
use crate::{Configuration, Error};

/// The phases of a step, in order.
pub(crate) fn phases<'c>(reach: &Reach<'c>, step: Step, interrupt: bool) -> Vec<AnyPhase<'c>> {
    let configuration = reach.configuration;
    let mut phases: Vec<AnyPhase<'c>> = vec![Box::new(CheckRotation {
        reach: reach.clone(),
        step,
        interrupt,
    })];
    match step {
        Step::Trust => {
            phases.push(Box::new(StageAuthority(reach.clone())));
            phases.push(Box::new(TrustAuthority(configuration)));
        }
        Step::Reissue => {
            phases.push(Box::new(ReissueCertificates(configuration)));
            phases.push(Box::new(AdoptAuthority(configuration)));
        }
        Step::Finish => phases.push(Box::new(DropAuthority(configuration))),
    }
    phases.push(Box::new(RestartMember::new(reach.clone())));
    phases.push(Box::new(AwaitHealth(configuration)));
    if step == Step::Finish {
        phases.push(Box::new(RemoveStaged(configuration)));
    }
    phases
}

/// What was done, and what is still to be done elsewhere.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rotated {
    #[serde(flatten)]
    summary: Summary,
    /// Name of the authority that is to come, or has come.
    authority: String,
    /// Members whose hosts are to take this step, too, before any takes the next.
    waiting_for: Vec<String>,
    /// What is to be run when nobody is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    then: Option<&'static str>,
}

pub(crate) fn run(
    context: &mut Context,
    root: &Path,
    configuration: &Configuration,
    verb: &RotateVerb,
) -> Result<(), cli::Error> {
    let (step, args) = match verb {
        RotateVerb::Trust(args) => (Step::Trust, args),
        RotateVerb::Reissue(args) => (Step::Reissue, args),
        RotateVerb::Finish(args) => (Step::Finish, args),
    };
    let reach = reach(configuration, &args.change.reach)?;
    let walk = Walk::all(step.verb(), args.change.dry_run);
    let phases = phases(&reach, step, args.interrupt);
    let summary = walked(context, root, configuration, walk, &phases)?;
    if walk.dry_run {
        return print_changes(context, &summary);
    }
    let rotated = look(root, &reach, step, summary)?;
    context.print(&rotated, text)
}

/// Who is still to take this step.
fn look(root: &Path, reach: &Reach<'_>, step: Step, summary: Summary) -> Result<Rotated, Error> {
    let (seen, configuration) = (Local::new(root), reach.configuration);
    let authorities = Authorities::read(&seen, configuration, SystemTime::now())?;
    let next = authorities.next.as_ref().unwrap_or(&authorities.trusted[0]);
    let credentials = crate::machine::credentials(&seen, configuration.certs_dir())?;
    let client = Client::default();
    let list = client.members(&reach.ask(), &credentials)?;
    let lags = lagging(&client, &list.members, &credentials, next, step);
    let then = match step {
        Step::Trust => Some(Step::Reissue.verb()),
        Step::Reissue => Some(Step::Finish.verb()),
        Step::Finish => None,
    };
    Ok(Rotated {
        summary,
        authority: next.common_name.clone(),
        then: then.filter(|_| lags.is_empty()),
        waiting_for: lags.into_iter().map(|lag| lag.member).collect(),
    })
}

fn text(rotated: &Rotated) -> String {
    let mut out = String::new();
    for applied in &rotated.summary.changes {
        let _ = writeln!(out, "{}: {}", applied.phase, applied.change);
    }
    if rotated.summary.changes.is_empty() {
        out.push_str("nothing to change\n");
    }
    let name = &rotated.authority;
    let _ = match (rotated.waiting_for.as_slice(), rotated.then) {
        ([], Some(then)) => writeln!(
            out,
            "every member has taken this step towards {name}: go on with `{then}` on one host after the other"
        ),
        ([], None) => writeln!(out, "every member trusts {name}, and nobody else"),
        (waiting, _) => writeln!(
            out,
            "still to take this step towards {name}: {}",
            waiting.join(", ")
        ),
    };
    out
}
