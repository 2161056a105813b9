//! A cluster of one by nodeadm beside one by plain kubeadm, of each supported release: the same files and objects, but for
//! a list of differences, each with its reason; kubeadm's own commands work on it; a second run changes nothing; and a
//! reset leaves the host as it was found.

use std::fmt::Write as _;
use std::time::Duration;

use hosts::{Footprint, Listing, Members, Nodes, Sweep};
use lab::{Base, Host};

use crate::facts::{self, Facts};
use crate::{Ground, READY, equipment, timed};

/// The supported releases. What a run without the sweep has at hand is the newest alone.
const VERSIONS: [&str; 4] = ["1.34.4", "1.35.4", "1.36.3", "1.37.2"];

/// Where nodeadm's control plane differs from plain kubeadm's, by the beginning of a line, and why.
const DIFFERENCES: &[(&str, &str)] = &[
    (
        "/var/lib/kubelet/pki/kubelet-client-",
        "the kubelet has its certificate where it renews it from its first start on, so it is not started twice",
    ),
    (
        "ConfigMap kube-system/coredns.Corefile",
        "no `forward` where the host has no resolver: CoreDNS would end again and again",
    ),
    (
        "Node annotations.flannel.",
        "nodeadm applies the network, kubeadm does not",
    ),
    (
        "Node spec.taints[",
        "without a network plain kubeadm's node is not Ready",
    ),
    (
        "token \"made by nodeadm init\"",
        "the document for workers that `init` prints has a token of its own",
    ),
];

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn sweep_versions_beside_plain_kubeadm() {
    let cache = Base::ensure().unwrap().root().parent().unwrap().to_owned();
    let sweep = Sweep::from_environment("versions", "all", &cache).unwrap();
    let equipment = equipment();
    let at_hand = |version: &&str| equipment.has_kubernetes(version);
    if !sweep.is_whole() {
        let there: Vec<&str> = VERSIONS.into_iter().filter(|v| at_hand(v)).collect();
        println!(
            "*** 1 of {} releases, of those at hand: {}; the others take ten minutes each to build ***",
            VERSIONS.len(),
            there.join(", ")
        );
    }
    let (subject, _) = parts::files::sha256_of(&equipment.tool("nodeadm")).unwrap();
    sweep
        .run_at_hand(&subject, &VERSIONS, 1, at_hand, |_, version| {
            timed(&format!("Kubernetes {version}"), || {
                Trial::new(version).run();
            });
        })
        .unwrap();
}

/// Two hosts: one for nodeadm, one for plain kubeadm.
struct Trial {
    ground: Ground,
    nodes: Nodes,
}

/// What a reset of a node leaves on purpose: the authorities that were made on this host, the store, and etcd, which is
/// not nodeadm's.
const LEFT: [&str; 5] = [
    "/var/lib/nodeadm",
    "/var/cache/klusterkit",
    "/var/lib/etcd",
    "/root/.kube",
    "/var/cache/ldconfig",
];

impl Trial {
    fn new(version: &str) -> Self {
        let ground = Ground::new("beside", 2);
        let nodes = ground.nodes(version);
        Self { ground, nodes }
    }

    fn ours(&self) -> &Host {
        &self.ground.hosts[0]
    }

    fn plain(&self) -> &Host {
        &self.ground.hosts[1]
    }

    fn run(&self) {
        timed("  hosts equipped, etcd on each", || self.equip());
        let bare = Footprint::of(self.ours(), &LEFT).unwrap();
        std::thread::scope(|scope| {
            let plain = scope.spawn(|| self.init_plain());
            timed("  nodeadm init, while kubeadm works beside it", || {
                self.nodes
                    .configured(self.ours(), ["init"])
                    .check()
                    .unwrap()
            });
            plain.join().unwrap();
        });
        timed("  all Ready", || {
            self.nodes.wait_ready(self.ours(), 1, READY).unwrap();
        });
        self.compare();
        self.second_run();
        timed("  kubeadm's certs", || self.renew());
        timed("  kubeadm upgrade plan", || self.plan_upgrade());
        timed("  reset", || {
            self.nodes.nodeadm(self.ours(), ["reset"]).check().unwrap()
        });
        let left = Footprint::of(self.ours(), &LEFT).unwrap().since(&bare);
        assert_eq!(left, "", "the reset left the host otherwise than it was");
        let again = self.nodes.nodeadm(self.ours(), ["reset"]).check().unwrap();
        assert!(
            again.error_text().contains("nothing to take down"),
            "{}",
            again.error_text()
        );
    }

    fn equip(&self) {
        let all: Vec<Members<'_>> = ["etcd-1", "etcd-2"]
            .map(|name| self.ground.members(name))
            .into();
        std::thread::scope(|scope| {
            for (host, members) in self.ground.hosts.iter().zip(&all) {
                scope.spawn(move || {
                    self.nodes.equip(host).unwrap();
                    self.nodes.configure(host, "taints: []\n").unwrap();
                    Nodes::etcd(members, host).unwrap();
                });
            }
        });
    }

