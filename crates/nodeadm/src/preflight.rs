//! `nodeadm preflight`: the checks alone.

use api::{Check, Verdict};
use cli::Context;
use host::Local;

use crate::Error;
use crate::arguments::NodeArgs;
use crate::checks;
use crate::verbs::settings;

/// Runs the verb.
///
/// # Errors
/// A preflight error when a check failed or could not be made; the result is printed first.
pub(crate) fn run(context: &mut Context, args: &NodeArgs) -> Result<(), cli::Error> {
    let settings = settings(args, &args.overrides())?;
    let checks = checks::run(&Local::new("/"), &settings);
    context.print(&checks, |checks| table(checks))?;
    if checks
        .iter()
        .any(|check| matches!(check.verdict, Verdict::Failed | Verdict::Unknown))
    {
        return Err(Error::Preflight(checks).into());
    }
    Ok(())
}

fn table(checks: &[Check]) -> String {
    let word = |verdict| match verdict {
        Verdict::Passed => "passed",
        Verdict::Failed => "FAILED",
        Verdict::Ignored => "ignored",
        Verdict::Unknown => "UNKNOWN",
    };
    checks
        .iter()
        .map(|check| {
            format!(
                "{:8} {:11} {}\n",
                word(check.verdict),
                check.name,
                check.message
            )
        })
        .collect()
}
