//! The bundle library as its users call it, against real files in temporary folders.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests prepare and damage files at will"
)]

mod checks;
mod creates;
mod fetches;
mod hostile;
mod installs;
mod round_trips;
mod server;
mod skopeo;
mod stores;
mod support;
