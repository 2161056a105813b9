//! A cluster's whole life: made, used, made again without a change, struck by power loss, a worker and a control plane taken
//! out and put in again, and at last taken down, so that the hosts are as they were found.

use std::path::Path;
use std::time::{Duration, Instant};

use hosts::{Admin, ClusterFile, Footprint, Listing, VIP, Web, silence};
use lab::Host;

use crate::{Ground, READY, timed};

/// What stays on a host that a cluster was taken off, as the documentation says: the store with the tools in it, and data
/// that was set aside. And what a log-in with sudo writes.
const LEFTOVERS: &[&str] = &[
    "/home/admin/.sudo_as_admin_successful",
    "/var/lib/sudo",
    "/var/cache/klusterkit",
    "/var/lib/etcd.set-aside-",
    "/var/lib/etcdadm",
    "/var/lib/nodeadm",
];

/// What a cluster's own programs write while nobody does anything.
const ALIVE: &[&str] = &[
    "/var/lib/kubelet/pods/",
    "/var/lib/kubelet/plugins",
    "/var/lib/kubelet/pod_startup",
    "/var/lib/sudo",
    "/var/lib/cni/",
];

/// Configuration is compared by digests, too.
const CONFIGURATION: &[&str] = &["/etc", "/var/lib/etcdadm", "/var/lib/nodeadm"];

fn listing(host: &Host) -> Listing {
    let listing = Listing::of(host).unwrap().without(ALIVE);
    listing.with_digests(host, CONFIGURATION).unwrap()
}

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn three_control_planes_and_two_workers() {
    let ground = Ground::new("life", 5);
    let hosts = &ground.hosts;
    let found: Vec<Footprint> = footprints(hosts);
    let admin = ground.admin("admin");
    let file = ClusterFile::new(&ground.lab, hosts, 3, "admin");

    let start = Instant::now();
    timed("apply", || admin.apply(&file).unwrap());
    admin.fetch_kubeconfig().unwrap();
    admin.check_healthy(hosts, 3, READY).unwrap();
    let seconds = start.elapsed().as_secs_f32();
    println!("all nodes and pods Ready: {seconds:.1} s");

    is_used(&admin, hosts);
    a_second_apply_changes_nothing(&admin, &file, hosts);
    the_state_says_what_there_is(&admin);
    another_key_opens_it(&admin);
    let elsewhere = another_machine(&ground, &admin);
    a_host_loses_power(&ground, &admin);

    // From here on the other machine goes on, with nothing but the state and the key.
    let admin = elsewhere;
    goes_and_comes_again(&admin, hosts, 4, "node", &found[4]);
    goes_and_comes_again(&admin, hosts, 0, "master", &found[0]);

    let state = admin.file("cctl-state.yaml");
    timed("delete cluster", || {
        admin.cctl(["delete", "cluster", "--yes"]).check().unwrap()
    });
    assert!(!state.exists(), "the state is set aside");
    for (host, found) in hosts.iter().zip(&found) {
        let differs = Footprint::of(host, LEFTOVERS).unwrap().since(found);
        assert_eq!(differs, "", "the cluster left something on {}", host.name());
    }
}

fn footprints(hosts: &[Host]) -> Vec<Footprint> {
    hosts
        .iter()
        .map(|host| Footprint::of(host, LEFTOVERS).unwrap())
        .collect()
}

fn is_used(admin: &Admin<'_>, hosts: &[Host]) {
    let web = Web::deploy(admin, &hosts[3..], 2).unwrap();
    assert_eq!(web.nodes().unwrap(), ["h4", "h5"]);
    for host in hosts {
        let seen = web.reach_from(host, 2).unwrap();
        assert_eq!(seen.len(), 2, "from {}", host.name());
    }
}

