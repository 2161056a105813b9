//! One program, run in a process of its own, so that its memory can be told from that of others.

use std::process::{Command, Stdio};
use std::time::Instant;

use clap::Subcommand;
use nix::sys::resource::{UsageWho, getrusage};

use crate::Outcome;

#[derive(Debug, Subcommand)]
pub(crate) enum Measure {
    /// Runs a program, discards what it prints, and prints its seconds and its most memory in MB
    #[command(hide = true)]
    Measure {
        /// The program and its words
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

/// What a program needed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// From start to end.
    pub(crate) seconds: f64,
    /// The most memory that it held at once, in MB.
    pub(crate) memory: f64,
}

impl Measure {
    pub(crate) fn run(&self) -> Outcome {
        let Self::Measure { words } = self;
        let (program, rest) = words.split_first().ok_or("no program was named")?;
        let start = Instant::now();
        let status = Command::new(program)
            .args(rest)
            .stdout(Stdio::null())
            .stdin(Stdio::null())
            .status()?;
        let seconds = start.elapsed().as_secs_f64();
        if !status.success() {
            return Err(format!("{}: {status}", words.join(" ")).into());
        }
        let kib = getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss();
        println!("{seconds} {}", kib as f64 * 1024.0 / 1e6);
        Ok(())
    }
}

/// One run.
pub(crate) fn one(words: &[&str]) -> Outcome<Cost> {
    let output = Command::new(std::env::current_exe()?)
        .args(["bench", "measure", "--"])
        .args(words)
        .stderr(Stdio::inherit())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut numbers = text.split_whitespace().map(str::parse::<f64>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(seconds)), Some(Ok(memory))) => Ok(Cost { seconds, memory }),
        _ => Err(format!("{} cannot be measured", words.join(" ")).into()),
    }
}

/// The median of `times` runs, after one that warms the caches.
pub(crate) fn median(times: usize, words: &[&str]) -> Outcome<Cost> {
    one(words)?;
    let mut costs = (0..times)
        .map(|_| one(words))
        .collect::<Outcome<Vec<_>>>()?;
    costs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    costs
        .get(costs.len() / 2)
        .copied()
        .ok_or_else(|| "nothing was measured".into())
}
