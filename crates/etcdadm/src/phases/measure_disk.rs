//! How fast the data's disk is, before a member begins on it. Not in a dry run: measuring writes.

use std::cell::Cell;

use host::Phase;

use crate::measure::{Measure, NAME};
use crate::{Change, Configuration, Error, Machine, View};

/// Measures the disk.
pub(crate) struct MeasureDisk<'c> {
    configuration: &'c Configuration,
    /// There is no telling from the outside that it was.
    done: Cell<bool>,
}

impl<'c> MeasureDisk<'c> {
    /// Of this member's data.
    pub(crate) fn new(configuration: &'c Configuration) -> Self {
        let done = Cell::new(false);
        Self {
            configuration,
            done,
        }
    }
}

impl<'a> Phase<Machine<'a>> for MeasureDisk<'_> {
    fn name(&self) -> &'static str {
        "measure-disk"
    }

    fn about(&self) -> &'static str {
        "measure how long the data's disk takes to write; not in a dry run"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let (host, configuration) = (seen.host(), self.configuration);
        if host.is_dry_run() || configuration.has_data(host)? || self.done.replace(true) {
            return Ok(Vec::new());
        }
        let may_fail = |name: &String| name == NAME || name == "all";
        let ignored = &configuration.document.ignore_preflight_errors;
        Ok(vec![Change::Measure(Measure {
            folder: configuration.data_dir().to_owned(),
            refuses: !ignored.iter().any(may_fail),
        })])
    }
}
