//! The member's data, out of the way and kept: nobody but the admin knows that it is not needed any more.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use host::Phase;

use crate::{Change, Configuration, Error, Machine, View};

/// Sets the data directory aside.
pub(crate) struct SetDataAside<'c>(pub(crate) &'c Configuration);

impl<'a> Phase<Machine<'a>> for SetDataAside<'_> {
    fn name(&self) -> &'static str {
        "set-data-aside"
    }

    fn about(&self) -> &'static str {
        "move the data directory out of the way, without deleting it"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let path = self.0.data_dir();
        match seen.host().list(path)? {
            None => Ok(Vec::new()),
            Some(names) if names.is_empty() => Ok(vec![
                host::Change::Remove {
                    path: path.to_owned(),
                }
                .into(),
            ]),
            Some(_) => Ok(vec![
                host::Change::SetAside {
                    path: path.to_owned(),
                    to: aside(path, seen.now()),
                }
                .into(),
            ]),
        }
    }
}

/// Where `path` goes at this time: beside itself, so that it stays on its file system.
pub(crate) fn aside(path: &Path, now: SystemTime) -> PathBuf {
    let now = time::OffsetDateTime::from(now);
    let (date, clock) = (now.date(), now.time());
    let mut name = path.as_os_str().to_owned();
    name.push(format!(
        ".set-aside-{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        clock.hour(),
        clock.minute(),
        clock.second()
    ));
    name.into()
}
