//! The image of a member that is a static pod, handed from the store to containerd.
//!
//! It is not pinned against the kubelet's collection of images: that takes none which a container has, running or not, and
//! none that came just now; one that is gone all the same is handed over again before the next start.

use std::fmt;

use bundle::Store;
use host::{Condition, Host, Query, Run};
use serde::Serialize;

use crate::Error;

/// containerd's client, as the host finds it.
pub(crate) const CTR: &str = "ctr";
/// Where Kubernetes has its images and containers.
const NAMESPACE: [&str; 2] = ["--namespace", "k8s.io"];

/// Hand an image to containerd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Import {
    /// Its full reference.
    pub reference: String,
    /// As release files name it.
    pub arch: String,
}

/// That containerd has this image.
pub(crate) fn there(reference: &str) -> Condition {
    let words = NAMESPACE
        .into_iter()
        .chain(["images", "inspect", reference]);
    Condition::Succeeds(Query::new(CTR, words))
}

/// That containerd answers.
pub(crate) fn answers() -> Condition {
    let words = NAMESPACE.into_iter().chain(["version"]);
    Condition::Succeeds(Query::new(CTR, words))
}

impl fmt::Display for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "import {}", self.reference)
    }
}

impl Import {
    /// Makes the change.
    ///
    /// # Errors
    /// [`Error::Import`].
    pub(crate) fn apply(&self, host: &mut dyn Host) -> Result<(), Error> {
        if host.is_dry_run() {
            let words = NAMESPACE.into_iter().chain(["images", "import", "-"]);
            let run = Run::new(CTR, words).making(there(&self.reference));
            return Ok(host.apply(&host::Change::Run(run))?);
        }
        let (store, reference) = (Store::new(host.root()), self.reference.as_str());
        Ok(bundle::import(&store, &[reference], &self.arch, CTR)?)
    }
}
