//! `nodeadm vip-check`: whether this host's API server lives. keepalived's container runs it every second.

use std::time::Duration;

use cli::{Error, Kind};

use crate::arguments::VipCheckArgs;
use crate::cluster::look;

/// Less than the second after which it is asked again.
const LIMIT: Duration = Duration::from_millis(900);

/// Runs the verb.
///
/// # Errors
/// What was seen instead of an answer.
pub(crate) fn run(args: &VipCheckArgs) -> Result<(), Error> {
    look(&args.at, "/livez", &args.ca, LIMIT).map_err(|seen| Error::new(Kind::Failed, seen))
}
