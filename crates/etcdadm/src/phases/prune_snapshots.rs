//! Older snapshots of the same folder removed, as many as the admin said.
//!
//! Only files that bear the name which `snapshot save` gives them are looked at.

use std::collections::BTreeSet;
use std::path::PathBuf;

use host::Phase;

use crate::{Change, Error, Machine, View};

/// What such a file is called, around its time.
pub(crate) const NAME: (&str, &str) = ("etcd-", ".capsule");

/// Which snapshots stay. Nothing said: all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keep {
    /// So many of the newest.
    pub(crate) last: Option<usize>,
    /// The newest of each of so many days that have one.
    pub(crate) daily: Option<usize>,
}

/// Removes snapshots.
pub(crate) struct PruneSnapshots {
    pub(crate) folder: PathBuf,
    pub(crate) keep: Keep,
}

impl<'a> Phase<Machine<'a>> for PruneSnapshots {
    fn name(&self) -> &'static str {
        "prune-snapshots"
    }

    fn about(&self) -> &'static str {
        "remove older snapshots of the folder, as --keep-last and --keep-daily say"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let names = seen.host().list(&self.folder)?.unwrap_or_default();
        let stays = stay(&names, self.keep);
        let remove = |name: &String| {
            host::Change::Remove {
                path: self.folder.join(name),
            }
            .into()
        };
        let ours = names.iter().filter(|name| time_of(name).is_some());
        let gone = ours.filter(|name| !stays.contains(name.as_str()));
        Ok(gone.map(remove).collect())
    }
}

/// The time in a snapshot's name: `etcd-20261123T120000Z.capsule`.
fn time_of(name: &str) -> Option<&str> {
    let time = name.strip_prefix(NAME.0)?.strip_suffix(NAME.1)?;
    let shape = time.len() == 16
        && time.bytes().enumerate().all(|(i, byte)| match i {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
    shape.then_some(time)
}

/// Those that stay.
fn stay(names: &[String], keep: Keep) -> BTreeSet<&str> {
    let mut all: Vec<(&str, &str)> = names
        .iter()
        .filter_map(|name| Some((time_of(name)?, name.as_str())))
        .collect();
    all.sort_unstable();
    all.reverse();
    if keep == Keep::default() {
        return all.into_iter().map(|(_, name)| name).collect();
    }
    let last = all.iter().take(keep.last.unwrap_or(0));
    let mut stays: BTreeSet<&str> = last.map(|(_, name)| *name).collect();
    let mut days = BTreeSet::new();
    for (time, name) in &all {
        let day = &time[..8];
        if days.len() < keep.daily.unwrap_or(0) && days.insert(day) {
            stays.insert(name);
        }
    }
    // The newest is never removed, whatever is said.
    stays.extend(all.first().map(|(_, name)| *name));
    stays
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_and_one_a_day_stay() {
        let names: Vec<String> = [
            "etcd-20261120T000000Z.capsule",
            "etcd-20261120T120000Z.capsule",
            "etcd-20261121T120000Z.capsule",
            "etcd-20261122T110000Z.capsule",
            "etcd-20261122T120000Z.capsule",
            "etcd-20261122T130000Z.capsule",
            "notes.capsule",
            "etcd-yesterday.capsule",
        ]
        .map(str::to_owned)
        .to_vec();
        let times = |last, daily| {
            let stays = stay(&names, Keep { last, daily });
            let times: Vec<String> = stays.iter().map(|name| name[11..16].to_owned()).collect();
            times.join(" ")
        };
        assert_eq!(times(None, None).split(' ').count(), 6);
        assert_eq!(times(Some(2), None), "22T12 22T13");
        assert_eq!(times(None, Some(2)), "21T12 22T13");
        assert_eq!(times(Some(2), Some(3)), "20T12 21T12 22T12 22T13");
        assert_eq!(times(Some(0), None), "22T13");
    }
}
