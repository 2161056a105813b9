//! Asking the admin for a passphrase: at the terminal, unseen, never from an argument or the environment; once a key in a run,
//! however often that is used.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};

/// What was typed in this run.
static TYPED: Mutex<Vec<(PathBuf, api::Secret)>> = Mutex::new(Vec::new());

/// The passphrase of the key at `path`; `None` when there is no terminal.
pub(crate) fn passphrase(path: &Path) -> Option<String> {
    // Held while it is asked: hosts are worked on at once, and one question is enough.
    let mut typed = TYPED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, known)) = typed.iter().find(|(known, _)| known == path) {
        return Some(known.reveal().to_owned());
    }
    let line = ask(path)?;
    typed.push((path.to_owned(), api::Secret::new(line.as_str())));
    Some(line)
}

fn ask(path: &Path) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the terminal is no file that could be lost"
    )]
    let mut terminal = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/tty")
        .ok()?;
    let before = tcgetattr(&terminal).ok()?;
    let mut unseen = before.clone();
    unseen.local_flags.remove(LocalFlags::ECHO);
    write!(terminal, "Passphrase of {}: ", path.display()).ok()?;
    tcsetattr(&terminal, SetArg::TCSAFLUSH, &unseen).ok()?;
    let mut line = String::new();
    let read = BufReader::new(&terminal).read_line(&mut line);
    let _ = tcsetattr(&terminal, SetArg::TCSAFLUSH, &before);
    let _ = writeln!(terminal);
    read.ok().filter(|bytes| *bytes > 0)?;
    Some(line.trim_end_matches(['\n', '\r']).to_owned())
}
