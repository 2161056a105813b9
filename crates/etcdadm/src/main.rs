//! The `etcdadm` program: see the library of the same name.

use std::process::ExitCode;

fn main() -> ExitCode {
    etcdadm::run(&cli::Environment::read())
}
