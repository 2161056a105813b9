//! How fast it is: always a ratio against a yardstick that is measured in the same run on the same machine.
//!
//! A yardstick is what an admin would do by hand, done well; each is written down beside its measurement. The goals are
//! shown with what was measured, met or not. Nothing here fails because a machine is slow.

mod by_hand;
mod by_hand_bare;
mod by_hand_phases;
mod by_hand_recovery;
mod by_hand_serial;
mod cluster;
mod data;
mod etcd;
mod measure;
mod observe;
mod prepared;
mod programs;
mod recover;
mod recovery_seen;

use std::path::PathBuf;

use clap::Args;

use crate::Outcome;
use crate::machine::{self, Need};
use crate::supplies::{self, Want};
use crate::tools;

pub(crate) use measure::Measure;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only measurements whose name contains this
    #[arg(long, default_value = "")]
    only: String,

    /// How often each contender makes its cluster; the median counts
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    runs: u8,

    /// How many MB of objects the cluster has that `recover` brings back; 2000 has a goal of its own
    #[arg(long, value_name = "MB", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=4000))]
    objects: u32,

    /// Measures the tools in this folder instead of building them
    #[arg(long, value_name = "FOLDER")]
    tools: Option<PathBuf>,

    /// Measures one program and prints the result
    #[command(subcommand)]
    one: Option<Measure>,
}

/// A measurement beside its yardstick.
pub(crate) struct Row {
    /// What was measured.
    pub(crate) name: &'static str,
    /// What we needed, in `unit`.
    pub(crate) ours: f64,
    /// What the yardstick needed; a fixed bound has none.
    pub(crate) yardstick: Option<(&'static str, f64)>,
    /// Seconds, MB, ms.
    pub(crate) unit: &'static str,
    /// What the ratio (or the value, without a yardstick) is to be at most; infinite where nothing is asked for.
    pub(crate) goal: f64,
}

impl Row {
    fn show(&self) -> String {
        let (value, against) = match self.yardstick {
            Some((name, other)) => (
                self.ours / other,
                format!("{name}: {other:.3} {}", self.unit),
            ),
            None => (self.ours, String::new()),
        };
        let verdict = match self.goal {
            goal if goal.is_infinite() => "no goal".to_owned(),
            goal if value <= goal => format!("goal ≤{goal:.2} met"),
            goal => format!("goal ≤{goal:.2} NOT MET"),
        };
        let sign = if self.yardstick.is_some() {
            "×"
        } else {
            self.unit
        };
        format!(
            "{:42} {:9.3} {:3} {value:8.2}{sign:3} {verdict:18} {against}",
            self.name, self.ours, self.unit
        )
    }
}

pub(crate) fn main(arguments: &Arguments) -> Outcome {
    if let Some(measure) = &arguments.one {
        return measure.run();
    }
    machine::prepare(Need::Hosts, false)?;
    let tools = match &arguments.tools {
        Some(folder) => std::path::absolute(folder)?,
        None => tools::build()?,
    };
    let supplies = supplies::ensure(Want::Demo, &tools)?;
    println!("\nload at the start: {}", load());
    let wanted = |name: &str| name.contains(&arguments.only);
    let mut rows = Vec::new();
    if wanted("programs") {
        rows.extend(programs::measure(&tools, &supplies)?);
    }
    if wanted("etcd") {
        rows.extend(etcd::measure(&tools, &supplies)?);
    }
    if wanted("data") {
        rows.extend(data::measure(&tools, &supplies)?);
    }
    if wanted("cluster") {
        rows.extend(cluster::measure(&tools, &supplies, arguments.runs.into())?);
    }
    if wanted("recover") {
        let runs = arguments.runs.into();
        rows.extend(recover::measure(
            &tools,
            &supplies,
            runs,
            arguments.objects,
        )?);
    }
    println!("load at the end: {}\n", load());
    for row in &rows {
        println!("{}", row.show());
    }
    Ok(())
}

fn load() -> String {
    std::fs::read_to_string("/proc/loadavg")
        .unwrap_or_default()
        .trim()
        .to_owned()
}
