//! `nodeadm config print`: the node's document with every default filled in.

use std::path::Path;

use cli::Context;
use host::Local;

use crate::arguments::NodeArgs;
use crate::observe::Network;
use crate::settings::{Overrides, fill};

/// Runs the verb.
///
/// # Errors
/// When the document makes no sense.
pub(crate) fn run(context: &mut Context, root: &Path, args: &NodeArgs) -> Result<(), cli::Error> {
    let documents = args
        .config
        .as_deref()
        .map(cli::read_documents)
        .transpose()?;
    let overrides = Overrides {
        first: true,
        ..args.overrides()
    };
    let seen = Local::new(root);
    let config = fill(documents.as_ref(), &overrides, &seen, &Network::of(root))?;
    context.print(&config, api::yaml::to_string)
}
