//! A cgroup for each host in every hierarchy of the machine: version 1, version 2, or both side by side.
//!
//! A lab's group lies at the top of a hierarchy, a host's group in it: `klusterkit.demo/h1`. A host sees its own group as
//! the top, since it has a cgroup namespace.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::error::Error;
use crate::files;
use crate::process;
use crate::settings::HostSpec;
use crate::wait::wait_until;

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    mount: PathBuf,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// With the options it is mounted with, the controllers among them.
    V1(Vec<String>),
    V2,
}

impl Hierarchy {
    fn has(&self, controller: &str) -> bool {
        matches!(&self.kind, Kind::V1(options) if options.iter().any(|o| o == controller))
    }
}

fn hierarchies() -> Result<Vec<Hierarchy>, Error> {
    Ok(parse(&files::read(Path::new("/proc/self/mountinfo"))?))
}

/// Whether the machine has version 2 and nothing else.
pub(crate) fn only_version_2() -> Result<bool, Error> {
    Ok(hierarchies()?.iter().all(|h| h.kind == Kind::V2))
}

/// Out of `/proc/self/mountinfo`: mount point is field 5, file system and its options follow a lone dash.
fn parse(mountinfo: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - ") else {
            continue;
        };
        let Some(mount) = left.split(' ').nth(4).map(PathBuf::from) else {
            continue;
        };
        let mut right = right.split(' ');
        let kind = match (right.next(), right.nth(1)) {
            (Some("cgroup2"), _) => Kind::V2,
            (Some("cgroup"), Some(options)) => {
                Kind::V1(options.split(',').map(str::to_owned).collect())
            }
            _ => continue,
        };
        // A hierarchy that is mounted twice is one hierarchy; the lab's own hosts mount theirs in namespaces of their own.
        if !found.iter().any(|h| h.kind == kind) {
            found.push(Hierarchy { mount, kind });
        }
    }
    found
}

/// Makes a host's group in every hierarchy, with the host's limits.
pub(crate) fn make(lab: &str, host: &str, spec: &HostSpec) -> Result<(), Error> {
    for hierarchy in hierarchies()? {
        let top = hierarchy.mount.join(lab);
        let group = top.join(host);
        for (parent, dir) in [(&hierarchy.mount, &top), (&top, &group)] {
            files::make_dir(dir)?;
            if hierarchy.has("cpuset") {
                // A version 1 cpuset takes no process before it has processors and memory nodes.
                for file in ["cpuset.cpus", "cpuset.mems"] {
                    let value = files::read(&parent.join(file))?;
                    set(&dir.join(file), value.trim())?;
                }
            }
            if hierarchy.kind == Kind::V2 {
                delegate(parent)?;
            }
        }
        limit(&group, spec)?;
    }
    Ok(())
}

/// Hands all controllers that a version 2 group has down to its children. Beside version 1 it has none.
fn delegate(group: &Path) -> Result<(), Error> {
    let controllers = files::read(&group.join("cgroup.controllers"))?;
    for controller in controllers.split_whitespace() {
        // One that cannot be handed down (cpu, while real-time processes run somewhere) is not there for the hosts.
        drop(set(
            &group.join("cgroup.subtree_control"),
            &format!("+{controller}"),
        ));
    }
    Ok(())
}

fn limit(group: &Path, spec: &HostSpec) -> Result<(), Error> {
    const PERIOD: f64 = 100_000.0;
    if let Some(memory) = spec.memory {
        set_if_there(&group.join("memory.limit_in_bytes"), &memory.to_string())?;
        set_if_there(&group.join("memory.max"), &memory.to_string())?;
    }
    if let Some(cpus) = spec.cpus {
        let quota = (cpus * PERIOD).round();
        set_if_there(&group.join("cpu.cfs_quota_us"), &quota.to_string())?;
        set_if_there(&group.join("cpu.max"), &format!("{quota} {PERIOD}"))?;
    }
    Ok(())
}

/// Moves the calling process into a host's group in every hierarchy.
pub(crate) fn enter(lab: &str, host: &str) -> Result<(), Error> {
    for hierarchy in hierarchies()? {
        set(
            &hierarchy.mount.join(lab).join(host).join("cgroup.procs"),
            "0",
        )?;
    }
    Ok(())
}

