//! What can go wrong beside what is tested.

use std::path::PathBuf;

/// The equipment failed, or a command did.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The lab failed, or a command in it did.
    #[error(transparent)]
    Lab(#[from] lab::Error),
    /// A file of the admin's machine.
    #[error("could not {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A bundle of the equipment.
    #[error("the bundle {path} is at fault: {what}")]
    Bundle {
        /// Where it lies.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The image of the web application.
    #[error("could not write the web application's image")]
    Image(#[from] bundle::DraftError),
    /// A command printed something else than it should.
    #[error("{argv} printed something unexpected: {text}")]
    Printed {
        /// The command.
        argv: String,
        /// What it printed.
        text: String,
    },
    /// The member list is not as it should be.
    #[error("the member on {host} lists {found}")]
    Members {
        /// Who tells it.
        host: String,
        /// What it tells.
        found: String,
    },
    /// The cluster did not become ready in time.
    #[error("{lacking}")]
    NotReady {
        /// What there is, and what of it is not ready.
        lacking: String,
        /// How long was waited.
        source: lab::Error,
    },
    /// No hosts to work on.
    #[error("no hosts were given")]
    NoHosts,
    /// The seed of samples.
    #[error("KLUSTERKIT_SEED is not a number: {0:?}")]
    Seed(String),
    /// The tests were started without what they need.
    #[error("{0} is not set: whole-host tests are run by `cargo xtask test`")]
    NotEquipped(&'static str),
}
