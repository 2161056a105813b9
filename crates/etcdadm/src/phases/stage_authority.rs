//! The authority that is to come, in its place beside the certificates: made here, or copied from where it was made.

use std::time::SystemTime;

use host::{Kind, Phase};
use pki::etcd::CA_NAME;
use pki::{Authority, AuthorityError, PrivateKey};

use crate::authorities::{Authorities, next_folder, with_key};
use crate::phases::set_data_aside::aside;
use crate::phases::{file, folder};
use crate::survey::Reach;
use crate::{Change, Error, Machine, View};

/// Makes the authority, or checks the one that is there.
pub(crate) struct StageAuthority<'c>(pub(crate) Reach<'c>);

impl<'a> Phase<Machine<'a>> for StageAuthority<'_> {
    fn name(&self) -> &'static str {
        "stage-authority"
    }

    fn about(&self) -> &'static str {
        "make the new authority, or check the one that was copied here"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let (host, configuration) = (seen.host(), self.0.configuration);
        let next = next_folder(configuration);
        let (certificate, key) = (next.join("ca.crt"), next.join("ca.key"));
        let authorities = Authorities::read(host, configuration, seen.now())?;
        let mut plan = Vec::new();
        if authorities.next.is_some() {
            with_key(host, &next)?;
            // Copied with whatever modes the copying gave them.
            for (path, mode) in [(&next, 0o700), (&key, 0o600)] {
                let stat = host.stat(path)?;
                if stat.is_some_and(|stat| stat.kind != Kind::Link && stat.mode & 0o077 != 0) {
                    let path = path.clone();
                    plan.push(host::Change::SetMode { path, mode }.into());
                }
            }
            return Ok(plan);
        }
        let error = |source| Error::Authority {
            folder: next.clone(),
            source,
        };
        let Some(text) = host.read(&key, 1 << 20)? else {
            // Whoever has no authority's key here is not to have one by this.
            if authorities.trusted.len() > 1 || with_key(host, configuration.certs_dir())?.is_none()
            {
                return Err(Error::NoNext { path: certificate });
            }
            self.nobody_has_one(seen, &authorities)?;
            plan.extend(folder(host, &next, 0o700)?);
            let made = PrivateKey::generate().map_err(|e| error(AuthorityError::NewKey(e)))?;
            plan.push(host::Change::private_file(key, made.pem().expose().to_vec()).into());
            return Ok(plan);
        };
        let made = PrivateKey::from_pem(&text).map_err(|e| error(AuthorityError::Key(e)))?;
        let made = Authority::self_signed(&name(seen.now()), made, seen.now()).map_err(error)?;
        file(host, &certificate, 0o644, &made.pair().certificate)
    }
}

impl StageAuthority<'_> {
    /// Refuses to make a second new authority where another host has made one.
    fn nobody_has_one(&self, seen: &dyn View, authorities: &Authorities) -> Result<(), Error> {
        let known: Vec<_> = authorities
            .trusted
            .iter()
            .map(pki::Certificate::subject_der)
            .collect();
        let credentials = self.0.credentials(seen)?;
        let list = seen.etcd().members(&self.0.ask(), &credentials)?;
        let ahead = list.members.iter().filter(|member| {
            let url = member.client_urls.first();
            let probe = url.and_then(|url| seen.etcd().probe(url, &credentials).ok());
            probe.is_some_and(|probe| probe.accepts.iter().any(|name| !known.contains(name)))
        });
        let members: Vec<String> = ahead.map(|member| member.name.clone()).collect();
        if members.is_empty() {
            return Ok(());
        }
        Err(Error::NextElsewhere {
            members: members.join(", "),
            folder: next_folder(self.0.configuration),
        })
    }
}

/// What a new authority is called: unlike all before it, so that handshakes tell them apart.
fn name(now: SystemTime) -> String {
    let name = aside(std::path::Path::new(CA_NAME), now);
    name.to_string_lossy().replace(".set-aside-", "-")
}
