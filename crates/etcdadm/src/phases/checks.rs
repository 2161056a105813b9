//! Named checks: each finds nothing or a fault, all are told together, and each can be ignored by its name.

use api::{Check, Verdict};

use crate::Error;

/// What a check finds: nothing, or what is wrong and what to do about it.
pub(crate) type Finding = Option<(String, Option<String>)>;

/// A check's name and what it found.
pub(crate) type Found = (&'static str, Result<Finding, Error>);

/// Something wrong.
pub(crate) fn fault(message: impl Into<String>, hint: impl Into<String>) -> Finding {
    Some((message.into(), Some(hint.into())))
}

/// Refuses unless every check passed or may fail.
///
/// # Errors
/// [`Error::Preflight`] with all of them.
pub(crate) fn judge(all: impl IntoIterator<Item = Found>, ignored: &[String]) -> Result<(), Error> {
    let checks: Vec<Check> = all
        .into_iter()
        .map(|(name, found)| check(name, found, ignored))
        .collect();
    let bad = |check: &Check| matches!(check.verdict, Verdict::Failed | Verdict::Unknown);
    if checks.iter().any(bad) {
        return Err(Error::Preflight(checks));
    }
    Ok(())
}

fn check(name: &str, found: Result<Finding, Error>, ignored: &[String]) -> Check {
    let may_fail = ignored.iter().any(|i| i == name || i == "all");
    let (verdict, message, hint) = match found {
        Ok(None) => (Verdict::Passed, "as it should be".to_owned(), None),
        Ok(Some((message, hint))) => (Verdict::Failed, message, hint),
        Err(error) => (
            Verdict::Unknown,
            format!("it could not be told: {error}"),
            None,
        ),
    };
    let verdict = if may_fail && verdict != Verdict::Passed {
        Verdict::Ignored
    } else {
        verdict
    };
    Check {
        name: name.to_owned(),
        verdict,
        message,
        hint,
    }
}
