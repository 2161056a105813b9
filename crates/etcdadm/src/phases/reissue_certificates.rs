//! Certificates of the new authority in the place of the old one's, for the keys that are there; then its key.

use host::Phase;
use pki::etcd::{Leaf, profile, required};
use pki::{Certificate, PrivateKey, Verdict, check};

use crate::authorities::{Authorities, next_folder, previous_folder, with_key};
use crate::phases::set_data_aside::aside;
use crate::phases::{file, folder, words};
use crate::{Change, Configuration, Error, Machine, View};

/// The order in which they are replaced: where the peers' is new, which others see, all are.
const ORDER: [Leaf; 4] = [
    Leaf::EtcdctlClient,
    Leaf::ApiserverClient,
    Leaf::Server,
    Leaf::Peer,
];

/// Issues certificates of the new authority, or takes those that were brought.
pub(crate) struct ReissueCertificates<'c>(pub(crate) &'c Configuration);

impl<'a> Phase<Machine<'a>> for ReissueCertificates<'_> {
    fn name(&self) -> &'static str {
        "reissue-certificates"
    }

    fn about(&self) -> &'static str {
        "replace all certificates by ones of the new authority, for the keys that are there"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        match self.due(seen)?.as_slice() {
            // One at a time: each is made for what is there then.
            [(leaf, verdict), ..] => self.replace(seen, *leaf, verdict),
            [] => Ok(Vec::new()),
        }
    }
}

impl ReissueCertificates<'_> {
    /// Those that are not the new authority's yet, and what is wrong with them.
    pub(super) fn due(&self, seen: &dyn View) -> Result<Vec<(Leaf, Verdict)>, Error> {
        let (host, folder) = (seen.host(), self.0.certs_dir());
        let authorities = Authorities::read(host, self.0, seen.now())?;
        let next = std::slice::from_ref(authorities.must_have_next(self.0)?);
        let identity = self.0.identity();
        let read = |name: String| host.read(&folder.join(name), 1 << 20);
        let mut due = Vec::new();
        for leaf in ORDER {
            let stem = leaf.file_stem();
            let (certificate, key) = (read(format!("{stem}.crt"))?, read(format!("{stem}.key"))?);
            let wanted = required(leaf, &identity);
            let verdict = check(
                certificate.as_deref(),
                key.as_deref(),
                &wanted,
                next,
                seen.now(),
            );
            if !verdict.is_right() {
                due.push((leaf, verdict));
            }
        }
        Ok(due)
    }

    fn replace(
        &self,
        seen: &dyn View,
        leaf: Leaf,
        verdict: &Verdict,
    ) -> Result<Vec<Change>, Error> {
        let (host, configuration) = (seen.host(), self.0);
        let (next, stem) = (next_folder(configuration), leaf.file_stem());
        let at = |name: &str| configuration.certs_dir().join(name);
        let (name, key_name) = (format!("{stem}.crt"), format!("{stem}.key"));
        let key_text = host.read(&at(&key_name), 1 << 20)?;
        let key = key_text
            .as_deref()
            .and_then(|key| PrivateKey::from_pem(key).ok());
        let identity = configuration.identity();
        if let Some(authority) = with_key(host, &next)? {
            let error = |source| Error::Authority {
                folder: next.clone(),
                source,
            };
            let Some(key) = key else {
                let key = PrivateKey::generate();
                let key = key.map_err(|e| error(pki::AuthorityError::NewKey(e)))?;
                let text = key.pem().expose().to_vec();
                return Ok(vec![host::Change::private_file(at(&key_name), text).into()]);
            };
            let text = authority
                .issue_for(&profile(leaf, &identity), &key, seen.now())
                .map_err(error)?;
            return file(host, &at(&name), 0o644, &text);
        }
        // Signed elsewhere, and brought.
        let fault = |fault| Error::NoAuthorityKey {
            folder: next.clone(),
            stem,
            fault,
        };
        let brought = host.read(&next.join(&name), 1 << 20)?;
        let Some(brought) = brought else {
            return Err(fault(words(verdict)));
        };
        let authorities = Authorities::read(host, configuration, seen.now())?;
        let trusted = std::slice::from_ref(authorities.must_have_next(configuration)?);
        let wanted = required(leaf, &identity);
        let verdict = check(
            Some(&brought),
            key_text.as_deref(),
            &wanted,
            trusted,
            seen.now(),
        );
        if !verdict.is_right() {
            return Err(fault(words(&verdict)));
        }
        file(host, &at(&name), 0o644, &String::from_utf8_lossy(&brought))
    }
}

/// Makes the new authority's key the one that signs on this host; the old one is kept.
pub(crate) struct AdoptAuthority<'c>(pub(crate) &'c Configuration);

impl<'a> Phase<Machine<'a>> for AdoptAuthority<'_> {
    fn name(&self) -> &'static str {
        "adopt-authority"
    }

    fn about(&self) -> &'static str {
        "keep the old authority's key in a folder of its own, sign with the new one's from now on"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let (host, certs_dir) = (seen.host(), self.0.certs_dir());
        let read = |path: &std::path::Path| host.read(path, 1 << 20);
        let key_path = certs_dir.join("ca.key");
        let (old, new) = (read(&key_path)?, read(&next_folder(self.0).join("ca.key"))?);
        let Some(new) = new.filter(|new| old.as_ref() != Some(new)) else {
            return Ok(Vec::new());
        };
        let mut plan: Vec<Change> = Vec::new();
        if let Some(old) = old {
            let previous = previous_folder(self.0);
            let (certificate, key) = (previous.join("ca.crt"), previous.join("ca.key"));
            let kept = read(&key)?;
            if kept.as_ref().is_some_and(|kept| *kept != old) {
                // Of an authority before the one that goes now.
                let to = aside(&previous, seen.now());
                let path = previous;
                return Ok(vec![host::Change::SetAside { path, to }.into()]);
            }
            plan.extend(folder(host, &previous, 0o700)?);
            if let Some(authority) = with_key(host, certs_dir)? {
                let text = authority.certificate().pem();
                plan.extend(file(host, &certificate, 0o644, &text)?);
            }
            if kept.is_none() {
                plan.push(host::Change::private_file(key, old).into());
            }
        }
        plan.push(host::Change::private_file(key_path, new).into());
        Ok(plan)
    }
}

/// The certificate in a file, for those who only look.
pub(super) fn certificate(
    host: &dyn host::Inspect,
    path: &std::path::Path,
) -> Result<Option<Certificate>, Error> {
    let Some(text) = host.read(path, 1 << 20)? else {
        return Ok(None);
    };
    let parsed = Certificate::parse(&text);
    parsed.map(Some).map_err(|source| Error::Certificate {
        path: path.to_owned(),
        source,
    })
}
