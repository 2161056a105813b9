//! Programs that a task runs, shown before they run.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Outcome;

/// The workspace's folder.
pub(crate) fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// The user's cache, `klusterkit` under `XDG_CACHE_HOME`, else `~/.cache`.
pub(crate) fn cache() -> Outcome<PathBuf> {
    let parts = parts::Workshop::from_environment()?.cache;
    Ok(parts.parent().unwrap_or(&parts).to_owned())
}

/// A command in the workspace, its words shown when it runs.
pub(crate) struct Task(Command);

impl Task {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.current_dir(workspace()).stdin(Stdio::null());
        Self(command)
    }

    pub(crate) fn cargo() -> Self {
        Self::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }

    /// As root: through sudo where we are not.
    pub(crate) fn as_root(program: impl AsRef<OsStr>) -> Self {
        if nix::unistd::geteuid().is_root() {
            return Self::new(program);
        }
        let mut task = Self::new("sudo");
        // What the work below needs to find the user's own cache and build folder again.
        let kept = [
            "XDG_CACHE_HOME",
            "HOME",
            "PATH",
            "CARGO",
            "CARGO_TARGET_DIR",
            "CI",
            "RUST_BACKTRACE",
            "DEBIAN_FRONTEND",
            "LAB_KEEP_ON_FAILURE",
            "KLUSTERKIT_TOOLS",
            "KLUSTERKIT_SUPPLIES",
            "KLUSTERKIT_SEED",
            "KLUSTERKIT_SWEEP",
        ];
        // A user's own PATH leaves root's programs out.
        let path = std::env::var("PATH").unwrap_or_default();
        task.0
            .env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin:/sbin"))
            .arg(format!("--preserve-env={}", kept.join(",")))
            .arg("--")
            .arg(program)
            .stdin(Stdio::inherit());
        task
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.0.args(args);
        self
    }

    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(key, value);
        self
    }

    pub(crate) fn words(&self) -> String {
        let words = std::iter::once(self.0.get_program()).chain(self.0.get_args());
        words
            .map(|word| word.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Runs it with the terminal's output; failing is an error.
    pub(crate) fn run(mut self) -> Outcome {
        let words = self.words();
        println!("\n$ {words}");
        let status = self
            .0
            .status()
            .map_err(|error| format!("could not run {words}: {error}"))?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("{words}: {status}").into())
        }
    }

    /// Runs it and returns what it printed; failing is an error.
    pub(crate) fn text(mut self) -> Outcome<String> {
        let words = self.words();
        let output = self
            .0
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("could not run {words}: {error}"))?;
        if !output.status.success() {
            return Err(format!("{words}: {}", output.status).into());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The command itself, for those who read its output as it comes.
    pub(crate) fn command(self) -> Command {
        self.0
    }
}
