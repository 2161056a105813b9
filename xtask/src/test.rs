//! All tests, from units to whole hosts.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

use clap::Args;

use crate::Outcome;
use crate::machine::{self, Need};
use crate::run::{Task, cache};
use crate::{supplies, tools, vm};

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
}

#[derive(Debug, Default)]
struct Count {
    passed: usize,
    failed: usize,
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
        counted(task, &mut count)?;
    }
    if arguments.fast {
        println!("\nThe tests on whole hosts were left out (--fast).");
    } else if arguments.vm {
        let tools = tools::build()?;
        let supplies = supplies::ensure(supplies::Want::Demo, &tools)?;
        lab::supervisor_path()?;
        let executables = executables(&["lab", "hosts"])?;
        counted(vm::task(&tools, &supplies, &executables)?, &mut count)?;
    } else {
        whole_hosts(arguments, &mut count)?;
    }
    println!("\n{} minutes", start.elapsed().as_secs().div_ceil(60));
    println!("{} passed, {} failed", count.passed, count.failed);
    if count.failed > 0 {
        Err(format!("{} tests failed", count.failed).into())
    } else {
        Ok(())
    }
}

fn whole_hosts(arguments: &Arguments, count: &mut Count) -> Outcome {
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
    let before = count.passed + count.failed;
    for (name, executable) in executables(&["lab", "hosts"])? {
        let threads = format!("--test-threads={}", at_once(arguments, &name));
        let mut task = Task::as_root(&executable)
            .args(["--include-ignored", "--nocapture", &threads])
            .args(filter(arguments, &name));
        task = task
            .env("KLUSTERKIT_TOOLS", &tools)
            .env("KLUSTERKIT_SUPPLIES", &supplies)
            .env("KLUSTERKIT_SEED", seed.to_string())
            .env("KLUSTERKIT_SWEEP", arguments.sweep.as_deref().unwrap_or(""));
        println!("\n== whole hosts: {name}");
        let start = Instant::now();
        counted(task, count)?;
        println!("{name}: {} s", start.elapsed().as_secs());
    }
    let saved = cache()?.join(hosts::SAVED);
    if saved.exists() {
        Task::as_root("rm")
            .args(["-rf", "--"])
            .args([saved])
            .run()?;
    }
    if count.passed + count.failed == before {
        return Err("no test of whole hosts is called so".into());
    }
    Ok(())
}

/// How many tests of this program run at once, each in a lab of its own. Those of etcdadm wait for most of their time: for
/// elections, for etcd's five seconds of health. A cluster of Kubernetes has all processors to itself, and so has a sweep,
/// whose points are in one place.
fn at_once(arguments: &Arguments, program: &str) -> usize {
    match (program, &arguments.sweep) {
        ("etcdadm", None) => 3,
        _ => 1,
    }
}

/// What chooses the tests of this program: a sweep's are called by its name.
fn filter(arguments: &Arguments, program: &str) -> Option<String> {
    match (&arguments.only, arguments.sweep.as_deref()) {
        (Some(only), _) if only == program => None,
        (Some(only), _) => Some(only.clone()),
        (None, Some("all")) => Some("sweep_".to_owned()),
        (None, Some(name)) => Some(format!("sweep_{}", name.replace('-', "_"))),
        (None, None) => None,
    }
}

/// Builds the integration tests of these packages, as the user; they run as root.
fn executables(packages: &[&str]) -> Outcome<Vec<(String, PathBuf)>> {
    let text = Task::cargo()
        .args([
            "test",
            "--no-run",
            "--locked",
            "--message-format=json-render-diagnostics",
            "--tests",
        ])
        .args(packages.iter().flat_map(|package| ["--package", package]))
        .text()?;
    let mut found = Vec::new();
    for message in text
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
    {
        let test = message["target"]["kind"]
            .as_array()
            .is_some_and(|kinds| kinds.iter().any(|kind| kind == "test"));
        if let (true, Some(executable)) = (test, message["executable"].as_str()) {
            let name = message["target"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            found.push((name, executable.into()));
        }
    }
    // The lab's own test comes first: without it the others say nothing.
    found.sort_by_key(|(name, _)| (name != "selftest", name.clone()));
    Ok(found)
}

/// Runs tests, shows their output as it comes, and counts by the lines that close each test program.
fn counted(task: Task, count: &mut Count) -> Outcome {
    let words = task.words();
    println!("\n$ {words}");
    let mut child = task
        .command()
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{words}: {error}"))?;
    let before = count.failed;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            println!("{line}");
            if let Some(rest) = line.strip_prefix("test result: ") {
                count.passed += number_before(rest, " passed");
                count.failed += number_before(rest, " failed");
            }
        }
    }
    let status = child.wait()?;
    if !status.success() && count.failed == before {
        // Not one test failed, and yet it did: it did not build, or it died.
        count.failed += 1;
        eprintln!("{words}: {status}");
    }
    Ok(())
}

fn number_before(text: &str, what: &str) -> usize {
    let before = text.split(what).next().unwrap_or_default();
    before
        .rsplit(|c: char| !c.is_ascii_digit())
        .next()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}
