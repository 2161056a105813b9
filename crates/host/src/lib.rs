//! A host seen and changed: the one seam through which Klusterkit has effects.
//!
//! # Purpose
//! Whatever a tool learns about a host goes through [`Inspect`], whatever it does to one is a [`Change`] that a
//! [`Host`] applies. A [`Phase`] observes and returns the changes still to be made; it has no way to make them. The
//! [`Runner`] is the only place where plan meets effect: it observes, plans, journals the first change, applies it and
//! observes again, until nothing is planned. A dry run is the same walk over an [`Overlay`]: planned changes laid over
//! real reads.
//!
//! # What it does not do
//! It knows neither etcd nor Kubernetes nor OCI. A crate that does other work than files, units and programs brings
//! a change type of its own; the runner is generic over it ([`Effects`]). It prints nothing: see [`Report`].
//!
//! # Where to enter
//! [`Runner::run`], then [`Inspect`] and [`Change`].

mod atomic;
mod background;
mod change;
mod digest;
mod error;
mod inspect;
mod journal;
mod latency;
mod local;
mod lock;
mod overlay;
pub mod process;
mod run;

pub use atomic::{Pending, write_atomically};
pub use background::Background;
pub use change::{Change, Content, Run, UnitAction, Wait};
pub use digest::{Digest, DigestError, HashingReader};
pub use error::Error;
pub use inspect::{Condition, FileSystem, Inspect, Kind, Output, Query, Stat, Unit, UnitActivity};
pub use journal::{Journal, JournalError, Unfinished};
pub use latency::write_latency;
pub use local::Local;
pub use lock::{Lock, LockError};
pub use overlay::{Memory, Nothing, Overlay};
pub use run::{
    Applied, Effects, Event, OnHost, Phase, Report, RunError, Runner, Silent, Summary, poll_until,
};

/// Applies changes: the writing half of the seam.
pub trait Host: Inspect {
    /// Makes one change. Doing it twice leaves the same host as doing it once.
    ///
    /// # Errors
    /// Names what was being changed; a file is then as it was, never half-written.
    fn apply(&mut self, change: &Change) -> Result<(), Error>;
}
