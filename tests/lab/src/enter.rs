//! Bringing a program into a running host from outside, past ssh and network.
//!
//! Runs as `lab-host enter PID PROGRAM …`. util-linux's `nsenter` would do, but for one thing: it stops when its child is
//! stopped, and a host that shuts down stops all its processes before it kills them; the dead child of a stopped nsenter
//! would hold the shutdown up for the 90 s that systemd gives it.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use nix::sched::{CloneFlags, setns};

use crate::error::Error;
use crate::init;

/// Runs a program in the namespaces of a process, with no more rights than a host has, and returns its exit code (128 and
/// the signal's number when a signal ended it). When the caller is killed, so is the program.
pub(crate) fn run(pid: &str, argv: &[&str]) -> Result<ExitCode, Error> {
    // All opened before the first is entered: after it, /proc is another one. The mount namespace comes last, since it
    // changes the root.
    let spaces = [
        ("cgroup", CloneFlags::CLONE_NEWCGROUP),
        ("ipc", CloneFlags::CLONE_NEWIPC),
        ("uts", CloneFlags::CLONE_NEWUTS),
        ("net", CloneFlags::CLONE_NEWNET),
        ("pid", CloneFlags::CLONE_NEWPID),
        ("mnt", CloneFlags::CLONE_NEWNS),
    ];
    let mut open = Vec::new();
    for (name, flag) in spaces {
        let path = PathBuf::from(format!("/proc/{pid}/ns/{name}"));
        open.push((
            File::open(&path).map_err(Error::io("open", &path))?,
            name,
            flag,
        ));
    }
    for (file, name, flag) in open {
        setns(file, flag).map_err(Error::sys("setns", name))?;
    }
    let [program, args @ ..] = init::confined();
    let mut child = Command::new(program)
        .args(["--pdeathsig", "KILL"])
        .args(args)
        .args(["HOME=/root", "LANG=C.UTF-8"])
        .args(argv)
        .spawn()
        .map_err(|source| Error::Spawn {
            argv: argv.join(" "),
            source,
        })?;
    let status = child.wait().map_err(|source| Error::Spawn {
        argv: argv.join(" "),
        source,
    })?;
    let code = status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}
