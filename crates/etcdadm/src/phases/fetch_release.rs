//! The release's archive in the store, where it is not on this host already.

use std::path::Path;

use bundle::{Receipt, Store};
use host::Phase;

use crate::configuration::DEFAULT_RELEASE_URL;
use crate::fetch::Fetch;
use crate::{Change, Configuration, Error, Machine, View, paths};

/// Fetches the release.
pub(crate) struct FetchRelease<'c>(pub(crate) &'c Configuration);

impl<'a> Phase<Machine<'a>> for FetchRelease<'_> {
    fn name(&self) -> &'static str {
        "fetch-release"
    }

    fn about(&self) -> &'static str {
        "fetch the release, unless the host's store or an older tool's cache has it"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let (host, configuration) = (seen.host(), self.0);
        let version = configuration.version;
        let installed = Receipt::read(host, Path::new(paths::RECEIPT))?;
        if installed.is_some_and(|receipt| receipt.component == format!("etcd {version}")) {
            return Ok(Vec::new());
        }
        let store = Store::new(host.root());
        if store
            .component(host, "etcd", &version.to_string(), configuration.arch)?
            .is_some()
        {
            return Ok(Vec::new());
        }
        let from = configuration
            .document
            .release_url
            .as_deref()
            .unwrap_or(DEFAULT_RELEASE_URL);
        Ok(vec![Change::Fetch(Fetch {
            version,
            arch: configuration.arch.to_owned(),
            from: from.to_owned(),
        })])
    }
}
