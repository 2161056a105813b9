//! A cluster that serves is not restored over: there would be two of it.

use host::Phase;

use crate::phases::restore_data::Wanted;
use crate::{Change, Error, Machine, View, runs};

/// Refuses where the member's cluster serves.
pub(crate) struct CheckServed<'c> {
    pub(crate) wanted: Wanted<'c>,
    /// The admin wants it all the same.
    pub(crate) force: bool,
}

impl<'a> Phase<Machine<'a>> for CheckServed<'_> {
    fn name(&self) -> &'static str {
        "check-served"
    }

    fn about(&self) -> &'static str {
        "refuse to restore where this host's member belongs to a cluster that serves"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let configuration = self.wanted.configuration;
        if self.force || self.wanted.in_place(seen)? {
            return Ok(Vec::new());
        }
        if !runs::member(seen, configuration)?.is_active() {
            return Ok(Vec::new());
        }
        let credentials = match crate::machine::credentials(seen.host(), configuration.certs_dir())
        {
            Err(Error::NoCredentials { .. }) => return Ok(Vec::new()),
            other => other?,
        };
        // Only a majority answers this.
        let list = seen
            .etcd()
            .members(&[configuration.local_url()], &credentials);
        match list {
            Ok(list) => Err(Error::Serves {
                members: list
                    .members
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", "),
            }),
            Err(_) => Ok(Vec::new()),
        }
    }
}
