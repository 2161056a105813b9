//! Makes, grows, shrinks and resets a secure etcd cluster, on its hosts.
//!
//! # Purpose
//! Each verb is a list of phases over a [`Machine`]: this host, and the cluster that its member belongs to. A phase looks
//! and says what is still to be changed; the runner of crate `host` journals and makes the changes. What a member is to be
//! is one [`Configuration`], resolved from document, flags, the record of an earlier run and the host before any work.
//!
//! # What it does not do
//! It talks to no other host but through etcd's API, and leaves nothing running but etcd. It reads no environment.
//!
//! # Where to enter
//! [`run`], then `verbs`, one file each with its phases listed, then `phases`.

mod arguments;
mod authorities;
mod backup;
mod certs;
mod change;
mod configuration;
mod download;
mod error;
mod examples;
mod facts;
mod fetch;
mod import;
mod info;
mod init;
mod join;
mod machine;
mod maintain;
mod measure;
mod member;
mod older;
pub mod paths;
mod phases;
mod pod;
mod proof;
mod record;
mod recover;
mod recover_data;
mod reset;
mod restore;
mod restore_data;
mod rotate;
mod runs;
mod save;
mod schedule;
mod snapshot;
mod start;
mod status;
mod survey;
mod unit;
mod upgrade;
mod verbs;
mod verify;

pub use arguments::{Arguments, Verb};
pub use configuration::{Configuration, DEFAULT_RELEASE_URL, DEFAULT_VERSION};
pub use error::Error;
pub use fetch::{Fetch, ReleaseError};
pub use machine::{Change, Machine, Note, View};
pub use record::Record;
pub use schedule::Every;

use std::process::ExitCode;

use clap::FromArgMatches;

/// Parses the command line and runs the verb.
#[must_use]
pub fn run(environment: &cli::Environment) -> ExitCode {
    let parsed = Arguments::from_arg_matches(&verbs::command().get_matches());
    let arguments = parsed.unwrap_or_else(|error| error.exit());
    cli::run(&arguments.common, environment, |context| {
        verbs::run(context, &arguments)
    })
}