fn a_second_apply_changes_nothing(admin: &Admin<'_>, file: &ClusterFile, hosts: &[Host]) {
    let state = std::fs::read(admin.file("cctl-state.yaml")).unwrap();
    let before: Vec<Listing> = hosts.iter().map(listing).collect();
    let start = Instant::now();
    let output = admin.apply(file).unwrap();
    println!("second apply: {:.2} s", start.elapsed().as_secs_f32());
    assert_eq!(
        output.text(),
        "cluster lab: all is as it should be, nothing was changed"
    );
    for (host, before) in hosts.iter().zip(&before) {
        let differs = listing(host).since(before);
        assert_eq!(differs, "", "a second apply changed {}", host.name());
    }
    assert_eq!(
        std::fs::read(admin.file("cctl-state.yaml")).unwrap(),
        state,
        "it changed the state"
    );
}

fn the_state_says_what_there_is(admin: &Admin<'_>) {
    let cluster = admin.told(["get", "cluster"]).unwrap();
    assert_eq!(cluster["items"][0]["kind"], "Cluster");
    assert_eq!(cluster["items"][0]["metadata"]["name"], "lab");
    let machines = admin.told(["get", "machine"]).unwrap();
    let addresses: Vec<&str> = machines["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|item| item["kind"] == "SSHMachine")
        .filter_map(|item| item["spec"]["address"].as_str())
        .collect();
    assert_eq!(
        addresses,
        [
            "10.77.0.11",
            "10.77.0.12",
            "10.77.0.13",
            "10.77.0.14",
            "10.77.0.15"
        ]
    );
    let one = admin
        .told(["get", "machine", "--ip", "10.77.0.14"])
        .unwrap();
    assert_eq!(one["items"].as_array().unwrap().len(), 2);
    let text = admin
        .cctl(["get", "machine", "--ip", "10.77.0.14"])
        .text()
        .unwrap();
    let running = text
        .lines()
        .last()
        .unwrap()
        .split_whitespace()
        .collect::<Vec<_>>();
    assert_eq!(
        &running[..4],
        ["10.77.0.14", "h4", "node", "Running"],
        "{text}"
    );
    let status = admin.cctl(["status"]).text().unwrap();
    println!("{status}");
    assert!(status.contains("holds the VIP"), "{status}");
    let kept = admin.file("kubeconfig.kept");
    let words = ["get", "kubeconfig", "--file", kept.to_str().unwrap()];
    admin.cctl(words).check().unwrap();
    assert_eq!(mode(&kept), 0o600);
    assert_eq!(mode(&admin.file("cctl-state.yaml")), 0o600);
    let state = std::fs::read_to_string(admin.file("cctl-state.yaml")).unwrap();
    assert!(
        !state.contains("PRIVATE KEY"),
        "a key lies open in the state"
    );
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// The state is sealed for a second admin; the copies on the hosts are, too: [`another_machine`] compares them.
fn another_key_opens_it(admin: &Admin<'_>) {
    let key = admin.file("second");
    let words = ["-q", "-t", "ed25519", "-N", "", "-f"];
    let keygen = std::process::Command::new("ssh-keygen")
        .args(words)
        .arg(&key)
        .status();
    assert!(keygen.unwrap().success());
    let public = format!("{}.pub", key.display());
    let words = ["state", "recipients", "add", &public];
    let sealed = timed("state recipients add", || admin.cctl(words).text().unwrap());
    assert_eq!(sealed.lines().count(), 2, "{sealed}");
}

/// An empty folder with the state alone. It goes on from there, and sees the same cluster.
fn another_machine<'g>(ground: &'g Ground, admin: &Admin<'_>) -> Admin<'g> {
    let other = ground.admin("elsewhere");
    let (key, host) = (ground.lab.key(), ground.hosts[1].address());
    let from = format!("admin@{host}");
    let words = ["state", "pull", "--accept-new-host-keys", "--from", &from];
    let words = words
        .into_iter()
        .chain(["--identity", key.to_str().unwrap()]);
    println!("{}", other.cctl(words).text().unwrap());
    let state = |admin: &Admin<'_>| std::fs::read(admin.file("cctl-state.yaml")).unwrap();
    assert!(state(&other) == state(admin), "the copy is another state");
    let output = other.cctl(["apply"]).check().unwrap();
    assert_eq!(
        output.text(),
        "cluster lab: all is as it should be, nothing was changed"
    );
    other.fetch_kubeconfig().unwrap();
    other.check_healthy(&ground.hosts, 3, READY).unwrap();
    other
}

/// Another host has the address within a second or so, and the lost one comes back.
fn a_host_loses_power(ground: &Ground, admin: &Admin<'_>) {
    let holder = admin.vip_holder(&ground.hosts).unwrap();
    let holder = holder.expect("somebody holds the address");
    let vip = ground.lab.net().address(VIP).to_string();
    let silence = silence(&ground.lab, &vip, || holder.power_loss()).unwrap();
    let (name, gap) = (holder.name(), silence.longest.as_secs_f32());
    println!("{name} lost power: no API for {gap:.2} s");
    assert!(silence.longest < Duration::from_secs(15), "{silence:?}");
    holder.boot().unwrap();
    holder.wait_ssh().unwrap();
    admin.check_healthy(&ground.hosts, 3, READY).unwrap();
}

/// A machine is taken out, is as it was found, and is put in again.
fn goes_and_comes_again(
    admin: &Admin<'_>,
    hosts: &[Host],
    which: usize,
    role: &str,
    found: &Footprint,
) {
    let host = &hosts[which];
    let (name, address) = (host.name(), host.address().to_string());
    let rest: Vec<Host> = hosts
        .iter()
        .filter(|other| other.name() != name)
        .cloned()
        .collect();
    let members = if role == "master" { 2 } else { 3 };
    timed(&format!("delete machine {name} ({role})"), || {
        admin
            .cctl(["delete", "machine", "--ip", &address])
            .check()
            .unwrap();
    });
    let differs = Footprint::of(host, LEFTOVERS).unwrap().since(found);
    assert_eq!(differs, "", "something was left on {name}");
    admin.check_healthy(&rest, members, READY).unwrap();
    if role == "master" {
        let aside = host.nsexec([
            "find",
            "/var/lib",
            "-maxdepth",
            "1",
            "-name",
            "etcd.set-aside-*",
        ]);
        let aside = aside.unwrap().text().unwrap();
        assert_eq!(
            aside.lines().count(),
            1,
            "the member's data is set aside: {aside}"
        );
    }

    let bundle = admin.equipment().bundle();
    let bundle = bundle.to_str().unwrap();
    timed(&format!("create machine {name} ({role})"), || {
        let words = [
            "create", "machine", "--ip", &address, "--role", role, "--bundle", bundle,
        ];
        admin
            .cctl(words.into_iter().chain(["--accept-new-host-keys"]))
            .check()
            .unwrap();
    });
    admin.check_healthy(hosts, 3, READY).unwrap();
    let output = admin.cctl(["apply"]).check().unwrap();
    assert_eq!(
        output.text(),
        "cluster lab: all is as it should be, nothing was changed"
    );
}

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn a_cluster_of_one() {
    let ground = Ground::new("one", 1);
    let found = footprints(&ground.hosts);
    let admin = ground.admin("admin");
    let file = ClusterFile::new(&ground.lab, &ground.hosts, 1, "root");
    timed("apply", || admin.apply(&file).unwrap());
    admin.fetch_kubeconfig().unwrap();
    admin.check_healthy(&ground.hosts, 1, READY).unwrap();
    let web = Web::deploy(&admin, &ground.hosts, 1).unwrap();
    web.reach_from(&ground.hosts[0], 1).unwrap();
    a_second_apply_changes_nothing(&admin, &file, &ground.hosts);
    timed("delete cluster", || {
        admin.cctl(["delete", "cluster", "--yes"]).check().unwrap()
    });
    let differs = Footprint::of(&ground.hosts[0], LEFTOVERS)
        .unwrap()
        .since(&found[0]);
    assert_eq!(differs, "", "the cluster left something behind");
}
