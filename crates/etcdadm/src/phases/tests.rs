//! Each verb against a host and a cluster in memory: what it plans, that the second run plans nothing, and what it does
//! with whatever an earlier run or somebody else left.

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

use crate::verbs::{init, join, reset};
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
            "",
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
        self.walk(&init::phases(configuration))
    }

    fn join(&mut self, configuration: &Configuration) -> Result<String, String> {
        self.walk(&join::phases(configuration))
    }

    fn reset(&mut self, configuration: &Configuration) -> Result<String, String> {
        self.walk(&reset::phases(configuration, Vec::new(), true))
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

#[test]
fn init_on_a_fresh_host_and_again() {
    let mut world = World::new();
    let configuration = world.configure(EtcdConfiguration::default());
    insta::assert_snapshot!(world.init(&configuration).unwrap(), @"
    record-member: write /var/lib/etcdadm/member.json (0644)
    install-binaries: make folder /opt/bin (0755)
    install-binaries: install etcd v3.7.3: /opt/bin/etcd, /opt/bin/etcdctl, /opt/bin/etcdutl
    issue-certificates: make folder /etc/etcd/pki (0755)
    issue-certificates: write /etc/etcd/pki/ca.key (0600)
    issue-certificates: write /etc/etcd/pki/ca.crt (0644)
    issue-certificates: write /etc/etcd/pki/server.key (0600)
    issue-certificates: write /etc/etcd/pki/server.crt (0644)
    issue-certificates: write /etc/etcd/pki/peer.key (0600)
    issue-certificates: write /etc/etcd/pki/peer.crt (0644)
    issue-certificates: write /etc/etcd/pki/etcdctl-etcd-client.key (0600)
    issue-certificates: write /etc/etcd/pki/etcdctl-etcd-client.crt (0644)
    issue-certificates: write /etc/etcd/pki/apiserver-etcd-client.key (0600)
    issue-certificates: write /etc/etcd/pki/apiserver-etcd-client.crt (0644)
    write-configuration: make folder /var/lib/etcd (0700)
    write-configuration: write /etc/etcd/etcd.env (0600)
    write-configuration: write /etc/systemd/system/etcd.service (0644)
    write-configuration: make folder /etc/systemd/system/multi-user.target.wants (0755)
    write-configuration: link /etc/systemd/system/multi-user.target.wants/etcd.service to /etc/systemd/system/etcd.service
    write-etcdctl: write /etc/etcd/etcdctl.env (0600)
    write-etcdctl: write /opt/bin/etcdctl.sh (0755)
    start-member: start etcd.service and wait until it is ready
    await-health: wait until https://127.0.0.1:2379 serves reads (at most 120 s)
    ");
    assert_eq!(
        world.init(&configuration).unwrap(),
        "",
        "a second run plans nothing"
    );
    for (path, mode) in [
        ("ca.key", 0o600),
        ("server.key", 0o600),
        ("server.crt", 0o644),
    ] {
        let path = Path::new("/etc/etcd/pki").join(path);
        assert_eq!(
            world.host.stat(&path).unwrap().unwrap().mode,
            mode,
            "{}",
            path.display()
        );
    }
}

#[test]
fn the_unit() {
    let mut world = World::new();
    let document = EtcdConfiguration {
        data_dir: "/srv/a b+c%d$e\"f'".into(),
        ..EtcdConfiguration::default()
    };
    let configuration = world.configure(document);
    world.init(&configuration).unwrap();
    insta::assert_snapshot!(world.host.read_text(Path::new(paths::UNIT_FILE)).unwrap().unwrap(), @r#"
    # Written by etcdadm.

    [Unit]
    Description=etcd member
    Documentation=https://etcd.io/docs/
    After=network-online.target
    Wants=network-online.target
    Conflicts=etcd-member.service etcd2.service
    RequiresMountsFor="/srv/a b+c%%d$e\"f'"

    [Service]
    Type=notify
    EnvironmentFile=/etc/etcd/etcd.env
    ExecStart=/opt/bin/etcd
    Restart=on-failure
    RestartSec=5s
    TimeoutStartSec=infinity
    LimitNOFILE=65536
    MemoryLow=200M
    Nice=-10
    IOSchedulingClass=best-effort
    IOSchedulingPriority=2
    NoNewPrivileges=yes
    PrivateTmp=yes
    PrivateDevices=yes
    ProtectHome=yes
    ProtectKernelTunables=yes
    ProtectKernelModules=yes
    ProtectKernelLogs=yes
    ProtectControlGroups=yes
    ProtectClock=yes
    ProtectHostname=yes
    LockPersonality=yes
    RestrictRealtime=yes
    RestrictSUIDSGID=yes
    RestrictNamespaces=yes
    MemoryDenyWriteExecute=yes
    ProtectSystem=strict
    ReadWritePaths="/srv/a b+c%%d$e\"f'"
    RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
    SystemCallArchitectures=native
    SystemCallFilter=@system-service
    SystemCallFilter=~@privileged @resources
    SystemCallErrorNumber=EPERM
    CapabilityBoundingSet=
    AmbientCapabilities=
    DevicePolicy=closed
    KeyringMode=private
    UMask=0077

    [Install]
    WantedBy=multi-user.target
    "#);
    let environment = world
        .host
        .read_text(Path::new(paths::ENVIRONMENT))
        .unwrap()
        .unwrap();
    assert!(
        environment.contains("ETCD_DATA_DIR=\"/srv/a b+c%d\\$e\\\"f'\"\n"),
        "{environment}"
    );
}

#[test]
fn a_join_adds_a_learner_after_everything_that_can_fail_alone() {
    let mut world = World::beside_a_cluster();
    let configuration = world.configure(joining());
    insta::assert_snapshot!(world.join(&configuration).unwrap(), @"
    record-member: write /var/lib/etcdadm/member.json (0644)
    install-binaries: make folder /opt/bin (0755)
    install-binaries: install etcd v3.7.3: /opt/bin/etcd, /opt/bin/etcdctl, /opt/bin/etcdutl
    issue-certificates: write /etc/etcd/pki/server.key (0600)
    issue-certificates: write /etc/etcd/pki/server.crt (0644)
    issue-certificates: write /etc/etcd/pki/peer.key (0600)
    issue-certificates: write /etc/etcd/pki/peer.crt (0644)
    issue-certificates: write /etc/etcd/pki/etcdctl-etcd-client.key (0600)
    issue-certificates: write /etc/etcd/pki/etcdctl-etcd-client.crt (0644)
    issue-certificates: write /etc/etcd/pki/apiserver-etcd-client.key (0600)
    issue-certificates: write /etc/etcd/pki/apiserver-etcd-client.crt (0644)
    write-etcdctl: write /etc/etcd/etcdctl.env (0600)
    write-etcdctl: write /opt/bin/etcdctl.sh (0755)
    add-learner: add member h1 at https://10.77.0.11:2380 as a learner
    write-configuration: make folder /var/lib/etcd (0700)
    write-configuration: write /etc/etcd/etcd.env (0600)
    write-configuration: write /etc/systemd/system/etcd.service (0644)
    write-configuration: make folder /etc/systemd/system/multi-user.target.wants (0755)
    write-configuration: link /etc/systemd/system/multi-user.target.wants/etcd.service to /etc/systemd/system/etcd.service
    start-member: start etcd.service and wait until it is ready
    promote-member: promote learner h1 (<member id of h1>)
    await-health: wait until https://127.0.0.1:2379 serves reads (at most 120 s)
    ");
    assert_eq!(
        world.join(&configuration).unwrap(),
        "",
        "a second run plans nothing"
    );
    let environment = world
        .host
        .read_text(Path::new(paths::ENVIRONMENT))
        .unwrap()
        .unwrap();
    let initial: Vec<&str> = environment
        .lines()
        .filter(|line| line.contains("INITIAL_CLUSTER"))
        .collect();
    assert_eq!(
        initial,
        [
            "ETCD_INITIAL_CLUSTER=\"h2=https://10.77.0.12:2380,h1=https://10.77.0.11:2380\"",
            "ETCD_INITIAL_CLUSTER_STATE=\"existing\""
        ]
    );
}

#[test]
fn joins_at_once_wait_for_each_other() {
    let mut world = World::beside_a_cluster();
    let expected = |last: u8| ExpectedMember {
        name: format!("h{last}"),
        peer_url: format!("https://10.77.0.{last}:2380"),
    };
    let document = EtcdConfiguration {
        expected_members: vec![expected(11), expected(12), expected(10)],
        ..joining()
    };
    let configuration = world.configure(document);
    assert_eq!(
        configuration.expected,
        ["https://10.77.0.12:2380", "https://10.77.0.10:2380"]
    );
    // The other one was added already, and was not started yet.
    let learner = Member {
        learner: true,
        ..member(3, "", 10)
    };
    world
        .etcd
        .set_membership(membership(&[member(2, "h2", 12), learner]));
    let plan = plan(&mut world, &configuration, "start-member");
    let Some(Change::Start(start)) = plan.last() else {
        panic!("{plan:?}")
    };
    let after = start.after.as_ref().map(ToString::to_string);
    assert_eq!(
        after.as_deref(),
        Some("wait for https://10.77.0.10:2380 to be started (at most 15 s)")
    );
}

/// What one phase of join plans, after all those before it were walked.
fn plan(world: &mut World, configuration: &Configuration, name: &str) -> Vec<Change> {
    let all = join::phases(configuration);
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

#[test]
fn a_join_goes_on_from_what_an_earlier_one_left() {
    // Added, never started: recognised by its peer URL.
    let mut world = World::beside_a_cluster();
    let learner = Member {
        learner: true,
        ..member(9, "", 11)
    };
    world
        .etcd
        .set_membership(membership(&[member(2, "h2", 12), learner]));
    let configuration = world.configure(joining());
    let changes = world.join(&configuration).unwrap();
    assert!(!changes.contains("add member"), "{changes}");
    assert!(changes.ends_with("promote-member: promote learner h1 (0000000000000009)\nawait-health: wait until https://127.0.0.1:2379 serves reads (at most 120 s)\n"), "{changes}");
}

#[test]
fn a_join_refuses_what_it_cannot_go_on_from() {
    let refused = |change: &dyn Fn(&mut World)| {
        let mut world = World::beside_a_cluster();
        let configuration = world.configure(joining());
        world.join(&configuration).unwrap();
        change(&mut world);
        world.join(&configuration).unwrap_err()
    };
    let both = || membership(&[member(2, "h2", 12), member(1, "h1", 11)]);
    insta::assert_snapshot!(refused(&|world| world.etcd.set_membership(both())), @"phase add-learner stopped before it changed anything more: the cluster knows h1 (0000000000000001), which has run before, but /var/lib/etcd holds no data of it");
    insta::assert_snapshot!(refused(&|world| {
        world.data();
        world.etcd.set_membership(membership(&[member(2, "h2", 12)]));
    }), @"phase add-learner stopped before it changed anything more: /var/lib/etcd holds a member's data, but the cluster has no member at https://10.77.0.11:2380: it was removed, or the data is another cluster's");
    insta::assert_snapshot!(refused(&|world| world.etcd.set_membership(membership(&[member(2, "h1", 12)]))), @"phase add-learner stopped before it changed anything more: the cluster has another member called h1, at https://10.77.0.12:2380");
    let older = |version: &str| MemberStatus {
        version: version.into(),
        ..MemberStatus::default()
    };
    insta::assert_snapshot!(refused(&|world| {
        world.etcd.set_membership(membership(&[member(2, "h2", 12)]));
        world.etcd.set_status("https://10.77.0.12:2379", older("3.5.9"));
    }), @"phase add-learner stopped before it changed anything more: etcd v3.7.3 cannot join a cluster that runs 3.5.9");
    insta::assert_snapshot!(refused(&|world| {
        world.etcd.set_membership(membership(&[member(2, "h2", 12)]));
        world.etcd.set_max_learners(0);
    }), @"phase add-learner could not add member h1 at https://10.77.0.11:2380 as a learner: the cluster has as many learners as it allows");
}

#[test]
fn without_the_authority_nothing_is_joined() {
    let mut world = World::beside_a_cluster();
    world
        .host
        .apply(&HostChange::Remove {
            path: "/etc/etcd/pki/ca.crt".into(),
        })
        .unwrap();
    let configuration = world.configure(joining());
    insta::assert_snapshot!(world.join(&configuration).unwrap_err(), @"phase issue-certificates stopped before it changed anything more: /etc/etcd/pki/ca.crt is not there: a member that joins needs the cluster's authority, or certificates of its own");
    assert_eq!(world.etcd_members(), 1);
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

#[test]
fn preflight_tells_everything_at_once_and_changes_nothing() {
    let mut world = World::new();
    world.put("/var/lib/etcd/notes.txt", 0o644, "mine");
    world
        .host
        .apply(&HostChange::RemoveTree {
            path: "/run/systemd".into(),
        })
        .unwrap();
    world
        .host
        .make_true(Condition::Listening("127.0.0.1:2379".parse().unwrap()));
    let document = EtcdConfiguration::default();
    let before = world.host.listing();
    let configuration = world.configure(document.clone());
    insta::assert_snapshot!(world.init(&configuration).unwrap_err(), @"
    phase check-host stopped before it changed anything more: systemd: systemd does not run here
    ports: another program listens on 127.0.0.1:2379
    data-dir: /var/lib/etcd holds data that is not this member's: notes.txt
    ");
    assert_eq!(world.host.listing(), before);
    let elsewhere = world.configure(EtcdConfiguration {
        address: Some([10, 0, 0, 9].into()),
        ..EtcdConfiguration::default()
    });
    let error = world.init(&elsewhere).unwrap_err();
    assert!(
        error.contains("address: 10.0.0.9 is not an address of this host (it has: 10.77.0.11)"),
        "{error}"
    );
    let names = ["systemd", "ports", "data-dir"].map(str::to_owned).to_vec();
    let ignoring = world.configure(EtcdConfiguration {
        ignore_preflight_errors: names,
        ..document
    });
    assert!(world.init(&ignoring).is_ok());
}

#[test]
fn a_running_member_with_another_configuration_is_restarted() {
    let mut world = World::new();
    let configuration = world.configure(EtcdConfiguration::default());
    world.init(&configuration).unwrap();
    world.data();
    let environment = world
        .host
        .read_text(Path::new(paths::ENVIRONMENT))
        .unwrap()
        .unwrap();
    let process: Vec<String> = systemd::parse_environment(&environment)
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    world.put("/proc/1/environ", 0o400, process.join("\0"));
    assert_eq!(world.init(&configuration).unwrap(), "");

    let quota = BTreeMap::from([(
        "ETCD_QUOTA_BACKEND_BYTES".to_owned(),
        "8589934592".to_owned(),
    )]);
    let other = world.configure(EtcdConfiguration {
        extra_environment: quota,
        ..EtcdConfiguration::default()
    });
    insta::assert_snapshot!(plan_of_init(&mut world, &other), @"
    record-member: write /var/lib/etcdadm/member.json (0644)
    write-configuration: write /etc/etcd/etcd.env (0600)
    start-member: restart etcd.service and wait until it is ready
    ");
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
    for phase in init::phases(configuration) {
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

#[test]
fn given_certificates_are_verified_and_need_no_authority_key() {
    let mut world = World::new();
    let authority = Authority::generate("etcd", now()).unwrap();
    let configuration = world.configure(EtcdConfiguration::default());
    let mut given = BTreeMap::from([(
        "ca.crt".to_owned(),
        Secret::new(authority.pair().certificate),
    )]);
    for leaf in LEAVES {
        let pair = authority
            .issue(&profile(leaf, &configuration.identity()), now())
            .unwrap();
        given.insert(
            format!("{}.crt", leaf.file_stem()),
            Secret::new(pair.certificate),
        );
        given.insert(
            format!("{}.key", leaf.file_stem()),
            Secret::new(String::from_utf8(pair.key.expose().to_vec()).unwrap()),
        );
    }
    let with = |given: BTreeMap<String, Secret>| Configuration {
        given,
        ..configuration.clone()
    };
    let changes = world.init(&with(given.clone())).unwrap();
    assert!(!changes.contains("ca.key"), "{changes}");
    assert_eq!(world.init(&with(given.clone())).unwrap(), "");
    // Later runs need not be handed them again.
    assert_eq!(world.init(&configuration).unwrap(), "");

    let fault = |change: &dyn Fn(&mut BTreeMap<String, Secret>)| {
        let mut given = given.clone();
        change(&mut given);
        World::new().init(&with(given)).unwrap_err()
    };
    insta::assert_snapshot!(fault(&|given| drop(given.remove("peer.key"))), @"phase issue-certificates stopped before it changed anything more: the given peer.crt or its key is missing");
    insta::assert_snapshot!(fault(&|given| drop(given.remove("ca.crt"))), @"phase issue-certificates stopped before it changed anything more: the given ca.crt is missing");
    insta::assert_snapshot!(fault(&|given| drop(given.insert("peer.key".into(), given["server.key"].clone()))), @"phase issue-certificates stopped before it changed anything more: the given peer.crt does not belong to its key");
    let other = Authority::generate("other", now())
        .unwrap()
        .pair()
        .certificate;
    insta::assert_snapshot!(fault(&|given| drop(given.insert("ca.crt".into(), Secret::new(other.clone())))), @"phase issue-certificates stopped before it changed anything more: the given server.crt is signed by CN=etcd, which is not the authority here");
}

#[test]
fn certificates_are_finished_from_any_half() {
    let mut world = World::new();
    let configuration = world.configure(EtcdConfiguration::default());
    // The authority's key was written, its certificate was not; so with a leaf.
    let (ca_key, peer_key) = (
        PrivateKey::generate().unwrap(),
        PrivateKey::generate().unwrap(),
    );
    world.put("/etc/etcd/pki/ca.key", 0o600, ca_key.pem().expose());
    world.put("/etc/etcd/pki/peer.key", 0o600, peer_key.pem().expose());
    let changes = world.init(&configuration).unwrap();
    assert!(
        !changes.contains("ca.key")
            && !changes.contains("peer.key")
            && changes.contains("peer.crt"),
        "{changes}"
    );
    // A certificate that is there without its key, and an authority whose key is elsewhere.
    world
        .host
        .apply(&HostChange::Remove {
            path: "/etc/etcd/pki/server.key".into(),
        })
        .unwrap();
    world
        .host
        .apply(&HostChange::Remove {
            path: "/etc/etcd/pki/ca.key".into(),
        })
        .unwrap();
    insta::assert_snapshot!(world.init(&configuration).unwrap_err(), @"phase issue-certificates stopped before it changed anything more: server.crt in /etc/etcd/pki or its key is missing, and the authority's key to make a new one is not there");
}

#[test]
fn reset_leaves_first_and_undoes_everything() {
    let mut world = World::beside_a_cluster();
    let before = world.host.listing();
    let configuration = world.configure(joining());
    world.join(&configuration).unwrap();
    world.data();
    world
        .etcd
        .set_membership(membership(&[member(2, "h2", 12), member(1, "h1", 11)]));
    insta::assert_snapshot!(world.reset(&configuration).unwrap(), @"
    leave-cluster: remove member h1 (0000000000000001)
    stop-member: stop etcd.service
    stop-member: remove /etc/systemd/system/multi-user.target.wants/etcd.service
    set-data-aside: set /var/lib/etcd aside as /var/lib/etcd.set-aside-20261118T110640Z
    remove-files: set /etc/etcd/pki/ca.crt aside as /etc/etcd/pki/ca.crt.set-aside-20261118T110640Z
    remove-files: set /etc/etcd/pki/ca.key aside as /etc/etcd/pki/ca.key.set-aside-20261118T110640Z
    remove-files: remove /etc/systemd/system/etcd.service
    remove-files: remove /etc/etcd/etcd.env
    remove-files: remove /etc/etcd/etcdctl.env
    remove-files: remove /etc/etcd/pki/server.crt
    remove-files: remove /etc/etcd/pki/server.key
    remove-files: remove /etc/etcd/pki/peer.crt
    remove-files: remove /etc/etcd/pki/peer.key
    remove-files: remove /etc/etcd/pki/etcdctl-etcd-client.crt
    remove-files: remove /etc/etcd/pki/etcdctl-etcd-client.key
    remove-files: remove /etc/etcd/pki/apiserver-etcd-client.crt
    remove-files: remove /etc/etcd/pki/apiserver-etcd-client.key
    remove-files: remove /opt/bin/etcd
    remove-files: remove /opt/bin/etcdctl
    remove-files: remove /opt/bin/etcdutl
    remove-files: remove /opt/bin/etcdctl.sh
    remove-files: remove /opt/bin
    remove-files: remove /opt
    remove-files: remove /var/lib/etcdadm/etcd.receipt.json
    remove-files: remove /var/lib/etcdadm/member.json
    ");
    let listing = world.host.listing();
    let left = listing
        .lines()
        .filter(|line| !before.contains(*line) && !line.ends_with("gone"));
    let paths: Vec<&str> = left.filter_map(|line| line.split(' ').next()).collect();
    insta::assert_snapshot!(paths.join("\n"), @"
    /etc/etcd/pki/ca.crt.set-aside-20261118T110640Z
    /etc/etcd/pki/ca.key.set-aside-20261118T110640Z
    /etc/systemd/
    /etc/systemd/system/
    /etc/systemd/system/multi-user.target.wants/
    /var/lib/
    /var/lib/etcd.set-aside-20261118T110640Z/
    /var/lib/etcd.set-aside-20261118T110640Z/member/
    /var/lib/etcd.set-aside-20261118T110640Z/member/wal/
    /var/lib/etcd.set-aside-20261118T110640Z/member/wal/0000000000000000-0000000000000000.wal
    /var/lib/etcdadm/
    ");
    assert_eq!(world.reset(&configuration).unwrap(), "");
}

#[test]
fn reset_refuses_when_it_cannot_tell_or_would_cost_the_majority() {
    let mut world = World::beside_a_cluster();
    let configuration = world.configure(joining());
    world.join(&configuration).unwrap();
    world.data();
    let before = world.host.listing();
    world.etcd = Picture::default();
    insta::assert_snapshot!(world.reset(&configuration).unwrap_err(), @"phase leave-cluster stopped before it changed anything more: it cannot be told whether the cluster still has this member: https://10.77.0.12:2379 cannot be reached: nobody is there");
    // h2 serves, h3 does not: without this one, one of two is left.
    world.etcd = Picture::of(membership(&[
        member(2, "h2", 12),
        member(1, "h1", 11),
        member(3, "h3", 13),
    ]));
    world.etcd.set_healthy("https://10.77.0.12:2379");
    insta::assert_snapshot!(world.reset(&configuration).unwrap_err(), @"phase leave-cluster stopped before it changed anything more: removing h1 (0000000000000001) leaves 2 voters, of which 1 serve: 2 are needed");
    assert_eq!(world.host.listing(), before, "nothing was changed");
    // The last member has nobody to tell.
    world.etcd = Picture::of(membership(&[member(1, "h1", 11)]));
    assert!(
        !world
            .reset(&configuration)
            .unwrap()
            .contains("remove member")
    );
}

#[test]
fn another_release_is_no_second_init() {
    let mut world = World::new();
    let configuration = world.configure(EtcdConfiguration::default());
    world.init(&configuration).unwrap();
    world.data();
    let other = EtcdConfiguration {
        version: Some(api::Version::new(3, 6, 16)),
        ..EtcdConfiguration::default()
    };
    let other = world.configure(other);
    insta::assert_snapshot!(world.init(&other).unwrap_err(), @"phase install-binaries stopped before it changed anything more: this member runs etcd v3.7.3, not v3.6.16");
}

#[test]
fn what_was_set_up_is_recorded_once() {
    let mut world = World::new();
    let configuration = world.configure(EtcdConfiguration::default());
    world.init(&configuration).unwrap();
    let record = Record::read(&world.host).unwrap().unwrap();
    assert_eq!(record.verb, "init");
    assert_eq!(record.configuration, configuration.document);
    let made: Vec<String> = record
        .made_folders
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    assert_eq!(
        made,
        ["/etc/etcd/pki", "/etc/etcd", "/opt/bin", "/etc", "/opt"]
    );
}

#[test]
fn a_unit_of_another_etcd_is_in_the_way() {
    let mut world = World::new();
    world.put("/etc/systemd/system/etcd2.service", 0o644, "");
    world.host.set_unit(
        "etcd2.service",
        Unit {
            activity: UnitActivity::Active,
            ..Unit::default()
        },
    );
    let configuration = world.configure(EtcdConfiguration::default());
    let error = world.init(&configuration).unwrap_err();
    assert!(
        error.ends_with("conflicting-units: etcd2.service runs, which is another etcd"),
        "{error}"
    );
}

#[test]
fn a_masked_unit_of_a_distribution_gives_way() {
    let mut world = World::new();
    let mask = HostChange::Link {
        path: paths::UNIT_FILE.into(),
        target: "/dev/null".into(),
    };
    world.host.apply(&mask).unwrap();
    let configuration = world.configure(EtcdConfiguration::default());
    let changes = world.init(&configuration).unwrap();
    assert!(
        changes.contains("remove /etc/systemd/system/etcd.service\n"),
        "{changes}"
    );
    assert_eq!(world.init(&configuration).unwrap(), "");
}

#[test]
fn errors_that_can_be_mended_say_how() {
    use cli::Explain;
    let version = api::Version::new(3, 7, 3);
    for error in [
        Error::NoArtifact {
            version,
            arch: "amd64",
            store: "/var/cache/klusterkit".into(),
        },
        Error::NoAuthority {
            path: "/etc/etcd/pki/ca.crt".into(),
        },
        Error::OtherVersion {
            installed: "v3.6.16".into(),
            wanted: version,
        },
        Error::CannotTell {
            source: etcd::Error::NoEndpoint,
        },
        etcd::Error::Rejected {
            endpoint: "x".into(),
            detail: "y".into(),
        }
        .into(),
    ] {
        assert_eq!(error.hints().len(), 1, "{error}");
    }
}
