//! A cluster of three control planes and a worker, made once and kept, off: each test that begins with such a one boots a
//! copy. An application runs on its worker; a snapshot was taken of its etcd, after the ConfigMap `before` was written and
//! before `after` was.
//!
//! Copies lie in one place, one at a time, so that the paths in the admin's files stay true. `cargo xtask test` takes the
//! folder away at its end.

use std::path::PathBuf;

use hosts::{Admin, ClusterFile, Equipment, Web};
use lab::{Base, Host, HostSpec, Lab, LabConfig, wait_until};
use serde_json::Value;

use crate::killed::subject;
use crate::{Ground, READY, timed};

pub(crate) const MASTERS: usize = 3;
/// The snapshot, among the admin's files.
pub(crate) const SNAPSHOT: &str = "etcd.snapshot";
/// The admin's files that a copy begins with.
const KEPT: [&str; 4] = ["cctl-state.yaml", "cluster.yaml", "kubeconfig", SNAPSHOT];
const NAME: &str = "cctl-saved";

pub(crate) struct Saved {
    folder: PathBuf,
    base: Base,
}

impl Saved {
    /// The one that is there, if it was made by these tools and in this way; else a new one.
    pub(crate) fn ensure() -> Self {
        let base = Base::ensure().unwrap();
        let folder = base.root().parent().unwrap().join(hosts::SAVED);
        let saved = Self { folder, base };
        let (path, key) = (
            saved.folder.join("key"),
            subject() + include_str!("saved.rs"),
        );
        if std::fs::read_to_string(&path).is_ok_and(|made| made == key) {
            return saved;
        }
        if saved.folder.exists() {
            std::fs::remove_dir_all(&saved.folder).unwrap();
        }
        std::fs::create_dir_all(&saved.folder).unwrap();
        timed("a cluster to copy", || saved.make());
        std::fs::write(path, key).unwrap();
        saved
    }

    fn make(&self) {
        let lab = self.lab(false);
        let hosts = lab.up(4, HostSpec::default()).unwrap();
        let equipment = Equipment::from_environment().unwrap();
        let admin = Admin::new(&lab, equipment, self.place().join("admin")).unwrap();
        let file = ClusterFile::new(&lab, &hosts, MASTERS, "admin");
        admin.apply(&file).unwrap();
        admin.fetch_kubeconfig().unwrap();
        admin.check_healthy(&hosts, MASTERS, READY).unwrap();
        Web::deploy(&admin, &hosts[MASTERS..], 1).unwrap();
        mark(&admin, "before");
        let snapshot = admin.file(SNAPSHOT);
        let words = ["snapshot", "etcd", snapshot.to_str().unwrap()];
        println!("{}", admin.cctl(words).text().unwrap());
        mark(&admin, "after");
        // In order, it would take the minute in which API servers wait for clients that hold on.
        hosts::side_by_side(&hosts, |host| {
            host.nsexec(["sync"]).unwrap().check().unwrap();
            host.power_loss().unwrap();
        });
        lab.checkpoint(&self.folder.join("checkpoint")).unwrap();
        for name in KEPT {
            std::fs::copy(admin.file(name), self.folder.join(name)).unwrap();
        }
    }

    /// Where the lab and its admin are, of the one that is copied and of each copy.
    fn place(&self) -> PathBuf {
        self.folder.join("place")
    }

    fn lab(&self, is_copy: bool) -> Lab {
        let mut config = LabConfig::new(NAME, self.place().join("lab"), &self.base);
        config.checkpoint = is_copy.then(|| self.folder.join("checkpoint"));
        Lab::create(config).unwrap()
    }

    /// A copy, booted: the admin called `admin` has its files.
    pub(crate) fn boot(&self) -> Ground {
        let lab = self.lab(true);
        let hosts = lab.boot_all().unwrap();
        let folder = self.place();
        let files = folder.join("admin");
        if files.exists() {
            std::fs::remove_dir_all(&files).unwrap();
        }
        std::fs::create_dir_all(&files).unwrap();
        for name in KEPT {
            std::fs::copy(self.folder.join(name), files.join(name)).unwrap();
        }
        let ground = Ground {
            hosts,
            lab,
            folder,
            temporary: None,
        };
        serves(&ground);
        ground
    }
}

/// Waits until the copy is what it was made from: what the API says before its kubelets have spoken is of the time before.
fn serves(ground: &Ground) {
    let admin = ground.admin("admin");
    wait_until("every kubelet to speak again", READY, || {
        let nodes = admin.get(&["nodes"]).unwrap_or_default();
        let nodes = nodes["items"].as_array().cloned().unwrap_or_default();
        let speaks = |host: &Host| {
            let boot = host.boot_id().unwrap_or_default();
            let of_host = |node: &&Value| node["metadata"]["name"] == host.name();
            let node = nodes.iter().find(of_host);
            node.is_some_and(|node| node["status"]["nodeInfo"]["bootID"] == boot)
        };
        Ok(ground.hosts.iter().all(speaks))
    })
    .unwrap();
    admin.check_healthy(&ground.hosts, MASTERS, READY).unwrap();
    let web = Web::of(&admin);
    assert_eq!(web.nodes().unwrap(), ["h4"]);
    web.reach_from(&ground.hosts[0], 1).unwrap();
}

/// Writes a ConfigMap of this name.
pub(crate) fn mark(admin: &Admin<'_>, name: &str) {
    let words = ["create", "configmap", name, "--from-literal=a=b"];
    admin.kubectl(words).unwrap().check().unwrap();
}

/// Whether there is one.
pub(crate) fn has(admin: &Admin<'_>, name: &str) -> bool {
    let words = ["get", "configmap", name, "--ignore-not-found", "-o", "name"];
    !admin.kubectl(words).unwrap().text().unwrap().is_empty()
}
