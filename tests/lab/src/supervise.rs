//! The process that watches over one host: boots it, boots it again when it reboots, cleans up behind it.
//!
//! It is a program of its own, `lab-host`, because it must outlive the process that started it, and because making a pid
//! namespace takes a process without other threads' business. Its lifeline is a pipe from the lab's maker: when that ends
//! without having said that the lab is kept, the host loses power and everything is cleaned away.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::process::{self, Process};
use crate::settings::{self, Site};
use crate::wait::wait_until;
use crate::{cgroup, disk, enter, files, init, net};

/// What a supervisor tells about its host, in the lab's folder under `/run`; gone when the host is off.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) supervisor: Process,
    /// The host's process 1 as the machine numbers it; none while it boots.
    pub(crate) init: Option<Process>,
    /// Counts the boots since power was switched on.
    pub(crate) boot: u32,
}

/// Where the status is.
pub(crate) fn status_file(site: &Site, host: &str) -> PathBuf {
    site.run_dir().join(format!("{host}.json"))
}

/// Locked as long as a supervisor looks after the host.
pub(crate) fn lock_file(site: &Site, host: &str) -> PathBuf {
    site.run_dir().join(format!("{host}.lock"))
}

/// There when the host is not to be booted again, whatever it asks for.
pub(crate) fn off_mark(site: &Site, host: &str) -> PathBuf {
    site.run_dir().join(format!("{host}.off"))
}

/// The whole of the program `lab-host`.
#[must_use]
pub fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args.as_slice() {
        ["supervise", dir, host, rest @ ..] => {
            supervise(Path::new(dir), host, rest.contains(&"--lifeline"))
                .map(|()| ExitCode::SUCCESS)
        }
        ["init", dir, host] => boot(Path::new(dir), host).map(|()| ExitCode::SUCCESS),
        ["enter", pid, argv @ ..] if !argv.is_empty() => enter::run(pid, argv),
        _ => {
            let usage =
                "lab-host is started by the lab: lab-host supervise FOLDER HOST [--lifeline]";
            drop(writeln!(std::io::stderr(), "{usage}"));
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "{}", chain(&error)));
            ExitCode::FAILURE
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// `lab-host init`: says on standard output what went wrong, or nothing at all, and closes it, when systemd has started.
fn boot(dir: &Path, host: &str) -> Result<(), Error> {
    let ready = std::io::stdout()
        .as_fd()
        .try_clone_to_owned() // closed by the exec
        .map_err(Error::io("duplicate", Path::new("standard output")))?;
    // From here on standard output is the console.
    nix::unistd::dup2_stdout(std::io::stderr()).map_err(Error::sys("dup2", "standard output"))?;
    let error = match Site::load(dir).and_then(|site| init::become_host(&site, host)) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    drop(File::from(ready).write_all(chain(&error).as_bytes()));
    Err(error)
}

fn supervise(dir: &Path, host: &str, lifeline: bool) -> Result<(), Error> {
    // Away from the terminal and its signals. It fails for a session's leader, who is away already.
    let _ = nix::unistd::setsid();
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    let site = Site::load(dir)?;
    files::make_dir(&site.run_dir())?;
    // Whoever asks for the host's power holds the lock for a moment.
    let mut running = None;
    wait_until(
        &format!("{host} is free to be looked after"),
        Duration::from_secs(2),
        || {
            running = files::try_lock(&lock_file(&site, host))?;
            Ok(running.is_some())
        },
    )?;
    let me = Process::find(std::process::id().cast_signed()).ok_or(Error::Sys {
        call: "read",
        target: "/proc".to_owned(),
        source: nix::errno::Errno::ESRCH,
    })?;
    let orphan = Orphan::default();
    if lifeline {
        // Before the pid namespace: a process whose children go to another one cannot have more threads.
        orphan.watch();
    }
    let own = Path::new("/proc/self/ns/mnt");
    let mounts = File::open(own).map_err(Error::io("open", own))?;
    unshare(CloneFlags::CLONE_NEWNS).map_err(Error::sys("unshare", host))?;
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_PRIVATE | MsFlags::MS_REC,
        None::<&str>,
    )
    .map_err(Error::sys("mount --make-rprivate", "/"))?;

    let mut status = Status {
        supervisor: me,
        init: None,
        boot: 0,
    };
    let result = loop {
        let ended = run_once(&site, host, &mut status, &orphan);
        drop(files::remove(&status_file(&site, host)));
        // What this boot had, whichever way it ended.
        let cleaned = clean(&site, host);
        match (ended, cleaned) {
            (Ok(ended), Ok(())) => {
                // reboot(2) ends a pid namespace's first process by SIGHUP; power off by SIGINT.
                let again = ended.signal() == Some(Signal::SIGHUP as i32);
                if !again || orphan.is() || off_mark(&site, host).exists() {
                    break Ok(());
                }
            }
            (Err(error), _) | (_, Err(error)) => break Err(error),
        }
    };
    if orphan.is() {
        // The network's names are mounts of the machine's; a copy of them keeps what is taken away from being deleted.
        setns(mounts, CloneFlags::CLONE_NEWNS)
            .map_err(Error::sys("setns", "the machine's mounts"))?;
        last_one_out(&site)?;
    }
    result
}

