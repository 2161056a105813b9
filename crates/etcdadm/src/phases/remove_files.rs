//! What etcdadm wrote and installed, gone; the record last, so that a run that is cut off can be finished.
//!
//! An authority's key is set aside with its certificate: other members may need it, and it may be the only copy. Pairs
//! that the authority can issue again are removed. Only files that etcdadm names are touched, and folders that it made.

use std::path::{Path, PathBuf};

use host::Phase;
use pki::etcd::LEAVES;

use crate::authorities::{next_folder, previous_folder};
use crate::phases::install_binaries::PROGRAMS;
use crate::phases::set_data_aside::aside;
use crate::{Change, Configuration, Error, Machine, Record, View, paths};

/// Removes what was installed.
pub(crate) struct RemoveFiles<'c>(pub(crate) &'c Configuration);

impl<'a> Phase<Machine<'a>> for RemoveFiles<'_> {
    fn name(&self) -> &'static str {
        "remove-files"
    }

    fn about(&self) -> &'static str {
        "remove the unit or pod, the configuration, the programs; set an authority's key aside"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let host = seen.host();
        let mut plan: Vec<Change> = Vec::new();
        let certs_dir = self.0.certs_dir();
        if host.stat(&certs_dir.join("ca.key"))?.is_some() {
            for name in ["ca.crt", "ca.key"] {
                let path = certs_dir.join(name);
                if host.stat(&path)?.is_some() {
                    let to = aside(&path, seen.now());
                    plan.push(host::Change::SetAside { path, to }.into());
                }
            }
        }
        for folder in [next_folder(self.0), previous_folder(self.0)] {
            if host.stat(&folder)?.is_some() {
                let to = aside(&folder, seen.now());
                plan.push(host::Change::SetAside { path: folder, to }.into());
            }
        }
        let stems = LEAVES.iter().map(|leaf| leaf.file_stem());
        let pairs = stems.flat_map(|stem| {
            ["crt", "key", "csr"].map(|end| certs_dir.join(format!("{stem}.{end}")))
        });
        let install_dir = self.0.install_dir();
        let programs = PROGRAMS
            .iter()
            .copied()
            .chain(["etcdctl.sh"])
            .map(|program| install_dir.join(program));
        let written = [
            paths::UNIT_FILE,
            paths::POD,
            paths::ENVIRONMENT,
            paths::ETCDCTL_ENVIRONMENT,
        ]
        .map(PathBuf::from);
        let all = written
            .into_iter()
            .chain(pairs)
            .chain(programs)
            .chain([certs_dir.join("ca.crt")]);
        for path in all {
            let set_aside = plan.iter().any(
                |c| matches!(c, Change::Host(host::Change::SetAside { path: p, .. }) if *p == path),
            );
            if host.stat(&path)?.is_some() && !set_aside {
                plan.push(host::Change::Remove { path }.into());
            }
        }
        if host.unit(paths::UNIT)?.needs_reload {
            plan.push(host::Change::ReloadUnits.into());
        }
        for folder in Record::read(host)?
            .map(|record| record.made_folders)
            .unwrap_or_default()
        {
            if host.list(&folder)?.is_some_and(|names| names.is_empty()) {
                plan.push(host::Change::Remove { path: folder }.into());
            }
        }
        for path in [paths::RECEIPT, paths::RECORD] {
            if host.stat(Path::new(path))?.is_some() {
                plan.push(host::Change::Remove { path: path.into() }.into());
            }
        }
        Ok(plan)
    }
}
