//! Options that every verb has.

use clap::Args;

use crate::Format;

/// Options that every verb has.
#[derive(Debug, Clone, Args, Default)]
pub struct Common {
    /// How the result is printed on standard output; with json, progress on standard error is one JSON object a line
    #[arg(
        short = 'o',
        long,
        value_enum,
        default_value_t,
        global = true,
        display_order = 900
    )]
    pub output: Format,

    /// Say only errors on standard error
    #[arg(short, long, global = true, display_order = 901)]
    pub quiet: bool,

    /// How much is said on standard error: error, warn, info, debug
    #[arg(
        short,
        long,
        global = true,
        default_value = "info",
        display_order = 902
    )]
    pub log_level: String,
}

/// `--output` alone, for verbs that print one thing.
pub type OutputArg = Format;
