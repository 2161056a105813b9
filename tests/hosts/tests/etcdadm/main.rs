//! etcdadm alone, on whole hosts: clusters that grow and shrink, runs that are cut off, bad input, and what a reset leaves.
//!
//! No `cctl` takes part: what is typed here is what an admin types on the hosts.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test: it says how long things took, and ends where they go wrong"
)]

mod begun;
mod changed;
mod failed_writes;
mod growth;
mod ipv6;
mod kept;
mod killed;
mod pods;
mod recovered;
mod refused;
mod removed;
mod rotated;
mod scheduled;
mod strace;
mod struck;
mod three;
mod upgraded;

use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use hosts::{Equipment, Members};
use lab::{Base, Host, HostSpec, Lab, LabConfig};

/// The newest release, which is used where the release makes no difference.
const NEWEST: &str = "3.7.3";
/// A release of the layout beside the bundle.
const BESIDE: &str = "3.6.16";
/// The oldest, whose members take one learner at a time.
const OLDEST: &str = "3.5.35";

/// How long hosts that were booted may take to serve.
const BOOT: Duration = Duration::from_secs(60);

/// Several labs share the machine's processors, and one that is written to all along has them to itself: a member that does
/// not get its turn loses its leader.
static MACHINE: RwLock<()> = RwLock::new(());

/// A lab's right to be there.
#[expect(dead_code, reason = "held for what it does in the end")]
enum Turn {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

impl Turn {
    fn shared() -> Self {
        Self::Shared(MACHINE.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A lab with equipped hosts.
struct Ground {
    folder: tempfile::TempDir,
    lab: Lab,
    hosts: Vec<Host>,
    _turn: Turn,
}

impl Ground {
    fn new(name: &str, count: u8) -> Self {
        Self::with(name, Turn::shared(), None, |lab| fresh(lab, count))
    }

    /// One beside which there is no other.
    fn alone(name: &str, count: u8) -> Self {
        let turn = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
        Self::with(name, Turn::Alone(turn), None, |lab| fresh(lab, count))
    }

    /// One with the hosts of a checkpoint, booted.
    fn copy(name: &str, checkpoint: &Path) -> Self {
        let booted = |lab: &Lab| lab.boot_all().unwrap();
        Self::with(name, Turn::shared(), Some(checkpoint.to_owned()), booted)
    }

    fn with(
        name: &str,
        turn: Turn,
        checkpoint: Option<PathBuf>,
        hosts: impl FnOnce(&Lab) -> Vec<Host>,
    ) -> Self {
        let folder = folder();
        let base = Base::ensure().unwrap();
        let place = folder.path().join("lab");
        let lab = Lab::create(LabConfig {
            checkpoint,
            ..LabConfig::new(format!("etcdadm-{name}"), place, &base)
        })
        .unwrap();
        Self {
            hosts: hosts(&lab),
            folder,
            lab,
            _turn: turn,
        }
    }

    /// The admin of a cluster that runs this release.
    fn members(&self, version: &str) -> Members<'_> {
        let equipment = Equipment::from_environment().unwrap();
        let folder = self.folder.path().join("admin");
        Members::new(&self.lab, equipment, version, folder).unwrap()
    }
}

fn folder() -> tempfile::TempDir {
    let mut builder = tempfile::Builder::new();
    builder
        .prefix("klusterkit-")
        .tempdir_in("/var/tmp")
        .unwrap()
}

fn fresh(lab: &Lab, count: u8) -> Vec<Host> {
    lab.up(count, HostSpec::default()).unwrap()
}

/// Takes away what a reset set aside.
fn remove_set_aside(host: &Host) {
    for place in ["/var/lib", "/etc/etcd/pki"] {
        host.exec(["mkdir", "-p", place]).check().unwrap();
        let find = ["find", place, "-maxdepth", "1", "-name", "*.set-aside-*"];
        let words = ["-exec", "rm", "-r", "{}", "+"];
        host.exec(find.into_iter().chain(words)).check().unwrap();
    }
}

/// Does it and says how long it took.
fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    println!("{what}: {:.1} s", start.elapsed().as_secs_f32());
    result
}
