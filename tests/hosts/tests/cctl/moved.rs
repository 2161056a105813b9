//! A control plane that is lost with all its hosts, begun anew on others, where the API is reached at another address.

use std::path::PathBuf;

use hosts::Admin;
use lab::{Host, HostSpec, wait_until};

use crate::recovered::{admin_bundle, booted, containers, is_as_it_was, newest, text};
use crate::saved::{MASTERS, SNAPSHOT, Saved};
use crate::{READY, timed};

/// Objects of the cluster that say where the API is.
const KNOW: [&str; 6] = [
    "configmap kube-proxy --namespace kube-system",
    "configmap kubeadm-config --namespace kube-system",
    "configmap cluster-info --namespace kube-public",
    "daemonset kube-flannel-ds --namespace kube-flannel",
    "deployment coredns --namespace kube-system",
    "pods --all-namespaces",
];

/// The last number of the address that the API has afterwards.
const ELSEWHERE: u8 = 101;

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn a_lost_control_plane_begins_anew_elsewhere_at_another_address() {
    let mut ground = Saved::ensure().boot();
    let admin = ground.admin("admin");
    let snapshot = admin.file(SNAPSHOT);
    let before = containers(&admin);
    let seen = newest(&admin);
    let stolen = Pair::of(&admin, &ground.hosts[0], "stolen");
    assert!(stolen.opens(&admin, &ground.hosts[0]));

    let endpoint = ground.lab.net().address(ELSEWHERE).to_string();
    let bundle = admin_bundle();
    let mut words: Vec<String> = ["recover", "--yes", "--accept-new-host-keys", "--snapshot"]
        .map(str::to_owned)
        .to_vec();
    words.extend(
        [
            text(&snapshot),
            "--bundle",
            text(&bundle),
            "--endpoint",
            &endpoint,
        ]
        .map(str::to_owned),
    );
    let others = hosts::side_by_side(&ground.hosts[..MASTERS], |lost| {
        lost.power_loss().unwrap();
        let number = lost.address().octets()[3] - 10;
        booted(ground.lab.add(number + 4, HostSpec::default()).unwrap())
    });
    for (lost, other) in ground.hosts.iter().zip(&others) {
        words.push(format!("--replace={}={}", lost.address(), other.address()));
        words.push(format!("--dead={}", lost.address()));
    }
    timed(
        "recover on other hosts, with another address for the API",
        || {
            let words = words.iter().map(String::as_str);
            println!("{}", admin.cctl(words).check().unwrap().error_text());
        },
    );
    let kubeconfig = admin.fetch_kubeconfig().unwrap();
    drop(admin);
    ground.hosts.splice(..MASTERS, others);
    let admin = ground.admin("admin");
    is_as_it_was(&ground, &admin, &before, seen);

    let own = std::fs::read_to_string(kubeconfig).unwrap();
    assert!(
        own.contains(&format!("https://{endpoint}:6443")),
        "it leads elsewhere"
    );
    nobody_knows_the_old_address(
        &ground.hosts[MASTERS..],
        &admin,
        ground.lab.net().address(hosts::VIP).to_string(),
    );

    // What was on the lost disks opens nothing any more.
    let first = &ground.hosts[0];
    assert!(
        !stolen.opens(&admin, first),
        "an old certificate opens etcd"
    );
    assert!(Pair::of(&admin, first, "new").opens(&admin, first));

    let plan = admin.cctl(["plan"]).text().unwrap();
    assert_eq!(plan, "nothing to change");
    let given_up = admin.told(["fence", "--dry-run"]).unwrap();
    assert_eq!(given_up["steps"].as_array().map(Vec::len), Some(0));
    let state = std::fs::read_to_string(admin.file("cctl-state.yaml")).unwrap();
    assert_eq!(
        state.matches("givenUpAt:").count(),
        MASTERS,
        "the lost ones are looked for"
    );
}

/// A client's certificate and key of etcd, in the admin's folder.
struct Pair {
    certificate: PathBuf,
    key: PathBuf,
}

impl Pair {
    /// As this host has it.
    fn of(admin: &Admin<'_>, host: &Host, name: &str) -> Self {
        let fetch = |end: &str| {
            let path = format!("/etc/etcd/pki/etcdctl-etcd-client.{end}");
            let content = host.exec(["cat", &path]).text().unwrap();
            admin
                .write(&format!("{name}.{end}"), &format!("{content}\n"))
                .unwrap()
        };
        Self {
            certificate: fetch("crt"),
            key: fetch("key"),
        }
    }

    /// Whether etcd on this host takes it.
    fn opens(&self, admin: &Admin<'_>, host: &Host) -> bool {
        let url = format!("https://{}:2379/version", host.address());
        // Whose server it is matters nothing here: the question is whom it lets in.
        let words = [
            "curl",
            "--silent",
            "--fail",
            "--insecure",
            "--max-time",
            "5",
        ];
        let pair = ["--cert", text(&self.certificate), "--key", text(&self.key)];
        let asked = admin.lab().run(words).args(pair).args([url.as_str()]);
        asked.output().unwrap().success()
    }
}

/// Neither a worker's kubelet nor what the cluster says of itself leads to where the API was.
fn nobody_knows_the_old_address(workers: &[Host], admin: &Admin<'_>, old: String) {
    for worker in workers {
        for file in [
            "/etc/kubernetes/kubelet.conf",
            "/var/lib/nodeadm/discovery.json",
        ] {
            let content = worker.exec(["cat", file]).text().unwrap();
            assert!(
                !content.contains(&old),
                "{}: {file}: {content}",
                worker.name()
            );
        }
    }
    // Pods that know it are made anew one after the other.
    wait_until("nothing to lead to the old address", READY, || {
        let says = |what: &&str| {
            let words: Vec<&str> = what.split(' ').collect();
            let said = admin.get(&words).unwrap().to_string();
            said.contains(&format!("{old}:")) || said.contains(&format!("\"{old}\""))
        };
        let left: Vec<&str> = KNOW.into_iter().filter(says).collect();
        println!("  {left:?}");
        Ok(left.is_empty())
    })
    .unwrap();
}
