//! A program that runs beside this one, its log in a file: for as long as the value lives.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::{Error, process};

/// A program that was started, and is killed when this is dropped.
#[derive(Debug)]
pub struct Background {
    child: Child,
    log: PathBuf,
}

impl Background {
    /// Starts it. What it says on standard error goes to `log`, a file of its own in a folder that goes with it; standard
    /// input and output are nobody's.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Spawn`].
    pub fn start(mut command: Command, log: PathBuf) -> Result<Self, Error> {
        let argv = process::argv(&command);
        #[expect(
            clippy::disallowed_methods,
            reason = "the log of a program that lives as long as this value, in its own folder"
        )]
        let file = File::create(&log).map_err(Error::file("write", &log))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .map_err(|source| Error::Spawn { argv, source })?;
        Ok(Self { child, log })
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// What it has said.
    #[must_use]
    pub fn log(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The last lines of that.
    #[must_use]
    pub fn end_of_log(&self, count: usize) -> Vec<String> {
        let text = self.log();
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(count)..];
        last.iter().map(|line| (*line).to_owned()).collect()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
