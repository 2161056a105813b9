//! What continuous integration runs besides the tests.

use crate::Outcome;
use crate::machine::{self, Need};
use crate::run::Task;

pub(crate) fn main() -> Outcome {
    machine::prepare(Need::Build, false)?;
    crate::tidy::main()?;
    Task::cargo().args(["fmt", "--all", "--check"]).run()?;
    Task::cargo()
        .args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ])
        .run()?;
    Task::cargo()
        .args([
            "doc",
            "--workspace",
            "--no-deps",
            "--locked",
            "--document-private-items",
        ])
        .env("RUSTDOCFLAGS", "-D warnings")
        .run()
}
