//! What there must be enough of.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use host::Inspect;
use serde_json::Value;

use super::{Outcome, bad, fine, noted, set_up, text, unknown, users_kubelet};
use crate::settings::Settings;
use crate::{Error, observe, paths};

pub(super) fn swap(seen: &dyn Inspect, settings: &Settings) -> Result<Outcome, Error> {
    let Some(swaps) = seen.read_text(Path::new("/proc/swaps"))? else {
        return unknown("/proc/swaps is not there");
    };
    let devices: Vec<&str> = swaps
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    if devices.is_empty() {
        return fine("no swap");
    }
    if users_kubelet(settings, "failSwapOn").and_then(Value::as_bool) == Some(false) {
        return noted(
            "swap, which the kubelet is told to take",
            "memory.swapBehavior in the KubeletConfiguration says whether pods may use it",
        );
    }
    bad(
        format!("swap is on: {}", devices.join(", ")),
        "switch swap off (`swapoff -a`, and in /etc/fstab), or say failSwapOn: false in a KubeletConfiguration",
    )
}

pub(super) fn memory(seen: &dyn Inspect, settings: &Settings) -> Result<Outcome, Error> {
    let have = observe::memory(&text(seen, "/proc/meminfo")?) >> 20;
    if have == 0 {
        return unknown("/proc/meminfo does not tell");
    }
    let need = if settings.is_master() { 1700 } else { 700 };
    if have >= need {
        return fine(format!("{have} MiB"));
    }
    bad(
        format!("{have} MiB of memory, of {need} that are needed"),
        "give the host more memory",
    )
}

/// The programs that are installed, in bytes.
const PROGRAMS: u64 = 600 << 20;

pub(super) fn disk(seen: &dyn Inspect, settings: &Settings) -> Result<Outcome, Error> {
    if set_up(seen)? {
        return fine("images are there");
    }
    let images = &settings.artifacts.images;
    let mut packed = 0;
    for entry in settings.store.entries(seen)? {
        if let bundle::Entry::Image(image) = entry
            && (images.first.contains(&image.reference) || images.later.contains(&image.reference))
        {
            packed += image.layers.iter().map(|layer| layer.size).sum::<u64>();
        }
    }
    // containerd keeps the packed layers, and the unpacked ones are up to four times as large.
    let wanted = [
        (PathBuf::from(paths::CONTAINERD), packed * 5),
        (settings.config.install_dir.clone(), PROGRAMS),
    ];
    // What lies on one file system must fit there together. Two that have the same room are taken for one, which asks
    // for too much at most.
    let mut by_room: BTreeMap<u64, (Vec<String>, u64)> = BTreeMap::new();
    for (folder, need) in wanted {
        let Some(found) = seen.file_system(&folder)? else {
            return unknown(format!("the room for {} cannot be told", folder.display()));
        };
        let entry = by_room.entry(found.free >> 20).or_default();
        entry.0.push(folder.display().to_string());
        entry.1 += need >> 20;
    }
    let words: Vec<String> = by_room
        .iter()
        .map(|(have, (folders, need))| {
            format!(
                "{have} MiB free for {}, {need} are needed",
                folders.join(" and ")
            )
        })
        .collect();
    if by_room.iter().all(|(have, (_, need))| have >= need) {
        return fine(words.join("; "));
    }
    bad(words.join("; "), "make room, or mount a larger disk there")
}

/// Where programs are run from, and what is written.
const RUN_FROM: [&str; 3] = [paths::CNI_BIN, paths::CONTAINERD, paths::KUBELET];
const WRITTEN: [&str; 5] = [
    "/etc/systemd/system",
    paths::KUBERNETES,
    paths::LINKS,
    paths::FOLDER,
    "/var/log",
];

pub(super) fn paths(seen: &dyn Inspect, settings: &Settings) -> Result<Outcome, Error> {
    let install_dir = settings.config.install_dir.as_path();
    let mut faults = Vec::new();
    let mut untold = false;
    let run_from = RUN_FROM.iter().map(Path::new).chain([install_dir]);
    for (path, run) in run_from
        .map(|path| (path, true))
        .chain(WRITTEN.iter().map(|path| (Path::new(path), false)))
    {
        let Some(found) = seen.file_system(path)? else {
            untold = true;
            continue;
        };
        if found.read_only {
            faults.push(format!("{} cannot be written", path.display()));
        } else if run && found.no_exec {
            faults.push(format!(
                "{} is on a file system from which nothing can be run (noexec)",
                path.display()
            ));
        }
    }
    if !faults.is_empty() {
        return bad(
            faults.join("; "),
            "mount it otherwise (`mount -o remount,exec,rw`, and in /etc/fstab), or move programs with --install-dir",
        );
    }
    if untold {
        return unknown("what file systems the folders are on cannot be told");
    }
    fine("can be written and run from")
}
