//! A highly available cluster's whole life over SSH, from one state file.
//!
//! # Purpose
//! `cctl` runs `etcdadm` and `nodeadm` on hosts, as an admin would, in the right order and on all hosts at once. It looks at
//! the hosts first ([`phases`] that look), makes one plan of steps and what each has to wait for ([`Plan`]), and then shows
//! it or carries it out (`execute`): both walk the same list. Each step that is done is written to the state at once, so
//! that a run cut off anywhere is finished by the next.
//!
//! # What it does not do
//! It knows the other two tools by their documented command line alone, and runs no shell on any host. It leaves nothing
//! running there, and works on no cluster but that of its state file.
//!
//! # Where to enter
//! [`run`], then `verbs`, then [`Plan`] and the phases that fill it.

mod apply;
mod arguments;
mod artifacts;
mod backup;
mod bundle;
mod copies;
mod create;
mod delete_cluster;
mod delete_machine;
mod documents;
mod error;
mod examples;
mod execute;
mod fence;
mod fleet;
mod forget_host_key;
mod get;
mod goal;
mod kubeconfig;
mod old;
pub mod phases;
mod plan;
mod prompt;
mod put;
mod recipients;
mod recover;
mod recover_machine;
mod restore;
mod session;
mod settings;
mod snapshot;
mod status;
mod told;
mod tool;
mod verbs;
mod work;

pub use arguments::{Arguments, Verb};
pub use error::Error;
pub use goal::{Goal, Seen};
pub use plan::{Action, After, Plan, Step};

use std::process::ExitCode;

use clap::Parser;

/// Parses the command line and runs the verb.
#[must_use]
pub fn run(environment: &cli::Environment) -> ExitCode {
    let arguments = Arguments::parse();
    cli::run(&arguments.common, environment, |context| {
        verbs::run(context, &arguments)
    })
}
