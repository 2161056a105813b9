//! A cluster's whole life by `cctl`: three control planes and two workers, and a cluster of one.
#![expect(clippy::print_stdout, reason = "says how long things took")]

use std::time::{Duration, Instant};

use hosts::{Admin, ClusterFile, Equipment, VIP, Web};
use lab::{Base, Host, HostSpec, Lab, LabConfig};

const READY: Duration = Duration::from_secs(240);

fn lab(name: &str) -> (tempfile::TempDir, Lab) {
    let folder = tempfile::Builder::new()
        .prefix("klusterkit-")
        .tempdir_in("/var/tmp")
        .unwrap();
    let base = Base::ensure().unwrap();
    let lab = Lab::create(LabConfig::new(name, folder.path().join("lab"), &base)).unwrap();
    (folder, lab)
}

/// Digests, modes and times of everything that the tools may write, on one host.
fn tree(host: &Host) -> String {
    let find = [
        "find",
        "/etc",
        "/opt",
        "/var/lib/etcdadm",
        "/var/lib/nodeadm",
        "/usr/local",
        "/var/cache/klusterkit",
        "-xdev",
        "-printf",
        "%p %m %s %T@\n",
    ];
    // The tools' own lock and journal say that they ran, which is what a second run may change.
    let ours = |line: &&str| !line.contains("/journal") && !line.contains("/lock ");
    let text = host.exec(find).text().unwrap();
    let mut lines: Vec<&str> = text.lines().filter(ours).collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn three_control_planes_and_two_workers() {
    let (folder, lab) = lab("cluster");
    let hosts = lab.up(5, HostSpec::default()).unwrap();
    let admin = Admin::new(
        &lab,
        Equipment::from_environment().unwrap(),
        folder.path().join("admin"),
    )
    .unwrap();
    let file = ClusterFile::new(&lab, &hosts, 3, "admin");

    let start = Instant::now();
    admin.apply(&file).unwrap();
    println!("apply: {:.1} s", start.elapsed().as_secs_f32());
    admin.fetch_kubeconfig().unwrap();
    admin.wait_ready(5, READY).unwrap();
    println!(
        "all nodes and pods Ready: {:.1} s",
        start.elapsed().as_secs_f32()
    );

    let web = Web::deploy(&admin, &hosts[3..], 2).unwrap();
    assert_eq!(web.nodes().unwrap(), ["h4", "h5"]);
    for host in &hosts {
        assert_eq!(
            web.reach_from(host, 2).unwrap().len(),
            2,
            "from {}",
            host.name()
        );
    }

    // A second apply finds nothing to do.
    let before: Vec<String> = hosts.iter().map(tree).collect();
    let start = Instant::now();
    admin.apply(&file).unwrap();
    println!("second apply: {:.1} s", start.elapsed().as_secs_f32());
    for (host, before) in hosts.iter().zip(&before) {
        assert_eq!(
            &tree(host),
            before,
            "a second apply changed {}",
            host.name()
        );
    }

    // The host that holds the address loses power: another has it within a second or so, and it comes back.
    let holder = admin
        .vip_holder(&hosts)
        .unwrap()
        .expect("somebody holds the address");
    let vip = lab.net().address(VIP).to_string();
    let outage = admin.outage(&vip, || holder.power_loss()).unwrap();
    println!(
        "{} lost power: no API for {:.2} s",
        holder.name(),
        outage.gap.as_secs_f32()
    );
    assert!(outage.gap < Duration::from_secs(15), "{outage:?}");
    holder.boot().unwrap();
    holder.wait_ssh().unwrap();
    admin.wait_ready(5, READY).unwrap();
}

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn a_cluster_of_one() {
    let (folder, lab) = lab("one");
    let hosts = lab.up(1, HostSpec::default()).unwrap();
    let admin = Admin::new(
        &lab,
        Equipment::from_environment().unwrap(),
        folder.path().join("admin"),
    )
    .unwrap();
    admin
        .apply(&ClusterFile::new(&lab, &hosts, 1, "root"))
        .unwrap();
    admin.fetch_kubeconfig().unwrap();
    admin.wait_ready(1, READY).unwrap();
    let web = Web::deploy(&admin, &hosts, 1).unwrap();
    web.reach_from(&hosts[0], 1).unwrap();
}