/// One boot, to its end.
fn run_once(
    site: &Site,
    host: &str,
    status: &mut Status,
    orphan: &Orphan,
) -> Result<ExitStatus, Error> {
    status.boot += 1;
    status.init = None;
    let file = status_file(site, host);
    settings::save(&file, status)?;
    let spec = site.host_spec(host)?;
    cgroup::kill_all(&site.space(), Some(host))?;
    net::plug(site, host)?;
    cgroup::make(&site.space(), host, &spec)?;
    disk::mount(site, host)?;

    let mut child = first_process(site, host)?;
    let pid = child.id().cast_signed();
    orphan.kill_when_orphaned(pid);
    let mut said = String::new();
    if let Some(mut pipe) = child.stdout.take() {
        drop(pipe.read_to_string(&mut said));
    }
    status.init = Process::find(pid);
    if said.is_empty() && status.init.is_some() {
        settings::save(&file, status)?;
    }
    let ended = child.wait().map_err(|source| Error::Spawn {
        argv: format!("{host}'s first process"),
        source,
    })?;
    orphan.kill_when_orphaned(0);
    if said.is_empty() {
        Ok(ended)
    } else {
        Err(Error::Boot {
            host: host.to_owned(),
            console: said,
        })
    }
}

/// Starts `lab-host init` as the first process of a new pid namespace.
fn first_process(site: &Site, host: &str) -> Result<Child, Error> {
    let program =
        std::env::current_exe().map_err(Error::io("find", Path::new("/proc/self/exe")))?;
    let own = Path::new("/proc/self/ns/pid");
    let back = File::open(own).map_err(Error::io("open", own))?;
    unshare(CloneFlags::CLONE_NEWPID).map_err(Error::sys("unshare", host))?;
    let child = Command::new(&program)
        .arg("init")
        .arg(&site.dir)
        .arg(host)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|source| Error::Spawn {
            argv: format!("{} init", program.display()),
            source,
        });
    // The next children are the machine's again: a second boot needs a namespace of its own.
    setns(back, CloneFlags::CLONE_NEWPID)
        .map_err(Error::sys("setns", "the machine's pid namespace"))?;
    child
}

/// Takes away all that a boot made but the disk's contents.
fn clean(site: &Site, host: &str) -> Result<(), Error> {
    // Whoever came in from outside (nsenter) is not in the host's group, but those it has started by now may be.
    cgroup::kill_all(&site.space(), Some(host))?;
    let disk = disk::unmount(site, host);
    let net = net::unplug(site, host);
    cgroup::remove(&site.space(), Some(host))?;
    disk.and(net)
}

/// The maker is gone and nobody else will take the switch away: the last of the lab's supervisors does.
fn last_one_out(site: &Site) -> Result<(), Error> {
    let _one_at_a_time = files::lock(&site.run_dir().join("last"))?;
    for name in files::names(&site.run_dir())? {
        if name.ends_with(".json") {
            return Ok(());
        }
    }
    cgroup::remove(&site.space(), None)?;
    net::remove(&site.space())
}

/// Whether the lab's maker is gone, and who is to die of it.
#[derive(Clone, Default)]
struct Orphan {
    orphaned: Arc<AtomicBool>,
    init: Arc<AtomicI32>,
}

impl Orphan {
    fn is(&self) -> bool {
        self.orphaned.load(Ordering::SeqCst)
    }

    /// Watches standard input: a byte says that the lab is kept; its end without one, that the maker is gone.
    fn watch(&self) {
        let me = self.clone();
        std::thread::spawn(move || {
            if matches!(std::io::stdin().read(&mut [0]), Ok(1..)) {
                return;
            }
            me.orphaned.store(true, Ordering::SeqCst);
            me.end(me.init.load(Ordering::SeqCst));
        });
    }

    fn kill_when_orphaned(&self, pid: i32) {
        self.init.store(pid, Ordering::SeqCst);
        if self.is() {
            self.end(pid);
        }
    }

    fn end(&self, pid: i32) {
        if pid > 0 {
            // Not yet waited for, so the number is still the host's.
            drop(process::kill_pid(pid, Signal::SIGKILL));
        }
    }
}
