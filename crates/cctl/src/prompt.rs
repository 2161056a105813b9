//! Asking the admin for a passphrase: at the terminal, unseen, never from an argument or the environment.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};

/// The passphrase of the key at `path`; `None` when there is no terminal.
pub(crate) fn passphrase(path: &Path) -> Option<String> {
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
