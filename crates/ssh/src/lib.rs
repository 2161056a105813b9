//! Programs run on hosts over the system's OpenSSH client.
//!
//! # Purpose
//! One multiplexed connection a host, over which programs of the host are run by absolute path, with all that varies or is
//! secret on their standard input. Because it is OpenSSH that connects, jump hosts, agents, certificates and hardware keys
//! work as the admin knows them. Host keys are always checked: against those that the caller pins, or, when the caller
//! explicitly says so, those shown at first contact, which [`Client::known_hosts`] then gives back to be pinned.
//!
//! # What it deliberately does not do
//! No shell of ours runs anywhere. The one string that SSH itself hands to the user's login shell is made by [`quote()`]
//! alone. The admin's `~/.ssh/config` is not read: whoever has the cluster's file reaches its hosts alike, and no option
//! that starts a program or loosens the checking of host keys comes in by it. Nothing is retried, no password is asked.
//!
//! # Where to enter
//! [`Client::new`], [`Client::connect`], then [`Connection::run`].

mod answers;
mod call;
mod client;
mod connection;
mod error;
mod options;
mod quote;

pub use call::Call;
pub use client::{Client, Settings, Target};
pub use connection::Connection;
pub use error::Error;
pub use options::{OptionError, check_option};
pub use quote::quote;
