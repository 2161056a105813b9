//! etcd's authority and pairs: handed in complete and verified, or issued by the authority on this host.
//!
//! Keys are written before certificates, and a certificate is issued for the key that is there: whatever a run that was
//! cut off left, the next one goes on from it. A key that exists is kept, in the form that it has.

use std::path::{Path, PathBuf};

use host::Phase;
use pki::etcd::{CA_NAME, LEAVES, Leaf, profile, required};
use pki::{Authority, Certificate, PrivateKey, Verdict, check};

use crate::phases::{Begin, file, folder};
use crate::{Change, Configuration, Error, Machine, View};

/// Makes certificates right.
pub(crate) struct IssueCertificates<'c> {
    pub(crate) configuration: &'c Configuration,
    pub(crate) begin: Begin,
}

impl<'a> Phase<Machine<'a>> for IssueCertificates<'_> {
    fn name(&self) -> &'static str {
        "issue-certificates"
    }

    fn about(&self) -> &'static str {
        "verify the given certificates and write them, or issue them from the authority on this host"
    }

    fn plan(&self, seen: &(dyn View + 'a)) -> Result<Vec<Change>, Error> {
        let mut plan = folder(seen.host(), self.configuration.certs_dir(), 0o755)?;
        let given = |name: &str| self.configuration.given.contains_key(name);
        let complete = LEAVES
            .iter()
            .any(|leaf| given(&format!("{}.crt", leaf.file_stem())));
        if complete {
            self.verify_given(seen)?;
        }
        self.same_authority(seen)?;
        for (name, secret) in &self.configuration.given {
            plan.extend(file(
                seen.host(),
                &self.path(name),
                mode(name),
                secret.reveal(),
            )?);
        }
        if !complete && plan.is_empty() {
            plan.extend(self.issue(seen)?);
        }
        Ok(plan)
    }
}

