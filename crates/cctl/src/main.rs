//! The `cctl` program: see the library of the same name.

use std::process::ExitCode;

fn main() -> ExitCode {
    cctl::run(&cli::Environment::read())
}
