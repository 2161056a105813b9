//! What whole-host tests and the demo share: an admin's machine beside a lab, and a small web application.
//!
//! The tests lie in `tests/`; each is ignored by a plain `cargo test`, since it needs root, the shipped tools and the
//! real parts. `cargo xtask test` makes those and runs them. Nothing here asserts: it does what an admin would type.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "equipment of the tests: an admin who types commands and looks at what they print"
)]

mod admin;
mod cluster;
mod equipment;
mod error;
mod footprint;
mod leaks;
mod listing;
mod load;
mod members;
mod nodes;
mod sweep;
mod watch;
mod web;

/// The folder of the cache in which tests keep a cluster to copy while they run.
pub const SAVED: &str = "saved-cluster";

pub use admin::{Admin, Next};
pub use cluster::{ClusterFile, VIP};
pub use equipment::{Equipment, sha256};
pub use error::Error;
pub use footprint::Footprint;
pub use leaks::{Content, Keys, Processes, Told, contents};
pub use listing::Listing;
pub use load::{Load, Written};
pub use members::{ETCDADM, MemberLine, Members, client_url, peer_url, side_by_side};
pub use nodes::{NODE_FILE, NODEADM, Nodes, write_stream};
pub use sweep::{Sweep, shuffled};
pub use watch::{Silence, silence};
pub use web::{IMAGE as WEB_IMAGE, Web};
