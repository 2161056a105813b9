//! `nodeadm preflight`: the checks alone.

use std::path::Path;

use api::{Check, Verdict};
use cli::Context;
use host::Local;

use crate::Error;
use crate::arguments::NodeArgs;
use crate::checks;
use crate::settings::Overrides;
use crate::verbs::settings;

/// Runs the verb.
///
/// # Errors
/// A preflight error when a check failed or could not be made; the result is printed first.
pub(crate) fn run(context: &mut Context, root: &Path, args: &NodeArgs) -> Result<(), cli::Error> {
    // Before anything is brought, the store is empty, and whoever brings it wants to know whether it is worth it.
    let overrides = Overrides {
        store_may_lack: true,
        ..args.overrides()
    };
    let settings = settings(root, args, &overrides)?;
    let checks = checks::run(&Local::new(root), &settings);
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
            let line = format!(
                "{:8} {:15} {}\n",
                word(check.verdict),
                check.name,
                check.message
            );
            // What to do about faults is told with the error.
            match &check.hint {
                Some(hint) if check.verdict == Verdict::Passed => {
                    format!("{line}{:24} {hint}\n", "")
                }
                _ => line,
            }
        })
        .collect()
}
