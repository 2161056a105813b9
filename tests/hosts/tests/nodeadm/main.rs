//! nodeadm alone, on whole hosts: a cluster of one of each supported release beside one that plain kubeadm made, what a
//! reset leaves, and how long the API's address is gone when its holder is.
//!
//! No `cctl` takes part: what is typed here is what an admin types on the hosts.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test: it says how long things took, and ends where they go wrong"
)]

mod beside_kubeadm;
mod facts;
mod held_address;
mod host_checks;
mod power;

use std::time::{Duration, Instant};

use hosts::{Equipment, Members, Nodes};
use lab::{Base, Host, HostSpec, Lab, LabConfig};

/// The release that is used where the release makes no difference.
const NEWEST: &str = "1.37.2";
/// The etcd below.
const ETCD: &str = "3.7.3";
/// How long nodes and pods may take to be Ready on a busy machine.
const READY: Duration = Duration::from_secs(240);

/// A lab with hosts that nobody has touched yet, and a folder for the admin.
struct Ground {
    folder: tempfile::TempDir,
    lab: Lab,
    hosts: Vec<Host>,
}

impl Ground {
    fn new(name: &str, count: u8) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("klusterkit-")
            .tempdir_in("/var/tmp")
            .unwrap();
        let base = Base::ensure().unwrap();
        let name = format!("nodeadm-{name}");
        let lab = Lab::create(LabConfig::new(name, folder.path().join("lab"), &base)).unwrap();
        let hosts = lab.up(count, HostSpec::default()).unwrap();
        Self { folder, lab, hosts }
    }

    /// An admin of etcd members, with a folder of this name.
    fn members(&self, name: &str) -> Members<'_> {
        let folder = self.folder.path().join(name);
        Members::new(&self.lab, equipment(), ETCD, folder).unwrap()
    }

    /// An admin of nodes of this release.
    fn nodes(&self, version: &str) -> Nodes {
        Nodes::new(equipment(), version, &self.folder.path().join("nodes")).unwrap()
    }
}

fn equipment() -> Equipment {
    Equipment::from_environment().unwrap()
}

/// Does it and says how long it took.
fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    println!("{what}: {:.1} s", start.elapsed().as_secs_f32());
    result
}
