//! What is resolved from what, and what is refused.

use std::collections::BTreeMap;
use std::net::IpAddr;

use api::{EtcdConfiguration, Secret, Version};
use host::{Change, Host, Memory, Nothing};

use super::*;

const TRIE: &str = "     |-- 10.77.0.11\n        /32 host LOCAL\n";

fn host() -> Memory {
    let mut host = Memory::new(Nothing);
    host.apply(&Change::file("/proc/sys/kernel/hostname", "h1\n"))
        .unwrap();
    host.apply(&Change::file("/proc/net/fib_trie", TRIE))
        .unwrap();
    host
}

fn resolve(document: EtcdConfiguration) -> Result<Configuration, Error> {
    Configuration::resolve(document, BTreeMap::new(), &host(), "0a1b2c3d".into())
}

#[test]
fn a_document_that_says_nothing_is_filled_from_the_host() {
    let configuration = resolve(EtcdConfiguration::default()).unwrap();
    assert_eq!(configuration.name, "h1");
    assert_eq!(configuration.address, IpAddr::from([10, 77, 0, 11]));
    assert_eq!(configuration.peer_url(), "https://10.77.0.11:2380");
    assert_eq!(configuration.local_url(), "https://127.0.0.1:2379");
    assert_eq!(configuration.document.version, Some(DEFAULT_VERSION));
    // What the record keeps resolves to the same again.
    assert_eq!(
        resolve(configuration.document.clone()).unwrap(),
        configuration
    );
}

#[test]
fn endpoints_are_read_as_admins_write_them() {
    for (text, url) in [
        ("10.0.0.1", "https://10.0.0.1:2379"),
        ("https://10.0.0.1:2379/", "https://10.0.0.1:2379"),
        ("https://[fd00::1]:12379", "https://[fd00::1]:12379"),
        ("etcd.example:2379", "https://etcd.example:2379"),
    ] {
        assert_eq!(endpoint_url(text).unwrap(), url);
    }
    assert_eq!(
        endpoint_url("http://10.0.0.1:2379")
            .unwrap_err()
            .to_string(),
        "\"http://10.0.0.1:2379\" is no endpoint: members speak TLS only (https://)"
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    let refused = |change: &dyn Fn(&mut EtcdConfiguration)| {
        let mut document = EtcdConfiguration::default();
        change(&mut document);
        resolve(document).unwrap_err().to_string()
    };
    insta::assert_snapshot!(refused(&|d| d.address = Some(IpAddr::from([127, 0, 0, 1]))), @"the address 127.0.0.1 is not one that other members can reach");
    insta::assert_snapshot!(refused(&|d| d.peer_port = 2379), @"the ports 2379 and 2379 do not differ, or are 0");
    insta::assert_snapshot!(refused(&|d| d.version = Some(Version::new(3, 4, 1))), @"etcd v3.4.1 is not supported: 3.5, 3.6 and 3.7 are");
    insta::assert_snapshot!(refused(&|d| d.data_dir = "/var/../etc".into()), @r#"dataDir: "/var/../etc" cannot be used as a folder"#);
    insta::assert_snapshot!(refused(&|d| d.install_dir = "/srv/it's".into()), @r#"installDir: systemd starts no program from "/srv/it's", whose path has quotes or backslashes"#);
    insta::assert_snapshot!(refused(&|d| d.data_dir = "data".into()), @"dataDir: data is not an absolute path in plain text");
    insta::assert_snapshot!(refused(&|d| d.extra_sans = vec!["a b".into()]), @r#"extraSans: "a b" is neither an IP address nor a DNS name"#);
    insta::assert_snapshot!(
        refused(&|d| d.disk_priorities = Some(vec!["ExecStartPre=/bin/x".into()])),
        @r#"diskPriorities: "ExecStartPre=/bin/x" is none of Nice=, IOSchedulingClass=, IOSchedulingPriority=, CPUSchedulingPolicy=, CPUSchedulingPriority=, CPUWeight=, IOWeight=, StartupCPUWeight=, StartupIOWeight="#
    );
    let given = BTreeMap::from([("../x.crt".to_owned(), Secret::new(""))]);
    let error = Configuration::resolve(EtcdConfiguration::default(), given, &host(), String::new())
        .unwrap_err();
    insta::assert_snapshot!(error, @r#"credentials hold "../x.crt", which is none of etcd's files"#);
}