impl IssueCertificates<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.configuration.certs_dir().join(name)
    }

    fn read(&self, seen: &dyn View, name: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(seen.host().read(&self.path(name), 1 << 20)?)
    }

    fn authorities(&self, text: &[u8]) -> Result<Vec<Certificate>, Error> {
        Certificate::parse_all(text).map_err(|source| Error::Certificate {
            path: self.path("ca.crt"),
            source,
        })
    }

    /// All four pairs and the authority's certificate must have been given, and be right.
    fn verify_given(&self, seen: &dyn View) -> Result<(), Error> {
        let bytes = |name: String| {
            self.configuration
                .given
                .get(&name)
                .map(|secret| secret.reveal().as_bytes())
        };
        let authority = bytes("ca.crt".to_owned()).ok_or_else(|| Error::Given {
            stem: "ca",
            fault: "is missing".to_owned(),
        })?;
        let trusted = self.authorities(authority)?;
        let identity = self.configuration.identity();
        for leaf in LEAVES {
            let stem = leaf.file_stem();
            let (certificate, key) = (bytes(format!("{stem}.crt")), bytes(format!("{stem}.key")));
            let verdict = check(
                certificate,
                key,
                &required(leaf, &identity),
                &trusted,
                seen.now(),
            );
            if !verdict.is_right() {
                return Err(Error::Given {
                    stem,
                    fault: words(&verdict),
                });
            }
        }
        Ok(())
    }

    /// A member that runs is not handed another authority than the one that it and the others trust.
    fn same_authority(&self, seen: &dyn View) -> Result<(), Error> {
        let there = self.read(seen, "ca.crt")?;
        let (Some(given), Some(there)) = (self.configuration.given.get("ca.crt"), there) else {
            return Ok(());
        };
        if self.begin == Begin::Restore || !self.configuration.has_data(seen.host())? {
            return Ok(());
        }
        let given = self.authorities(given.reveal().as_bytes())?;
        let there = self.authorities(&there)?;
        if there.iter().all(|one| given.contains(one)) {
            return Ok(());
        }
        Err(Error::OtherAuthority {
            brought: given[0].common_name.clone(),
            trusted: there[0].common_name.clone(),
            folder: crate::authorities::next_folder(self.configuration),
        })
    }

    fn issue(&self, seen: &dyn View) -> Result<Vec<Change>, Error> {
        let authority_error = |source| Error::Authority {
            folder: self.configuration.certs_dir().to_owned(),
            source,
        };
        let (certificate, key) = (self.read(seen, "ca.crt")?, self.read(seen, "ca.key")?);
        let (trusted, authority) = match (certificate, key) {
            (Some(certificate), Some(key)) => {
                let authority = Authority::from_pem(&certificate, &key).map_err(authority_error)?;
                (self.authorities(&certificate)?, Some(authority))
            }
            (Some(certificate), None) => (self.authorities(&certificate)?, None),
            (None, _) if self.begin == Begin::Join => {
                return Err(Error::NoAuthority {
                    path: self.path("ca.crt"),
                });
            }
            (None, Some(key)) => {
                let key = PrivateKey::from_pem(&key)
                    .map_err(|e| authority_error(pki::AuthorityError::Key(e)))?;
                let authority =
                    Authority::self_signed(CA_NAME, key, seen.now()).map_err(authority_error)?;
                return file(
                    seen.host(),
                    &self.path("ca.crt"),
                    0o644,
                    &authority.pair().certificate,
                );
            }
            (None, None) => {
                self.not_requested(seen)?;
                let key = PrivateKey::generate()
                    .map_err(|e| authority_error(pki::AuthorityError::NewKey(e)))?;
                return Ok(write_key(&self.path("ca.key"), &key));
            }
        };
        let mut plan = Vec::new();
        for leaf in LEAVES {
            plan.extend(self.issue_leaf(seen, leaf, &trusted, authority.as_ref())?);
        }
        Ok(plan)
    }

    /// Where certificates were asked for elsewhere, no authority is made here.
    fn not_requested(&self, seen: &dyn View) -> Result<(), Error> {
        for leaf in LEAVES {
            let path = self.path(&format!("{}.csr", leaf.file_stem()));
            if seen.host().stat(&path)?.is_some() {
                return Err(Error::Requested { path });
            }
        }
        Ok(())
    }

    fn issue_leaf(
        &self,
        seen: &dyn View,
        leaf: Leaf,
        trusted: &[Certificate],
        authority: Option<&Authority>,
    ) -> Result<Vec<Change>, Error> {
        let stem = leaf.file_stem();
        let key_path = self.path(&format!("{stem}.key"));
        let (certificate, key) = (
            self.read(seen, &format!("{stem}.crt"))?,
            self.read(seen, &format!("{stem}.key"))?,
        );
        let identity = self.configuration.identity();
        let wanted = required(leaf, &identity);
        let verdict = check(
            certificate.as_deref(),
            key.as_deref(),
            &wanted,
            trusted,
            seen.now(),
        );
        if verdict.is_right() {
            let loose = seen
                .host()
                .stat(&key_path)?
                .is_some_and(|stat| stat.mode & 0o077 != 0);
            return Ok(if loose {
                vec![
                    host::Change::SetMode {
                        path: key_path,
                        mode: 0o600,
                    }
                    .into(),
                ]
            } else {
                Vec::new()
            });
        }
        let folder = || self.configuration.certs_dir().to_owned();
        let authority = authority.ok_or_else(|| Error::NoAuthorityKey {
            folder: folder(),
            stem,
            fault: words(&verdict),
        })?;
        let Some(key) = key
            .as_deref()
            .and_then(|key| PrivateKey::from_pem(key).ok())
        else {
            let source = |e| Error::Authority {
                folder: folder(),
                source: pki::AuthorityError::NewKey(e),
            };
            return Ok(write_key(
                &key_path,
                &PrivateKey::generate().map_err(source)?,
            ));
        };
        let text = authority
            .issue_for(&profile(leaf, &identity), &key, seen.now())
            .map_err(|source| Error::Authority {
                folder: folder(),
                source,
            })?;
        file(
            seen.host(),
            &self.path(&format!("{stem}.crt")),
            0o644,
            &text,
        )
    }
}

fn write_key(path: &Path, key: &PrivateKey) -> Vec<Change> {
    vec![host::Change::private_file(path, key.pem().expose().to_vec()).into()]
}

fn mode(name: &str) -> u32 {
    if name.ends_with(".key") { 0o600 } else { 0o644 }
}

/// A verdict, as the end of a sentence that begins with the file's name.
pub(crate) fn words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Right { days_left } => format!("is right for {days_left} days"),
        Verdict::Missing => "or its key is missing".to_owned(),
        Verdict::Unreadable(why) => format!("or its key cannot be read ({why})"),
        Verdict::Expired { days_left } if *days_left > 0 => {
            "is not valid yet: check the clocks".to_owned()
        }
        Verdict::Expired { days_left } => format!("expired {} days ago", -days_left),
        Verdict::WrongCa { issuer } => {
            format!("is signed by {issuer}, which is not the authority here")
        }
        Verdict::SanDrift { missing } => {
            format!(
                "does not name {}",
                missing
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", ")
            )
        }
        Verdict::OtherSubject { common_name } => format!("is for {common_name:?}"),
        Verdict::KeyMismatch => "does not belong to its key".to_owned(),
    }
}
