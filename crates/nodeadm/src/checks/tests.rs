//! Checks against a host in memory.

use super::*;
use crate::settings::tests::settings;
use host::{Change, Host, Memory, Nothing, Unit};

fn verdict(host: &Memory, name: &str) -> (Verdict, String) {
    let check = run(host, &settings())
        .into_iter()
        .find(|check| check.name == name)
        .unwrap();
    (check.verdict, check.message)
}

#[test]
fn ports_in_use_are_told_from_connections() {
    let mut host = Memory::new(Nothing);
    let line = |port: u16, state: &str| {
        format!("   0: 00000000:{port:04X} 00000000:0000 {state} 0:0 0:0 0 0 0\n")
    };
    let table = |lines: &str| {
        Change::file(
            "/proc/net/tcp",
            format!("  sl  local_address rem_address   st\n{lines}"),
        )
    };
    host.apply(&table(&(line(10250, "01") + &line(22, "0A"))))
        .unwrap();
    assert_eq!(verdict(&host, "ports").0, Verdict::Passed);
    host.apply(&table(&(line(10250, "0A") + &line(6443, "0A"))))
        .unwrap();
    assert_eq!(
        verdict(&host, "ports"),
        (Verdict::Failed, "in use: 6443, 10250".to_owned())
    );
}

#[test]
fn swap_memory_leftovers_and_runtimes_are_seen() {
    let mut host = Memory::new(Nothing);
    host.apply(&Change::file(
        "/proc/swaps",
        "Filename Type\n/dev/sda2 partition\n",
    ))
    .unwrap();
    assert_eq!(
        verdict(&host, "swap"),
        (Verdict::Failed, "swap is on: /dev/sda2".to_owned())
    );
    host.apply(&Change::file("/proc/meminfo", "MemTotal: 1048576 kB\n"))
        .unwrap();
    assert_eq!(
        verdict(&host, "memory"),
        (
            Verdict::Failed,
            "1024 MiB of memory, of 1700 that are needed".to_owned()
        )
    );
    host.apply(&Change::file(
        "/etc/kubernetes/manifests/kube-apiserver.yaml",
        "",
    ))
    .unwrap();
    assert_eq!(
        verdict(&host, "leftovers").1,
        "found /etc/kubernetes/manifests/kube-apiserver.yaml"
    );
    assert_eq!(verdict(&host, "runtime").0, Verdict::Passed);
    host.set_unit(
        "containerd.service",
        Unit {
            activity: UnitActivity::Active,
            ..Unit::default()
        },
    );
    assert_eq!(verdict(&host, "runtime").0, Verdict::Failed);
}

#[test]
fn what_cannot_be_told_is_not_what_failed() {
    let host = Memory::new(Nothing);
    assert_eq!(verdict(&host, "disk").0, Verdict::Unknown);
    let mut ignoring = settings();
    ignoring.config.ignore_preflight_errors = vec!["Disk".to_owned()];
    let checks = run(&host, &ignoring);
    assert_eq!(
        checks
            .iter()
            .find(|check| check.name == "disk")
            .unwrap()
            .verdict,
        Verdict::Ignored
    );
}