/// Stops or continues every process of a host.
pub(crate) fn freeze(lab: &str, host: &str, frozen: bool) -> Result<(), Error> {
    let all = hierarchies()?;
    let (hierarchy, file, value, answer, goal) =
        if let Some(v1) = all.iter().find(|h| h.has("freezer")) {
            let word = if frozen { "FROZEN" } else { "THAWED" };
            (v1, "freezer.state", word, "freezer.state", word)
        } else if let Some(v2) = all.iter().find(|h| h.kind == Kind::V2) {
            let (value, goal) = if frozen {
                ("1", "frozen 1")
            } else {
                ("0", "frozen 0")
            };
            (v2, "cgroup.freeze", value, "cgroup.events", goal)
        } else {
            return Err(Error::Unsupported {
                what: "freeze a cgroup",
            });
        };
    let group = hierarchy.mount.join(lab).join(host);
    set(&group.join(file), value)?;
    wait_until(
        &format!("{host} is {goal}"),
        Duration::from_secs(10),
        || {
            Ok(files::read(&group.join(answer))?
                .lines()
                .any(|line| line == goal))
        },
    )
}

/// Whether a host's group is still there in any hierarchy.
pub(crate) fn exists(lab: &str, host: &str) -> Result<bool, Error> {
    Ok(hierarchies()?
        .iter()
        .any(|h| h.mount.join(lab).join(host).exists()))
}

/// Ends every process in a lab's groups, or in one host's. They may be frozen: they are thawed to die.
pub(crate) fn kill_all(lab: &str, host: Option<&str>) -> Result<(), Error> {
    let groups = groups(lab, host)?;
    wait_until(
        &format!("the processes of {lab} end"),
        Duration::from_secs(20),
        || {
            let mut left = false;
            for group in groups.iter().filter(|g| g.exists()) {
                for dir in tree(group) {
                    for pid in process::pids_in(&dir.join("cgroup.procs")) {
                        left = true;
                        process::kill_pid(pid, Signal::SIGKILL)?;
                    }
                    if left {
                        drop(set_if_there(&dir.join("freezer.state"), "THAWED"));
                        drop(set_if_there(&dir.join("cgroup.freeze"), "0"));
                    }
                }
            }
            Ok(!left)
        },
    )
}

/// Removes a lab's groups, or one host's, from every hierarchy. The dead leave theirs a moment after they are gone.
pub(crate) fn remove(lab: &str, host: Option<&str>) -> Result<(), Error> {
    for group in groups(lab, host)? {
        wait_until(
            &format!("{} is empty", group.display()),
            Duration::from_secs(10),
            || {
                for dir in tree(&group) {
                    drop(std::fs::remove_dir(dir));
                }
                Ok(!group.exists())
            },
        )?;
    }
    Ok(())
}

fn groups(lab: &str, host: Option<&str>) -> Result<Vec<PathBuf>, Error> {
    let under = |top: PathBuf| host.map_or(top.clone(), |host| top.join(host));
    Ok(hierarchies()?
        .iter()
        .map(|h| under(h.mount.join(lab)))
        .filter(|g| g.exists())
        .collect())
}

/// A group and all below it, the deepest first.
fn tree(group: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(tree(&entry.path()));
        }
    }
    found.push(group.to_path_buf());
    found
}

fn set_if_there(file: &Path, value: &str) -> Result<(), Error> {
    if file.exists() {
        set(file, value)
    } else {
        Ok(())
    }
}

fn set(file: &Path, value: &str) -> Result<(), Error> {
    std::fs::write(file, value).map_err(Error::io("set", file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_both_versions() {
        let info = "\
31 28 0:27 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
33 31 0:29 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
34 31 0:30 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
35 31 0:30 / /mnt/again rw,relatime - cgroup2 cgroup2 rw
";
        let found = parse(info);
        assert_eq!(found.len(), 3);
        assert!(found[0].has("cpuacct") && !found[0].has("freezer") && found[1].has("freezer"));
        assert_eq!(
            (&found[2].kind, found[2].mount.to_str().unwrap()),
            (&Kind::V2, "/sys/fs/cgroup/unified")
        );
    }
}
