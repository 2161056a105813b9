//! Two control planes made by hand, the authorities copied from the first to the second, with an address that keepalived
//! holds on one of them: how long the API behind it is gone when its holder's API server dies, and when its holder loses
//! power.

use std::time::Duration;

use hosts::{Admin, Nodes, Silence, VIP, silence};
use lab::{Host, wait_until};

use crate::{Ground, READY, equipment, timed};

/// Without a word of it, the holder is gone: adverts every 0.2 s, three of them missed.
const POWER: Duration = Duration::from_secs(1);
/// The check looks every second and believes what it sees twice.
const DEAD_SERVER: Duration = Duration::from_secs(3);
/// A busy machine may make one of them late.
const TRIES: usize = 3;

/// A cluster's authorities, as they lie in kubeadm's folder.
const AUTHORITIES: [(&str, u32); 6] = [
    ("ca.crt", 0o644),
    ("ca.key", 0o600),
    ("front-proxy-ca.crt", 0o644),
    ("front-proxy-ca.key", 0o600),
    ("sa.key", 0o600),
    ("sa.pub", 0o644),
];

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn the_address_goes_to_another_control_plane() {
    let ground = Ground::new("address", 3);
    // The third is there for etcd's majority alone.
    let planes = &ground.hosts[..2];
    let nodes = ground.nodes(crate::NEWEST);
    let members = ground.members("etcd");
    members.equip_all(&ground.hosts).unwrap();
    timed("three etcd members", || {
        members.form(&ground.hosts).unwrap();
    });
    let address = ground.lab.net().address(VIP).to_string();
    let peers: Vec<String> = planes
        .iter()
        .map(|host| host.address().to_string())
        .collect();
    let fields = format!(
        "controlPlaneEndpoint: {address}\nvip: {{address: {address}, peers: [{}]}}\ntaints: []\n",
        peers.join(", ")
    );
    for host in planes {
        nodes.equip(host).unwrap();
        nodes.configure(host, &fields).unwrap();
    }
    timed("nodeadm init", || {
        nodes.configured(&planes[0], ["init"]).check().unwrap()
    });
    for (name, mode) in AUTHORITIES {
        let path = format!("/etc/kubernetes/pki/{name}");
        let text = planes[0].read(&path).unwrap();
        planes[1].write(&path, text, mode).unwrap();
    }
    timed("nodeadm join", || {
        nodes.configured(&planes[1], ["join"]).check().unwrap()
    });
    timed("all Ready", || {
        nodes.wait_ready(&planes[0], 2, READY).unwrap();
    });
    let admin = Admin::new(&ground.lab, equipment(), ground.folder.path().join("admin")).unwrap();
    let trial = Trial {
        admin,
        nodes,
        planes,
        address,
    };
    trial.within("a dead API server", DEAD_SERVER, |holder| {
        // The kubelet would start it again within that time.
        let away = [
            "mv",
            "/etc/kubernetes/manifests/kube-apiserver.yaml",
            "/root/",
        ];
        let kill = ["pkill", "-KILL", "-x", "kube-apiserver"];
        let blow = || {
            holder.nsexec(away)?.check()?;
            holder.nsexec(kill)?.check().map(drop)
        };
        let silence = silence(&ground.lab, &trial.address, blow).unwrap();
        let back = [
            "mv",
            "/root/kube-apiserver.yaml",
            "/etc/kubernetes/manifests/",
        ];
        holder.nsexec(back).unwrap().check().unwrap();
        silence
    });
    trial.within("power loss", POWER, |holder| {
        let silence = silence(&ground.lab, &trial.address, || holder.power_loss()).unwrap();
        holder.boot().unwrap();
        holder.wait_ssh().unwrap();
        silence
    });
}

struct Trial<'g> {
    admin: Admin<'g>,
    nodes: Nodes,
    planes: &'g [Host],
    address: String,
}

impl Trial<'_> {
    fn holder(&self) -> &Host {
        let holder = self.admin.vip_holder(self.planes).unwrap();
        holder.expect("one of them holds the address")
    }

    /// Strikes the holder until the address is back within `limit`, [`TRIES`] times at most, each told. After each blow all
    /// is well again, and the holder is the other one.
    fn within(&self, what: &str, limit: Duration, strike: impl Fn(&Host) -> Silence) {
        let mut gaps = Vec::new();
        for _ in 0..TRIES {
            let before = self.holder().name().to_owned();
            let silence = strike(self.holder());
            println!(
                "*** {what}: {before}'s API silent for {:.2} s ({} questions unanswered; goal {} s) ***",
                silence.longest.as_secs_f32(),
                silence.unanswered,
                limit.as_secs()
            );
            self.wait_well(&before);
            assert_ne!(
                self.holder().name(),
                before,
                "it came back to the one that was struck"
            );
            gaps.push(silence.longest);
            if silence.longest <= limit {
                return;
            }
        }
        panic!("{what}: {gaps:?}, never within {limit:?}");
    }

    /// The API server of the host that was struck is ready again, and all that runs is.
    fn wait_well(&self, struck: &str) {
        let host = self.planes.iter().find(|host| host.name() == struck);
        let host = host.expect("one of the two was struck");
        let url = format!("https://{}:6443/readyz", host.address());
        let words = [
            "curl",
            "--silent",
            "--insecure",
            "--fail",
            "--max-time",
            "2",
            &url,
        ];
        wait_until("the API server to be ready again", READY, || {
            Ok(self.admin.lab().run(words).output()?.success())
        })
        .unwrap();
        self.nodes.wait_ready(host, 2, READY).unwrap();
    }
}
