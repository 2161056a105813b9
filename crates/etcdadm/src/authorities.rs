//! The authorities on this host while one takes the place of another.
//!
//! The one that is to come lies in the folder `next` beside the certificates, as `ca.crt` and `ca.key`: made on one host,
//! copied to the others as the first one was. Hosts that have no authority's key get `ca.crt` alone there, and certificates
//! that it signed. The one that was is kept in `previous`. Which step a host has taken is not remembered: the files say
//! what it is to trust and to show, its member says by handshake what it trusts and shows.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use etcd::{Credentials, Member, Observe};
use host::Inspect;
use pki::{Authority, Certificate};

use crate::{Configuration, Error};

/// A step by which every host goes before any takes the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The new authority is trusted beside the old one.
    Trust,
    /// Certificates of the new authority are shown.
    Reissue,
    /// The new authority alone is trusted.
    Finish,
}

impl Step {
    /// The verb that takes it.
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Self::Trust => "etcdadm certs rotate-ca trust",
            Self::Reissue => "etcdadm certs rotate-ca reissue",
            Self::Finish => "etcdadm certs rotate-ca finish",
        }
    }
}

/// Where the authority that is to come lies.
pub(crate) fn next_folder(configuration: &Configuration) -> PathBuf {
    configuration.certs_dir().join("next")
}

/// Where the authority that was is kept.
pub(crate) fn previous_folder(configuration: &Configuration) -> PathBuf {
    configuration.certs_dir().join("previous")
}

/// The authorities that a host's files name.
#[derive(Clone, Debug)]
pub(crate) struct Authorities {
    /// Those in `ca.crt`.
    pub(crate) trusted: Vec<Certificate>,
    /// The one in `next`.
    pub(crate) next: Option<Certificate>,
}

impl Authorities {
    /// Reads them.
    ///
    /// # Errors
    /// [`Error::NoAuthority`], [`Error::Certificate`]; [`Error::NextUnusable`] where what lies in `next` is no authority
    /// that can be told from the others.
    pub(crate) fn read(
        host: &dyn Inspect,
        configuration: &Configuration,
        now: SystemTime,
    ) -> Result<Self, Error> {
        let path = configuration.certs_dir().join("ca.crt");
        let text = host.read(&path, 1 << 20)?;
        let text = text.ok_or_else(|| Error::NoAuthority { path: path.clone() })?;
        let trusted =
            Certificate::parse_all(&text).map_err(|source| Error::Certificate { path, source })?;
        let path = next_folder(configuration).join("ca.crt");
        let next = match host.read(&path, 1 << 20)? {
            None => None,
            Some(text) => Some(
                Certificate::parse(&text).map_err(|source| Error::Certificate {
                    path: path.clone(),
                    source,
                })?,
            ),
        };
        if let Some(next) = &next {
            let same_name =
                |other: &&Certificate| *other != next && other.subject_der() == next.subject_der();
            let why = if !next.is_ca {
                Some("is not an authority's: it may not sign certificates".to_owned())
            } else if next.not_after <= now || next.not_before > now {
                Some("is not valid at this time".to_owned())
            } else if trusted.iter().any(|other| same_name(&other)) {
                let name = &next.common_name;
                Some(format!(
                    "has the subject of the authority that is there ({name}): in a handshake they could not be told apart"
                ))
            } else {
                None
            };
            if let Some(why) = why {
                return Err(Error::NextUnusable { path, why });
            }
        }
        Ok(Self { trusted, next })
    }

    /// The authority that is to come.
    ///
    /// # Errors
    /// [`Error::NoNext`].
    pub(crate) fn must_have_next(
        &self,
        configuration: &Configuration,
    ) -> Result<&Certificate, Error> {
        self.next.as_ref().ok_or_else(|| Error::NoNext {
            path: next_folder(configuration).join("ca.crt"),
        })
    }

    /// Whether the authority that is to come is trusted already.
    pub(crate) fn trusts_next(&self) -> bool {
        self.next
            .as_ref()
            .is_some_and(|next| self.trusted.contains(next))
    }

    /// Whether there is nothing of a change of authorities here: none was begun, or it is done.
    pub(crate) fn settled(&self) -> bool {
        self.next.is_none() && self.trusted.len() == 1
    }
}

/// The authority in a folder, with its key, where that is there.
///
/// # Errors
/// [`Error::Authority`] where they do not belong together.
pub(crate) fn with_key(host: &dyn Inspect, folder: &Path) -> Result<Option<Authority>, Error> {
    let read = |name: &str| host.read(&folder.join(name), 1 << 20);
    let (Some(certificate), Some(key)) = (read("ca.crt")?, read("ca.key")?) else {
        return Ok(None);
    };
    Authority::from_pem(&certificate, &key)
        .map(Some)
        .map_err(|source| Error::Authority {
            folder: folder.to_owned(),
            source,
        })
}

/// A member that has not taken a step, and how that is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lag {
    pub(crate) member: String,
    pub(crate) why: String,
}

/// The members that have not taken `step` towards `next`, each asked at its clients' and its peers' port by a handshake.
pub(crate) fn lagging(
    etcd: &dyn Observe,
    members: &[Member],
    credentials: &Credentials,
    next: &Certificate,
    step: Step,
) -> Vec<Lag> {
    let why = |member: &Member| {
        let urls = [member.client_urls.first(), member.peer_urls.first()];
        if !member.started() {
            return Some("was never started".to_owned());
        }
        urls.into_iter()
            .flatten()
            .find_map(|url| falls_short(etcd, url, credentials, next, step))
    };
    let lag = |member: &Member| {
        Some(Lag {
            why: why(member)?,
            member: member.name.clone(),
        })
    };
    let mut lags: Vec<Lag> = members.iter().filter_map(lag).collect();
    lags.sort_by(|a, b| a.member.cmp(&b.member));
    lags
}

fn falls_short(
    etcd: &dyn Observe,
    url: &str,
    credentials: &Credentials,
    next: &Certificate,
    step: Step,
) -> Option<String> {
    let probe = match etcd.probe(url, credentials) {
        Ok(probe) => probe,
        Err(error) => return Some(error.to_string()),
    };
    let name = &next.common_name;
    if !probe.accepts.contains(&next.subject_der()) {
        return Some(format!("does not accept {name} at {url}"));
    }
    if step == Step::Trust {
        return None;
    }
    match Certificate::from_der(&probe.certificate) {
        Ok(shown) if shown.signed_by(next) => {}
        Ok(shown) => {
            let issuer = shown.issuer;
            return Some(format!("shows a certificate of {issuer} at {url}"));
        }
        Err(error) => return Some(error.to_string()),
    }
    let others = step == Step::Finish && probe.accepts.len() > 1;
    others.then(|| format!("accepts other authorities than {name} at {url}, too"))
}