    /// Plain kubeadm on a host that nodeadm has only brought programs and images to, with the configuration that nodeadm
    /// would use there.
    fn init_plain(&self) {
        let host = self.plain();
        self.nodes.configured(host, ["prepare"]).check().unwrap();
        let write = ["init", "phase", "write-kubeadm-configuration"];
        self.nodes.configured(host, write).check().unwrap();
        let kubeadm = [
            "/opt/bin/kubeadm",
            "init",
            "--config",
            "/var/lib/nodeadm/kubeadm.json",
        ];
        host.exec(kubeadm)
            .timeout(Duration::from_secs(300))
            .check()
            .unwrap();
    }

    fn compare(&self) {
        let [ours, plain] = [self.ours(), self.plain()].map(|host| facts::of(&self.nodes, host));
        println!("  {} facts compared", ours.len());
        let differences = differences(&plain, &ours);
        let expected = |line: &&String| {
            DIFFERENCES
                .iter()
                .any(|(start, _)| line[2..].starts_with(start))
        };
        let unexpected: String = differences.iter().filter(|line| !expected(line)).fold(
            String::new(),
            |mut text, line| {
                let _ = writeln!(text, "{line}");
                text
            },
        );
        assert_eq!(
            unexpected, "",
            "nodeadm's (+) differs from plain kubeadm's (-)"
        );
        for (start, reason) in DIFFERENCES {
            assert!(
                differences.iter().any(|line| line[2..].starts_with(start)),
                "{start} does not differ any more ({reason})"
            );
        }
    }

    /// nodeadm finds nothing to do.
    fn second_run(&self) {
        let host = self.ours();
        let tree = || {
            let listing = Listing::of(host).unwrap();
            // That it ran, it may write down; what runs writes, too.
            listing
                .without(&["/var/lib/nodeadm/journal", "/var/lib/nodeadm/lock"])
                .without(&["/var/lib/containerd", "/var/lib/kubelet/", "/root/"])
        };
        let before = tree();
        let said = self.nodes.configured(host, ["init"]).check().unwrap();
        assert!(
            said.text().contains("nothing was changed"),
            "{}",
            said.text()
        );
        assert_eq!(tree().since(&before), "", "a second run changed files");
    }

    /// kubeadm knows the certificates, renews them, and nodeadm takes the new ones for right.
    fn renew(&self) {
        let host = self.ours();
        let kubeadm = |words: &[&str]| {
            let kubeadm = ["/opt/bin/kubeadm", "certs"];
            host.exec(kubeadm.into_iter().chain(words.iter().copied()))
                .check()
                .unwrap()
                .text()
        };
        let table = kubeadm(&["check-expiration"]);
        for name in [
            "admin.conf",
            "apiserver",
            "front-proxy-client",
            "super-admin.conf",
        ] {
            assert!(table.lines().any(|line| line.starts_with(name)), "{table}");
        }
        assert!(!table.contains("MISSING"), "{table}");
        let before = host.read("/etc/kubernetes/pki/apiserver.crt").unwrap();
        let said = kubeadm(&["renew", "all"]);
        assert!(said.contains("Done renewing certificates"), "{said}");
        let after = host.read("/etc/kubernetes/pki/apiserver.crt").unwrap();
        assert_ne!(before, after);
        // With the renewed certificate of the admin.
        self.nodes.get(host, &["nodes"]).unwrap();
        let said = self.nodes.configured(host, ["init"]).check().unwrap();
        assert!(
            said.text().contains("nothing was changed"),
            "{}",
            said.text()
        );
    }

    /// kubeadm finds all that it needs to upgrade this cluster, to a release that is yet to come.
    fn plan_upgrade(&self) {
        let (minor, _) = self.nodes.version().rsplit_once('.').unwrap();
        let version = format!("v{minor}.99");
        let words = [
            "/opt/bin/kubeadm",
            "upgrade",
            "plan",
            &version,
            "--ignore-preflight-errors=SystemVerification",
        ];
        let said = self.ours().exec(words).check().unwrap().text();
        let apply = format!("kubeadm upgrade apply {version}");
        assert!(said.contains(&apply), "{said}");
        assert!(!said.to_lowercase().contains("warning"), "{said}");
    }
}

/// What `other` has otherwise than `one`: `-` and `+` and a line.
fn differences(one: &Facts, other: &Facts) -> Vec<String> {
    let mut lines = Vec::new();
    for (place, what) in one {
        if other.get(place) != Some(what) {
            lines.push(format!("- {place} = {what}"));
        }
    }
    for (place, what) in other {
        if one.get(place) != Some(what) {
            lines.push(format!("+ {place} = {what}"));
        }
    }
    lines.sort_by(|a, b| a[2..].cmp(&b[2..]));
    lines
}
