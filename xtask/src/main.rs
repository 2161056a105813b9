//! The task runner: `cargo xtask --help`.
//!
//! Two verbs do everything on a fresh machine: `demo` shows the main job on real hosts, `test` proves it. The others are
//! what they are made of. Nothing here is shipped, and nothing here is a test: tests lie in the crates and in `tests/`.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "runs on the developer's machine and talks to the terminal"
)]

mod bench;
mod ci;
mod demo;
mod machine;
mod run;
mod supplies;
mod test;
mod tidy;
mod tools;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Klusterkit's task runner
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Five real hosts on this machine become a highly available Kubernetes cluster, offline
    Demo(demo::Arguments),
    /// All tests, from units to whole hosts; ends with a line that counts them
    Test(test::Arguments),
    /// Exactly what continuous integration runs besides the tests: format, lints, tidy, documentation
    Ci,
    /// The mechanical rules of the source tree
    Tidy,
    /// Builds the real programs that the hosts run, and says what is cached
    Parts(supplies::Arguments),
    /// How fast it is, as ratios against yardsticks measured in the same run
    Bench(bench::Arguments),
    /// Builds the three tools as they are shipped: static, small
    Tools,
    /// The part of `test --vm` that needs root
    #[command(hide = true)]
    Vm(vm::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().verb {
        Verb::Demo(arguments) => demo::main(&arguments),
        Verb::Test(arguments) => test::main(&arguments),
        Verb::Ci => ci::main(),
        Verb::Tidy => tidy::main(),
        Verb::Parts(arguments) => supplies::main(&arguments),
        Verb::Bench(arguments) => bench::main(&arguments),
        Verb::Tools => tools::build().map(drop),
        Verb::Vm(arguments) => vm::main(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let mut cause = std::error::Error::source(&*error);
            while let Some(inner) = cause {
                eprintln!("  because: {inner}");
                cause = inner.source();
            }
            ExitCode::FAILURE
        }
    }
}

/// What a verb returns: here every error ends up on the terminal.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;
