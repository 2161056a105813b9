//! `cctl delete cluster`: all hosts reset at once; etcd's data is set aside on them, the state beside itself.

use cli::Context;

use crate::Error;
use crate::arguments::{ApplyArgs, DeleteCluster};
use crate::phases::ResetHosts;
use crate::plan::{View, make};
use crate::session;
use crate::settings::Settings;
use crate::{apply, delete_machine};

pub(crate) fn run(
    context: &mut Context,
    settings: &Settings,
    args: &DeleteCluster,
) -> Result<(), cli::Error> {
    let (open, state) = session::open_or_read(settings, args.dry_run || !args.yes)?;
    let name = state.configuration().metadata.name.clone();
    if !args.yes && !args.dry_run {
        return Err(cli::Error::from(Error::Usage(format!(
            "this takes cluster {name} down for good"
        )))
        .hint("say --yes; --dry-run shows what would be done"));
    }
    let goal = session::goal(&ApplyArgs::default(), Some(&state))?;
    let looked = if args.force {
        delete_machine::reach(context, &goal, &state, settings, "", true)?
    } else {
        session::look(context, &goal, Some(&state), settings)?
    };
    let view = View {
        goal: &goal,
        seen: &looked.seen,
        started: state.started,
        recovery: None,
    };
    let plan = make(&[&ResetHosts], &view);
    if args.dry_run {
        return apply::show(context, &plan, &looked);
    }
    let mut open = session::remember(&goal, open, Some(&looked), settings)?;
    apply::carry_out(context, &goal, &looked, &plan, &mut open, None)?;
    let aside = open.retire().map_err(Error::from)?;
    context.print(&name, |name| {
        format!(
            "cluster {name} is no more; its state was set aside as {}\n",
            aside.display()
        )
    })
}
