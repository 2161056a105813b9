//! What one lab and its hosts can do.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use lab::{Error, Host, HostSpec, Lab, Power, wait_until};

use crate::{MIB, connects, hears, power_cycle, small, succeeds, text};

pub(crate) fn fresh_machines(hosts: &[Host]) {
    for host in hosts {
        wait_until("systemd says running", Duration::from_secs(30), || {
            Ok(host
                .nsexec(["systemctl", "is-system-running"])?
                .output()?
                .text()
                == "running")
        })
        .unwrap();
        let listening = host.nsexec(["ss", "-Hltun"]).unwrap().text().unwrap();
        assert!(
            listening.lines().all(|line| line.contains(":22 ")),
            "more than sshd listens: {listening}"
        );
        for program in [
            "etcd",
            "etcdctl",
            "containerd",
            "runc",
            "ctr",
            "kubelet",
            "docker",
        ] {
            assert!(
                !succeeds(host, ["which", program]),
                "{program} is installed"
            );
        }
        assert!(!succeeds(host, ["test", "-e", "/opt/cni"]));
        assert_eq!(host.read("/etc/resolv.conf").unwrap(), "");
        assert!(succeeds(host, ["modprobe", "br_netfilter"]));
    }
    let ids: Vec<String> = hosts
        .iter()
        .map(|host| host.read("/etc/machine-id").unwrap())
        .collect();
    assert!(
        ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2],
        "{ids:?}"
    );
    assert_eq!(
        hosts[0]
            .exec_as("admin", ["sudo", "-n", "id", "-u"])
            .text()
            .unwrap(),
        "0"
    );
    assert_eq!(
        hosts[0].exec_as("admin", ["id", "-un"]).text().unwrap(),
        "admin"
    );
}

pub(crate) fn commands_and_files(host: &Host, temp: &Path) {
    let words = [
        "printf",
        "%s|",
        "two words",
        "it's",
        "$HOME",
        "*",
        "",
        "a\\b",
    ];
    assert_eq!(text(host, words), "two words|it's|$HOME|*||a\\b|");
    let output = host
        .exec(["sh", "-c", "cat; echo no >&2; exit 7"])
        .stdin("yes")
        .output()
        .unwrap();
    assert_eq!(
        (output.code, output.text(), output.error_text()),
        (7, "yes".to_owned(), "no".to_owned())
    );
    let error = host
        .exec(["sleep", "60"])
        .timeout(Duration::from_millis(500))
        .output()
        .unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");

    let tree = temp.join("tree");
    std::fs::create_dir_all(tree.join("sub")).unwrap();
    std::fs::write(tree.join("sub/much"), vec![7; 3 << 20]).unwrap();
    std::os::unix::fs::symlink("much", tree.join("sub/link")).unwrap();
    host.put_tree(&tree, "/srv/tree").unwrap();
    host.get_tree("/srv/tree", &temp.join("back")).unwrap();
    assert_eq!(
        std::fs::read(temp.join("back/sub/link")).unwrap(),
        vec![7; 3 << 20]
    );
    assert!(temp.join("back/sub/link").is_symlink());
    host.put(&tree.join("sub/much"), "/opt/new/much", 0o750)
        .unwrap();
    assert_eq!(
        text(host, ["stat", "-c", "%a %s %U", "/opt/new/much"]),
        "750 3145728 root"
    );
    host.write("/etc/new.conf", "x\n", 0o600).unwrap();
    assert_eq!(host.read("/etc/new.conf").unwrap(), "x\n");
    host.get("/etc/new.conf", &temp.join("new.conf")).unwrap();
    assert_eq!(
        std::fs::read_to_string(temp.join("new.conf")).unwrap(),
        "x\n"
    );
    assert!(host.read("/etc/none").is_err());
}

