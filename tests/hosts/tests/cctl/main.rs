//! `cctl` on whole hosts: a cluster's whole life, runs that are cut off, and what it says when things are wrong.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test: it works on an admin's files, says how long things took, and ends where they go wrong"
)]

mod backed_up;
mod cut_off;
mod killed;
mod killed_recovery;
mod life;
mod moved;
mod power;
mod recovered;
mod refused;
mod saved;
mod secrets;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use hosts::{Admin, Equipment};
use lab::{Base, Host, HostSpec, Lab, LabConfig};

/// How long nodes and pods may take to be Ready on a busy machine.
const READY: Duration = Duration::from_secs(240);

/// A lab with hosts that nobody has touched yet, and a folder for the admin.
struct Ground {
    hosts: Vec<Host>,
    lab: Lab,
    folder: PathBuf,
    /// Goes last: the folder goes with it.
    #[expect(dead_code, reason = "held for what it does in the end")]
    temporary: Option<tempfile::TempDir>,
}

impl Ground {
    fn new(name: &str, count: u8) -> Self {
        Self::with(name, count, HostSpec::default())
    }

    fn with(name: &str, count: u8, spec: HostSpec) -> Self {
        let temporary = tempfile::Builder::new()
            .prefix("klusterkit-")
            .tempdir_in("/var/tmp")
            .unwrap();
        let folder = temporary.path().to_owned();
        let base = Base::ensure().unwrap();
        let name = format!("cctl-{name}");
        let lab = Lab::create(LabConfig::new(name, folder.join("lab"), &base)).unwrap();
        let hosts = lab.up(count, spec).unwrap();
        Self {
            hosts,
            lab,
            folder,
            temporary: Some(temporary),
        }
    }

    /// An admin of these hosts, with a folder of this name.
    fn admin(&self, name: &str) -> Admin<'_> {
        let equipment = Equipment::from_environment().unwrap();
        Admin::new(&self.lab, equipment, self.folder.join(name)).unwrap()
    }
}

/// Does it and says how long it took.
fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    println!("{what}: {:.1} s", start.elapsed().as_secs_f32());
    result
}
