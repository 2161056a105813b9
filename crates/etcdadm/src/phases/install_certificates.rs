//! Certificates that an authority elsewhere signed, in their places: verified against the keys that are here first.

use std::collections::BTreeMap;

use host::Phase;
use pki::etcd::{LEAVES, required};
use pki::{Certificate, check};

use crate::phases::{file, folder, words};
use crate::{Change, Configuration, Error, Machine, View};

/// Installs certificates.
pub(crate) struct InstallCertificates<'c> {
    pub(crate) configuration: &'c Configuration,
    /// What was brought, by file name: `ca.crt` and leaves.
    pub(crate) brought: BTreeMap<String, Vec<u8>>,
}

impl<'a> Phase<Machine<'a>> for InstallCertificates<'_> {
    fn name(&self) -> &'static str {
        "install-certificates"
    }

    fn about(&self) -> &'static str {
        "verify the certificates that were brought against this host's keys, and put them into their places"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let (host, certs_dir) = (seen.host(), self.configuration.certs_dir());
        let read = |name: &str| host.read(&certs_dir.join(name), 1 << 20);
        let there = read("ca.crt")?;
        let authorities = self.brought.get("ca.crt").cloned().or(there.clone());
        let path = certs_dir.join("ca.crt");
        let authorities = authorities.ok_or_else(|| Error::NoAuthority { path: path.clone() })?;
        let parse = |text: &[u8]| {
            Certificate::parse_all(text).map_err(|source| Error::Certificate {
                path: path.clone(),
                source,
            })
        };
        let trusted = parse(&authorities)?;
        if let Some(there) = &there
            && self.configuration.has_data(host)?
        {
            // Members that trust others than each other are no cluster.
            let there = parse(there)?;
            if !there.iter().all(|one| trusted.contains(one)) || there.len() != trusted.len() {
                return Err(Error::OtherAuthority {
                    brought: trusted[0].common_name.clone(),
                    trusted: there[0].common_name.clone(),
                    folder: crate::authorities::next_folder(self.configuration),
                });
            }
        }
        let identity = self.configuration.identity();
        let mut plan = folder(host, certs_dir, 0o755)?;
        for leaf in LEAVES {
            let stem = leaf.file_stem();
            let name = format!("{stem}.crt");
            let certificate = match self.brought.get(&name) {
                Some(brought) => Some(brought.clone()),
                None => read(&name)?,
            };
            let key = read(&format!("{stem}.key"))?;
            let verdict = check(
                certificate.as_deref(),
                key.as_deref(),
                &required(leaf, &identity),
                &trusted,
                seen.now(),
            );
            if !verdict.is_right() {
                let fault = words(&verdict);
                return Err(Error::Given { stem, fault });
            }
        }
        // The authority first: what it signed is of no use without it.
        let authority = self.brought.iter().filter(|(name, _)| *name == "ca.crt");
        let leaves = self.brought.iter().filter(|(name, _)| *name != "ca.crt");
        for (name, text) in authority.chain(leaves) {
            let text = String::from_utf8_lossy(text);
            plan.extend(file(host, &certs_dir.join(name), 0o644, &text)?);
        }
        for leaf in LEAVES {
            let asked = certs_dir.join(format!("{}.csr", leaf.file_stem()));
            if host.stat(&asked)?.is_some() {
                plan.push(host::Change::Remove { path: asked }.into());
            }
        }
        Ok(plan)
    }
}
