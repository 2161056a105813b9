//! Which authorities this host's files say to trust: the new one too, then the new one alone.

use host::Phase;

use crate::authorities::{Authorities, next_folder};
use crate::phases::file;
use crate::{Change, Configuration, Error, Machine, View};

/// Adds the new authority to those that are trusted.
pub(crate) struct TrustAuthority<'c>(pub(crate) &'c Configuration);

impl<'a> Phase<Machine<'a>> for TrustAuthority<'_> {
    fn name(&self) -> &'static str {
        "trust-authority"
    }

    fn about(&self) -> &'static str {
        "trust the new authority beside the old one"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let authorities = Authorities::read(seen.host(), self.0, seen.now())?;
        let next = authorities.must_have_next(self.0)?;
        if authorities.trusts_next() {
            return Ok(Vec::new());
        }
        let all = authorities.trusted.iter().chain([next]);
        let text: String = all.map(pki::Certificate::pem).collect();
        file(
            seen.host(),
            &self.0.certs_dir().join("ca.crt"),
            0o644,
            &text,
        )
    }
}

/// Trusts the new authority alone.
pub(crate) struct DropAuthority<'c>(pub(crate) &'c Configuration);

impl<'a> Phase<Machine<'a>> for DropAuthority<'_> {
    fn name(&self) -> &'static str {
        "drop-authority"
    }

    fn about(&self) -> &'static str {
        "trust the new authority alone"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let authorities = Authorities::read(seen.host(), self.0, seen.now())?;
        if authorities.settled() {
            return Ok(Vec::new());
        }
        let next = authorities.must_have_next(self.0)?;
        if authorities.trusted == [next.clone()] {
            return Ok(Vec::new());
        }
        let path = self.0.certs_dir().join("ca.crt");
        file(seen.host(), &path, 0o644, &next.pem())
    }
}

/// Removes what was staged, once it is in its place.
pub(crate) struct RemoveStaged<'c>(pub(crate) &'c Configuration);

impl<'a> Phase<Machine<'a>> for RemoveStaged<'_> {
    fn name(&self) -> &'static str {
        "remove-staged"
    }

    fn about(&self) -> &'static str {
        "remove the new authority's copy from where it was staged"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let host = seen.host();
        let folder = next_folder(self.0);
        let Some(names) = host.list(&folder)? else {
            return Ok(Vec::new());
        };
        let same = |name: &str| -> Result<bool, Error> {
            let there = host.digest(&self.0.certs_dir().join(name))?;
            Ok(there.is_some() && there == host.digest(&folder.join(name))?)
        };
        let mut copies = Vec::new();
        for name in &names {
            // Another text of the same certificate is the same.
            if name == "ca.crt" || same(name)? {
                copies.push(name);
            }
        }
        let all = copies.len() == names.len();
        // The certificate last: without it, nothing is known to be in the making.
        copies.sort_by_key(|name| *name == "ca.crt");
        let mut gone: Vec<_> = copies.into_iter().map(|name| folder.join(name)).collect();
        if all {
            gone.push(folder);
        }
        let remove = |path| host::Change::Remove { path }.into();
        let plan: Vec<Change> = gone.into_iter().map(remove).collect();
        Ok(plan)
    }
}
