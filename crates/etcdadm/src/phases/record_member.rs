//! Writes down what is being set up, before it is: so that later verbs need no flags, and a reset can undo a half.

use std::path::{Path, PathBuf};

use host::{Inspect, Phase};

use crate::phases::{Begin, file};
use crate::{Change, Configuration, Error, Machine, Record, View, paths};

/// Records the member.
pub(crate) struct RecordMember<'c> {
    pub(crate) configuration: &'c Configuration,
    pub(crate) begin: Begin,
}

impl<'a> Phase<Machine<'a>> for RecordMember<'_> {
    fn name(&self) -> &'static str {
        "record-member"
    }

    fn about(&self) -> &'static str {
        "write down what is set up, from what configuration"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let old = Record::read(seen.host())?;
        // Who a member became, by init or by join, does not change when the other verb is run on it.
        let verb = match &old {
            Some(record)
                if self.begin != Begin::Restore && self.configuration.has_data(seen.host())? =>
            {
                record.verb.clone()
            }
            _ => match self.begin {
                Begin::Init | Begin::Restore => "init".to_owned(),
                Begin::Join => "join".to_owned(),
            },
        };
        let made_folders = match old {
            Some(record) => record.made_folders,
            None => self.missing_folders(seen.host())?,
        };
        let record = Record {
            verb,
            configuration: self.configuration.document.clone(),
            made_folders,
        };
        file(
            seen.host(),
            Path::new(paths::RECORD),
            0o644,
            &record.to_text(),
        )
    }
}

impl RecordMember<'_> {
    /// The folders that are going to be made, the innermost first.
    fn missing_folders(&self, seen: &dyn Inspect) -> Result<Vec<PathBuf>, Error> {
        let mut missing = Vec::new();
        for folder in [
            self.configuration.certs_dir(),
            Path::new("/etc/etcd"),
            self.configuration.install_dir(),
        ] {
            for folder in folder.ancestors() {
                if seen.stat(folder)?.is_none() && !missing.iter().any(|m| m == folder) {
                    missing.push(folder.to_owned());
                }
            }
        }
        missing.sort_by_key(|folder| std::cmp::Reverse(folder.components().count()));
        Ok(missing)
    }
}
