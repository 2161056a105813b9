//! A proven data directory beside the one that is there.

use std::path::{Path, PathBuf};

use host::Phase;

use crate::phases::set_data_aside::mounted;
use crate::restore_data::{Marker, RestoreData as Restore};
use crate::{Change, Configuration, Error, Machine, View};

/// What is to be restored.
#[derive(Clone, Debug)]
pub(crate) struct Wanted<'c> {
    pub(crate) configuration: &'c Configuration,
    /// The capsule or plain snapshot.
    pub(crate) snapshot: PathBuf,
    /// The SHA-256 that its database is said to have.
    pub(crate) sha256: String,
    /// Whether revisions are lifted.
    pub(crate) bump: bool,
}

impl Wanted<'_> {
    /// The folder that all is made in.
    pub(crate) fn folder(&self, seen: &dyn View) -> Result<PathBuf, Error> {
        let data_dir = self.configuration.data_dir();
        if mounted(seen.host(), data_dir)? {
            return Ok(data_dir.join("restoring"));
        }
        let mut name = data_dir.as_os_str().to_owned();
        name.push(".restoring");
        Ok(name.into())
    }

    /// Whether the data directory at `path` is what is to be made of the snapshot.
    pub(crate) fn is_at(&self, seen: &dyn View, path: &Path) -> Result<bool, Error> {
        // So a dry run plans it.
        let planned = path.join(crate::restore_data::MARKER);
        if seen.host().read_text(&planned)?.as_deref() == Some("{}") {
            return Ok(true);
        }
        let marker = Marker::read(seen.host(), path)?;
        Ok(marker.is_some_and(|marker| marker.sha256 == self.sha256))
    }

    /// Whether it has its place already.
    pub(crate) fn in_place(&self, seen: &dyn View) -> Result<bool, Error> {
        self.is_at(seen, self.configuration.data_dir())
    }
}

/// Restores and proves.
pub(crate) struct RestoreData<'c>(pub(crate) Wanted<'c>);

impl<'a> Phase<Machine<'a>> for RestoreData<'_> {
    fn name(&self) -> &'static str {
        "restore-data"
    }

    fn about(&self) -> &'static str {
        "make a data directory of the snapshot beside the one that is there, serve it on loopback, compare"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let (wanted, configuration) = (&self.0, self.0.configuration);
        let folder = wanted.folder(seen)?;
        if wanted.in_place(seen)? || wanted.is_at(seen, &folder.join("data"))? {
            return Ok(Vec::new());
        }
        Ok(vec![Change::Restore(Restore {
            snapshot: wanted.snapshot.clone(),
            folder,
            install_dir: configuration.install_dir().to_owned(),
            version: configuration.version,
            name: configuration.name.clone(),
            peer_url: configuration.peer_url(),
            token: configuration.token.clone(),
            bump: wanted.bump,
        })])
    }
}
