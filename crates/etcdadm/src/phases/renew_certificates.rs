//! Certificates issued anew for the keys that are there, and served.
//!
//! etcd reads its pair again at every handshake, so nothing need be stopped for it; where a member serves another
//! certificate all the same, it is restarted.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use host::Phase;
use pki::etcd::{LEAVES, Leaf, profile, required};
use pki::{Authority, Certificate, PrivateKey, Verdict, check};

use crate::phases::{file, words};
use crate::start::Start;
use crate::{Change, Configuration, Error, Machine, View, runs};

/// Renews leaves.
pub(crate) struct RenewCertificates<'c> {
    configuration: &'c Configuration,
    /// Those that have fewer days left; nothing for all.
    within: Option<i64>,
    /// Those that this run has renewed.
    renewed: RefCell<BTreeSet<Leaf>>,
}

impl<'c> RenewCertificates<'c> {
    pub(crate) fn new(configuration: &'c Configuration, within: Option<i64>) -> Self {
        let renewed = RefCell::default();
        Self {
            configuration,
            within,
            renewed,
        }
    }
}

impl<'a> Phase<Machine<'a>> for RenewCertificates<'_> {
    fn name(&self) -> &'static str {
        "renew-certificates"
    }

    fn about(&self) -> &'static str {
        "issue certificates that end soon, or do not name this member as it is now, for the keys that are there"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let (host, configuration) = (seen.host(), self.configuration);
        let at = |name: &str| configuration.certs_dir().join(name);
        let read = |name: &str| host.read(&at(name), 1 << 20);
        let authority_error = |source| Error::Authority {
            folder: configuration.certs_dir().to_owned(),
            source,
        };
        let path = at("ca.crt");
        let ca = read("ca.crt")?.ok_or_else(|| Error::NoAuthority { path: path.clone() })?;
        let trusted =
            Certificate::parse_all(&ca).map_err(|source| Error::Certificate { path, source })?;
        let ca_key = read("ca.key")?;
        let identity = configuration.identity();
        let mut plan = Vec::new();
        for leaf in LEAVES {
            let stem = leaf.file_stem();
            let (name, key_name) = (format!("{stem}.crt"), format!("{stem}.key"));
            let (certificate, key) = (read(&name)?, read(&key_name)?);
            let wanted = required(leaf, &identity);
            let now = seen.now();
            let verdict = check(
                certificate.as_deref(),
                key.as_deref(),
                &wanted,
                &trusted,
                now,
            );
            let due = match (&verdict, self.within) {
                (Verdict::Right { days_left }, Some(within)) => *days_left < within,
                (Verdict::Right { .. }, None) => !self.renewed.borrow().contains(&leaf),
                _ => true,
            };
            if !due {
                continue;
            }
            let folder = || configuration.certs_dir().to_owned();
            let no_key = |fault| Error::NoAuthorityKey {
                folder: folder(),
                stem,
                fault,
            };
            let authority = ca_key.as_ref().ok_or_else(|| no_key(words(&verdict)))?;
            let authority = Authority::from_pem(&ca, authority).map_err(authority_error)?;
            let key = match key.as_deref().map(PrivateKey::from_pem) {
                Some(Ok(key)) => key,
                // A key that is gone or cannot be read is made anew; then its certificate is due, too.
                _ => {
                    let key = PrivateKey::generate();
                    let key = key.map_err(|e| authority_error(pki::AuthorityError::NewKey(e)))?;
                    let text = key.pem().expose().to_vec();
                    plan.push(host::Change::private_file(at(&key_name), text).into());
                    return Ok(plan);
                }
            };
            let text = authority.issue_for(&profile(leaf, &identity), &key, now);
            plan.extend(file(
                host,
                &at(&name),
                0o644,
                &text.map_err(authority_error)?,
            )?);
            // One at a time, so that what was planned is what is remembered.
            self.renewed.borrow_mut().insert(leaf);
            return Ok(plan);
        }
        Ok(plan)
    }
}

/// Makes the running member serve what is in the files.
pub(crate) struct ServeCertificates<'c>(pub(crate) &'c Configuration);

impl<'a> Phase<Machine<'a>> for ServeCertificates<'_> {
    fn name(&self) -> &'static str {
        "serve-certificates"
    }

    fn about(&self) -> &'static str {
        "see that the running member serves them, and restart it where it does not"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let (host, configuration) = (seen.host(), self.0);
        if host.is_dry_run() || !runs::member(seen, configuration)?.is_active() {
            return Ok(Vec::new());
        }
        let path = configuration.certs_dir().join("server.crt");
        let text = host.read(&path, 1 << 20)?.unwrap_or_default();
        let own =
            Certificate::parse(&text).map_err(|source| Error::Certificate { path, source })?;
        let credentials = crate::machine::credentials(host, configuration.certs_dir())?;
        let served = seen.etcd().probe(&configuration.local_url(), &credentials);
        if served.is_ok_and(|served| served.certificate == own.der()) {
            return Ok(Vec::new());
        }
        Ok(vec![Change::Start(Start {
            limit: Duration::from_secs(120),
            ..Start::of_member(configuration, true, "")
        })])
    }
}
