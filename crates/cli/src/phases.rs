//! A verb's list of phases: chosen from, skipped, listed in its help.

use host::{Effects, Phase};

use crate::Error;

/// The phases to walk: those named in `only` (all if none is), without those named in `skip`, in the verb's order.
///
/// # Errors
/// A usage error that lists the known names.
pub fn select<'p, E: Effects>(
    phases: &[&'p dyn Phase<E>],
    only: &[String],
    skip: &[String],
) -> Result<Vec<&'p dyn Phase<E>>, Error> {
    let known = || phases.iter().map(|phase| phase.name()).collect::<Vec<_>>();
    if let Some(unknown) = only
        .iter()
        .chain(skip)
        .find(|name| !known().contains(&name.as_str()))
    {
        return Err(Error::usage(format!("there is no phase {unknown:?} here"))
            .hint(format!("choose from: {}", known().join(", "))));
    }
    let named =
        |names: &[String], phase: &dyn Phase<E>| names.iter().any(|name| name == phase.name());
    Ok(phases
        .iter()
        .copied()
        .filter(|phase| (only.is_empty() || named(only, *phase)) && !named(skip, *phase))
        .collect())
}

/// The phases, a line each, for a help text.
#[must_use]
pub fn list_phases<E: Effects>(phases: &[&dyn Phase<E>]) -> String {
    let width = phases
        .iter()
        .map(|phase| phase.name().len())
        .max()
        .unwrap_or(0);
    phases
        .iter()
        .map(|phase| format!("  {:width$}  {}\n", phase.name(), phase.about()))
        .collect()
}
