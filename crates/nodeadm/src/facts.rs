//! `nodeadm facts`: what can be seen of this host, as one document.

use cli::Context;
use host::Local;

use crate::observe::{Network, collect};

/// Runs the verb.
///
/// # Errors
/// When the host cannot be read.
pub(crate) fn run(context: &mut Context) -> Result<(), cli::Error> {
    let facts = collect(&Local::new("/"), &Network::read())?;
    context.print(&facts, api::yaml::to_string)
}
