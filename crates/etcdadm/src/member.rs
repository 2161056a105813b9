//! `etcdadm member`: the member list, and changes to it from any member's host.

use std::fmt::Write as _;
use std::path::Path;

use cli::Context;
use etcd::Membership;

use crate::arguments::{ChangeArgs, MemberVerb, ReachArgs};
use crate::phases::{MoveLeader, PromoteLearner, RemoveMember};
use crate::survey::Reach;
use crate::verbs::{AnyPhase, reach, recorded, walk, with_machine};

pub(crate) fn run(context: &mut Context, root: &Path, verb: &MemberVerb) -> Result<(), cli::Error> {
    match verb {
        MemberVerb::List(args) => list(context, root, args),
        MemberVerb::Remove {
            member,
            force,
            change,
        } => change_by(context, root, "etcdadm member remove", change, |reach| {
            let (member, force) = (member.clone(), force.clone());
            Box::new(RemoveMember {
                reach,
                member,
                force,
            })
        }),
        MemberVerb::Promote { member, change } => {
            change_by(context, root, "etcdadm member promote", change, |reach| {
                let member = member.clone();
                Box::new(PromoteLearner { reach, member })
            })
        }
        MemberVerb::MoveLeader { member, change } => change_by(
            context,
            root,
            "etcdadm member move-leader",
            change,
            |reach| {
                let member = member.clone();
                Box::new(MoveLeader { reach, member })
            },
        ),
    }
}

fn change_by(
    context: &mut Context,
    root: &Path,
    goal: &str,
    args: &ChangeArgs,
    phase: impl for<'c> Fn(Reach<'c>) -> AnyPhase<'c>,
) -> Result<(), cli::Error> {
    let configuration = recorded(root)?;
    let reach = reach(&configuration, &args.reach)?;
    walk(
        context,
        root,
        &configuration,
        goal,
        args.dry_run,
        &[phase(reach)],
    )
}

fn list(context: &mut Context, root: &Path, args: &ReachArgs) -> Result<(), cli::Error> {
    let configuration = recorded(root)?;
    let reach = reach(&configuration, args)?;
    let list = with_machine(context, root, &configuration, false, |_, machine| {
        let credentials = reach.credentials(machine)?;
        let list = crate::View::etcd(machine).members(&reach.ask(), &credentials);
        list.map_err(crate::Error::from)
    })?;
    context.print(&list, text)
}

fn text(list: &Membership) -> String {
    let mut out = String::new();
    for member in &list.members {
        let role = if member.learner { "learner" } else { "voter" };
        let name = if member.started() {
            &member.name
        } else {
            "(never started)"
        };
        let _ = writeln!(
            out,
            "{} {name} {role} peers {} clients {}",
            etcd::hex_id(member.id),
            member.peer_urls.join(","),
            member.client_urls.join(",")
        );
    }
    out
}
