//! An etcd cluster seen and changed through its API.
//!
//! # Purpose
//! [`Observe`] asks members, [`Cluster`] makes one membership [`Change`]; [`Client`] does both over gRPC with mutual TLS,
//! [`Picture`] does both on a picture of a cluster: the dry run, and the twin that unit tests use. [`settings`] knows what
//! each etcd release takes as configuration.
//!
//! # What it does not do
//! It touches no host: no file, no unit. Credentials are handed in. It is synchronous; the runtime under the client is a
//! single thread that lives as long as a call. No call is unbounded.
//!
//! # Where to enter
//! [`Observe::members`] and [`Change`].

mod change;
mod client;
mod error;
mod model;
mod picture;
mod probe;
mod retry;
pub mod settings;

pub use api::KvHash;
pub use change::{Change, Waits};
pub use client::Client;
pub use error::Error;
pub use model::{Alarm, AlarmKind, Credentials, Keys, Member, MemberStatus, Membership, hex_id};
pub use picture::Picture;
pub use probe::Probe;
pub use settings::{Feature, Settings, environment};

/// Asks a cluster. Nothing here changes it.
///
/// Endpoints are client URLs; where several are given, they are tried in order until one answers.
pub trait Observe {
    /// The members as the cluster knows them, not as a lagging member remembers them.
    ///
    /// # Errors
    /// [`Error`] of the last endpoint tried.
    fn members(&self, endpoints: &[String], credentials: &Credentials)
    -> Result<Membership, Error>;

    /// The members as one member remembers them, which may be wrong: for a look at a cluster that agrees on nothing.
    ///
    /// # Errors
    /// [`Error`] of the last endpoint tried.
    fn remembered(
        &self,
        endpoints: &[String],
        credentials: &Credentials,
    ) -> Result<Membership, Error>;

    /// What the member behind one endpoint says of itself.
    ///
    /// # Errors
    /// [`Error`].
    fn status(&self, endpoint: &str, credentials: &Credentials) -> Result<MemberStatus, Error>;

    /// Whether the member serves reads that a majority agrees to. A learner does not: [`Error::Learner`].
    ///
    /// # Errors
    /// [`Error`], when it does not.
    fn healthy(&self, endpoint: &str, credentials: &Credentials) -> Result<(), Error>;

    /// What the member's certificate and clock are, asked in a way that large packets must come through.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Timeout`] when the connection stands and no answer comes.
    fn probe(&self, endpoint: &str, credentials: &Credentials) -> Result<Probe, Error>;

    /// The alarms of all members.
    ///
    /// # Errors
    /// [`Error`] of the last endpoint tried.
    fn alarms(&self, endpoints: &[String], credentials: &Credentials) -> Result<Vec<Alarm>, Error>;

    /// Whether the history before `revision` is gone.
    ///
    /// # Errors
    /// [`Error`] of the last endpoint tried.
    fn compacted(
        &self,
        endpoints: &[String],
        credentials: &Credentials,
        revision: i64,
    ) -> Result<bool, Error>;

    /// A digest of what the member has, up to `revision`; 0 for all.
    ///
    /// # Errors
    /// [`Error`].
    fn hash(
        &self,
        endpoint: &str,
        credentials: &Credentials,
        revision: i64,
    ) -> Result<KvHash, Error>;

    /// How many keys the member had at `revision`.
    ///
    /// # Errors
    /// [`Error`].
    fn count(&self, endpoint: &str, credentials: &Credentials, revision: i64)
    -> Result<u64, Error>;

    /// All keys that the member has.
    ///
    /// # Errors
    /// [`Error`].
    fn keys(&self, endpoint: &str, credentials: &Credentials) -> Result<Keys, Error>;

    /// The member's database as it is now, as etcd sends it: its last 32 bytes are the SHA-256 of what is before them.
    /// `to` hears first how many bytes there will be, then the bytes.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Sink`] when `to` does not want more.
    fn snapshot(
        &self,
        endpoint: &str,
        credentials: &Credentials,
        to: &mut dyn FnMut(Piece<'_>) -> std::io::Result<()>,
    ) -> Result<(), Error>;

    /// Whether somebody accepts connections at this URL, a peer's for example.
    ///
    /// # Errors
    /// [`Error::Unreachable`].
    fn reaches(&self, url: &str) -> Result<(), Error>;
}

/// What comes of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// So many bytes will come.
    Size(u64),
    /// The next of them.
    Bytes(&'a [u8]),
}

/// Changes a cluster: one change at a time.
pub trait Cluster: Observe {
    /// Makes one change, waiting for what etcd needs time for. Doing it twice leaves the same as doing it once.
    /// `note` hears, in words, what is being waited for.
    ///
    /// # Errors
    /// [`Error`]; of a wait, [`Error::Deadline`] with what was seen last.
    fn apply(
        &mut self,
        change: &Change,
        credentials: &Credentials,
        note: &mut dyn FnMut(&str),
    ) -> Result<(), Error>;
}
