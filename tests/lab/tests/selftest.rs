//! Shows that a lab does what it says, on real hosts: one walk through all of it, since hosts cost time. Every step says
//! what it has shown and how long it took. Needs root and what `lab::requirements` names; it fails without them.
#![expect(clippy::print_stderr, reason = "the steps are shown as they are done")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lab::{Base, Disk, Error, Host, HostSpec, Lab, LabConfig, Power, Wipe, wait_until};

const SUPERVISOR: &str = env!("CARGO_BIN_EXE_lab-host");

struct Steps(Instant);

impl Steps {
    fn shown(&mut self, what: &str) {
        eprintln!("{:6.2} s  {what}", self.0.elapsed().as_secs_f64());
        self.0 = Instant::now();
    }
}

fn config(name: &str, dir: &Path, base: &Base) -> LabConfig {
    LabConfig {
        supervisor: Some(SUPERVISOR.into()),
        ..LabConfig::new(name, dir, base)
    }
}

fn text<'a>(host: &Host, argv: impl IntoIterator<Item = &'a str>) -> String {
    host.exec(argv).text().unwrap()
}

#[test]
fn a_lab_does_what_it_says() {
    assert_eq!(lab::requirements(), []);
    let mut steps = Steps(Instant::now());
    let base = Base::ensure().unwrap();
    steps.shown("the base is there");
    let temp = tempfile::tempdir_in("/var/tmp").unwrap();
    let lab = Lab::create(config("selftest", &temp.path().join("lab"), &base)).unwrap();
    let spec = HostSpec {
        disk: Disk::Image(1 << 30),
        ..HostSpec::default()
    };
    let hosts = lab.up(3, spec).unwrap();
    steps.shown("three hosts answer on ssh");
    for host in &hosts {
        assert_eq!(text(host, ["hostname"]), host.name());
    }
    steps.shown("x");
    lab.down(Wipe::Yes).unwrap();
    steps.shown("x");
}
