//! The proven data directory instead of the one that is there, which is set aside.

use host::Phase;

use crate::phases::restore_data::Wanted;
use crate::phases::set_data_aside::{aside, mounted};
use crate::{Change, Error, Machine, View};

/// Puts what was restored in its place.
pub(crate) struct PutInPlace<'c>(pub(crate) Wanted<'c>);

impl<'a> Phase<Machine<'a>> for PutInPlace<'_> {
    fn name(&self) -> &'static str {
        "put-in-place"
    }

    fn about(&self) -> &'static str {
        "stop etcd, set its data aside, and give the proven directory its place"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let wanted = &self.0;
        let folder = wanted.folder(seen)?;
        let mut plan: Vec<Change> = Vec::new();
        if wanted.in_place(seen)? {
            if seen.host().stat(&folder)?.is_some() {
                plan.push(host::Change::RemoveTree { path: folder }.into());
            }
            return Ok(plan);
        }
        plan.extend(wanted.configuration.runs().stop(seen.host())?);
        let data_dir = wanted.configuration.data_dir();
        // On a file system of its own, what lies in the folder is moved instead of the folder.
        let (from, to) = if mounted(seen.host(), data_dir)? {
            (folder.join("data/member"), data_dir.join("member"))
        } else {
            (folder.join("data"), data_dir.to_owned())
        };
        match seen.host().list(&to)? {
            None => {}
            Some(names) if names.is_empty() => {
                plan.push(host::Change::Remove { path: to.clone() }.into());
            }
            Some(_) => plan.push(
                host::Change::SetAside {
                    to: aside(&to, seen.now()),
                    path: to.clone(),
                }
                .into(),
            ),
        }
        plan.push(Change::Place { from, to });
        Ok(plan)
    }
}
