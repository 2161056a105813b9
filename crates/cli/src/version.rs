//! The verbs `version` and `completion`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use serde::Serialize;

use crate::{Context, Error};

/// Options of `version`.
#[derive(Debug, Clone, Args)]
pub struct VersionArgs {
    /// Print the version alone
    #[arg(long)]
    pub short: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VersionInfo<'a> {
    tool: &'a str,
    version: &'a str,
    os: &'a str,
    architecture: &'a str,
}

/// Prints the version of `tool`.
///
/// # Errors
/// When standard output cannot be written.
pub fn print_version(
    context: &Context,
    tool: &str,
    version: &str,
    args: &VersionArgs,
) -> Result<(), Error> {
    if args.short {
        return context.print_text(&format!("v{version}\n"));
    }
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let info = VersionInfo {
        tool,
        version,
        os: std::env::consts::OS,
        architecture,
    };
    context.print(&info, |info| {
        format!(
            "{} v{} {}/{}",
            info.tool, info.version, info.os, info.architecture
        )
    })
}

/// Prints the completion script of `shell` for the command `C`.
///
/// # Errors
/// When standard output cannot be written.
pub fn completion<C: CommandFactory>(context: &Context, shell: Shell) -> Result<(), Error> {
    let mut command = C::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    context.print_text(&String::from_utf8_lossy(&script))
}
