//! The member serves reads that a majority agrees to.

use etcd::Waits;
use host::Phase;

use crate::{Change, Configuration, Error, Machine, View};

/// Waits for health.
pub(crate) struct AwaitHealth<'c>(pub(crate) &'c Configuration);

impl<'a> Phase<Machine<'a>> for AwaitHealth<'_> {
    fn name(&self) -> &'static str {
        "await-health"
    }

    fn about(&self) -> &'static str {
        "wait until the member serves reads that a majority agrees to"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let endpoint = self.0.local_url();
        let credentials = crate::machine::credentials(seen.host(), self.0.certs_dir())?;
        match seen.etcd().healthy(&endpoint, &credentials) {
            Ok(()) | Err(etcd::Error::Learner { .. }) => Ok(Vec::new()),
            Err(etcd::Error::Untrusted { endpoint, detail }) => {
                Err(etcd::Error::Untrusted { endpoint, detail }.into())
            }
            Err(_) => Ok(vec![
                etcd::Change::AwaitHealthy {
                    endpoint,
                    waits: Waits::seconds(120),
                }
                .into(),
            ]),
        }
    }
}
