//! Members that are static pods of their hosts' kubelets, which belong to no cluster: made, changed, renewed, upgraded one
//! after the other under load, a host without power, a reset.

use bundle::Entry;
use hosts::{Equipment, Listing, Nodes, side_by_side, write_stream};
use lab::Host;
use serde_json::{Value, json};

use crate::{BESIDE, BOOT, Ground, NEWEST, timed};

/// The release of the kubelets.
const KUBERNETES: &str = "1.37.2";
/// The kubelet's folder here.
const MANIFESTS: &str = "/etc/kubernetes/manifests";
const MANIFEST: &str = "/etc/kubernetes/manifests/etcdadm-etcd.json";
/// A kubelet without an API server, as kubeadm's documents set one up to look after etcd: its configuration lies beside its
/// unit.
const CONFIG: &str = "/etc/systemd/system/kubelet.service.d/kubelet.conf";
const KUBELET: &str = "\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: systemd
address: 127.0.0.1
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
staticPodPath: /etc/kubernetes/manifests
# The lab's machine may have cgroup v1.
failCgroupV1: false
";
const DROP_IN: &str = "\
[Service]
ExecStart=
ExecStart=/opt/bin/kubelet --config=/etc/systemd/system/kubelet.service.d/kubelet.conf
";

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn members_are_static_pods_from_init_to_reset() {
    let ground = Ground::alone("pods", 3);
    let members = ground.members(BESIDE);
    let hosts = ground.hosts.as_slice();
    members.equip_all(hosts).unwrap();
    for host in hosts {
        let name = Equipment::etcd_name(NEWEST);
        let path = format!("/var/cache/etcdadm/etcd/v{NEWEST}/{name}.tar.gz");
        host.put(&members.equipment().etcd(NEWEST), &path, 0o644)
            .unwrap();
    }
    timed("three kubelets", || kubelets(&ground, members.equipment()));

    let (first, others) = hosts.split_first().unwrap();
    let version = format!("v{BESIDE}");
    let words = ["--version", &version, "--init-system", "kubelet"];
    let init = ["init"].into_iter().chain(words);
    timed("init", || members.etcdadm(first, init).check()).unwrap();
    members.share_authority(first, others).unwrap();
    let before = listing(&hosts[2]);
    for host in others {
        let through = hosts::client_url(first);
        let join = ["join", &through].into_iter().chain(words);
        timed("join", || members.etcdadm(host, join).check()).unwrap();
    }
    for host in hosts {
        is_a_pod(host);
        // The record knows what runs it.
        let again = members.etcdadm(host, ["init", "--dry-run"]).text().unwrap();
        assert_eq!(again, "nothing to change");
    }

    let ((), written) = members
        .under_load(hosts, |_| {
            for host in hosts {
                changed(&members, host);
                let before = process(host);
                members
                    .etcdadm(host, ["certs", "renew", "--all"])
                    .check()
                    .unwrap();
                assert_eq!(process(host), before, "renewed without a restart");
            }
            for host in hosts {
                let version = format!("v{NEWEST}");
                let words = ["upgrade", "--version", &version];
                let run = members.etcdadm(host, words);
                timed(&format!("upgrade of {}", host.name()), || run.check()).unwrap();
                let again = members
                    .etcdadm(host, words.into_iter().chain(["--dry-run"]))
                    .text()
                    .unwrap();
                assert_eq!(again, "nothing to change");
            }
        })
        .unwrap();
    println!(
        "{} writes acknowledged, {} not, at most {:.2} s between two",
        written.acknowledged.len(),
        written.refused.len(),
        written.longest.as_secs_f32()
    );
    members.check_healthy(hosts).unwrap();
    for host in hosts {
        assert_eq!(members.lost(host, &written).unwrap(), [0; 0]);
    }
    let status = members.etcdadm(first, ["status", "--output", "json"]);
    let status: Value = serde_json::from_str(&status.text().unwrap()).unwrap();
    for member in status["members"].as_array().unwrap() {
        assert_eq!(member["status"]["version"], NEWEST, "{member:#}");
        assert_eq!(member["status"]["dbQuota"], 4_000_000_000_u64, "{member:#}");
    }

    // It comes back by itself.
    let struck = &hosts[1];
    struck.power_loss().unwrap();
    struck.boot().unwrap();
    timed("a member after power loss", || {
        members.wait_healthy(hosts, BOOT).unwrap();
    });

    let last = &hosts[2];
    timed("reset", || members.etcdadm(last, ["reset"]).check()).unwrap();
    let left = "\
- /etc/etcd/pki/ca.crt
+ /etc/etcd/pki/ca.crt.set-aside-TIME f 644 root:root
- /etc/etcd/pki/ca.key
+ /etc/etcd/pki/ca.key.set-aside-TIME f 600 root:root
+ /opt/bin/etcd.v3.6.16 f 755 root:root
+ /opt/bin/etcdctl.v3.6.16 f 755 root:root
+ /opt/bin/etcdutl.v3.6.16 f 755 root:root
+ /var/lib/etcd.set-aside-TIME d 700 root:root
+ /var/lib/etcdadm d 700 root:root
+ /var/lib/etcdadm/before-v3.7.3.capsule f 600 root:root
+ /var/lib/etcdadm/journal f 600 root:root
+ /var/lib/etcdadm/lock f 600 root:root
";
    assert_eq!(listing(last).since(&before), left);
    assert_eq!(
        last.exec(["pgrep", "--exact", "etcd"])
            .output()
            .unwrap()
            .code,
        1
    );
    members.check_healthy(&hosts[..2]).unwrap();
    // And the host can be a member again.
    members.share_authority(first, &hosts[2..]).unwrap();
    let (through, version) = (hosts::client_url(first), format!("v{NEWEST}"));
    let join = [
        "join",
        &through,
        "--version",
        &version,
        "--init-system",
        "kubelet",
    ];
    members.etcdadm(last, join).check().unwrap();
    members.check_healthy(hosts).unwrap();
}

