//! `nodeadm facts`: what can be seen of this host, as one document.

use std::path::Path;

use cli::Context;
use host::Local;

use crate::observe::{Network, collect};

/// Runs the verb.
///
/// # Errors
/// When the host cannot be read.
pub(crate) fn run(context: &mut Context, root: &Path) -> Result<(), cli::Error> {
    let facts = collect(&Local::new(root), &Network::of(root))?;
    context.print(&facts, api::yaml::to_string)
}
