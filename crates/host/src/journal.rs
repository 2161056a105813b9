//! What a run meant to do, written down before it does it.
//!
//! The journal holds only what cannot be observed afterwards: the goal, the run's id, each change just before it is
//! made. One JSON object a line, appended and synced. It decides nothing: a run that finds it torn or missing plans from
//! what it observes and is right all the same; with it, the admin is told what was cut off.
#![expect(
    clippy::disallowed_methods,
    reason = "the journal is written before and beside the plan"
)]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// At this size the journal begins anew; the old one stays beside it once.
const ROTATE_AT: u64 = 1 << 20;

/// The journal could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} the journal {path}")]
pub struct JournalError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// A run that did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// What it was to reach, as `etcdadm init`.
    pub goal: String,
    /// The change that it was making, if any: it may be done or not.
    pub change: Option<String>,
}

/// The journal of one tool on one host.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    run: String,
}

#[derive(Serialize, Deserialize)]
struct Line {
    run: String,
    at: u64,
    #[serde(flatten)]
    entry: Entry,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "entry")]
enum Entry {
    Begin {
        goal: String,
    },
    Change {
        phase: String,
        words: String,
        change: serde_json::Value,
    },
    Failed {
        error: String,
    },
    End,
}

impl Journal {
    /// Opens the journal at `path`, begins a run for `goal`, and tells of the last run if it did not end.
    ///
    /// # Errors
    /// [`JournalError`], when it cannot be written.
    pub fn begin(path: &Path, goal: &str) -> Result<(Self, Option<Unfinished>), JournalError> {
        let error = |action| {
            move |source| JournalError {
                action,
                path: path.to_owned(),
                source,
            }
        };
        if let Some(folder) = path.parent() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(error("make room for"))?;
        }
        let text = match fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(error("read")(e)),
        };
        let unfinished = unfinished(&text);
        if text.len() as u64 > ROTATE_AT {
            fs::rename(path, path.with_extension("old")).map_err(error("rotate"))?;
        }
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(error("open"))?;
        // The line that a power loss tore is ended, so that ours begins on its own.
        if !text.is_empty() && !text.ends_with('\n') {
            file.write_all(b"\n").map_err(error("write"))?;
        }
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let run = format!("{:x}-{:x}", now.as_millis(), std::process::id());
        let mut journal = Self {
            path: path.to_owned(),
            file,
            run,
        };
        journal.write(Entry::Begin {
            goal: goal.to_owned(),
        })?;
        Ok((journal, unfinished))
    }

    /// Writes down a change that is about to be made. When this returns, it is on the disk.
    ///
    /// # Errors
    /// [`JournalError`]; the change must then not be made.
    pub fn intend(
        &mut self,
        phase: &str,
        words: String,
        change: serde_json::Value,
    ) -> Result<(), JournalError> {
        self.write(Entry::Change {
            phase: phase.to_owned(),
            words,
            change,
        })
    }

    /// Writes down that the run came to its end.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn end(&mut self) -> Result<(), JournalError> {
        self.write(Entry::End)
    }

    /// Writes down why the run stopped. It still counts as unfinished.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn failed(&mut self, error: String) -> Result<(), JournalError> {
        self.write(Entry::Failed { error })
    }

    /// The id of this run.
    #[must_use]
    pub fn run(&self) -> &str {
        &self.run
    }

    fn write(&mut self, entry: Entry) -> Result<(), JournalError> {
        let at = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let mut line = serde_json::to_vec(&Line {
            run: self.run.clone(),
            at,
            entry,
        })
        .expect("plain data becomes JSON");
        line.push(b'\n');
        self.file
            .write_all(&line)
            .and_then(|()| self.file.sync_data())
            .map_err(|source| JournalError {
                action: "write",
                path: self.path.clone(),
                source,
            })
    }
}

/// The last run in the journal, unless it ended. Lines that cannot be read are passed over.
fn unfinished(text: &str) -> Option<Unfinished> {
    let mut last = None;
    for line in text
        .lines()
        .filter_map(|line| serde_json::from_str::<Line>(line).ok())
    {
        match line.entry {
            Entry::Begin { goal } => last = Some(Unfinished { goal, change: None }),
            Entry::Change { words, .. } => {
                if let Some(run) = &mut last {
                    run.change = Some(words);
                }
            }
            Entry::Failed { .. } => {}
            Entry::End => last = None,
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_run_that_was_cut_off_is_told_to_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lib/journal");
        let (mut journal, before) = Journal::begin(&path, "etcdadm init").unwrap();
        assert_eq!(before, None);
        journal
            .intend(
                "install",
                "write /x".into(),
                json!({"write-file": {"path": "/x"}}),
            )
            .unwrap();
        drop(journal);

        let cut = Unfinished {
            goal: "etcdadm init".into(),
            change: Some("write /x".into()),
        };
        // A torn last line hides nothing that came before it.
        fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b"{\"run\":\"1-")
            .unwrap();
        let (mut journal, before) = Journal::begin(&path, "etcdadm init").unwrap();
        assert_eq!(before, Some(cut));
        journal.end().unwrap();
        assert_eq!(Journal::begin(&path, "etcdadm init").unwrap().1, None);
    }
}
