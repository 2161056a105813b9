//! Checks against a host in memory: one on which nothing is wrong, and what is found when one thing is.

use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::settings::tests::{settings, settings_of};
use host::{Change, FileSystem, Host, Memory, Nothing, Output, Query, Unit, UnitActivity};

fn put(host: &mut Memory, path: &str, content: &str) {
    host.apply(&Change::file(path, content.to_owned())).unwrap();
}

fn room(free: u64) -> FileSystem {
    FileSystem {
        free,
        no_exec: false,
        read_only: false,
    }
}

/// A host as it should be.
fn healthy() -> Memory {
    let mut host = Memory::new(Nothing);
    for namespace in ["ipc", "mnt", "net", "pid", "uts"] {
        put(&mut host, &format!("/proc/self/ns/{namespace}"), "");
    }
    for (path, content) in [
        ("/run/systemd/system/x", ""),
        ("/proc/sys/kernel/arch", "x86_64\n"),
        ("/proc/sys/kernel/osrelease", "6.12.9-amd64\n"),
        ("/proc/sys/kernel/seccomp/actions_avail", "kill\n"),
        ("/proc/filesystems", "nodev\tproc\n"),
        (
            "/lib/modules/6.12.9-amd64/modules.dep",
            "kernel/fs/overlayfs/overlay.ko.xz:\nkernel/net/bridge/br_netfilter.ko.xz: kernel/net/bridge/bridge.ko.xz\n",
        ),
        (
            "/sys/fs/cgroup/cgroup.controllers",
            "cpuset cpu io memory hugetlb pids\n",
        ),
        ("/usr/bin/mount", ""),
        ("/usr/bin/umount", ""),
        ("/usr/sbin/modprobe", ""),
        ("/usr/sbin/ip", ""),
        ("/etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
        ("/sys/class/net/eth0/address", "52:54:00:12:34:56\n"),
        ("/sys/class/net/eth0/mtu", "1500\n"),
        ("/etc/resolv.conf", "nameserver 192.0.2.53\n"),
        ("/proc/swaps", "Filename Type Size Used Priority\n"),
        ("/proc/meminfo", "MemTotal: 4194304 kB\n"),
        ("/proc/net/tcp", "  sl  local_address rem_address   st\n"),
    ] {
        put(&mut host, path, content);
    }
    host.set_file_system(Path::new("/"), room(20 << 30));
    host.answer(
        Query::new(
            "timedatectl",
            ["show", "--property=NTPSynchronized", "--value"],
        ),
        Output {
            code: Some(0),
            stdout: b"yes\n".to_vec(),
            stderr: String::new(),
        },
    );
    host
}

/// What is found of one name: verdict, message, hint.
fn found(host: &Memory, settings: &Settings, name: &str) -> String {
    let checks = run(host, settings);
    let check = checks.iter().find(|check| check.name == name).unwrap();
    let hint = check.hint.as_ref();
    format!(
        "{:?}: {}{}",
        check.verdict,
        check.message,
        hint.map(|hint| format!(" [{hint}]")).unwrap_or_default()
    )
}

fn with(path: &str, content: &str) -> Memory {
    let mut host = healthy();
    put(&mut host, path, content);
    host
}

fn without(path: &str) -> Memory {
    let mut host = healthy();
    host.apply(&Change::RemoveTree { path: path.into() })
        .unwrap();
    host
}

fn amd64() -> Settings {
    Settings {
        arch: "amd64",
        ..settings()
    }
}

#[test]
fn nothing_is_wrong_with_a_host_as_it_should_be() {
    let host = healthy();
    let text: String = run(&host, &amd64())
        .iter()
        .filter(|check| check.name != "clock")
        .map(|check| format!("{:?} {}: {}\n", check.verdict, check.name, check.message))
        .collect();
    insta::assert_snapshot!(text, @r"
    Passed root: runs as root
    Passed systemd: systemd runs this host
    Passed architecture: amd64
    Passed kernel: Linux 6.12.9-amd64
    Passed kernel-features: namespaces, seccomp, overlay, br_netfilter
    Passed cgroups: cgroup v2
    Passed programs: there
    Passed machine-id: there
    Passed product-uuid: none
    Passed mac: 52:54:00:12:34:56 on eth0
    Passed hostname: h1
    Passed address: 10.77.0.11 on eth0
    Passed mtu: 1500 on eth0
    Passed resolver: 192.0.2.53
    Passed firewall: none
    Passed swap: no swap
    Passed memory: 4096 MiB
    Passed disk: 20480 MiB free for /var/lib/containerd and /opt/bin, 600 are needed
    Passed paths: can be written and run from
    Passed ports: free
    Passed runtime: none
    Passed orchestrator: none
    Passed leftovers: none
    ");
}

#[test]
fn each_check_is_reported_with_the_others_and_ignored_by_its_name() {
    let host = with("/proc/swaps", "Filename Type\n/dev/sda2 partition\n");
    let mut settings = amd64();
    let failed = |settings: &Settings| -> Vec<String> {
        run(&host, settings)
            .into_iter()
            .filter(|check| check.verdict == Verdict::Failed)
            .map(|check| check.name)
            .collect()
    };
    assert_eq!(failed(&settings), ["swap"]);
    settings.config.ignore_preflight_errors = vec!["Swap".to_owned()];
    assert_eq!(failed(&settings), [""; 0]);
    assert_eq!(
        found(&host, &settings, "swap").split(':').next(),
        Some("Ignored")
    );
    let mut names: Vec<&str> = CHECKS.iter().map(|check| check.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), CHECKS.len());
}

#[test]
fn what_cannot_be_told_is_not_what_failed() {
    let settings = amd64();
    let told: Vec<String> = [
        ("kernel", "/proc/sys/kernel/osrelease"),
        ("kernel-features", "/lib/modules"),
        ("cgroups", "/sys/fs/cgroup"),
        ("mtu", "/sys/class/net/eth0/mtu"),
        ("swap", "/proc/swaps"),
        ("memory", "/proc/meminfo"),
        ("ports", "/proc/net"),
    ]
    .map(|(name, gone)| format!("{name}: {}", found(&without(gone), &settings, name)))
    .to_vec();
    insta::assert_snapshot!(told.join("\n"), @r#"
    kernel: Unknown: /proc/sys/kernel/osrelease tells no version ("")
    kernel-features: Unknown: the file system overlay is not there, and /lib/modules does not tell whether it can be loaded; br_netfilter, by which bridges are filtered is not there, and /lib/modules does not tell whether it can be loaded
    cgroups: Unknown: no cgroup controllers are to be seen
    mtu: Unknown: /sys/class/net/eth0/mtu does not tell
    swap: Unknown: /proc/swaps is not there
    memory: Unknown: /proc/meminfo does not tell
    ports: Unknown: /proc/net/tcp is not there
    "#);
    assert!(found(&Memory::new(Nothing), &settings, "disk").starts_with("Unknown: "));
    assert!(found(&Memory::new(Nothing), &settings, "paths").starts_with("Unknown: "));
}

#[test]
fn system() {
    let amd64 = amd64();
    let mut lines = vec![
        found(&without("/run/systemd"), &amd64, "systemd"),
        found(
            &with("/proc/sys/kernel/arch", "riscv64\n"),
            &amd64,
            "architecture",
        ),
        found(
            &with("/proc/sys/kernel/arch", "aarch64\n"),
            &amd64,
            "architecture",
        ),
        found(
            &with("/proc/sys/kernel/osrelease", "4.18.0-553.el8\n"),
            &amd64,
            "kernel",
        ),
        found(
            &with("/proc/sys/kernel/osrelease", "5.4.0\n"),
            &amd64,
            "kernel",
        ),
        found(&without("/proc/self/ns/net"), &amd64, "kernel-features"),
        found(
            &with("/lib/modules/6.12.9-amd64/modules.dep", ""),
            &amd64,
            "kernel-features",
        ),
        found(&without("/usr/sbin/modprobe"), &amd64, "programs"),
    ];
    // Built in, and loaded from where there is no list.
    let mut host = without("/lib/modules");
    put(
        &mut host,
        "/proc/filesystems",
        "nodev\tproc\nnodev\toverlay\n",
    );
    put(
        &mut host,
        "/proc/sys/net/bridge/bridge-nf-call-iptables",
        "1\n",
    );
    lines.push(found(&host, &amd64, "kernel-features"));
    insta::assert_snapshot!(lines.join("\n"), @r"
    Failed: /run/systemd/system is not there: systemd does not run this host
    Failed: riscv64 is neither amd64 nor arm64 [there are no programs for it]
    Failed: this machine is arm64, what would be installed is for amd64 [use the nodeadm for arm64]
    Failed: Linux 4.18.0-553.el8 is older than 4.19 [upgrade the kernel]
    Passed: Linux 5.4.0
    Failed: this kernel lacks net namespaces [install the kernel's modules, or another kernel; a container's host must load them for it]
    Failed: this kernel lacks the file system overlay, br_netfilter, by which bridges are filtered [install the kernel's modules, or another kernel; a container's host must load them for it]
    Failed: not found: modprobe [install them (Debian and Ubuntu: mount, kmod, iproute2)]
    Passed: namespaces, seccomp, overlay, br_netfilter
    ");
}

#[test]
fn cgroups_of_both_versions() {
    let mut v1 = without("/sys/fs/cgroup/cgroup.controllers");
    let table = |memory: &str| {
        format!(
            "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpuset\t2\t1\t1\ncpu\t3\t1\t1\nmemory\t4\t1\t{memory}\npids\t5\t1\t1\n"
        )
    };
    put(&mut v1, "/proc/cgroups", &table("1"));
    let older = Settings {
        version: api::Version::new(1, 34, 4),
        ..amd64()
    };
    let told = settings_of(
        "apiVersion: klusterkit.dev/v1alpha1\nkind: NodeConfiguration\nkubernetesVersion: v1.37.2\n\
         ---\napiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nfailCgroupV1: false\n",
    );
    let mut lines = vec![
        found(&v1, &amd64(), "cgroups"),
        found(&v1, &older, "cgroups"),
        found(&v1, &told, "cgroups"),
    ];
    put(&mut v1, "/proc/cgroups", &table("0"));
    lines.push(found(&v1, &older, "cgroups"));
    let v2 = with("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io pids\n");
    lines.push(found(&v2, &amd64(), "cgroups"));
    insta::assert_snapshot!(lines.join("\n"), @r"
    Failed: cgroup v1, with which the kubelet v1.37.2 does not start [boot with cgroup v2, or say failCgroupV1: false in a KubeletConfiguration (and ignore SystemVerification)]
    Passed: cgroup v1 [Kubernetes is about to give cgroup v1 up: boot with cgroup v2]
    Passed: cgroup v1 [Kubernetes is about to give cgroup v1 up: boot with cgroup v2]
    Failed: cgroup v1 without memory [enable them at boot (as `cgroup_enable=memory`)]
    Failed: cgroup v2 without memory [enable them at boot (as `cgroup_enable=memory`)]
    ");
}

#[test]
fn identity() {
    let amd64 = amd64();
    let id = |id: &str| found(&with("/etc/machine-id", id), &amd64, "machine-id");
    let uuid = |uuid: &str| {
        found(
            &with("/sys/class/dmi/id/product_uuid", uuid),
            &amd64,
            "product-uuid",
        )
    };
    let mac = |mac: &str| found(&with("/sys/class/net/eth0/address", mac), &amd64, "mac");
    let name = |name: &str| {
        let named = Settings {
            name: name.to_owned(),
            ..settings()
        };
        found(&healthy(), &named, "hostname")
    };
    let lines = [
        id(""),
        id("uninitialized\n"),
        id("d41d8cd98f00b204e9800998ecf8427e\n"),
        id("00000000000000000000000000000000\n"),
        id("xyz\n"),
        uuid("FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF\n"),
        uuid("03000200-0400-0500-0006-000700080009\n"),
        uuid("4C4C4544-0033-3510-8057-B4C04F4D5732\n"),
        mac("00:00:00:00:00:00\n"),
        mac("ff:ff:ff:ff:ff:ff\n"),
        mac("\n"),
        name("Node_1"),
        name("a.-b"),
        name("localhost"),
    ];
    insta::assert_snapshot!(lines.join("\n"), @r#"
    Failed: /etc/machine-id has no machine id [remove /etc/machine-id and run `systemd-machine-id-setup`]
    Failed: /etc/machine-id has no machine id [remove /etc/machine-id and run `systemd-machine-id-setup`]
    Failed: /etc/machine-id is one that many hosts have [remove /etc/machine-id and run `systemd-machine-id-setup`]
    Failed: /etc/machine-id is one that many hosts have [remove /etc/machine-id and run `systemd-machine-id-setup`]
    Failed: /etc/machine-id is no machine id [remove /etc/machine-id and run `systemd-machine-id-setup`]
    Passed: ffffffff-ffff-ffff-ffff-ffffffffffff, which many machines have [what tells machines apart by it will not tell this one]
    Passed: 03000200-0400-0500-0006-000700080009, which many machines have [what tells machines apart by it will not tell this one]
    Passed: 4c4c4544-0033-3510-8057-b4c04f4d5732
    Failed: eth0 has 00:00:00:00:00:00, which is no host's own [give the interface a MAC address of its own]
    Failed: eth0 has ff:ff:ff:ff:ff:ff, which is no host's own [give the interface a MAC address of its own]
    Passed: eth0 has none
    Failed: "Node_1" is no name for a Node: lower-case letters, digits, `-` [say metadata.name or --name]
    Failed: "a.-b" is no name for a Node: lower-case letters, digits, `-` [say metadata.name or --name]
    Failed: "localhost" is every host's name [say metadata.name or --name]
    "#);
}

#[test]
fn network() {
    let amd64 = amd64();
    let at = |address: &str, interface: &str| {
        let settings = Settings {
            address: address.parse().unwrap(),
            interface: interface.to_owned(),
            ..settings()
        };
        found(&healthy(), &settings, "address")
    };
    let dual = settings_of(
        "apiVersion: klusterkit.dev/v1alpha1\nkind: NodeConfiguration\nkubernetesVersion: v1.37.2\n\
         network: {podSubnet: '10.244.0.0/16,fd00:244::/56'}\n",
    );
    let small = with("/sys/class/net/eth0/mtu", "1300\n");
    let mut lines = vec![
        at("127.0.0.1", "lo"),
        at("10.0.0.9", ""),
        found(&small, &amd64, "mtu"),
        found(&small, &dual, "mtu"),
        found(&without("/etc/resolv.conf"), &amd64, "resolver"),
        found(
            &with("/etc/resolv.conf", "nameserver 127.0.0.53\n"),
            &amd64,
            "resolver",
        ),
        found(
            &with("/etc/resolv.conf", &"nameserver 192.0.2.1\n".repeat(4)),
            &amd64,
            "resolver",
        ),
    ];
    let mut walled = healthy();
    let active = Unit {
        activity: UnitActivity::Active,
        ..Unit::default()
    };
    walled.set_unit("ufw.service", active);
    lines.push(found(&walled, &amd64, "firewall"));
    insta::assert_snapshot!(lines.join("\n"), @r"
    Failed: 127.0.0.1 is no address that others reach this host by [say the right address]
    Failed: no interface of this host has 10.0.0.9 [say the right address]
    Passed: 1300 on eth0
    Failed: eth0 takes packets of 1300 bytes; pods need 1280, and 50 go for the packet around theirs [raise the interface's MTU]
    Failed: /etc/resolv.conf is not there, and without it the kubelet starts no pod [make it, if need be empty: `touch /etc/resolv.conf`]
    Passed: none: pods resolve the cluster's own names only
    Passed: 192.0.2.1, 192.0.2.1, 192.0.2.1, 192.0.2.1 [pods are given the first three of them only]
    Passed: ufw.service is at work [let it pass the ports 6443, 10248, 10249, 10250, 10256, 10257, 10259 (TCP), 8472 (UDP, flannel) and what goes to and from pods]
    ");
}

#[test]
fn ports_in_use_are_told_from_connections() {
    let line = |port: u16, state: &str| {
        format!("   0: 00000000:{port:04X} 00000000:0000 {state} 0:0 0:0 0 0 0\n")
    };
    let ports = |lines: &str| {
        let table = format!("  sl  local_address rem_address   st\n{lines}");
        found(&with("/proc/net/tcp", &table), &amd64(), "ports")
    };
    assert_eq!(
        ports(&(line(10250, "01") + &line(22, "0A"))),
        "Passed: free"
    );
    let taken = ports(&(line(10250, "0A") + &line(6443, "0A")));
    assert!(taken.starts_with("Failed: in use: 6443, 10250 "), "{taken}");
    // A worker has no API server.
    let worker = settings_of(
        "apiVersion: klusterkit.dev/v1alpha1\nkind: NodeConfiguration\nkubernetesVersion: v1.37.2\nrole: node\n",
    );
    let table = format!("head\n{}", line(6443, "0A"));
    assert_eq!(
        found(&with("/proc/net/tcp", &table), &worker, "ports"),
        "Passed: free"
    );
}

#[test]
fn resources() {
    let amd64 = amd64();
    let mut full = healthy();
    full.set_file_system(Path::new("/"), room(100 << 20));
    let mut split = healthy();
    split.set_file_system(Path::new("/opt"), room(500 << 20));
    let mut locked = healthy();
    locked.set_file_system(
        Path::new("/var/lib/containerd"),
        FileSystem {
            no_exec: true,
            ..room(20 << 30)
        },
    );
    locked.set_file_system(
        Path::new("/usr"),
        FileSystem {
            read_only: true,
            ..room(20 << 30)
        },
    );
    let swapping = settings_of(
        "apiVersion: klusterkit.dev/v1alpha1\nkind: NodeConfiguration\nkubernetesVersion: v1.37.2\n\
         ---\napiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nfailSwapOn: false\n",
    );
    let swap = with("/proc/swaps", "Filename Type\n/dev/sda2 partition\n");
    let lines = [
        found(&swap, &amd64, "swap"),
        found(&swap, &swapping, "swap"),
        found(
            &with("/proc/meminfo", "MemTotal: 1048576 kB\n"),
            &amd64,
            "memory",
        ),
        found(&full, &amd64, "disk"),
        found(&split, &amd64, "disk"),
        found(&locked, &amd64, "paths"),
    ];
    insta::assert_snapshot!(lines.join("\n"), @r"
    Failed: swap is on: /dev/sda2 [switch swap off (`swapoff -a`, and in /etc/fstab), or say failSwapOn: false in a KubeletConfiguration]
    Passed: swap, which the kubelet is told to take [memory.swapBehavior in the KubeletConfiguration says whether pods may use it]
    Failed: 1024 MiB of memory, of 1700 that are needed [give the host more memory]
    Failed: 100 MiB free for /var/lib/containerd and /opt/bin, 600 are needed [make room, or mount a larger disk there]
    Failed: 500 MiB free for /opt/bin, 600 are needed; 20480 MiB free for /var/lib/containerd, 0 are needed [make room, or mount a larger disk there]
    Failed: /var/lib/containerd is on a file system from which nothing can be run (noexec); /usr/local/bin cannot be written [mount it otherwise (`mount -o remount,exec,rw`, and in /etc/fstab), or move programs with --install-dir]
    ");
}

#[test]
fn traces_of_others() {
    let amd64 = amd64();
    let active = || Unit {
        activity: UnitActivity::Active,
        ..Unit::default()
    };
    let running = |unit: &str, check: &str| {
        let mut host = healthy();
        host.set_unit(unit, active());
        found(&host, &amd64, check)
    };
    let mut both = healthy();
    both.set_unit("docker.service", active());
    both.set_unit("crio.service", active());
    let mut masked = healthy();
    masked.set_unit(
        "kubelet.service",
        Unit {
            masked: true,
            ..Unit::default()
        },
    );
    let mut many = with("/etc/kubernetes/manifests/kube-apiserver.yaml", "");
    put(&mut many, "/etc/cni/net.d/.kubernetes-cni-keep", "");
    put(&mut many, "/sys/class/net/cni0/address", "");
    put(&mut many, "/usr/bin/kubelet", "");
    let lines = [
        found(&both, &amd64, "runtime"),
        running("containerd.service", "runtime"),
        running("k3s.service", "orchestrator"),
        running("kubelet.service", "orchestrator"),
        found(&masked, &amd64, "orchestrator"),
        found(&many, &amd64, "leftovers"),
        found(
            &with("/etc/kubernetes/pki/apiserver.crt", ""),
            &amd64,
            "leftovers",
        ),
    ];
    insta::assert_snapshot!(lines.join("\n"), @r"
    Failed: another container runtime works here: docker.service, crio.service [stop it: `systemctl disable --now docker.service crio.service`]
    Failed: another container runtime works here: containerd.service [stop it: `systemctl disable --now containerd.service`; nodeadm brings its own and gives this one back at reset]
    Failed: k3s.service at work here [take it down by its own tool first]
    Failed: kubelet.service at work here [take it down by its own tool first]
    Failed: kubelet.service is masked [run `systemctl unmask kubelet.service`]
    Failed: found /etc/kubernetes/manifests/kube-apiserver.yaml, /usr/bin/kubelet, the interface cni0 [take the other cluster down first (its tool's reset), and its packages away]
    Failed: found /etc/kubernetes/pki/apiserver.crt [take the other cluster down first (its tool's reset), and its packages away]
    ");
    // Authorities that lie ready are none.
    let mut ready = with("/etc/kubernetes/pki/ca.key", "");
    put(&mut ready, "/etc/kubernetes/pki/etcd/ca.crt", "");
    assert_eq!(found(&ready, &amd64, "leftovers"), "Passed: none");
}

#[test]
fn clocks() {
    let at = |host: &Memory, settings: &Settings, seconds: u64| {
        let now = UNIX_EPOCH + Duration::from_secs(seconds);
        match super::system::clock_at(host, settings, now).unwrap() {
            Outcome::Fine { message, hint } => format!("fine: {message} {hint:?}"),
            Outcome::Bad { message, hint } => format!("bad: {message} {hint:?}"),
        }
    };
    const NOW: u64 = 1_800_000_000;
    let now = UNIX_EPOCH + Duration::from_secs(NOW);
    let authority = pki::Authority::generate("kubernetes", now).unwrap();
    let mut handed = amd64();
    let pem = api::Secret::new(authority.pair().certificate);
    handed.credentials.insert("ca.crt".to_owned(), pem);
    let mut alone = healthy();
    alone.answer(
        Query::new(
            "timedatectl",
            ["show", "--property=NTPSynchronized", "--value"],
        ),
        Output {
            code: Some(0),
            stdout: b"no\n".to_vec(),
            stderr: String::new(),
        },
    );
    let lines = [
        at(&healthy(), &amd64(), 0),
        at(&healthy(), &amd64(), NOW + 30 * 365 * 86_400),
        at(&healthy(), &amd64(), NOW),
        at(&alone, &amd64(), NOW),
        at(&healthy(), &handed, NOW - 86_400),
        at(&healthy(), &handed, NOW + 11 * 365 * 86_400),
    ];
    insta::assert_snapshot!(lines.join("\n"), @r#"
    bad: the clock shows the year 1970, which is past Some("set the clock")
    bad: the clock shows the year 2057 Some("set the clock")
    fine: the year 2027, synchronised None
    fine: the year 2027; not synchronised Some("let systemd-timesyncd or chrony keep the clock, all hosts by the same source")
    bad: by this clock the cluster's authority becomes valid in 86100 s: the clock is slow Some("set the clock")
    bad: by this clock the cluster's authority has ended Some("set the clock; if it is right, the authority must be renewed")
    "#);
}
