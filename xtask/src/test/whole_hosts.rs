//! The tests on whole hosts: their programs, which of their tests run, and in which order.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::count::Count;
use crate::Outcome;
use crate::run::{Task, cache};

/// What a run with little time begins with: without these the others say nothing.
const MAIN: [(&str, &str); 5] = [
    ("selftest", "a_lab_does_what_it_says"),
    (
        "bundle",
        "bundles_and_stores_are_filled_from_a_mirror_and_the_real_registry",
    ),
    ("etcdadm", "three::three_members_form_a_cluster"),
    ("cctl", "life::three_control_planes_and_two_workers"),
    (
        "nodeadm",
        "host_checks::all_that_is_wrong_with_a_host_is_told_at_once",
    ),
];

/// A program of tests, by its name and where it lies.
pub(super) type Program = (String, PathBuf);

/// One run: what its tests are given.
pub(super) struct Run {
    pub tools: PathBuf,
    pub supplies: PathBuf,
    pub seed: u64,
    /// The sweep that is to run whole.
    pub sweep: Option<String>,
    /// Whether those that failed are run once more.
    pub again: bool,
}

impl Run {
    /// Every program, with all its tests or with those that are chosen by name.
    pub(super) fn all(&self, only: Option<&str>, count: &mut Count) -> Outcome {
        let before = count.total();
        for program in programs()? {
            let threads = format!("--test-threads={}", self.at_once(&program.0));
            let chosen = self.filter(only, &program.0);
            let words = std::iter::once(threads).chain(chosen).collect();
            self.run(&program, words, count)?;
        }
        if count.total() == before {
            return Err("no test of whole hosts is called so".into());
        }
        Ok(())
    }

    /// The main tests, then others in an order of the seed until the time is over; says how many of how many ran.
    pub(super) fn within(&self, limit: Duration, count: &mut Count) -> Outcome {
        let start = Instant::now();
        let programs = programs()?;
        let mut rest: Vec<(&Program, String)> = Vec::new();
        for program in &programs {
            let names = names(program)?;
            rest.extend(names.into_iter().map(|name| (program, name)));
        }
        let total = rest.len();
        let mut order = Vec::new();
        for (program, test) in MAIN {
            let is_it = |(of, name): &(&Program, String)| of.0 == program && name == test;
            let at = rest.iter().position(is_it);
            let at = at.ok_or_else(|| format!("{program} has no test {test}"))?;
            order.push(rest.remove(at));
        }
        let shuffled = hosts::shuffled(rest.len(), self.seed);
        order.extend(shuffled.into_iter().map(|index| rest[index].clone()));
        let mut ran = 0;
        for (program, test) in order {
            if ran >= MAIN.len() && start.elapsed() >= limit {
                break;
            }
            self.run(program, vec!["--exact".to_owned(), test], count)?;
            ran += 1;
        }
        let seed = self.seed;
        println!("\n*** WHOLE HOSTS: ran {ran} of {total} tests, seed {seed} ***");
        if ran < total {
            println!("*** `cargo xtask test` runs all of them ***");
        }
        Ok(())
    }

    fn run(&self, program: &Program, words: Vec<String>, count: &mut Count) -> Outcome {
        println!("\n== whole hosts: {} {}", program.0, words.join(" "));
        let start = Instant::now();
        let failed = count.run(self.task(program).args(words))?;
        println!("{}: {} s", program.0, start.elapsed().as_secs());
        if self.again {
            for name in failed {
                let task = self.task(program).args(["--exact", &name]);
                count.run_again(&name, task)?;
            }
        }
        Ok(())
    }

    fn task(&self, (_, executable): &Program) -> Task {
        Task::as_root(executable)
            .args(["--include-ignored", "--nocapture"])
            .env("KLUSTERKIT_TOOLS", &self.tools)
            .env("KLUSTERKIT_SUPPLIES", &self.supplies)
            .env("KLUSTERKIT_SEED", self.seed.to_string())
            .env("KLUSTERKIT_SWEEP", self.sweep.as_deref().unwrap_or(""))
    }

    /// How many tests of this program run at once, each in a lab of its own. Those of etcdadm wait for most of their time:
    /// for elections, for etcd's five seconds of health. A cluster of Kubernetes has all processors to itself, and so has a
    /// sweep, whose points are in one place.
    fn at_once(&self, program: &str) -> usize {
        match (program, &self.sweep) {
            ("etcdadm", None) => 3,
            _ => 1,
        }
    }

    /// What chooses the tests of this program: a sweep's are called by its name.
    fn filter(&self, only: Option<&str>, program: &str) -> Option<String> {
        match (only, self.sweep.as_deref()) {
            (Some(only), _) if only == program => None,
            (Some(only), _) => Some(only.to_owned()),
            (None, Some("all")) => Some("sweep_".to_owned()),
            (None, Some(name)) => Some(format!("sweep_{}", name.replace('-', "_"))),
            (None, None) => None,
        }
    }
}

/// Takes away what tests keep for each other.
pub(super) fn clean_up() -> Outcome {
    let saved = cache()?.join(hosts::SAVED);
    if saved.exists() {
        let task = Task::as_root("rm").args(["-rf", "--"]);
        task.args([saved]).run()?;
    }
    Ok(())
}

/// Builds the programs, as the user; they run as root.
pub(super) fn programs() -> Outcome<Vec<Program>> {
    let text = Task::cargo()
        .args(["test", "--no-run", "--locked", "--tests"])
        .args(["--message-format=json-render-diagnostics"])
        .args(["--package", "lab", "--package", "hosts"])
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

/// The tests that a program holds.
fn names((_, executable): &Program) -> Outcome<Vec<String>> {
    let text = Task::new(executable)
        .args(["--list", "--format", "terse"])
        .text()?;
    let named = |line: &str| line.strip_suffix(": test").map(str::to_owned);
    Ok(text.lines().filter_map(named).collect())
}
