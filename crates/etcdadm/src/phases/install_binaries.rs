//! etcd, etcdctl and etcdutl out of the release's archive: from the store, or from where older tools kept it.

use std::path::Path;

use bundle::{Install, InstallFile, Receipt, Store};
use host::Phase;

use crate::phases::folder;
use crate::{Change, Configuration, Error, Machine, View, paths, runs};

/// The programs of a release.
pub(crate) const PROGRAMS: [&str; 3] = ["etcd", "etcdctl", "etcdutl"];

/// Installs etcd's programs.
pub(crate) struct InstallBinaries<'c> {
    configuration: &'c Configuration,
    /// Whether another release may be replaced.
    upgrade: bool,
}

impl<'c> InstallBinaries<'c> {
    /// Where a member that has data keeps its release.
    pub(crate) fn new(configuration: &'c Configuration) -> Self {
        let upgrade = false;
        Self {
            configuration,
            upgrade,
        }
    }

    /// Where another release is replaced.
    pub(crate) fn over(configuration: &'c Configuration) -> Self {
        let upgrade = true;
        Self {
            configuration,
            upgrade,
        }
    }
}

impl<'a> Phase<Machine<'a>> for InstallBinaries<'_> {
    fn name(&self) -> &'static str {
        "install-binaries"
    }

    fn about(&self) -> &'static str {
        "verify the release's archive and install etcd, etcdctl and etcdutl from it"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let (host, configuration) = (seen.host(), self.configuration);
        let component = format!("etcd {}", configuration.version);
        let targets = PROGRAMS.map(|program| configuration.install_dir().join(program));
        let receipt = Receipt::read(host, Path::new(paths::RECEIPT))?;
        if let Some(receipt) = &receipt
            && receipt.component == component
            && targets
                .iter()
                .all(|path| receipt.files.iter().any(|file| file.path == *path))
            && receipt.holds(host)?
        {
            return Ok(Vec::new());
        }
        if !self.upgrade {
            self.same_release(seen, receipt.as_ref())?;
        }
        let mut plan = folder(host, configuration.install_dir(), 0o755)?;
        if self.upgrade {
            plan.extend(self.keep(seen, receipt.as_ref())?);
        }
        let store = Store::new(host.root());
        let version = configuration.version;
        let stored = store.component(host, "etcd", &version.to_string(), configuration.arch)?;
        let stored = stored.ok_or_else(|| Error::NoArtifact {
            version,
            arch: configuration.arch,
            store: store.path().to_owned(),
        })?;
        let top = format!("etcd-{version}-linux-{}", configuration.arch);
        let file = format!("{top}.tar.gz");
        let archive = stored
            .file(&file)
            .ok_or(Error::BadArtifact { version, file })?;
        let files = PROGRAMS
            .iter()
            .zip(targets)
            .map(|(program, path)| InstallFile {
                member: Some(format!("{top}/{program}")),
                path,
                mode: 0o755,
            });
        plan.push(Change::Install(Install {
            component,
            archive: archive.path.clone(),
            digest: archive.digest,
            files: files.collect(),
            folders: Vec::new(),
            receipt: paths::RECEIPT.into(),
        }));
        Ok(plan)
    }
}

impl InstallBinaries<'_> {
    /// The programs that are replaced, beside themselves: the way back, where etcd has one.
    fn keep(&self, seen: &dyn View, receipt: Option<&Receipt>) -> Result<Vec<Change>, Error> {
        let Some(receipt) = receipt else {
            return Ok(Vec::new());
        };
        let version = receipt.component.trim_start_matches("etcd ").to_owned();
        let mut plan = Vec::new();
        for program in PROGRAMS {
            let from = self.configuration.install_dir().join(program);
            let to = from.with_file_name(format!("{program}.{version}"));
            if seen.host().stat(&from)?.is_none() || seen.host().stat(&to)?.is_some() {
                continue;
            }
            let text = |path: &Path| path.to_string_lossy().into_owned();
            let words = ["-p".to_owned(), "--".to_owned(), text(&from), text(&to)];
            let copy = host::Run::new("cp", words).making(host::Condition::Exists(to));
            plan.push(host::Change::Run(copy).into());
        }
        Ok(plan)
    }

    /// A member that has data keeps its release: another one is an upgrade, which this is not.
    fn same_release(&self, seen: &dyn View, receipt: Option<&Receipt>) -> Result<(), Error> {
        let (host, configuration) = (seen.host(), self.configuration);
        let wanted = configuration.version;
        if !configuration.has_data(host)? {
            return Ok(());
        }
        if let Some(receipt) = receipt {
            let installed = receipt.component.trim_start_matches("etcd ").to_owned();
            if installed != wanted.to_string() {
                return Err(Error::OtherVersion { installed, wanted });
            }
        } else if runs::member(seen, configuration)?.is_active() {
            let credentials = crate::machine::credentials(host, configuration.certs_dir())?;
            let status = seen
                .etcd()
                .status(&configuration.local_url(), &credentials)?;
            if status.version != wanted.bare() {
                return Err(Error::OtherVersion {
                    installed: format!("v{}", status.version),
                    wanted,
                });
            }
        }
        Ok(())
    }
}
