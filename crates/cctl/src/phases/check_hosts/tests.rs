//! Hosts that cannot be told apart, and clocks that differ.

use api::NodeFacts;
use state::State;

use super::*;
use crate::goal::Seen;

const FILE: &str = "\
apiVersion: klusterkit.dev/v1alpha1
kind: ClusterConfiguration
metadata: {name: lab}
kubernetes: {version: v1.37.2}
etcd: {version: v3.7.3}
controlPlaneEndpoint: 10.77.0.100
machines:
  - {address: 10.77.0.11, roles: [master]}
  - {address: 10.77.0.12, roles: [node]}
";

fn goal(more: &str) -> Goal {
    let documents = api::Documents::parse(&format!("{FILE}{more}")).unwrap();
    Goal {
        configuration: documents.cluster.unwrap(),
        documents: Vec::new(),
        artifacts: None,
    }
}

/// Two hosts that differ in everything.
fn seen(number: u8) -> (String, Seen) {
    let address = format!("10.77.0.{}", 10 + number);
    let facts = NodeFacts {
        hostname: format!("h{number}"),
        machine_id: format!("id{number}"),
        product_uuid: format!("uuid{number}"),
        macs: vec![format!("02:00:00:00:00:0{number}")],
        addresses: vec![address.clone()],
        clock: 1_000_000,
        ..NodeFacts::default()
    };
    let seen = Seen {
        facts,
        ..Seen::default()
    };
    (address, seen)
}

fn said(more: &str, change: impl FnOnce(&mut NodeFacts)) -> String {
    let mut all: AllSeen = [seen(1), seen(2)].into();
    change(&mut all.get_mut("10.77.0.12").unwrap().facts);
    let found = check(&goal(more), &Fleet::new(), &all, None::<&State>);
    if found.is_empty() {
        return String::new();
    }
    let error = Error::Preflight(found);
    let hints = cli::Explain::hints(&error);
    format!("{error}\n{}", hints.join("\n"))
}

#[test]
fn hosts_are_told_apart() {
    assert_eq!(said("", |_| {}), "");
    insta::assert_snapshot!(said("", |facts| facts.machine_id = "id1".into()), @r"
    unique-machine-id: 10.77.0.11, 10.77.0.12 all have id1
    give each its own: remove /etc/machine-id and run systemd-machine-id-setup
    what may be so is named in the cluster file: ignorePreflightErrors: [NAME]
    ");
    insta::assert_snapshot!(said("", |facts| facts.product_uuid = "uuid1".into()), @r"
    unique-product-uuid: 10.77.0.11, 10.77.0.12 all have uuid1
    they are copies of one virtual machine: give each its own UUID
    what may be so is named in the cluster file: ignorePreflightErrors: [NAME]
    ");
    insta::assert_snapshot!(said("", |facts| facts.macs.push("02:00:00:00:00:01".into())), @r"
    unique-mac: 10.77.0.11, 10.77.0.12 all have 02:00:00:00:00:01
    give each network interface its own MAC address
    what may be so is named in the cluster file: ignorePreflightErrors: [NAME]
    ");
    insta::assert_snapshot!(said("", |facts| facts.hostname = "H1".into()), @r"
    unique-name: 10.77.0.11, 10.77.0.12 all have h1
    give each host its own host name, or name the machines in the cluster file
    what may be so is named in the cluster file: ignorePreflightErrors: [NAME]
    ");
    insta::assert_snapshot!(said("", |facts| facts.addresses = vec!["192.168.0.2".into()]), @r"
    10.77.0.12: address: 10.77.0.12 is not an address of this host (it has 192.168.0.2)
    name the address that the other machines reach it by
    what may be so is named in the cluster file: ignorePreflightErrors: [NAME]
    ");
    let ignored = "ignorePreflightErrors: [unique-machine-id]\n";
    assert_eq!(said(ignored, |facts| facts.machine_id = "id1".into()), "");
}

#[test]
fn clocks_may_differ_by_five_seconds() {
    assert_eq!(said("", |facts| facts.clock += 5_000), "");
    insta::assert_snapshot!(said("", |facts| facts.clock += 61_250), @r"
    clocks: the hosts' clocks differ: 10.77.0.12 is 61.2 s ahead
    synchronise them: systemctl enable --now systemd-timesyncd, or chrony
    what may be so is named in the cluster file: ignorePreflightErrors: [NAME]
    ");
}

#[test]
fn etcdadm_is_understood() {
    let causes = [
        "phase check-host stopped before it changed anything more".to_owned(),
        "ports: another program listens on 10.77.0.11:2380\ndata-dir: /var/lib/etcd holds data"
            .to_owned(),
    ];
    let hints = [
        "stop it".to_owned(),
        "move it away".to_owned(),
        "a check that may fail here is named in --ignore-preflight-errors".to_owned(),
    ];
    let found = told("h1", &causes, &hints);
    let shown: Vec<String> = found
        .iter()
        .map(|found| {
            format!(
                "{} {} {:?}",
                found.check.name, found.check.message, found.check.hint
            )
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    ports another program listens on 10.77.0.11:2380 Some("stop it")
    data-dir /var/lib/etcd holds data Some("move it away")
    "#);
}
