//! All tests, from units to whole hosts.

mod count;
mod whole_hosts;

use std::time::{Duration, Instant};

use clap::Args;

use crate::Outcome;
use crate::machine::{self, Need};
use crate::run::Task;
use crate::{supplies, tools, vm};
use count::Count;

/// What to test.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The part without hosts: a few minutes, no root
    #[arg(long)]
    fast: bool,

    /// Only the lab's own test and three etcd members, in a virtual machine with a stock kernel and cgroup version 2
    #[arg(long, conflicts_with_all = ["fast", "only", "sweep"])]
    vm: bool,

    /// Install missing packages without asking
    #[arg(long)]
    yes: bool,

    /// Only whole-host tests whose name contains this, or the test program of this name
    #[arg(long, value_name = "NAME")]
    only: Option<String>,

    /// The seed of every sample; the sample's size and seed are printed
    #[arg(long)]
    seed: Option<u64>,

    /// Every point of a sweep (`all`: of all sweeps), going on where an earlier run stopped
    #[arg(long, value_name = "NAME")]
    sweep: Option<String>,

    /// Of the tests on whole hosts the main ones, then others in an order of the seed until this many minutes are over
    #[arg(long, value_name = "MINUTES", conflicts_with_all = ["fast", "vm", "only", "sweep"])]
    within: Option<u64>,

    /// Run each test on whole hosts that failed once more, and say loudly which passed only then
    #[arg(long, conflicts_with_all = ["fast", "vm"])]
    again: bool,
}

pub(crate) fn main(arguments: &Arguments) -> Outcome {
    let start = Instant::now();
    machine::prepare(
        match (arguments.fast, arguments.vm) {
            (true, _) => Need::Build,
            (false, true) => Need::Machine,
            (false, false) => Need::Hosts,
        },
        arguments.yes,
    )?;
    let mut count = Count::default();
    if arguments.only.is_none() && arguments.sweep.is_none() && !arguments.vm {
        let mut task = Task::cargo().args(["test", "--workspace", "--locked", "--no-fail-fast"]);
        // Its test is one of whole hosts.
        task = task.args(["--exclude", "lab"]);
        count.run(task)?;
    }
    if arguments.fast {
        println!("\nThe tests on whole hosts were left out (--fast).");
    } else if arguments.vm {
        let tools = tools::build()?;
        let supplies = supplies::ensure(supplies::Want::Demo, &tools)?;
        lab::supervisor_path()?;
        let programs = whole_hosts::programs()?;
        count.run(vm::task(&tools, &supplies, &programs)?)?;
    } else {
        on_whole_hosts(arguments, &mut count)?;
    }
    println!("\n{} minutes", start.elapsed().as_secs().div_ceil(60));
    count.close()
}

fn on_whole_hosts(arguments: &Arguments, count: &mut Count) -> Outcome {
    let tools = tools::build()?;
    let supplies = supplies::ensure(supplies::Want::Tests, &tools)?;
    if matches!(arguments.sweep.as_deref(), Some("all" | "versions")) {
        supplies::add_releases(&supplies, &tools)?;
    }
    // Built now, as the user: root is to build nothing.
    lab::supervisor_path()?;
    let seed = arguments
        .seed
        .unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed of all samples: {seed} (--seed {seed} repeats them)");
    let run = whole_hosts::Run {
        tools,
        supplies,
        seed,
        sweep: arguments.sweep.clone(),
        again: arguments.again,
    };
    let result = match arguments.within {
        Some(minutes) => run.within(Duration::from_secs(60 * minutes), count),
        None => run.all(arguments.only.as_deref(), count),
    };
    whole_hosts::clean_up()?;
    result
}
