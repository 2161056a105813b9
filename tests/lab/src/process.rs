//! Processes that outlive the one which started them: found again by number and start time.

use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// A process: a number alone may have become somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// In clock ticks since the machine's boot.
    start: u64,
}

impl Process {
    /// The process with this number now; `None` if there is none.
    pub(crate) fn find(pid: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (state, start) = parse_stat(&stat)?;
        (state != 'Z' && state != 'X').then_some(Self { pid, start })
    }

    /// Whether it still runs.
    pub(crate) fn lives(self) -> bool {
        Self::find(self.pid) == Some(self)
    }

    /// Sends it a signal if it still runs.
    pub(crate) fn signal(self, signal: Signal) -> Result<(), Error> {
        if !self.lives() {
            return Ok(());
        }
        kill_pid(self.pid, signal)
    }
}

pub(crate) fn kill_pid(pid: i32, signal: Signal) -> Result<(), Error> {
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(source) => Err(Error::Sys {
            call: "kill",
            target: format!("process {pid}"),
            source,
        }),
    }
}

/// State and start time out of `/proc/PID/stat`. The second field is the program's name, in brackets, and may hold anything.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let rest = &stat[stat.rfind(')')? + 1..];
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    // Start time is field 22 of the whole; state was field 3.
    Some((state, fields.nth(18)?.parse().ok()?))
}

/// The processes that a `cgroup.procs` file names; none if it is gone.
pub(crate) fn pids_in(procs: &Path) -> Vec<i32> {
    let text = std::fs::read_to_string(procs).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.parse().ok())
        .filter(|pid| *pid > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_more_than_its_number() {
        let me = Process::find(std::process::id() as i32).unwrap();
        assert!(me.lives());
        assert!(
            !Process {
                start: me.start + 1,
                ..me
            }
            .lives()
        );
        let stat = "7 (a) b) R 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 3 4 5";
        assert_eq!(parse_stat(stat), Some(('R', 4711)));
    }
}
