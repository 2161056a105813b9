//! `nodeadm download`: components and images brought into this host's store, before any runtime is there.

use cli::{Context, Error};

use crate::arguments::DownloadArgs;

/// Runs the verb.
///
/// # Errors
/// When something cannot be fetched, or is not what its digest says.
pub fn run(_: &mut Context, args: &DownloadArgs) -> Result<(), Error> {
    Err(Error::usage(format!("{}: nothing can be downloaded yet", args.versions)))
}
