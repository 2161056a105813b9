//! Writes down how the host was found and what it is to become, before anything is changed.

use std::path::Path;

use host::Phase;

use super::plan_file;
use crate::change::Change;
use crate::found::{FOUND, Found};
use crate::record::Record;
use crate::{Error, Node, paths};

/// See the module.
pub struct RecordHost;

impl Phase<Node> for RecordHost {
    fn name(&self) -> &'static str {
        "record-host"
    }

    fn about(&self) -> &'static str {
        "write down how the host was found and what it becomes"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let (seen, settings) = (node.host(), node.settings());
        let mut plan = Vec::new();
        // Journal and lock lie here already, but not in a dry run.
        if seen.stat(Path::new(paths::FOLDER))?.is_none() {
            plan.push(
                host::Change::MakeDir {
                    path: paths::FOLDER.into(),
                    mode: 0o700,
                }
                .into(),
            );
        }
        if Found::read(seen)?.is_none() {
            let found = Found::look(seen, settings)?;
            plan.push(host::Change::private_file(FOUND, found.text()).into());
        }
        let record = Record::of(settings, Record::read(seen)?.as_ref());
        plan.extend(plan_file(
            seen,
            Path::new(paths::RECORD),
            0o600,
            &record.text(),
        )?);
        Ok(plan)
    }
}
