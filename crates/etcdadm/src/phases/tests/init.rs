//! A cluster begun: on fresh hosts, again, and where something is in the way.

use super::*;

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
    assert!(exposure(&world) <= 5.0, "{}", exposure(&world));
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

#[test]
fn a_member_that_has_data_stays_who_it_is() {
    let mut world = World::new();
    let configuration = world.configure(EtcdConfiguration::default());
    world.init(&configuration).unwrap();
    let elsewhere = EtcdConfiguration {
        data_dir: "/srv/etcd".into(),
        ..EtcdConfiguration::default()
    };
    world.data();
    let elsewhere = world.configure(elsewhere);
    insta::assert_snapshot!(world.init(&elsewhere).unwrap_err(), @"phase check-host stopped before it changed anything more: same-member: this host's member is h1 at 10.77.0.11:2380 with data in /var/lib/etcd, not h1 at 10.77.0.11:2380 with data in /srv/etcd");
}

const WAL: &str = "/var/lib/etcd/member/wal/0000000000000000-0000000000000000.wal";

/// A first member that ended with this in its log.
fn ended_with(log: &[u8]) -> (World, Configuration) {
    let mut world = World::new();
    let configuration = world.configure(EtcdConfiguration::default());
    world.init(&configuration).unwrap();
    world.put(WAL, 0o600, log);
    world.put("/var/lib/etcd/member/snap/db", 0o600, vec![0; 16384]);
    world.host.set_unit(paths::UNIT, Unit::default());
    (world, configuration)
}

#[test]
fn a_first_member_that_was_never_ready_begins_anew() {
    // As etcd 3.7 writes that it is a member, and no more.
    let member =
        br#"{"id":6006562318930776412,"peerURLs":["https://10.77.0.11:2380"],"name":"h1"}"#;
    let (mut world, configuration) = ended_with(member);
    insta::assert_snapshot!(world.init(&configuration).unwrap(), @"
    set-unready-aside: set /var/lib/etcd aside as /var/lib/etcd.set-aside-20261118T110640Z
    write-configuration: make folder /var/lib/etcd (0700)
    start-member: start etcd.service and wait until it is ready
    ");
    // A database and no log at all.
    let (mut world, configuration) = ended_with(member);
    let path = WAL.into();
    world.host.apply(&HostChange::Remove { path }).unwrap();
    let changes = world.init(&configuration).unwrap();
    assert!(changes.starts_with("set-unready-aside: "), "{changes}");
    // Its disk must have room now, as at first.
    let (mut world, configuration) = ended_with(member);
    let full = host::FileSystem {
        free: 1 << 20,
        no_exec: false,
        read_only: false,
    };
    world.host.set_file_system(Path::new("/var/lib"), full);
    let error = world.init(&configuration).unwrap_err();
    assert!(error.contains("1 MiB of room"), "{error}");
}

#[test]
fn data_that_may_have_been_served_is_never_set_aside() {
    let kept = |world: &mut World, configuration: &Configuration| {
        let changes = world.init(configuration).unwrap();
        assert!(!changes.contains("aside"), "{changes}");
    };
    // Published under another port; as 3.5 does it; more of a log than the beginning; a snapshot; a member that joined.
    let (mut world, configuration) = ended_with(b"\x12\x17https://10.77.0.11:9999");
    kept(&mut world, &configuration);
    let (mut world, configuration) =
        ended_with(br#"{"name":"h1","clientURLs":["https://10.77.0.11:2379"]}"#);
    kept(&mut world, &configuration);
    for path in [
        "/var/lib/etcd/member/wal/0000000000000001-0000000000000100.wal",
        "/var/lib/etcd/member/snap/0000000000000002-0000000000000100.snap",
    ] {
        let (mut world, configuration) = ended_with(b"");
        world.put(path, 0o600, "");
        kept(&mut world, &configuration);
    }
    let (mut world, configuration) = ended_with(b"");
    let environment = world
        .host
        .read_text(Path::new(paths::ENVIRONMENT))
        .unwrap()
        .unwrap();
    let joined = environment.replace("\"new\"", "\"existing\"");
    world.put(paths::ENVIRONMENT, 0o600, joined);
    kept(&mut world, &configuration);
    // A log that was lost, beside a database that was written to.
    let (mut world, configuration) = ended_with(b"");
    let path = WAL.into();
    world.host.apply(&HostChange::Remove { path }).unwrap();
    world.put("/var/lib/etcd/member/snap/db", 0o600, vec![0; 1 << 20]);
    kept(&mut world, &configuration);
}

/// What systemd makes of the unit: how much of the host it is exposed to, 0 to 10.
#[expect(
    clippy::disallowed_methods,
    reason = "a test writes a file for systemd-analyze"
)]
fn exposure(world: &World) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("etcd.service");
    let unit = world.host.read_text(Path::new(paths::UNIT_FILE)).unwrap();
    std::fs::write(&path, unit.unwrap()).unwrap();
    let out = std::process::Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager"])
        .arg(&path)
        .output()
        .expect("this test needs systemd-analyze");
    let text = String::from_utf8_lossy(&out.stdout);
    let level = text
        .split("Overall exposure level for etcd.service: ")
        .nth(1);
    let level = level.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    level.unwrap_or_else(|| panic!("{text}\n{}", String::from_utf8_lossy(&out.stderr)))
}
