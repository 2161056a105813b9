//! The verbs, one a file.

use crate::{
    apply, backup, bundle, copies, create, delete_cluster, delete_machine, fence, forget_host_key,
    get, recipients, recover, recover_machine, restore, snapshot, status,
};
use cli::Context;

use crate::arguments::{Arguments, Create, Delete, RecoverVerb, StateVerb, Verb};
use crate::settings::Settings;

pub(crate) fn run(context: &mut Context, arguments: &Arguments) -> Result<(), cli::Error> {
    let settings = Settings::resolve(&arguments.options, &context.environment);
    match &arguments.verb {
        Verb::Apply(args) => apply::run(context, &settings, args, args.dry_run),
        Verb::Plan(args) => apply::run(context, &settings, args, true),
        Verb::Create(Create::Cluster(args)) => create::cluster(context, &settings, args),
        Verb::Create(Create::Machine(args)) => create::machine(context, &settings, args),
        Verb::Delete(Delete::Machine(args)) => delete_machine::run(context, &settings, args),
        Verb::Delete(Delete::Cluster(args)) => delete_cluster::run(context, &settings, args),
        Verb::Get(what) => get::run(context, &settings, what),
        Verb::Status => status::run(context, &settings),
        Verb::Snapshot(verb) => snapshot::run(context, &settings, verb),
        Verb::Backup(args) => backup::run(context, &settings, args),
        Verb::Restore(args) => restore::run(context, &settings, args),
        Verb::State(StateVerb::Pull(args)) => copies::run(context, &settings, args),
        Verb::State(StateVerb::Recipients(verb)) => recipients::run(context, &settings, verb),
        Verb::Recover(args) => match &args.what {
            Some(RecoverVerb::Machine(args)) => recover_machine::run(context, &settings, args),
            None => recover::run(context, &settings, args),
        },
        Verb::Fence(args) => fence::run(context, &settings, args),
        Verb::Bundle(verb) => bundle::run(context, verb),
        Verb::ForgetHostKey { address } => {
            forget_host_key::run(context, &settings, &address.to_string())
        }
        Verb::Version(args) => cli::print_version(context, "cctl", env!("CARGO_PKG_VERSION"), args),
        Verb::Completion { shell } => cli::completion::<Arguments>(context, *shell),
    }
}
