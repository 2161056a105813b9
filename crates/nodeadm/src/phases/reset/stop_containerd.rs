//! Stops the container runtime, and the slice that pods ran in.

use std::path::Path;

use host::{Inspect, Kind, Phase, Run, UnitAction, UnitActivity};

use crate::change::Change;
use crate::observe::shims;
use crate::{Error, Node, paths};

/// See the module.
pub struct StopContainerd;

impl Phase<Node> for StopContainerd {
    fn name(&self) -> &'static str {
        "stop-containerd"
    }

    fn about(&self) -> &'static str {
        "stop the container runtime"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let seen = node.host();
        let mut plan: Vec<Change> = Vec::new();
        let ours = seen.stat(Path::new(paths::CONTAINERD_UNIT))?.is_some();
        let unit = seen.unit("containerd.service")?;
        if ours
            && matches!(
                unit.activity,
                UnitActivity::Active | UnitActivity::Activating | UnitActivity::Deactivating
            )
        {
            plan.push(host::Change::unit("containerd.service", UnitAction::Stop).into());
        }
        if ours && unit.enabled {
            plan.push(host::Change::unit("containerd.service", UnitAction::Disable).into());
        }
        if seen.unit("kubepods.slice")?.activity == UnitActivity::Active {
            plan.push(host::Change::unit("kubepods.slice", UnitAction::Stop).into());
        }
        // A pod that was being made when its kubelet ended has no container yet that could be ended, and a shim.
        if plan.is_empty() && ours {
            let shims = shims(seen)?;
            if !shims.is_empty() {
                plan.push(Change::EndShims { processes: shims });
            }
        }
        // With cgroup v1, systemd looks after some of the hierarchies only.
        if plan.is_empty() {
            let groups = empty_groups(seen)?;
            if !groups.is_empty() {
                let args = std::iter::once("--".to_owned()).chain(groups);
                plan.push(host::Change::Run(Run::new("rmdir", args)).into());
            }
        }
        Ok(plan)
    }
}

const SLICE: &str = "kubepods.slice";

/// What is left of the slice, the inner groups first: in the one hierarchy of cgroup v2, or in each of v1's.
fn empty_groups(seen: &dyn Inspect) -> Result<Vec<String>, Error> {
    let top = Path::new("/sys/fs/cgroup");
    let mut groups = Vec::new();
    if seen.stat(&top.join("cgroup.controllers"))?.is_some() {
        collect(seen, &top.join(SLICE), &mut groups)?;
        return Ok(groups);
    }
    for name in seen.list(top)?.unwrap_or_default() {
        collect(seen, &top.join(name).join(SLICE), &mut groups)?;
    }
    Ok(groups)
}

fn collect(seen: &dyn Inspect, group: &Path, groups: &mut Vec<String>) -> Result<(), Error> {
    if seen.stat(group)?.is_none_or(|stat| stat.kind != Kind::Dir) {
        return Ok(());
    }
    for name in seen.list(group)?.unwrap_or_default() {
        collect(seen, &group.join(name), groups)?;
    }
    groups.push(group.display().to_string());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use host::{Change as HostChange, Host, Memory, Nothing};

    fn host(files: &[&str]) -> Memory {
        let mut host = Memory::new(Nothing);
        for file in files {
            host.apply(&HostChange::file(*file, "")).unwrap();
        }
        host
    }

    #[test]
    fn only_kubernetes_shims_are_ours() {
        let mut host = host(&["/proc/version"]);
        for (number, words) in [
            (
                "17",
                "/opt/bin/containerd-shim-runc-v2\0-namespace\0k8s.io\0-id\0x\0",
            ),
            (
                "18",
                "/usr/bin/containerd-shim-runc-v2\0-namespace\0moby\0-id\0x\0",
            ),
            ("19", "/bin/cat\0k8s.io\0"),
        ] {
            let path = format!("/proc/{number}/cmdline");
            host.apply(&HostChange::file(path, words)).unwrap();
        }
        assert_eq!(shims(&host).unwrap(), [17]);
    }

    #[test]
    fn groups_of_one_hierarchy() {
        let host = host(&[
            "/sys/fs/cgroup/cgroup.controllers",
            "/sys/fs/cgroup/system.slice/cgroup.procs",
            "/sys/fs/cgroup/kubepods.slice/kubepods-burstable.slice/cgroup.procs",
        ]);
        assert_eq!(
            empty_groups(&host).unwrap(),
            [
                "/sys/fs/cgroup/kubepods.slice/kubepods-burstable.slice",
                "/sys/fs/cgroup/kubepods.slice",
            ]
        );
    }

    #[test]
    fn groups_of_several_hierarchies() {
        let host = host(&[
            "/sys/fs/cgroup/cpu/kubepods.slice/cgroup.procs",
            "/sys/fs/cgroup/memory/kubepods.slice/x.slice/cgroup.procs",
            "/sys/fs/cgroup/pids/system.slice/cgroup.procs",
        ]);
        assert_eq!(
            empty_groups(&host).unwrap(),
            [
                "/sys/fs/cgroup/cpu/kubepods.slice",
                "/sys/fs/cgroup/memory/kubepods.slice/x.slice",
                "/sys/fs/cgroup/memory/kubepods.slice",
            ]
        );
    }
}
