//! Progress on standard error: lines for people, or one JSON object a line for programs.

use std::io::Write;
use std::time::Instant;

use host::{Event, Report};
use serde::Serialize;

use crate::Format;

/// Says on standard error what goes on.
#[derive(Debug, Clone)]
pub struct Progress {
    json: bool,
    quiet: bool,
    dry_run: bool,
    started: Instant,
}

impl Progress {
    pub(crate) fn new(format: Format, quiet: bool) -> Self {
        Self {
            json: format == Format::Json,
            quiet,
            dry_run: false,
            started: Instant::now(),
        }
    }

    /// From now on changes are shown as planned ones.
    pub fn set_dry_run(&mut self, dry_run: bool) {
        self.dry_run = dry_run;
    }

    /// Whether progress is JSON.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Says something worth knowing.
    pub fn note(&mut self, note: &str) {
        self.event(&Event::Note { note });
    }

    fn line(&self, line: &str) {
        // Nobody listening is no reason to stop half-way.
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }
}

#[derive(Serialize)]
struct Stamped<'a> {
    #[serde(rename = "elapsedMs")]
    elapsed_ms: u128,
    #[serde(flatten)]
    event: &'a Event<'a>,
}

impl Report for Progress {
    fn event(&mut self, event: &Event<'_>) {
        if self.quiet {
            return;
        }
        let elapsed = self.started.elapsed();
        if self.json {
            let stamped = Stamped {
                elapsed_ms: elapsed.as_millis(),
                event,
            };
            return self.line(&serde_json::to_string(&stamped).expect("plain data becomes JSON"));
        }
        let seconds = elapsed.as_secs_f32();
        match event {
            Event::Continuing {
                goal,
                change: Some(change),
            } => {
                self.line(&format!("         the last run ({goal}) was cut off at: {change}; going on from what is there"));
            }
            Event::Continuing { goal, change: None } => {
                self.line(&format!(
                    "         the last run ({goal}) was cut off; going on from what is there"
                ));
            }
            Event::Change { phase, change } => {
                let would = if self.dry_run { "would " } else { "" };
                self.line(&format!("{seconds:7.1}s [{phase}] {would}{change}"));
            }
            Event::Note { note } => self.line(&format!("{seconds:7.1}s {note}")),
            Event::Phase { .. } | Event::PhaseDone { .. } => {}
        }
    }
}
