//! Unmounts what the kubelet and the runtime mounted: pods' volumes, root file systems, network namespaces.

use std::path::{Path, PathBuf};

use host::{Phase, Run};

use crate::change::Change;
use crate::found::Found;
use crate::{Error, Node, paths};

/// Below these everything is a pod's.
const BELOW: [&str; 4] = [
    "/var/lib/kubelet/",
    "/var/lib/containerd/",
    "/run/containerd/",
    "/run/netns/cni-",
];

/// The kubelet mounts its folder onto itself; it may have been a mount point before, too.
const ITSELF: [&str; 1] = [paths::KUBELET];

/// See the module.
pub struct UnmountVolumes;

impl Phase<Node> for UnmountVolumes {
    fn name(&self) -> &'static str {
        "unmount-volumes"
    }

    fn about(&self) -> &'static str {
        "unmount pods' volumes and network namespaces"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let seen = node.host();
        let mounts = seen
            .read(Path::new("/proc/self/mounts"), 64 << 20)?
            .unwrap_or_default();
        let mut plan: Vec<Change> = Vec::new();
        let found = Found::read(seen)?.unwrap_or_default();
        for path in mounted(&String::from_utf8_lossy(&mounts), &found.mounts) {
            let path = path.display().to_string();
            plan.push(host::Change::Run(Run::new("umount", ["--".to_owned(), path])).into());
        }
        if seen.is_dry_run() {
            // What is mounted stays mounted in a dry run, and would be planned again and again.
            return Ok(Vec::new());
        }
        if plan.is_empty() {
            for name in seen.list(Path::new("/run/netns"))?.unwrap_or_default() {
                if name.starts_with("cni-") {
                    plan.push(
                        host::Change::Remove {
                            path: Path::new("/run/netns").join(name),
                        }
                        .into(),
                    );
                }
            }
        }
        Ok(plan)
    }
}

/// What is mounted below [`BELOW`], the last mounted first; the host's own mounts not.
fn mounted(mounts: &str, own: &[PathBuf]) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .map(unescape)
        .filter(|path| {
            ITSELF.contains(&path.as_str()) || BELOW.iter().any(|below| path.starts_with(below))
        })
        .map(PathBuf::from)
        .collect();
    // Of two mounts at one place the upper one goes, the lower one being the host's.
    for own in own {
        if let Some(first) = paths.iter().position(|path| path == own) {
            paths.remove(first);
        }
    }
    paths.reverse();
    paths
}

/// The kernel writes space, tab, line break and backslash as three octal digits.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let octal = (first == b'\\').then(|| after.get(..3)).flatten();
        let value =
            octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match value {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_pods_is_unmounted_the_inner_first() {
        let mounts = "\
overlay / overlay rw 0 0
/dev/sdb /var/lib/containerd ext4 rw 0 0
/dev/sdc /var/lib/kubelet ext4 rw 0 0
tmpfs /var/lib/kubelet/pods/1/volumes/a\\040b tmpfs rw 0 0
tmpfs /var/lib/kubelet/pods/1/volumes/a\\040b/c tmpfs rw 0 0
nsfs /run/netns/cni-1234 nsfs rw 0 0
nsfs /run/netns/mine nsfs rw 0 0
";
        let expected = [
            "/run/netns/cni-1234",
            "/var/lib/kubelet/pods/1/volumes/a b/c",
            "/var/lib/kubelet/pods/1/volumes/a b",
        ];
        assert_eq!(
            mounted(mounts, &[]).last(),
            Some(&PathBuf::from(paths::KUBELET))
        );
        assert_eq!(
            mounted(mounts, &[paths::KUBELET.into()]),
            expected.map(PathBuf::from)
        );
    }
}