pub(crate) fn kernel_settings(host: &Host) {
    // Looked at before anything is tried: a failure of the lab here would be the machine's.
    for private in ["/proc/sys/vm/overcommit_memory", "/proc/swaps"] {
        assert!(
            succeeds(host, ["mountpoint", "-q", private]),
            "{private} is the machine's"
        );
    }
    for machines in [
        "/proc/sys/vm/drop_caches",
        "/proc/sys/kernel/core_pattern",
        "/proc/sysrq-trigger",
    ] {
        assert!(
            !succeeds(host, ["test", "-w", machines]),
            "{machines} can be written"
        );
    }
    let file = Path::new("/proc/sys/vm/overcommit_memory");
    let before = std::fs::read_to_string(file).unwrap();
    let other = if before.trim() == "1" { "0" } else { "1" };
    let set = format!("vm.overcommit_memory={other}");
    host.exec(["sysctl", "-w", &set]).check().unwrap();
    assert_eq!(text(host, ["sysctl", "-n", "vm.overcommit_memory"]), other);
    assert_eq!(std::fs::read_to_string(file).unwrap(), before);
    // Whichever way a program comes to run there: sys_module, sys_rawio, sys_time, syslog.
    let bounds = ["grep", "CapBnd", "/proc/self/status"];
    for line in [
        text(host, bounds),
        host.nsexec(bounds).unwrap().text().unwrap(),
        host.read("/proc/1/status").unwrap(),
    ] {
        let hex = line
            .split("CapBnd:")
            .nth(1)
            .unwrap()
            .split_whitespace()
            .next()
            .unwrap();
        let has = u64::from_str_radix(hex, 16).unwrap();
        for capability in [16, 17, 25, 34] {
            assert_eq!(has >> capability & 1, 0, "capability {capability} in {hex}");
        }
    }
    assert_eq!(text(host, ["sysctl", "-n", "net.ipv4.ip_forward"]), "0");
    host.exec(["sysctl", "-w", "net.ipv4.ip_forward=1"])
        .check()
        .unwrap();
    // Asked of the kernel, not tried: if it were allowed, the whole machine would live in another year.
    const CAP_SYS_TIME: u64 = 1 << 25;
    for process in ["/proc/1/status", "/proc/self/status"] {
        let bounds = text(host, ["grep", "CapBnd", process]);
        let bits = u64::from_str_radix(bounds.rsplit('\t').next().unwrap(), 16).unwrap();
        assert_eq!(
            bits & CAP_SYS_TIME,
            0,
            "{process}: a host may set the machine's clock"
        );
    }
    assert_eq!(
        text(
            host,
            [
                "systemd-run",
                "-q",
                "--wait",
                "--pipe",
                "-p",
                "MemoryMax=40M",
                "echo",
                "limited"
            ]
        ),
        "limited"
    );
}

pub(crate) fn no_way_out(lab: &Lab, host: &Host) {
    let heard = lab
        .in_net(|| {
            let listener = TcpListener::bind((lab.address(), 8080)).unwrap();
            let mut said = host
                .exec(["nc", "-N", "10.77.0.1", "8080"])
                .spawn()
                .unwrap();
            let (mut stream, from) = listener.accept().unwrap();
            said.stdin.take().unwrap().write_all(b"hello").unwrap();
            let mut heard = String::new();
            stream.read_to_string(&mut heard).unwrap();
            drop(stream);
            assert!(said.wait().unwrap().success());
            assert_eq!(from.ip(), host.address());
            heard
        })
        .unwrap();
    assert_eq!(heard, "hello");
    // The lab's switch has its hosts' cables and no other, and nothing routes beyond it.
    let links = lab.run(["ip", "-br", "link"]).text().unwrap();
    let names: Vec<&str> = links
        .lines()
        .filter_map(|line| line.split(['@', ' ']).next())
        .collect();
    assert_eq!(names.len(), 5, "{names:?}");
    for name in names {
        assert!(["lo", "br0", "h1", "h2", "h3"].contains(&name), "{name}");
    }
    assert_eq!(
        lab.run(["ip", "route", "show", "default"]).text().unwrap(),
        ""
    );
    assert!(!succeeds(host, ["ping", "-c1", "-W1", "192.0.2.1"]));
}

pub(crate) fn cuts(lab: &Lab, h1: &Host, h2: &Host, h3: &Host) {
    assert!(hears(h1, h3));
    h3.cut().unwrap();
    assert!(!hears(h1, h3) && !connects(lab, h3.address()));
    assert_eq!(h3.nsexec(["hostname"]).unwrap().text().unwrap(), "h3");
    h3.power_loss().unwrap();
    h3.boot().unwrap();
    assert!(!connects(lab, h3.address()));
    h3.mend().unwrap();
    h3.wait_ssh().unwrap();
    wait_until("h1 hears h3", Duration::from_secs(20), || Ok(hears(h1, h3))).unwrap();

    lab.cut_between(h1, h2).unwrap();
    assert!(!hears(h1, h2) && !hears(h2, h1) && hears(h1, h3) && hears(h3, h2));
    lab.cut_between(h2, h1).unwrap();
    lab.mend_between(h2, h1).unwrap();
    // Their ARP tables ask once a second for whom they lost.
    let heal = || Ok(hears(h1, h2) && hears(h2, h1));
    wait_until("h1 and h2 hear each other", Duration::from_secs(20), heal).unwrap();
}

pub(crate) fn hang(host: &Host) {
    host.freeze().unwrap();
    let error = host
        .exec(["true"])
        .timeout(Duration::from_secs(1))
        .output()
        .unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    host.thaw().unwrap();
    assert_eq!(text(host, ["hostname"]), host.name());
    host.freeze().unwrap();
    power_cycle(host);
}

