//! The member's data, out of the way and kept: nobody but the admin knows that it is not needed any more.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use host::{Inspect, Phase};

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
        let Some(names) = seen.host().list(path)? else {
            return Ok(Vec::new());
        };
        let data = names.iter().filter(|name| is_data(name));
        if mounted(seen.host(), path)? {
            // A file system of its own cannot be moved: what lies in it goes into a folder there.
            let folder = path.join(
                aside(Path::new(""), seen.now())
                    .to_string_lossy()
                    .trim_start_matches('.'),
            );
            let move_in = |name: &String| {
                host::Change::SetAside {
                    path: path.join(name),
                    to: folder.join(name),
                }
                .into()
            };
            return Ok(data.map(move_in).collect());
        }
        let change = match names.as_slice() {
            [] => host::Change::Remove {
                path: path.to_owned(),
            },
            _ => host::Change::SetAside {
                path: path.to_owned(),
                to: aside(path, seen.now()),
            },
        };
        Ok(vec![change.into()])
    }
}

/// Whether something of this name in a data directory is data, and not what lies there beside it.
pub(crate) fn is_data(name: &str) -> bool {
    name != "lost+found" && name != "restoring" && !name.contains("set-aside-")
}

/// Whether a folder is the root of a file system of its own.
pub(crate) fn mounted(seen: &dyn Inspect, path: &Path) -> Result<bool, Error> {
    let device = |path: &Path| -> Result<Option<u64>, Error> {
        Ok(seen.stat(path)?.map(|stat| stat.device))
    };
    let own = device(path)?;
    Ok(own.is_some() && own != device(path.parent().unwrap_or(path))?)
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