/// containerd and a kubelet on each host, and etcd's images in its store.
fn kubelets(ground: &Ground, equipment: &Equipment) {
    let folder = ground.folder.path().join("nodes");
    // nodeadm asks for all that a worker without a network of ours has.
    let names = ["/pause:", "/kube-proxy:", "/coredns:"];
    let needed = |image: &str| names.iter().any(|name| image.contains(name));
    let nodes = Nodes::with(equipment.clone(), KUBERNETES, &folder, needed).unwrap();
    let images = folder.join("etcd.tar");
    write_stream(&equipment.etcd_layout(), &images, |entry| {
        matches!(entry, Entry::Image(_))
    })
    .unwrap();
    side_by_side(&ground.hosts, |host| {
        nodes.equip(host).unwrap();
        nodes.receive(host, &images).unwrap();
        nodes
            .configure(
                host,
                "role: node\ncontrolPlaneEndpoint: 10.77.0.100\nnetwork: {cni: none}\n",
            )
            .unwrap();
        let prepare = nodes.configured(host, ["prepare"]);
        timed(&format!("nodeadm prepare on {}", host.name()), || {
            prepare.check()
        })
        .unwrap();
        host.exec(["mkdir", "-p", MANIFESTS]).check().unwrap();
        host.write(CONFIG, KUBELET, 0o644).unwrap();
        let drop_in = "/etc/systemd/system/kubelet.service.d/20-etcd-service-manager.conf";
        host.write(drop_in, DROP_IN, 0o644).unwrap();
        for words in [&["daemon-reload"][..], &["restart", "kubelet.service"]] {
            let systemctl = ["systemctl"].into_iter().chain(words.iter().copied());
            host.exec(systemctl).check().unwrap();
        }
    });
}

/// A quota, by one restart of a pod.
fn changed(members: &hosts::Members<'_>, host: &Host) {
    let document = json!({
        "apiVersion": "klusterkit.dev/v1alpha1",
        "kind": "EtcdConfiguration",
        "initSystem": "kubelet",
        "extraEnvironment": {"ETCD_QUOTA_BACKEND_BYTES": "4000000000"},
    });
    let run = |words: &[&str]| {
        let run = members.etcdadm(host, words.iter().copied());
        run.stdin(document.to_string())
    };
    let apply = run(&["config", "apply", "--config", "-"]);
    timed(&format!("apply on {}", host.name()), || apply.check()).unwrap();
    let again = run(&["config", "apply", "--config", "-", "--dry-run"]);
    assert_eq!(again.text().unwrap(), "nothing to change");
}

/// etcd's process on a host.
fn process(host: &Host) -> String {
    host.exec(["pgrep", "--exact", "etcd"]).text().unwrap()
}

fn is_a_pod(host: &Host) {
    let pid = process(host);
    let group = host.read(&format!("/proc/{pid}/cgroup")).unwrap();
    assert!(group.contains("/kubepods"), "{group}");
    let status = host.read(&format!("/proc/{pid}/status")).unwrap();
    let told = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        line.unwrap_or_default()
            .split_whitespace()
            .nth(1)
            .map(str::to_owned)
    };
    assert_eq!(told("CapEff:").as_deref(), Some("0000000000000000"));
    assert_eq!(told("CapBnd:").as_deref(), Some("0000000000000000"));
    assert_eq!(told("NoNewPrivs:").as_deref(), Some("1"));
    assert_eq!(told("Seccomp:").as_deref(), Some("2"));
    host.exec(["test", "-f", MANIFEST]).check().unwrap();
    let unit = ["systemctl", "cat", "etcd.service"];
    assert!(!host.exec(unit).output().unwrap().success());
}

/// All paths, but not what kubelet, containerd and set-aside data have inside of them.
fn listing(host: &Host) -> Listing {
    let listing = Listing::of(host).unwrap().shape();
    listing.without(&[
        "/var/lib/kubelet/",
        "/var/lib/containerd/",
        "/var/lib/etcd.set-aside-TIME/",
    ])
}
