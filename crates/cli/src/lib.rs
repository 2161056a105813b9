//! What the three command lines share: errors and exit codes, output, progress, the walk through phases.
//!
//! # Purpose
//! A tool's `main` resolves its arguments and environment into settings, and hands a verb to [`run`]. The verb does its
//! work through [`Context`]: it reports progress on standard error, prints its one result on standard output, and
//! walks its phases with [`Context::walk`], which takes the lock, keeps the journal, or lays a dry run over the host.
//!
//! # What it does not do
//! It knows no verb and no phase, and never reads the environment.
//!
//! # Where to enter
//! [`run`], then [`Context`] and [`Error`].

mod context;
mod error;
mod input;
mod options;
mod output;
mod phases;
mod progress;
mod version;

pub use context::{Context, Tool};
pub use error::{Error, Explain, Kind, ResultExt};
pub use input::{read_documents, read_input};
pub use options::{Common, OutputArg};
pub use output::Format;
pub use phases::{list_phases, select};
pub use progress::Progress;
pub use version::{VersionArgs, completion, print_version};

use std::process::ExitCode;

/// What `main` found in the environment, which nothing below it reads.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// Whether standard error is a terminal that takes colours and moves its cursor.
    pub terminal: bool,
    /// The SSH agent's socket.
    pub ssh_auth_sock: Option<String>,
    /// The user's home folder.
    pub home: Option<String>,
}

impl Environment {
    /// Reads it. For `main` alone.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "called by the mains, which resolve settings"
    )]
    pub fn read() -> Self {
        use std::io::IsTerminal;
        let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let dumb = var("TERM").is_none_or(|term| term == "dumb") || var("NO_COLOR").is_some();
        Self {
            terminal: std::io::stderr().is_terminal() && !dumb,
            ssh_auth_sock: var("SSH_AUTH_SOCK"),
            home: var("HOME"),
        }
    }
}

/// Runs a verb and turns its outcome into an exit code, an error being shown with its causes and hints.
pub fn run(
    common: &Common,
    environment: &Environment,
    verb: impl FnOnce(&mut Context) -> Result<(), Error>,
) -> ExitCode {
    let mut context = Context::new(common, environment);
    let result = verb(&mut context);
    context.finish();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            context.show_error(&error);
            ExitCode::from(error.kind.exit_code())
        }
    }
}
