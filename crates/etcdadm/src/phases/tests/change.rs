//! Another configuration for a member that runs.

use super::upgrade::{runs_with, three, url};
use super::*;
use crate::survey::Reach;

fn apply(world: &mut World, change: &dyn Fn(&mut EtcdConfiguration)) -> Result<String, String> {
    let from = Record::read(&world.host).unwrap().unwrap().configuration;
    let mut to = from.clone();
    change(&mut to);
    let configuration = world.configure(to);
    let reach = Reach {
        configuration: &configuration,
        endpoints: vec![url(1), url(2)],
    };
    world
        .walk(&crate::change::phases(&reach, &from, false))
        .map_err(|error| error.replace(" stopped before it changed anything more", ""))
}

/// The member runs, started with what is in its environment file.
fn running(world: &mut World) {
    let text = world.host.read_text(Path::new(paths::ENVIRONMENT)).unwrap();
    let variables = systemd::parse_environment(&text.unwrap());
    let environ: Vec<String> = variables
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    runs_with(world, &environ);
}

#[test]
fn a_quota_and_a_port_are_put_into_force_with_one_restart() {
    let mut world = three("3.7.3");
    running(&mut world);
    assert_eq!(apply(&mut world, &|_| ()).unwrap(), "");
    let change = |document: &mut EtcdConfiguration| {
        document.client_port = 3379;
        let quota = ("ETCD_QUOTA_BACKEND_BYTES".into(), "8589934592".into());
        document.extra_environment.extend([quota]);
    };
    insta::assert_snapshot!(apply(&mut world, &change).unwrap(), @"
    record-member: write /var/lib/etcdadm/member.json (0644)
    write-configuration: write /etc/etcd/etcd.env (0600)
    write-etcdctl: write /etc/etcd/etcdctl.env (0600)
    restart-outdated: hand leadership to h2 (0000000000000002)
    restart-outdated: restart etcd.service and wait until it is ready
    await-health: wait until https://127.0.0.1:3379 serves reads (at most 120 s)
    ");
    running(&mut world);
    assert_eq!(apply(&mut world, &change).unwrap(), "");
}

#[test]
fn of_another_address_the_cluster_is_told_before_the_restart() {
    let mut world = three("3.7.3");
    running(&mut world);
    let addresses = "     |-- 10.77.0.11\n        /32 host LOCAL\n     |-- 10.77.0.21\n        /32 host LOCAL\n";
    world.put("/proc/net/fib_trie", 0o444, addresses);
    let change = |document: &mut EtcdConfiguration| {
        document.address = Some("10.77.0.21".parse().unwrap());
    };
    insta::assert_snapshot!(apply(&mut world, &change).unwrap(), @"
    renew-certificates: write /etc/etcd/pki/server.crt (0644)
    renew-certificates: write /etc/etcd/pki/peer.crt (0644)
    move-member: tell the cluster that h1 is reached at https://10.77.0.21:2380
    record-member: write /var/lib/etcdadm/member.json (0644)
    write-configuration: write /etc/etcd/etcd.env (0600)
    restart-outdated: hand leadership to h2 (0000000000000002)
    restart-outdated: restart etcd.service and wait until it is ready
    ");
}

#[test]
fn what_would_be_another_member_is_refused() {
    let mut said = String::new();
    let changes: [&dyn Fn(&mut EtcdConfiguration); 4] = [
        &|document| document.metadata.name = "other".into(),
        &|document| document.data_dir = "/srv/etcd".into(),
        &|document| document.version = Some("v3.6.16".parse().unwrap()),
        &|document| document.address = Some("10.77.0.99".parse().unwrap()),
    ];
    for change in changes {
        let mut world = three("3.7.3");
        running(&mut world);
        said += &format!("{}\n", apply(&mut world, change).unwrap_err());
    }
    // While another member is down.
    let mut world = three("3.7.3");
    running(&mut world);
    let list = [
        member(1, "h1", 11),
        member(2, "h2", 12),
        member(3, "h3", 14),
    ];
    world.etcd.set_membership(membership(&list));
    said += &apply(&mut world, &|document| document.client_port = 3379).unwrap_err();
    insta::assert_snapshot!(said, @"
    phase check-change: its name would change from h1 to other, which cannot be put into force on a member that is there
    phase check-change: dataDir would change from /var/lib/etcd to /srv/etcd, which cannot be put into force on a member that is there
    phase check-change: its release would change from v3.7.3 to v3.6.16, which cannot be put into force on a member that is there
    phase check-change: 10.77.0.99 is not an address of this host, which cannot be put into force on a member that is there
    phase check-change: h3 (0000000000000003) does not serve: https://10.77.0.14:2379 cannot be reached: nobody is there
    ");
}
