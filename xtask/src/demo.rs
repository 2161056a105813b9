//! The main job on real hosts.

use clap::Args;

use crate::Outcome;

/// What to show.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Install missing packages without asking
    #[arg(long)]
    yes: bool,
}

pub(crate) fn main(_: &Arguments) -> Outcome {
    Err("not yet".into())
}
