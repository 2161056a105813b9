//! This host and the cluster that its member belongs to: what phases look at, and what changes are made to.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use etcd::{Cluster, Credentials, Observe};
use host::{Effects, Host, Inspect};
use serde::Serialize;

use crate::Error;
use crate::fetch::Fetch;
use crate::import::Import;
use crate::measure::Measure;
use crate::pod::Pod;
use crate::recover_data::RecoverData;
use crate::restore_data::RestoreData;
use crate::save::Save;
use crate::start::{self, Start};

/// What phases observe through.
pub trait View {
    /// The host.
    fn host(&self) -> &dyn Inspect;
    /// The cluster.
    fn etcd(&self) -> &dyn Observe;
    /// The time.
    fn now(&self) -> SystemTime;
}

/// One change to the host or to the cluster.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// To files, units.
    Host(host::Change),
    /// To the membership.
    Etcd(etcd::Change),
    /// A release brought into the store.
    Fetch(Fetch),
    /// Programs from the release's archive put into their places.
    Install(bundle::Install),
    /// The member started.
    Start(Start),
    /// The member ended, where no unit of systemd's is stopped.
    End(Pod),
    /// An image handed to containerd.
    Import(Import),
    /// A snapshot taken.
    Save(Save),
    /// A data directory made of a snapshot.
    Restore(RestoreData),
    /// A snapshot taken of a copy of a data directory.
    Recover(RecoverData),
    /// The disk's speed measured.
    Measure(Measure),
    /// What was made elsewhere, moved to where it belongs; nothing may lie there.
    Place {
        /// Where it was made.
        from: PathBuf,
        /// Where it belongs.
        to: PathBuf,
    },
}

impl From<host::Change> for Change {
    fn from(change: host::Change) -> Self {
        Self::Host(change)
    }
}

impl From<etcd::Change> for Change {
    fn from(change: etcd::Change) -> Self {
        Self::Etcd(change)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(change) => change.fmt(f),
            Self::Etcd(change) => change.fmt(f),
            Self::Fetch(change) => change.fmt(f),
            Self::Install(change) => change.fmt(f),
            Self::Start(change) => change.fmt(f),
            Self::End(change) => change.fmt(f),
            Self::Import(change) => change.fmt(f),
            Self::Save(change) => change.fmt(f),
            Self::Restore(change) => change.fmt(f),
            Self::Measure(change) => change.fmt(f),
            Self::Recover(change) => change.fmt(f),
            Self::Place { from, to } => {
                write!(f, "move {} to {}", from.display(), to.display())
            }
        }
    }
}

/// Hears, in words, what is being waited for.
pub type Note = Box<dyn FnMut(&str)>;

/// A host and its cluster.
pub struct Machine<'a> {
    host: &'a mut dyn Host,
    etcd: &'a mut dyn Cluster,
    certs_dir: PathBuf,
    now: SystemTime,
    note: Note,
}

impl<'a> Machine<'a> {
    /// Over this host and this cluster, which is talked to with the client pair in `certs_dir`.
    pub fn new(
        host: &'a mut dyn Host,
        etcd: &'a mut dyn Cluster,
        certs_dir: &Path,
        now: SystemTime,
        note: Note,
    ) -> Self {
        Self {
            host,
            etcd,
            certs_dir: certs_dir.to_owned(),
            now,
            note,
        }
    }
}

impl View for Machine<'_> {
    fn host(&self) -> &dyn Inspect {
        self.host
    }

    fn etcd(&self) -> &dyn Observe {
        self.etcd
    }

    fn now(&self) -> SystemTime {
        self.now
    }
}

impl<'a> Effects for Machine<'a> {
    type View = dyn View + 'a;
    type Change = Change;
    type Error = Error;

    fn view(&self) -> &Self::View {
        self
    }

    fn apply(&mut self, change: &Change) -> Result<(), Error> {
        match change {
            Change::Host(change) => Ok(self.host.apply(change)?),
            Change::Etcd(change) => {
                let credentials = credentials(self.host, &self.certs_dir)?;
                Ok(self.etcd.apply(change, &credentials, &mut self.note)?)
            }
            Change::Fetch(fetch) => fetch.apply(self.host, &mut self.note),
            Change::End(pod) => start::pod::end(pod, self.host),
            Change::Import(import) => import.apply(self.host),
            Change::Save(save) => {
                let credentials = credentials(self.host, &self.certs_dir)?;
                save.apply(self.host, self.etcd, &credentials, &mut self.note)
            }
            Change::Place { from, to } => {
                let (path, to) = (from.clone(), to.clone());
                Ok(self.host.apply(&host::Change::SetAside { path, to })?)
            }
            Change::Measure(measure) => measure.apply(self.host, &mut self.note),
            Change::Recover(recover) => recover.apply(self.host, self.etcd, &mut self.note),
            Change::Restore(restore) => restore.apply(self.host, self.etcd, &mut self.note),
            Change::Install(install) if self.host.is_dry_run() => Ok(install.rehearse(self.host)?),
            Change::Install(install) => Ok(install.apply(self.host.root())?),
            Change::Start(start) => {
                if let Some(after) = &start.after {
                    let credentials = credentials(self.host, &self.certs_dir)?;
                    self.etcd.apply(after, &credentials, &mut self.note)?;
                }
                let ask = (&*self.etcd as &dyn Observe, self.certs_dir.as_path());
                start.apply(self.host, ask, &mut self.note)
            }
        }
    }
}

/// What etcdadm shows to members and trusts, from the pair of etcdctl.
///
/// # Errors
/// [`Error::NoCredentials`] when a file is missing.
pub(crate) fn credentials(
    seen: &(impl Inspect + ?Sized),
    certs_dir: &Path,
) -> Result<Credentials, Error> {
    let read = |name: &str| {
        let path = certs_dir.join(name);
        let bytes = seen.read(&path, 1 << 20)?;
        bytes.ok_or(Error::NoCredentials { path })
    };
    let stem = pki::etcd::Leaf::EtcdctlClient.file_stem();
    Ok(Credentials {
        ca: read("ca.crt")?,
        certificate: read(&format!("{stem}.crt"))?,
        key: pki::Secret::new(read(&format!("{stem}.key"))?),
    })
}
