//! Each verb against a host and a cluster in memory: what it plans, that the second run plans nothing, and what it does
//! with whatever an earlier run or somebody else left.

mod backups;
mod certificates;
mod change;
mod checks;
mod cluster;
mod init;
mod join;
mod pods;
mod recover;
mod reset;
mod restore;
mod rotate;
mod upgrade;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use api::{EtcdConfiguration, ExpectedMember, Secret};
use etcd::{Member, MemberStatus, Membership, Picture};
use host::{
    Change as HostChange, Condition, Host, Inspect, Memory, Nothing, Phase, Runner, Silent, Unit,
    UnitActivity,
};
use pki::etcd::{LEAVES, profile};
use pki::{Authority, PrivateKey};

use crate::{Change, Configuration, Error, Machine, Record, paths};

/// A moment in 2026.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000)
}

/// A host in memory and a cluster in a picture.
struct World {
    host: Memory,
    etcd: Picture,
}

impl World {
    /// A fresh host, h1 at 10.77.0.11, with an artifact where older tools kept it.
    fn new() -> Self {
        let mut host = Memory::new(Nothing);
        let mut put = |path: &str, text: &str| host.apply(&HostChange::file(path, text)).unwrap();
        put("/proc/sys/kernel/hostname", "h1\n");
        put(
            "/proc/net/fib_trie",
            "     |-- 10.77.0.11\n        /32 host LOCAL\n",
        );
        put("/run/systemd/system/keep", "");
        put(
            "/var/cache/etcdadm/etcd/v3.7.3/etcd-v3.7.3-linux-amd64.tar.gz",
            "release",
        );
        Self {
            host,
            etcd: Picture::default(),
        }
    }

    /// The same, and a cluster of h2 alone, whose authority is on this host.
    fn beside_a_cluster() -> Self {
        let mut world = Self::new();
        world.authority();
        let url = "https://10.77.0.12:2379";
        world.etcd = Picture::of(membership(&[member(2, "h2", 12)]));
        world.etcd.set_status(
            url,
            MemberStatus {
                version: "3.7.3".into(),
                ..MemberStatus::default()
            },
        );
        world.etcd.set_healthy(url);
        world
    }

    fn put(&mut self, path: impl AsRef<Path>, mode: u32, bytes: impl Into<Vec<u8>>) {
        let content = bytes.into().into();
        self.host
            .apply(&HostChange::WriteFile {
                path: path.as_ref().to_owned(),
                mode,
                content,
            })
            .unwrap();
    }

    fn authority(&mut self) -> Authority {
        let authority = Authority::generate("etcd", now()).unwrap();
        let pair = authority.pair();
        self.put("/etc/etcd/pki/ca.crt", 0o644, pair.certificate);
        self.put("/etc/etcd/pki/ca.key", 0o600, pair.key.expose());
        authority
    }

    fn data(&mut self) {
        self.put(
            "/var/lib/etcd/member/wal/0000000000000000-0000000000000000.wal",
            0o600,
            "clientURLs",
        );
    }

    fn configure(&self, document: EtcdConfiguration) -> Configuration {
        Configuration::resolve(document, BTreeMap::new(), &self.host, "0a1b2c3d".into()).unwrap()
    }

    /// Walks phases to their end; gives the words of all changes, keys and digests left out.
    fn walk<'a>(
        &'a mut self,
        phases: &[Box<dyn Phase<Machine<'a>> + '_>],
    ) -> Result<String, String> {
        let Self { host, etcd } = self;
        let mut machine = Machine::new(
            host,
            etcd,
            Path::new("/etc/etcd/pki"),
            now(),
            Box::new(|_| ()),
        );
        let phases: Vec<&dyn Phase<Machine<'a>>> = phases.iter().map(AsRef::as_ref).collect();
        let summary = Runner::new(&mut Silent, None)
            .run(&mut machine, &phases)
            .map_err(|error| causes(&error))?;
        Ok(summary
            .changes
            .iter()
            .map(|applied| format!("{}: {}\n", applied.phase, without_content(&applied.change)))
            .collect())
    }

    fn init(&mut self, configuration: &Configuration) -> Result<String, String> {
        self.walk(&crate::init::phases(configuration))
    }

    fn join(&mut self, configuration: &Configuration) -> Result<String, String> {
        self.walk(&crate::join::phases(configuration))
    }

    fn reset(&mut self, configuration: &Configuration) -> Result<String, String> {
        self.walk(&crate::reset::phases(configuration, Vec::new(), true))
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// Sizes and digests of what is written differ from run to run.
fn without_content(words: &str) -> String {
    match words.split_once(" bytes, sha256") {
        Some((before, _)) => {
            before
                .rsplit_once(", ")
                .map_or(before, |(before, _)| before)
                .to_owned()
                + ")"
        }
        None => match words.split_once(" from sha256 ") {
            Some((before, after)) => format!(
                "{before}: {}",
                after.split_once(": ").map_or("", |(_, files)| files)
            ),
            None => words.to_owned(),
        },
    }
}

fn member(id: u64, name: &str, last: u8) -> Member {
    Member {
        id,
        name: name.into(),
        peer_urls: vec![format!("https://10.77.0.{last}:2380")],
        client_urls: if name.is_empty() {
            vec![]
        } else {
            vec![format!("https://10.77.0.{last}:2379")]
        },
        learner: false,
    }
}

fn membership(members: &[Member]) -> Membership {
    Membership {
        cluster_id: 7,
        members: members.to_vec(),
    }
}

fn joining() -> EtcdConfiguration {
    EtcdConfiguration {
        endpoints: vec!["10.77.0.12".into()],
        ..EtcdConfiguration::default()
    }
}

/// What one phase of join plans, after all those before it were walked.
fn plan(world: &mut World, configuration: &Configuration, name: &str) -> Vec<Change> {
    let all = crate::join::phases(configuration);
    let at = all.iter().position(|phase| phase.name() == name).unwrap();
    let World { host, etcd } = world;
    let mut machine = Machine::new(
        host,
        etcd,
        Path::new("/etc/etcd/pki"),
        now(),
        Box::new(|_| ()),
    );
    let before: Vec<_> = all[..at].iter().map(AsRef::as_ref).collect();
    Runner::new(&mut Silent, None)
        .run(&mut machine, &before)
        .unwrap();
    all[at].plan(&machine).unwrap()
}

impl World {
    fn etcd_members(&self) -> usize {
        let nobody = etcd::Credentials {
            ca: vec![],
            certificate: vec![],
            key: pki::Secret::new(""),
        };
        let ask = ["https://10.77.0.12:2379".to_owned()];
        etcd::Observe::members(&self.etcd, &ask, &nobody)
            .unwrap()
            .members
            .len()
    }
}

/// All that init plans at first sight, without anything being changed.
fn plan_of_init(world: &mut World, configuration: &Configuration) -> String {
    let World { host, etcd } = world;
    let machine = Machine::new(
        host,
        etcd,
        Path::new("/etc/etcd/pki"),
        now(),
        Box::new(|_| ()),
    );
    let mut words = String::new();
    for phase in crate::init::phases(configuration) {
        for change in phase.plan(&machine).unwrap() {
            words += &format!(
                "{}: {}\n",
                phase.name(),
                without_content(&change.to_string())
            );
        }
    }
    words
}
