//! One host: its power, network and disk. Commands and files are in `commands`.

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::error::Error;
use crate::lab::Shared;
use crate::run::{Run, tail};
use crate::settings::{self, HostSpec};
use crate::supervise::{Status, lock_file, off_mark, status_file};
use crate::wait::{patience, wait_until};
use crate::{cgroup, disk, files, net};

/// How long a boot may take until sshd answers. Machines that compile at the same time are slow.
const BOOT: Duration = Duration::from_secs(60);
/// How long an orderly shutdown may take; systemd itself gives a service 90 s.
const SHUTDOWN: Duration = Duration::from_secs(120);

/// A handle on one host of a lab; copies of it are handles on the same host.
#[derive(Debug, Clone)]
pub struct Host {
    pub(crate) shared: Arc<Shared>,
    pub(crate) name: String,
}

/// Whether a host is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// No process of it runs.
    Off,
    /// Somebody looks after it, but its systemd does not run yet, or not any more.
    Changing,
    /// Its systemd runs.
    On,
}

impl Host {
    pub(crate) fn new(shared: Arc<Shared>, name: String) -> Self {
        Self { shared, name }
    }

    /// Its name, `h1` to `h32`, which is its host name too.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address: 10 and its number in the lab's network.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.shared.site.host_address(&self.name)
    }

    /// What it is made of.
    ///
    /// # Errors
    /// Its folder cannot be read.
    pub fn spec(&self) -> Result<HostSpec, Error> {
        self.shared.site.host_spec(&self.name)
    }

    /// What its processes wrote where a screen would be.
    #[must_use]
    pub fn console(&self) -> String {
        std::fs::read(self.console_file())
            .map(|text| String::from_utf8_lossy(&text).into_owned())
            .unwrap_or_default()
    }

    fn console_file(&self) -> PathBuf {
        self.shared.site.host_dir(&self.name).join("console.log")
    }

    // ---- power

    /// Whether it is on.
    ///
    /// # Errors
    /// The lab's folders cannot be read.
    pub fn power(&self) -> Result<Power, Error> {
        if files::try_lock(&lock_file(&self.shared.site, &self.name))?.is_some() {
            return Ok(Power::Off);
        }
        Ok(match self.status() {
            Some(Status {
                init: Some(init), ..
            }) if init.lives() => Power::On,
            _ => Power::Changing,
        })
    }

    fn status(&self) -> Option<Status> {
        settings::load(&status_file(&self.shared.site, &self.name)).ok()
    }

    /// Its process 1, as the machine numbers it.
    pub(crate) fn init(&self) -> Result<crate::process::Process, Error> {
        let off = || Error::Off {
            host: self.name.clone(),
        };
        self.status()
            .and_then(|status| status.init)
            .filter(|init| init.lives())
            .ok_or_else(off)
    }

    /// Switches it on and returns when its systemd has started; see [`Host::wait_ssh`].
    ///
    /// # Errors
    /// It is on, or it does not start.
    pub fn boot(&self) -> Result<(), Error> {
        let site = &self.shared.site;
        if self.power()? != Power::Off {
            return Err(Error::On {
                host: self.name.clone(),
            });
        }
        net::up(site)?;
        files::remove(&off_mark(site, &self.name))?;
        files::remove(&status_file(site, &self.name))?;
        let console = self.console_file();
        let log = File::options()
            .create(true)
            .append(true)
            .open(&console)
            .map_err(Error::io("open", &console))?;
        let lifeline = self.shared.wants_lifelines();
        let mut command = Command::new(&site.settings.supervisor);
        command
            .arg("supervise")
            .arg(&site.dir)
            .arg(&self.name)
            .current_dir("/")
            .stdout(Stdio::null())
            .stderr(log);
        if lifeline {
            command.arg("--lifeline").stdin(Stdio::piped());
        } else {
            command.stdin(Stdio::null());
        }
        let argv = || format!("{} supervise", site.settings.supervisor.display());
        let mut child = command.spawn().map_err(|source| Error::Spawn {
            argv: argv(),
            source,
        })?;
        if let Some(pipe) = child.stdin.take() {
            self.shared.hold_lifeline(&self.name, pipe);
        }
        let started = wait_until(&format!("{} starts", self.name), BOOT, || {
            if child
                .try_wait()
                .map_err(|source| Error::Spawn {
                    argv: argv(),
                    source,
                })?
                .is_some()
            {
                return Err(Error::Boot {
                    host: self.name.clone(),
                    console: tail(self.console().trim_end(), 1000),
                });
            }
            Ok(self.status().is_some_and(|status| status.init.is_some()))
        });
        // Somebody has to take note of its end.
        std::thread::spawn(move || drop(child.wait()));
        started
    }

    /// Waits until its sshd answers.
    ///
    /// # Errors
    /// It does not in time.
    pub fn wait_ssh(&self) -> Result<(), Error> {
        let to = SocketAddr::new(IpAddr::V4(self.address()), 22);
        let what = format!("{}'s sshd answers", self.name);
        self.shared
            .in_net(|| wait_until(&what, BOOT, || Ok(greets(to))))?
    }

    /// Pulls the plug: every process ends at once. On a disk image, what was not synced is lost.
    ///
    /// # Errors
    /// The host does not end, or something of it stays.
    pub fn power_loss(&self) -> Result<(), Error> {
        let site = &self.shared.site;
        self.do_not_boot_again()?;
        wait_until(&format!("{} is off or on", self.name), BOOT, || {
            Ok(self.power()? != Power::Changing)
        })?;
        if let Some(Status {
            init: Some(init),
            supervisor,
            ..
        }) = self.status()
        {
            if disk::image(site, &self.name).exists() && init.lives() {
                disk::fail(site, &self.name, supervisor.pid)?;
            }
            init.signal(Signal::SIGKILL)?;
            // The frozen hear no signal.
            drop(self.thaw());
        }
        self.wait_off()
    }

    /// Shuts it down in order, as its power button would.
    ///
    /// # Errors
    /// It does not end in time; then it is still on.
    pub fn stop(&self) -> Result<(), Error> {
        self.do_not_boot_again()?;
        let Ok(init) = self.init() else {
            return self.wait_off();
        };
        // systemd's signal for poweroff.target.
        Run::here(["kill", "-s", "RTMIN+4", &init.pid.to_string()]).check()?;
        self.wait_off()
    }

    /// Reboots it in order and waits until its sshd answers again.
    ///
    /// # Errors
    /// It is off, or does not come back.
    pub fn reboot(&self) -> Result<(), Error> {
        let before = self.init()?;
        // systemd's signal for reboot.target.
        Run::here(["kill", "-s", "RTMIN+5", &before.pid.to_string()]).check()?;
        self.wait_rebooted(before)?;
        self.wait_ssh()
    }

    fn wait_rebooted(&self, before: crate::process::Process) -> Result<(), Error> {
        wait_until(&format!("{} boots again", self.name), SHUTDOWN, || {
            if self.power()? == Power::Off {
                return Err(Error::Boot {
                    host: self.name.clone(),
                    console: tail(self.console().trim_end(), 1000),
                });
            }
            Ok(self.init().is_ok_and(|now| now != before))
        })
    }

    fn do_not_boot_again(&self) -> Result<(), Error> {
        files::write(&off_mark(&self.shared.site, &self.name), "", 0o600)
    }

    /// Waits until nothing of the host is left but its disk.
    fn wait_off(&self) -> Result<(), Error> {
        wait_until(&format!("{} is off", self.name), SHUTDOWN, || {
            Ok(self.power()? == Power::Off)
        })?;
        self.shared.drop_lifeline(&self.name);
        if cgroup::exists(&self.shared.site.space(), &self.name)? {
            // Its supervisor was killed, and could not clean up.
            cgroup::kill_all(&self.shared.site.space(), Some(&self.name))?;
            net::unplug(&self.shared.site, &self.name)?;
            cgroup::remove(&self.shared.site.space(), Some(&self.name))?;
        }
        disk::released(&disk::image(&self.shared.site, &self.name))
    }

    /// Makes it hang: no process of it runs on, though its kernel still takes connections.
    ///
    /// # Errors
    /// It is off, or cannot be frozen.
    pub fn freeze(&self) -> Result<(), Error> {
        self.init()?;
        cgroup::freeze(&self.shared.site.space(), &self.name, true)
    }

    /// Ends the hang.
    ///
    /// # Errors
    /// It is off, or cannot be thawed.
    pub fn thaw(&self) -> Result<(), Error> {
        cgroup::freeze(&self.shared.site.space(), &self.name, false)
    }

    /// What its kernel says which boot this is.
    ///
    /// # Errors
    /// The host is off.
    pub fn boot_id(&self) -> Result<String, Error> {
        // Without a process on the host: people ask for this while it shuts down, and systemd would wait for the process.
        let off = || Error::Off {
            host: self.name.clone(),
        };
        let file = format!(
            "/proc/{}/root/proc/sys/kernel/random/boot_id",
            self.init()?.pid
        );
        // It is gone when the host is, at any moment.
        std::fs::read_to_string(file)
            .map(|id| id.trim_end().to_owned())
            .map_err(|_| off())
    }

    // ---- network and disk

    /// Pulls its network cable; it stays out over a reboot.
    ///
    /// # Errors
    /// The link cannot be set.
    pub fn cut(&self) -> Result<(), Error> {
        net::cut(&self.shared.site, &self.name, true)
    }

    /// Plugs its network cable in again.
    ///
    /// # Errors
    /// The link cannot be set.
    pub fn mend(&self) -> Result<(), Error> {
        net::cut(&self.shared.site, &self.name, false)
    }

    /// Makes its disk fail: from now on, everything that needs it gets an I/O error, until the host has lost power and is
    /// booted again. What was not synced is lost.
    ///
    /// # Errors
    /// It is off, or its disk is a folder.
    pub fn fail_disk(&self) -> Result<(), Error> {
        self.init()?;
        let supervisor = self
            .status()
            .ok_or_else(|| Error::Off {
                host: self.name.clone(),
            })?
            .supervisor;
        disk::fail(&self.shared.site, &self.name, supervisor.pid)
    }
}

/// Whether an ssh server greets us there.
fn greets(to: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&to, Duration::from_secs(1) * patience())
    else {
        return false;
    };
    let mut line = [0; 4];
    stream
        .set_read_timeout(Some(Duration::from_secs(2) * patience()))
        .is_ok()
        && stream.read_exact(&mut line).is_ok()
        && &line == b"SSH-"
}
