//! Progress on standard error: lines for people, or one JSON object a line for programs.

use std::io::Write;
use std::time::{Duration, Instant};

use host::{Event, Report};
use serde::Serialize;

use crate::Format;

/// Says on standard error what goes on.
#[derive(Debug, Clone)]
pub struct Progress {
    json: bool,
    quiet: bool,
    dry_run: bool,
    /// Whether a line can be replaced by the next one.
    terminal: bool,
    /// Whether such a line stands there now.
    live: bool,
    started: Instant,
}

impl Progress {
    pub(crate) fn new(format: Format, quiet: bool, terminal: bool) -> Self {
        Self {
            json: format == Format::Json,
            quiet,
            dry_run: false,
            terminal: terminal && format != Format::Json && !quiet,
            live: false,
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

    /// Says an event of a tool's own: programs get `event` as JSON, people get `text` unless it is empty.
    pub fn tell<E: Serialize>(&mut self, event: &E, text: &str) {
        if self.quiet {
            return;
        }
        let elapsed = self.started.elapsed();
        if self.json {
            self.stamped(elapsed, event);
        } else if !text.is_empty() {
            self.line(&format!("{:7.1}s {text}", elapsed.as_secs_f32()));
        }
    }

    fn stamped<E: Serialize>(&mut self, elapsed: Duration, event: &E) {
        let stamped = Stamped {
            elapsed_ms: elapsed.as_millis(),
            event,
        };
        self.line(&serde_json::to_string(&stamped).expect("plain data becomes JSON"));
    }

    /// Whether [`Progress::live`] shows anything.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.terminal
    }

    /// Shows how far long work has come, on a line that the next one replaces. Nothing but on a terminal.
    pub fn live(&mut self, line: &str) {
        if self.terminal {
            let seconds = self.started.elapsed().as_secs_f32();
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K{seconds:7.1}s {line}");
            self.live = true;
        }
    }

    /// Takes the line of [`Progress::live`] away.
    pub fn end_live(&mut self) {
        if std::mem::take(&mut self.live) {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }

    fn line(&mut self, line: &str) {
        self.end_live();
        // Nobody listening is no reason to stop half-way.
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }
}

#[derive(Serialize)]
struct Stamped<'a, E> {
    #[serde(rename = "elapsedMs")]
    elapsed_ms: u128,
    #[serde(flatten)]
    event: &'a E,
}

impl Report for Progress {
    fn event(&mut self, event: &Event<'_>) {
        if self.quiet {
            return;
        }
        let elapsed = self.started.elapsed();
        if self.json {
            return self.stamped(elapsed, event);
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
