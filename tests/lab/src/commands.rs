//! Commands on a host, and files to and from it.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::Error;
use crate::files;
use crate::host::Host;
use crate::net;
use crate::run::{Run, quote};

impl Host {
    /// A command on the host as root, over ssh: the words reach the program as they are.
    pub fn exec<'a>(&self, argv: impl IntoIterator<Item = &'a str>) -> Run {
        self.exec_as("root", argv)
    }

    /// A command on the host over ssh as `root` or `admin` (who may use sudo without a password).
    pub fn exec_as<'a>(&self, user: &str, argv: impl IntoIterator<Item = &'a str>) -> Run {
        let line = argv.into_iter().map(quote).collect::<Vec<_>>().join(" ");
        self.ssh(user).args(["--", &line]).named(&self.name, line)
    }

    /// An ssh client for a person: a terminal on the host, to be given the caller's own streams.
    #[must_use]
    pub fn shell(&self, user: &str) -> Command {
        self.ssh(user).command()
    }

    fn ssh(&self, user: &str) -> Run {
        let site = &self.shared.site;
        let known = format!("UserKnownHostsFile={}", site.known_hosts().display());
        let destination = format!("{user}@{}", self.address());
        let key = site.key();
        let mut argv = vec!["ssh", "-F", "none", "-i"];
        let key = key.to_string_lossy();
        argv.push(&key);
        for option in [
            "IdentitiesOnly=yes",
            "BatchMode=yes",
            "StrictHostKeyChecking=yes",
            "GlobalKnownHostsFile=/dev/null",
            &known,
            "LogLevel=ERROR",
            "ConnectTimeout=5",
            "ServerAliveInterval=2",
            "ServerAliveCountMax=3",
        ] {
            argv.extend(["-o", option]);
        }
        argv.push(&destination);
        net::within(&site.space(), argv)
    }

    /// A command on the host as root, past ssh and network: for looking on, also when the host is cut off. The command is
    /// not in the host's cgroup; it neither freezes with it nor counts for its limits, but dies with it. (One that runs while
    /// the host shuts down makes systemd wait up to 10 s: it hears of the ends of its own children only.)
    ///
    /// # Errors
    /// The host is off.
    pub fn nsexec<'a>(&self, argv: impl IntoIterator<Item = &'a str>) -> Result<Run, Error> {
        let argv: Vec<&str> = argv.into_iter().collect();
        let shown = argv
            .iter()
            .map(|word| quote(word))
            .collect::<Vec<_>>()
            .join(" ");
        let pid = self.init()?.pid.to_string();
        let program = &self.shared.site.settings.supervisor;
        Ok(Run::here([program.as_os_str()])
            .args(["enter", &pid])
            .args(argv)
            .named(&self.name, shown))
    }

    // ---- files; past ssh, so that the network's state does not matter

    /// Copies a file to the host, with this mode, owned by root. Folders above it are made.
    ///
    /// # Errors
    /// The host is off, or either file cannot be had.
    pub fn put(&self, local: &Path, remote: &str, mode: u32) -> Result<(), Error> {
        self.install(remote, mode)?
            .stdin_file(local)
            .check()
            .map(drop)
    }

    /// Writes a file on the host, with this mode, owned by root. Folders above it are made.
    ///
    /// # Errors
    /// The host is off, or the file cannot be written.
    pub fn write(&self, remote: &str, bytes: impl Into<Vec<u8>>, mode: u32) -> Result<(), Error> {
        self.install(remote, mode)?.stdin(bytes).check().map(drop)
    }

    fn install(&self, remote: &str, mode: u32) -> Result<Run, Error> {
        let mode = format!("{mode:04o}");
        self.nsexec(["install", "-D", "-T", "-m", &mode, "/dev/stdin", remote])
    }

    /// Copies a file from the host.
    ///
    /// # Errors
    /// The host is off, or either file cannot be had.
    pub fn get(&self, remote: &str, local: &Path) -> Result<(), Error> {
        self.nsexec(["cat", "--", remote])?
            .stdout_file(local)
            .check()
            .map(drop)
    }

    /// Reads a text file on the host.
    ///
    /// # Errors
    /// The host is off, or has no such file.
    pub fn read(&self, remote: &str) -> Result<String, Error> {
        let output = self.nsexec(["cat", "--", remote])?.check()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Copies a folder's contents into a folder on the host, modes and links as they are, owned by root.
    ///
    /// # Errors
    /// The host is off, or one of the folders cannot be had.
    pub fn put_tree(&self, local: &Path, remote: &str) -> Result<(), Error> {
        self.nsexec(["mkdir", "-p", "--", remote])?.check()?;
        let pack = Run::here([
            "tar",
            "-cf",
            "-",
            "--owner=0",
            "--group=0",
            "--numeric-owner",
            "-C",
        ])
        .args([local])
        .args(["."]);
        let packed = spawn_quiet(&pack)?;
        self.nsexec(["tar", "-xpf", "-", "-C", remote])?
            .stdin_child(packed)
            .check()
            .map(drop)
    }

    /// Copies the contents of a folder on the host into a folder here.
    ///
    /// # Errors
    /// The host is off, or one of the folders cannot be had.
    pub fn get_tree(&self, remote: &str, local: &Path) -> Result<(), Error> {
        files::make_dir(local)?;
        let packed = spawn_quiet(&self.nsexec(["tar", "-cf", "-", "-C", remote, "."])?)?;
        Run::here(["tar", "-xpf", "-", "-C"])
            .args([local])
            .stdin_child(packed)
            .check()
            .map(drop)
    }
}

/// Starts a program whose standard output is another one's input.
fn spawn_quiet(run: &Run) -> Result<std::process::Child, Error> {
    let mut command = run.command();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command.spawn().map_err(|source| Error::Spawn {
        argv: run.shown().to_owned(),
        source,
    })
}
