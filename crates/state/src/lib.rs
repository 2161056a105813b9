//! The state file of a cluster: what an admin needs to go on with it from any machine.
//!
//! # Purpose
//! `cctl-state.yaml`, schema version 3, says what the cluster is to be (the cluster's configuration as the admin wrote it),
//! what its machines are (their addresses, pinned host keys, how far each came), and holds its secrets. Its objects follow
//! Cluster API's `v1beta2`, with [`SshCluster`] and [`SshMachine`] as infrastructure.
//!
//! * Secrets are sealed with age for the admins' SSH public keys and for age recipients; all else is readable.
//! * The whole file is signed. A signing key made with the cluster, and sealed in it, signs every generation; an admin's SSH
//!   key vouches for that key once, and again when the recipients change. Both are OpenSSH signatures.
//! * It is written atomically, under a lock, and each writing counts its generation up.
//!
//! # What it deliberately does not do
//! It never holds an SSH private key, only where one is. It knows no host and no command line: passphrases are asked for by
//! a function that the caller brings. Older schemas are not read here.
//!
//! # Where to enter
//! [`read`] for what is readable by all, [`Open::create`] and [`Open::open`] for all of it.

mod error;
mod file;
mod identity;
mod model;
mod objects;
mod old;
mod seal;
mod signing;
mod voucher;

pub use error::Error;
pub use file::{Open, check, read, unseal};
pub use identity::{AskPassphrase, Identity, Recipient, are_same_key};
pub use model::{
    AuthorityCertificates, EtcdAuthority, Recipients, Recovery, Secrets, Started, State, Vouching,
};
pub use objects::{
    Cluster, HandedOn, Machine, ObjectMeta, Phase, Reference, SshCluster, SshMachine,
    SshMachineSpec, SshMachineStatus,
};
pub use old::OldHost;
pub use seal::{Sealing, is_sealed, opening, sealing};
pub use signing::{is_signed_beside, sign_beside};

/// The schema that is read and written here.
pub const SCHEMA_VERSION: u32 = 3;
