//! The lab: a private network with hosts on it.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::ChildStdin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::fcntl::Flock;

use crate::base::Base;
use crate::error::Error;
use crate::host::{Host, Power};
use crate::run::Run;
use crate::settings::{self, HostSpec, MOST_HOSTS, Settings, Site, Subnet};
use crate::{checkpoint, clear, disk, files, init, net, supervisor};

/// What a new lab is to be.
#[derive(Debug, Clone)]
pub struct LabConfig {
    /// Its name, 1 to 32 of a-z, 0-9 and -. At most one lab of a name stands on a machine.
    pub name: String,
    /// Its folder; made if it is not there, emptied of what an earlier lab left in it.
    pub dir: PathBuf,
    /// Its network. Labs do not see each other: all may have the same.
    pub net: Subnet,
    /// The root that its hosts share.
    pub base: Base,
    /// The program `lab-host`; by default [`crate::supervisor_path`].
    pub supervisor: Option<PathBuf>,
    /// A checkpoint ([`Lab::checkpoint`]) whose hosts it is to have, off, as they were.
    pub checkpoint: Option<PathBuf>,
}

impl LabConfig {
    /// A lab of this name in this folder, everything else as usual.
    pub fn new(name: impl Into<String>, dir: impl Into<PathBuf>, base: &Base) -> Self {
        Self {
            name: name.into(),
            dir: dir.into(),
            net: Subnet::default(),
            base: base.clone(),
            supervisor: None,
            checkpoint: None,
        }
    }
}

/// Whether hosts' disks go with the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wipe {
    /// Everything of the lab is removed.
    Yes,
    /// Its folder stays: [`Lab::attach`] finds the hosts again, off.
    No,
}

/// A lab. The one who made it takes it down when it is dropped, disks and all, unless [`Lab::keep`] was called; when its
/// process is killed, its hosts lose power and clean up behind themselves. With `LAB_KEEP_ON_FAILURE` in the environment, a
/// lab that is dropped by a panic is kept instead, to be looked at.
#[derive(Debug)]
pub struct Lab {
    shared: Arc<Shared>,
    /// Held by the maker of the lab, or by who takes it down.
    owner: Option<Flock<File>>,
    down: bool,
}

/// What a lab and the handles on its hosts have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) site: Site,
    /// Whether hosts end with this process.
    bound: AtomicBool,
    lifelines: Mutex<HashMap<String, ChildStdin>>,
    /// Held while the folder's list of hosts changes.
    adding: Mutex<()>,
}

impl Shared {
    fn new(site: Site, bound: bool) -> Arc<Self> {
        Arc::new(Self {
            site,
            bound: AtomicBool::new(bound),
            lifelines: Mutex::default(),
            adding: Mutex::default(),
        })
    }

    fn lifelines(&self) -> MutexGuard<'_, HashMap<String, ChildStdin>> {
        self.lifelines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wants_lifelines(&self) -> bool {
        self.bound.load(Ordering::SeqCst)
    }

    pub(crate) fn hold_lifeline(&self, host: &str, pipe: ChildStdin) {
        self.lifelines().insert(host.to_owned(), pipe);
    }

    pub(crate) fn drop_lifeline(&self, host: &str) {
        self.lifelines().remove(host);
    }

