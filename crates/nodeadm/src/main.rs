//! The `nodeadm` program: see the library of the same name.

use std::process::ExitCode;

fn main() -> ExitCode {
    nodeadm::run(&cli::Environment::read())
}