pub(crate) fn reboots(h1: &Host, h2: &Host) {
    let before = h1.boot_id().unwrap();
    let hops = || text(h1, ["cat", "/proc/sys/net/ipv4/ip_default_ttl"]);
    let setting = "net.ipv4.ip_default_ttl = 63\n";
    h1.write("/etc/sysctl.d/lab.conf", setting, 0o644).unwrap();
    assert_eq!(hops(), "64");
    h1.reboot().unwrap();
    let between = h1.boot_id().unwrap();
    assert_ne!(between, before);
    assert_eq!(hops(), "63", "its boot sets what is its own");
    h1.exec(["rm", "/etc/sysctl.d/lab.conf"]).check().unwrap();
    // Its ssh connection may end before the command does.
    drop(h1.exec(["systemctl", "reboot"]).output());
    wait_until("h1 boots by itself", Duration::from_secs(60), || {
        Ok(h1.boot_id().is_ok_and(|now| now != between))
    })
    .unwrap();
    h1.wait_ssh().unwrap();

    drop(h2.exec(["systemctl", "poweroff"]).output());
    wait_until("h2 is off", Duration::from_secs(60), || {
        Ok(h2.power()? == Power::Off)
    })
    .unwrap();
    assert!(matches!(h2.boot_id(), Err(Error::Off { .. })));
    h2.boot().unwrap();
    assert!(matches!(h2.boot(), Err(Error::On { .. })));
    h2.wait_ssh().unwrap();
    h2.stop().unwrap();
    h2.boot().unwrap();
    h2.wait_ssh().unwrap();
}

pub(crate) fn power_loss_and_disk(host: &Host) {
    host.exec([
        "sh",
        "-c",
        "echo kept > /root/kept; sync /root/kept; head -c 20000 /dev/urandom > /root/lost",
    ])
    .check()
    .unwrap();
    power_cycle(host);
    assert_eq!(text(host, ["cat", "/root/kept"]), "kept");
    let size = host
        .exec(["stat", "-c", "%s", "/root/lost"])
        .output()
        .unwrap();
    assert_ne!(
        size.text(),
        "20000",
        "what was not synced outlived a power loss"
    );

    let full = host
        .exec(["dd", "if=/dev/zero", "of=/var/fill", "bs=1M"])
        .output()
        .unwrap();
    assert!(
        full.error_text().contains("No space left on device"),
        "{}",
        full.error_text()
    );
    assert_eq!(
        text(host, ["df", "--output=pcent", "/"])
            .lines()
            .last()
            .unwrap()
            .trim(),
        "100%"
    );
    host.exec(["rm", "/var/fill"]).check().unwrap();

    host.fail_disk().unwrap();
    let dead = host
        .nsexec(["touch", "/var/after"])
        .unwrap()
        .output()
        .unwrap();
    assert!(
        dead.error_text().contains("Input/output error"),
        "{}",
        dead.error_text()
    );
    power_cycle(host);
    assert_eq!(text(host, ["cat", "/root/kept"]), "kept");
    host.exec(["touch", "/var/after"]).check().unwrap();
}

pub(crate) fn limits(lab: &Lab) {
    let spec = HostSpec {
        memory: Some(200 * MIB),
        cpus: Some(0.5),
        ..small()
    };
    let host = lab.add(4, spec).unwrap();
    assert_eq!(host.spec().unwrap(), spec);
    host.boot().unwrap();
    host.wait_ssh().unwrap();
    let seen = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes || cat /sys/fs/cgroup/memory.max";
    let seen = host
        .nsexec(["sh", "-c", seen])
        .unwrap()
        .output()
        .unwrap()
        .text();
    assert_eq!(seen, (200 * MIB).to_string());
    // Both the shell's word and the kernel's: more than there is kills the one who takes it.
    let greedy = host
        .exec([
            "sh",
            "-c",
            "head -c 400M /dev/zero | tail -c 400M > /dev/null; echo $?",
        ])
        .text()
        .unwrap();
    assert_eq!(greedy, "137", "it got more memory than the host has");
    // Two loops at once want more than half a processor even of a busy machine, and the kernel counts that it says no.
    let throttled = "timeout 0.5 yes > /dev/null & timeout 0.5 yes > /dev/null; wait; \
                     cat /sys/fs/cgroup/cpu.stat /sys/fs/cgroup/cpu*/cpu.stat";
    wait_until("processor time is denied", Duration::from_secs(20), || {
        let stat = host.exec(["sh", "-c", throttled]).output()?.text();
        Ok(stat
            .lines()
            .any(|line| line.strip_prefix("nr_throttled ").is_some_and(|n| n != "0")))
    })
    .unwrap();
    host.power_loss().unwrap();
}