    /// See [`Lab::in_net`].
    pub(crate) fn in_net<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        let space = self.site.space();
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| net::enter(&space).map(|()| work()));
            worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Lab {
    /// Makes a lab without hosts (or with a checkpoint's), after taking away whatever an earlier lab of this name left
    /// behind when it was killed.
    ///
    /// # Errors
    /// A lab of this name is in use ([`Error::InUse`]) or was kept ([`Error::Standing`]); or it cannot be made.
    pub fn create(config: LabConfig) -> Result<Self, Error> {
        let dir = std::path::absolute(&config.dir).map_err(Error::io("find", &config.dir))?;
        settings::check_name(&config.name)?;
        settings::check_path("folder of the lab", &dir)?;
        settings::check_path("base", config.base.root())?;
        init::programs(config.base.root())?;
        let supervisor = match config.supervisor {
            Some(path) => path,
            None => supervisor::supervisor_path()?,
        };
        let owner = clear::own(&config.name)?;
        if let Some(standing) = clear::standing(&config.name, &dir) {
            return Err(Error::Standing {
                name: standing.settings.name,
                dir: standing.dir,
            });
        }
        // A lab of another name in this folder goes too, unless it lives.
        if let Some(other) = Site::load(&dir)
            .ok()
            .map(|site| site.settings.name)
            .filter(|name| *name != config.name)
        {
            let _dead = clear::own(&other)?;
            clear::leftovers(&other)?;
        }
        clear::leftovers(&config.name)?;
        files::make_dir(&dir)?;
        clear::folder(&dir)?;

        let site = Site {
            settings: Settings {
                name: config.name,
                net: config.net,
                base: config.base.root().to_path_buf(),
                supervisor,
                kept: false,
            },
            dir,
        };
        files::make_dir(&site.run_dir())?;
        clear::remember(&site)?;
        site.save()?;
        match &config.checkpoint {
            Some(from) => checkpoint::restore(from, &site)?,
            None => key(&site.key(), "lab")?,
        }
        net::up(&site)?;
        let lab = Self {
            shared: Shared::new(site, true),
            owner: Some(owner),
            down: false,
        };
        lab.write_known_hosts()?;
        Ok(lab)
    }

    /// Comes back to a lab that another process made, by its folder. Dropping it then leaves the lab alone; only
    /// [`Lab::down`] takes it down. After a reboot of the machine its hosts are off, their disks as they were.
    ///
    /// # Errors
    /// There is no lab in this folder.
    pub fn attach(dir: &Path) -> Result<Self, Error> {
        let dir = std::path::absolute(dir).map_err(Error::io("find", dir))?;
        let site = Site::load(&dir)?;
        files::make_dir(&site.run_dir())?;
        clear::remember(&site)?;
        net::up(&site)?;
        Ok(Self {
            shared: Shared::new(site, false),
            owner: None,
            down: false,
        })
    }

    fn site(&self) -> &Site {
        &self.shared.site
    }

    /// The lab's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.site().settings.name
    }

    /// Its folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.site().dir
    }

    /// Its network.
    #[must_use]
    pub fn net(&self) -> Subnet {
        self.site().settings.net
    }

    /// The machine's own address in the lab's network: what listens there (see [`Lab::in_net`]) is reached by all hosts.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.net().address(1)
    }

    /// The private key that `root` and `admin` of all hosts let in.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.site().key()
    }

    /// The hosts' public keys, for ssh's `UserKnownHostsFile`.
    #[must_use]
    pub fn known_hosts(&self) -> PathBuf {
        self.site().known_hosts()
    }

    /// The path of the lab's network namespace, for programs that enter it themselves.
    #[must_use]
    pub fn netns(&self) -> PathBuf {
        net::netns(&self.site().space())
    }

    // ---- hosts

    /// Makes host `hN`, off.
    ///
    /// # Errors
    /// There is one already, the number is not 1 to 32, or it cannot be made.
    pub fn add(&self, number: u8, spec: HostSpec) -> Result<Host, Error> {
        let name = format!("h{number}");
        if number == 0 || number > MOST_HOSTS {
            return Err(Error::Config {
                what: "host",
                value: name,
                rule: "must be h1 to h32",
            });
        }
        let dir = self.site().host_dir(&name);
        std::fs::create_dir(&dir).map_err(Error::io("make folder", &dir))?;
        settings::save(&dir.join("host.json"), &spec)?;
        disk::make(self.site(), &name, spec.disk)?;
        let uuid = Path::new("/proc/sys/kernel/random/uuid");
        files::write(
            &dir.join("machine-id"),
            files::read(uuid)?.replace('-', ""),
            0o644,
        )?;
        files::write(&dir.join("product_uuid"), files::read(uuid)?, 0o644)?;
        key(&dir.join("ssh_host_ed25519_key"), &name)?;
        self.write_known_hosts()?;
        Ok(Host::new(Arc::clone(&self.shared), name))
    }

    /// Takes a host away, disk and all, and makes another in its place, off: it has the same name, address and measures, and
    /// nothing else of it.
    ///
    /// # Errors
    /// The old one does not end, or the new one cannot be made.
    pub fn replace(&self, host: &Host) -> Result<Host, Error> {
        let spec = host.spec()?;
        host.power_loss()?;
        files::remove_tree(&self.site().host_dir(host.name()))?;
        let number = settings::number(host.name()).expect("a host of this lab");
        self.add(number, spec)
    }

    /// Makes hosts `h1` to `hN`, boots them side by side and waits until all answer on ssh.
    ///
    /// # Errors
    /// The first error of any of them.
    pub fn up(&self, count: u8, spec: HostSpec) -> Result<Vec<Host>, Error> {
        side_by_side((1..=count).collect(), |number| {
            let host = self.add(number, spec)?;
            host.boot()?;
            host.wait_ssh()?;
            Ok(host)
        })
    }

    /// Boots all hosts that are off, side by side, and waits until all answer on ssh.
    ///
    /// # Errors
    /// The first error of any of them.
    pub fn boot_all(&self) -> Result<Vec<Host>, Error> {
        side_by_side(self.hosts()?, |host| {
            if host.power()? == Power::Off {
                host.boot()?;
            }
            host.wait_ssh()?;
            Ok(host)
        })
    }

    /// Shuts all hosts down in order, side by side.
    ///
    /// # Errors
    /// The first error of any of them.
    pub fn stop_all(&self) -> Result<(), Error> {
        side_by_side(self.hosts()?, |host| host.stop()).map(drop)
    }

    /// The host of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn host(&self, name: &str) -> Result<Host, Error> {
        if settings::number(name).is_some() && self.site().host_dir(name).is_dir() {
            return Ok(Host::new(Arc::clone(&self.shared), name.to_owned()));
        }
        Err(Error::NoHost {
            lab: self.name().to_owned(),
            host: name.to_owned(),
        })
    }

    /// All hosts, by number.
    ///
    /// # Errors
    /// The lab's folder cannot be read.
    pub fn hosts(&self) -> Result<Vec<Host>, Error> {
        let names = self.site().host_names()?;
        Ok(names
            .into_iter()
            .map(|name| Host::new(Arc::clone(&self.shared), name))
            .collect())
    }

    fn write_known_hosts(&self) -> Result<(), Error> {
        let _alone = self
            .shared
            .adding
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut lines = String::new();
        for host in self.site().host_names()? {
            // One that is being made just now has none yet, and comes here itself.
            if let Ok(key) = std::fs::read_to_string(
                self.site().host_dir(&host).join("ssh_host_ed25519_key.pub"),
            ) {
                lines += &format!("{} {key}", self.site().host_address(&host));
            }
        }
        files::replace(&self.known_hosts(), lines, 0o644)
    }

    // ---- network

    /// Runs a closure on a thread in the lab's network: it reaches the hosts, they reach what it listens on, and what it
    /// spawns is there too. It does not reach the machine's own network.
    ///
    /// # Errors
    /// The lab's network is gone.
    ///
    /// # Panics
    /// When the closure does.
    pub fn in_net<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        self.shared.in_net(work)
    }

    /// A program of this machine in the lab's network.
    pub fn run<'a>(&self, argv: impl IntoIterator<Item = &'a str>) -> Run {
        net::within(&self.site().space(), argv)
    }

    /// The same as a bare command, for a caller with wishes of its own.
    #[must_use]
    pub fn command(&self, program: &str) -> std::process::Command {
        self.run([program]).command()
    }

    /// Makes two hosts deaf for each other; all others still hear both. Programs on the hosts cannot undo it.
    ///
    /// # Errors
    /// The switch does not take the rule.
    pub fn cut_between(&self, one: &Host, other: &Host) -> Result<(), Error> {
        net::cut_between(self.site(), one.name(), other.name(), true)
    }

    /// Undoes [`Lab::cut_between`].
    ///
    /// # Errors
    /// The switch does not take the rule.
    pub fn mend_between(&self, one: &Host, other: &Host) -> Result<(), Error> {
        net::cut_between(self.site(), one.name(), other.name(), false)
    }

    // ---- the lab's life

    /// Saves all hosts, which must be off, into a new folder, from which labs can be made with the same hosts: the same
    /// addresses, keys and disks ([`LabConfig::checkpoint`]). It is written beside and moved there when it is whole.
    ///
    /// # Errors
    /// A host is on, the folder is there, or the copy fails.
    pub fn checkpoint(&self, to: &Path) -> Result<(), Error> {
        for host in self.hosts()? {
            if host.power()? != Power::Off {
                return Err(Error::On {
                    host: host.name().to_owned(),
                });
            }
        }
        checkpoint::save(self.site(), to)
    }

    /// Leaves the lab standing when this process ends, until somebody attaches to it and takes it down.
    ///
    /// # Errors
    /// It cannot be remembered.
    pub fn keep(&self) -> Result<(), Error> {
        let mut site = self.site().clone();
        site.settings.kept = true;
        site.save()?;
        self.shared.bound.store(false, Ordering::SeqCst);
        for (_, mut lifeline) in self.shared.lifelines().drain() {
            // A supervisor that ended meanwhile has nothing to keep.
            drop(lifeline.write_all(b"k"));
        }
        Ok(())
    }

    /// Takes the lab down: all hosts lose power, network and cgroups go.
    ///
    /// # Errors
    /// Somebody else uses it, or something cannot be taken away.
    pub fn down(mut self, wipe: Wipe) -> Result<(), Error> {
        self.take_down(wipe)
    }

    fn take_down(&mut self, wipe: Wipe) -> Result<(), Error> {
        self.down = true;
        if self.owner.is_none() {
            self.owner = Some(clear::own(self.name())?);
        }
        // Each host cleans up behind itself; what does not is cleared away with the rest.
        let hosts = side_by_side(self.hosts()?, |host| host.power_loss());
        clear::leftovers(self.name())?;
        if wipe == Wipe::Yes {
            clear::folder(self.dir())?;
            // Unless something else lies in it.
            drop(std::fs::remove_dir(self.dir()));
        }
        hosts.map(drop)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.owner.is_none() || self.down || !self.shared.wants_lifelines() {
            return;
        }
        let asked = std::env::var_os("LAB_KEEP_ON_FAILURE").is_some_and(|set| !set.is_empty());
        let (what, result) = if std::thread::panicking() && asked {
            (format!("kept in {}", self.dir().display()), self.keep())
        } else {
            ("taken down".to_owned(), self.take_down(Wipe::Yes))
        };
        match result {
            Err(error) => drop(writeln!(std::io::stderr(), "lab {}: {error}", self.name())),
            Ok(()) if asked => drop(writeln!(std::io::stderr(), "lab {}: {what}", self.name())),
            Ok(()) => {}
        }
    }
}

/// Does one thing to many hosts at once; all come to their end, then the first error counts.
fn side_by_side<I: Send, T: Send>(
    items: Vec<I>,
    work: impl Fn(I) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = items
            .into_iter()
            .map(|item| scope.spawn(move || work(item)))
            .collect();
        let ended: Vec<_> = threads
            .into_iter()
            .map(|t| {
                t.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect();
        ended.into_iter().collect()
    })
}

/// Makes an ed25519 key pair; ssh-keygen makes its file 0600.
fn key(path: &Path, comment: &str) -> Result<(), Error> {
    Run::here([
        "ssh-keygen",
        "-q",
        "-t",
        "ed25519",
        "-N",
        "",
        "-C",
        comment,
        "-f",
    ])
    .args([path])
    .check()
    .map(drop)
}
