//! Unit files and environment files, written so that systemd reads back exactly what was meant.
//!
//! A value from outside (a data directory with a space, a `%` or a quote in it) never becomes syntax: every kind of value
//! has its own quoting, and what cannot be expressed is refused. The crate renders text; whether a unit runs is seen
//! through [`host::Inspect::unit`], and changes to it are [`host::Change`]s.
//!
//! It knows none of the units of the tools: each tool builds its own out of [`Unit`]. Start there, or at [`environment()`]
//! for files that `EnvironmentFile=` reads.

mod environment;
mod hardening;
mod quote;
mod unit;

pub use environment::{EnvironmentError, environment, parse_environment};
pub use hardening::harden;
pub use unit::{Argument, Command, Unit, UnitError, Value};
