//! Removes the files that nodeadm and what it ran have written, and gives back what the host had in their places.

use std::path::{Path, PathBuf};

use host::{Inspect, Kind, Phase};

use crate::change::Change;
use crate::found::{self, Found, before};
use crate::{Error, Node, paths};

/// Folders whose whole content is made by what nodeadm runs. Of what the host had in them nothing is taken.
const TREES: [&str; 11] = [
    paths::KUBERNETES,
    paths::KUBELET,
    paths::CONTAINERD,
    "/run/containerd",
    "/run/flannel",
    "/run/nri",
    "/var/lib/cni",
    "/var/log/pods",
    "/var/log/containers",
    "/usr/libexec/kubernetes",
    "/opt/containerd",
];

/// See the module.
pub struct RemoveFiles;

impl Phase<Node> for RemoveFiles {
    fn name(&self) -> &'static str {
        "remove-files"
    }

    fn about(&self) -> &'static str {
        "remove programs, units, settings and Kubernetes' files; give back what was there before"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let seen = node.host();
        let Some(found) = Found::read(seen)? else {
            return Ok(Vec::new());
        };
        let install_dir = &node.settings().config.install_dir;
        let mut plan = Vec::new();
        for (key, value) in &found.kernel {
            let now = found::kernel(seen, key)?;
            if now.is_some_and(|now| now != *value) {
                plan.push(
                    host::Change::Sysctl {
                        key: key.clone(),
                        value: value.clone(),
                    }
                    .into(),
                );
            }
        }
        for tree in TREES {
            plan.extend(tree_changes(seen, &found, Path::new(tree))?);
        }
        for (path, mode) in &found.modes {
            if seen
                .stat(path)?
                .is_some_and(|stat| stat.kind == Kind::Dir && stat.mode != *mode)
            {
                plan.push(
                    host::Change::SetMode {
                        path: path.clone(),
                        mode: *mode,
                    }
                    .into(),
                );
            }
        }
        let conflist = Path::new(paths::CNI_CONF).join("10-flannel.conflist");
        if seen.stat(&conflist)?.is_some() && !found.had(&conflist) {
            plan.push(host::Change::Remove { path: conflist }.into());
        }
        for path in found::files(install_dir) {
            let kept = before(&path);
            let there = seen.stat(&path)?.is_some();
            if seen.stat(&kept)?.is_some() {
                if there {
                    plan.push(host::Change::Remove { path: path.clone() }.into());
                }
                plan.push(
                    host::Change::SetAside {
                        path: kept,
                        to: path,
                    }
                    .into(),
                );
            } else if there && !found.had(&path) {
                plan.push(host::Change::Remove { path }.into());
            }
        }
        for folder in found::folders(install_dir) {
            // One that is filled by others by now is theirs.
            let ours = !found.had(&folder) && !TREES.contains(&folder.to_str().unwrap_or_default());
            if ours && plan.is_empty() && seen.list(&folder)?.is_some_and(|names| names.is_empty())
            {
                plan.push(host::Change::Remove { path: folder }.into());
            }
        }
        Ok(plan)
    }
}

fn tree_changes(seen: &dyn Inspect, found: &Found, tree: &Path) -> Result<Vec<Change>, Error> {
    let Some(stat) = seen.stat(tree)? else {
        return Ok(Vec::new());
    };
    if stat.kind != Kind::Dir {
        return Ok(Vec::new());
    }
    let parent = tree.parent().unwrap_or(Path::new("/"));
    let mount_point = seen
        .stat(parent)?
        .is_some_and(|above| above.device != stat.device);
    let had = found.had(tree);
    if !had && !mount_point {
        return Ok(vec![
            host::Change::RemoveTree {
                path: tree.to_owned(),
            }
            .into(),
        ]);
    }
    let kept: &[String] = found.inside.get(tree).map_or(&[], Vec::as_slice);
    let names = seen.list(tree)?.unwrap_or_default();
    let gone = names
        .into_iter()
        .filter(|name| !kept.contains(name))
        .map(|name| -> PathBuf { tree.join(name) });
    Ok(gone
        .map(|path| host::Change::RemoveTree { path }.into())
        .collect())
}

/// The folders of which is written down what the host had in them.
pub(crate) fn trees() -> impl Iterator<Item = &'static Path> {
    TREES.iter().map(Path::new)
}
