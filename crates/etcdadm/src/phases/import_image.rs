//! The image of a member that is a static pod: from the store into containerd, before anything is stopped for it.

use bundle::Store;
use host::Phase;

use crate::import::{self, Import};
use crate::runs::Runs;
use crate::{Change, Configuration, Error, Machine, View};

/// Imports the image.
pub(crate) struct ImportImage<'c>(pub(crate) &'c Configuration);

impl<'a> Phase<Machine<'a>> for ImportImage<'_> {
    fn name(&self) -> &'static str {
        "import-image"
    }

    fn about(&self) -> &'static str {
        "hand the image of a member that is a static pod to containerd"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let (host, configuration) = (seen.host(), self.0);
        let image = &configuration.image;
        if configuration.runs() == Runs::Unit || host.holds(&import::there(image))? {
            return Ok(Vec::new());
        }
        let (store, arch) = (Store::new(host.root()), configuration.arch);
        if store.image(host, image, arch)?.is_none() {
            return Err(Error::NoImage {
                image: image.clone(),
                arch,
                store: store.path().to_owned(),
            });
        }
        Ok(vec![Change::Import(Import {
            reference: image.clone(),
            arch: arch.to_owned(),
        })])
    }
}
