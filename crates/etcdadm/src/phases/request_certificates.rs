//! Requests for this host's certificates, to be signed by an authority whose key is kept elsewhere. The keys stay here.

use host::Phase;
use pki::etcd::{LEAVES, profile};
use pki::{AuthorityError, PrivateKey};

use crate::phases::{file, folder};
use crate::{Change, Configuration, Error, Machine, View};

/// Makes keys and requests.
pub(crate) struct RequestCertificates<'c>(pub(crate) &'c Configuration);

impl<'a> Phase<Machine<'a>> for RequestCertificates<'_> {
    fn name(&self) -> &'static str {
        "request-certificates"
    }

    fn about(&self) -> &'static str {
        "make keys where there are none, and requests for certificates for them"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let (host, certs_dir) = (seen.host(), self.0.certs_dir());
        let mut plan = folder(host, certs_dir, 0o755)?;
        let error = |source| Error::Authority {
            folder: certs_dir.to_owned(),
            source,
        };
        let identity = self.0.identity();
        for leaf in LEAVES {
            let at = |end: &str| certs_dir.join(format!("{}.{end}", leaf.file_stem()));
            let key = host.read(&at("key"), 1 << 20)?;
            let Some(key) = key.and_then(|key| PrivateKey::from_pem(&key).ok()) else {
                let key = PrivateKey::generate().map_err(|e| error(AuthorityError::NewKey(e)))?;
                let text = key.pem().expose().to_vec();
                plan.push(host::Change::private_file(at("key"), text).into());
                return Ok(plan);
            };
            let wanted = profile(leaf, &identity);
            let there = host.read(&at("csr"), 1 << 20)?.unwrap_or_default();
            if !pki::asks_for(&there, &wanted, &key) {
                let text = pki::request(&wanted, &key).map_err(error)?;
                plan.extend(file(host, &at("csr"), 0o644, &text)?);
                return Ok(plan);
            }
        }
        Ok(plan)
    }
}
