//! What a verb works with: progress, output, the walk through its phases.

use std::io::Write;
use std::path::{Path, PathBuf};

use host::{Effects, Event, Journal, Lock, Phase, Report, Runner, Summary};
use serde::Serialize;

use crate::output::write_stdout;
use crate::{Common, Environment, Error, Explain, Format, Kind, Progress, ResultExt};

/// A tool that works on a host, and where it keeps what only it knows.
#[derive(Debug, Clone)]
pub struct Tool {
    /// As `etcdadm`.
    pub name: &'static str,
    /// As `/var/lib/etcdadm`: the lock, the journal, what was installed from what configuration.
    pub folder: PathBuf,
}

/// What a verb works with.
#[derive(Debug)]
pub struct Context {
    format: Format,
    /// The environment that `main` read.
    pub environment: Environment,
    /// Progress on standard error.
    pub progress: Progress,
}

impl Context {
    pub(crate) fn new(common: &Common, environment: &Environment) -> Self {
        let quiet = common.quiet || common.log_level == "error";
        Self {
            format: common.output,
            environment: environment.clone(),
            progress: Progress::new(common.output, quiet, environment.terminal),
        }
    }

    /// How results are printed.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Prints the verb's one result; `text` is what people read.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn print<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Error> {
        write_stdout(&self.format.render(value, text)).kind(Kind::Failed)
    }

    /// Prints text as it is.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn print_text(&self, text: &str) -> Result<(), Error> {
        write_stdout(text).kind(Kind::Failed)
    }

    /// Walks `phases` for `goal`. Not in a dry run: takes the tool's lock, tells of a run that was cut off, and
    /// journals every change before it is made.
    ///
    /// # Errors
    /// As the phases', or when the lock is held or the journal cannot be written.
    pub fn walk<E>(
        &mut self,
        tool: &Tool,
        goal: &str,
        dry_run: bool,
        effects: &mut E,
        phases: &[&dyn Phase<E>],
    ) -> Result<Summary, Error>
    where
        E: Effects,
        E::Error: Explain,
    {
        self.progress.set_dry_run(dry_run);
        if dry_run {
            return Ok(Runner::new(&mut self.progress, None).run(effects, phases)?);
        }
        let _lock = self.lock(tool, goal)?;
        let (journal, unfinished) = Journal::begin(&tool.folder.join("journal"), goal)?;
        if let Some(cut) = &unfinished {
            self.progress.event(&Event::Continuing {
                goal: &cut.goal,
                change: cut.change.as_deref(),
            });
        }
        Ok(Runner::new(&mut self.progress, Some(journal)).run(effects, phases)?)
    }

    /// Takes the tool's lock, for work outside a walk.
    ///
    /// # Errors
    /// When another run holds it.
    pub fn lock(&self, tool: &Tool, goal: &str) -> Result<Lock, Error> {
        let owner = format!("{goal}, process {}", std::process::id());
        Ok(Lock::take(&lock_path(&tool.folder), &owner)?)
    }

    pub(crate) fn finish(&mut self) {
        self.progress.end_live();
        let _ = std::io::stderr().flush();
    }

    pub(crate) fn show_error(&self, error: &Error) {
        let mut stderr = std::io::stderr().lock();
        let _ = if self.progress.is_json() {
            let shown = serde_json::json!({"event": "error", "kind": error.kind.name(),
                "causes": error.causes(), "hints": error.hints});
            writeln!(stderr, "{shown}")
        } else {
            let causes = error.causes();
            let mut text = format!("{}: {}\n", error.kind.heading(), causes[0]);
            for cause in &causes[1..] {
                text.push_str(&format!("  because: {}\n", cause.replace('\n', "\n    ")));
            }
            for hint in &error.hints {
                text.push_str(&format!("hint: {hint}\n"));
            }
            write!(stderr, "{text}")
        };
    }
}

fn lock_path(folder: &Path) -> PathBuf {
    folder.join("lock")
}
