//! Shows that a lab does what it says, on real hosts: one walk through all of it, since hosts cost time. Every step says
//! what it has shown and how long it took. Needs root and what `lab::requirements` names; it fails without them.
#![expect(clippy::print_stderr, reason = "the steps are shown as they are done")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test works on files and programs of its own"
)]
#![expect(clippy::unwrap_used, reason = "in a test's helpers, too")]

mod labs;
mod one_lab;

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use lab::{Base, Disk, Host, HostSpec, Lab, LabConfig, Power};

const SUPERVISOR: &str = env!("CARGO_BIN_EXE_lab-host");
const MIB: u64 = 1 << 20;

struct Steps(Instant);

impl Steps {
    fn shown(&mut self, what: &str) {
        eprintln!("{:6.2} s  {what}", self.0.elapsed().as_secs_f64());
        self.0 = Instant::now();
    }
}

fn config(name: &str, dir: &Path, base: &Base) -> LabConfig {
    // Where this program was carried into a virtual machine, it lies beside it.
    let built = Path::new(SUPERVISOR);
    LabConfig {
        supervisor: built.exists().then(|| built.to_owned()),
        ..LabConfig::new(name, dir, base)
    }
}

fn small() -> HostSpec {
    HostSpec {
        disk: Disk::Image(512 * MIB),
        ..HostSpec::default()
    }
}

fn text<'a>(host: &Host, argv: impl IntoIterator<Item = &'a str>) -> String {
    host.exec(argv).text().unwrap()
}

fn succeeds<'a>(host: &Host, argv: impl IntoIterator<Item = &'a str>) -> bool {
    host.nsexec(argv).unwrap().output().unwrap().success()
}

fn hears(host: &Host, other: &Host) -> bool {
    let address = other.address().to_string();
    succeeds(host, ["ping", "-c1", "-W1", &address])
}

fn connects(lab: &Lab, to: Ipv4Addr) -> bool {
    let to = SocketAddr::from((to, 22));
    lab.in_net(|| TcpStream::connect_timeout(&to, Duration::from_millis(700)).is_ok())
        .unwrap()
}

fn power_cycle(host: &Host) {
    host.power_loss().unwrap();
    assert_eq!(host.power().unwrap(), Power::Off);
    host.boot().unwrap();
    host.wait_ssh().unwrap();
}

#[test]
fn a_lab_does_what_it_says() {
    assert_eq!(lab::requirements(), []);
    let mut steps = Steps(Instant::now());
    let all = Instant::now();
    let base = Base::ensure().unwrap();
    steps.shown("the base is there");
    let temp = tempfile::Builder::new()
        .prefix(labs::PREFIX)
        .tempdir_in("/var/tmp")
        .unwrap();
    let at = |name: &str| temp.path().join(name);

    let lab = Lab::create(config("selftest", &at("lab"), &base)).unwrap();
    let hosts = lab.up(3, small()).unwrap();
    let [h1, h2, h3] = hosts.as_slice() else {
        panic!("three hosts")
    };
    for host in &hosts {
        assert_eq!(text(host, ["hostname"]), host.name());
    }
    steps.shown("three hosts answer on ssh");

    one_lab::fresh_machines(&hosts);
    steps.shown("each is a fresh machine: systemd runs, sshd listens, nothing else is installed");
    one_lab::commands_and_files(h1, temp.path());
    steps.shown("commands and files reach a host as they are");
    one_lab::kernel_settings(h1);
    steps.shown("kernel settings are a host's own or not writable");
    one_lab::no_way_out(&lab, h1);
    steps.shown("hosts reach the machine's end of the lab and nothing beyond");
    one_lab::cuts(&lab, h1, h2, h3);
    steps.shown(
        "a cable is cut and mended, and stays cut over a reboot; a pair is deaf for each other",
    );
    one_lab::hang(h2);
    steps.shown("a host hangs and goes on");
    one_lab::reboots(h1, h2);
    steps.shown("a host reboots, by us and by itself, and powers off by itself");
    one_lab::power_loss_and_disk(h3);
    steps.shown("power loss takes what was not synced; a disk fills up, fails, and comes back");
    one_lab::limits(&lab);
    steps.shown("memory and processors are limited");
    labs::another_lab(&lab, &base, &at("other"));
    steps.shown("two labs of the same addresses side by side; a lab's name is one process's");
    labs::checkpoints(lab, &base, temp.path());
    steps.shown("hosts of a checkpoint boot with the data, keys and names they had");
    labs::killed(&base, &at("killed"));
    steps.shown("a killed lab cleans up behind itself, or the next of its name does");
    labs::kept(&at("kept"));
    steps.shown("a lab that is kept outlives its maker, and is taken down by another process");
    labs::nothing_left();
    steps.shown("nothing is left behind");
    eprintln!("{:6.2} s  in all", all.elapsed().as_secs_f64());
}
