//! Installs the programs: Kubernetes' own, the runtime's, CNI's, and nodeadm itself for what the host runs of it.

use std::path::{Path, PathBuf};

use bundle::{Install, InstallFile, InstallFolder, StoredComponent};
use host::Phase;

use super::{keep_found, plan_folder, plan_link};
use crate::change::Change;
use crate::found::{LINKED, PLUGINS, PROGRAMS};
use crate::node::SELF;
use crate::{Error, Node, paths};

/// See the module.
pub struct InstallBinaries;

impl Phase<Node> for InstallBinaries {
    fn name(&self) -> &'static str {
        "install-binaries"
    }

    fn about(&self) -> &'static str {
        "install Kubernetes' programs, containerd, runc and the CNI plugins from the store"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let (seen, settings) = (node.host(), node.settings());
        let folder = &settings.config.install_dir;
        let mut plan = Vec::new();
        for path in [
            folder,
            Path::new(paths::CNI_BIN),
            Path::new(paths::RECEIPTS),
            Path::new(paths::LINKS),
        ] {
            plan.extend(plan_folder(seen, path, 0o755)?);
        }
        let mut installs = Vec::new();
        for install in installs_of(node) {
            if !install.is_done(seen)? {
                installs.push(install);
            }
        }
        if !installs.is_empty() {
            for path in PROGRAMS.iter().map(|name| folder.join(name)) {
                plan.extend(keep_found(seen, &path)?);
            }
            for path in PLUGINS
                .iter()
                .map(|name| Path::new(paths::CNI_BIN).join(name))
            {
                plan.extend(keep_found(seen, &path)?);
            }
        }
        plan.extend(installs.into_iter().map(Change::Install));
        let own = folder.join("nodeadm");
        if let Some(digest) = seen.digest(Path::new(SELF))?
            && seen.digest(&own)? != Some(digest)
        {
            plan.extend(keep_found(seen, &own)?);
            plan.push(Change::InstallSelf { path: own, digest });
        }
        for name in LINKED {
            let (link, target) = (Path::new(paths::LINKS).join(name), folder.join(name));
            if link != target {
                plan.extend(plan_link(seen, &link, &target)?);
            }
        }
        Ok(plan)
    }
}

fn receipt(component: &StoredComponent, file: &str) -> PathBuf {
    let suffix = if component.files.len() > 1 {
        format!("-{file}")
    } else {
        String::new()
    };
    Path::new(paths::RECEIPTS).join(format!("{}{suffix}.json", component.name))
}

fn installs_of(node: &Node) -> Vec<Install> {
    let settings = node.settings();
    let (artifacts, folder) = (&settings.artifacts, &settings.config.install_dir);
    let mut installs = Vec::new();
    let mut push = |component: &StoredComponent,
                    name: &str,
                    files: Vec<InstallFile>,
                    folders: Vec<InstallFolder>| {
        if let Some(file) = component.file(name) {
            installs.push(Install {
                component: format!("{} {}", component.name, component.version),
                archive: file.path.clone(),
                digest: file.digest,
                files,
                folders,
                receipt: receipt(component, name),
            });
        }
    };
    let file = |member: Option<&str>, name: &str| InstallFile {
        member: member.map(str::to_owned),
        path: folder.join(name),
        mode: 0o755,
    };
    if let Some(containerd) = &artifacts.containerd {
        for archive in &containerd.files {
            let members = ["containerd", "containerd-shim-runc-v2", "ctr"];
            let files = members
                .map(|name| file(Some(&format!("bin/{name}")), name))
                .to_vec();
            push(containerd, &archive.name, files, Vec::new());
        }
    }
    if let Some(runc) = &artifacts.runc {
        for blob in &runc.files {
            push(runc, &blob.name, vec![file(None, "runc")], Vec::new());
        }
    }
    if let Some(plugins) = &artifacts.cni_plugins {
        for archive in &plugins.files {
            let all = InstallFolder {
                member: String::new(),
                path: paths::CNI_BIN.into(),
                mode: 0o755,
            };
            push(plugins, &archive.name, Vec::new(), vec![all]);
        }
    }
    if let Some(kubernetes) = &artifacts.kubernetes {
        for name in ["kubeadm", "kubelet", "kubectl"] {
            push(kubernetes, name, vec![file(None, name)], Vec::new());
        }
    }
    installs
}
