//! From release to release, one member after the other, written to all the while.

use hosts::Equipment;

use crate::{BESIDE, Ground, NEWEST, OLDEST, timed};

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn a_cluster_goes_through_the_releases_and_no_write_is_lost() {
    let ground = Ground::alone("upgrade", 3);
    let members = ground.members(OLDEST);
    let hosts = ground.hosts.as_slice();
    members.equip_all(hosts).unwrap();
    for version in [BESIDE, NEWEST] {
        let name = Equipment::etcd_name(version);
        let path = format!("/var/cache/etcdadm/etcd/v{version}/{name}.tar.gz");
        for host in hosts {
            let archive = members.equipment().etcd(version);
            host.put(&archive, &path, 0o644).unwrap();
        }
    }
    members.form(hosts).unwrap();
    let ((), written) = members
        .under_load(hosts, |_| {
            for version in [BESIDE, NEWEST] {
                let words = ["upgrade", "--version", &format!("v{version}")];
                for host in hosts {
                    let what = format!("{} to {version}", host.name());
                    let run = members.etcdadm(host, words);
                    timed(&what, || run.check()).unwrap();
                    // Again is nothing more.
                    let words = ["upgrade", "--version", &format!("v{version}"), "--dry-run"];
                    let again = members.etcdadm(host, words).text().unwrap();
                    assert_eq!(again, "nothing to change");
                }
                members.check_healthy(hosts).unwrap();
            }
        })
        .unwrap();
    println!(
        "{} writes acknowledged, {} not, at most {:.2} s between two",
        written.acknowledged.len(),
        written.refused.len(),
        written.longest.as_secs_f32()
    );
    for (number, said) in &written.refused {
        println!("  write {number}: {said}");
    }
    for host in hosts {
        assert_eq!(members.lost(host, &written).unwrap(), [0; 0]);
        let version = host.exec(["/opt/bin/etcd", "--version"]).text().unwrap();
        assert!(version.contains(NEWEST), "{version}");
        let kept = format!("/opt/bin/etcd.v{BESIDE}");
        let kept = host.exec([kept.as_str(), "--version"]).text().unwrap();
        assert!(kept.contains(BESIDE), "{kept}");
    }

    // And back, where etcd can: the cluster is told first, by the first host.
    let ((), written) = members
        .under_load(hosts, |_| {
            let words = ["downgrade", "--version", &format!("v{BESIDE}")];
            for host in hosts {
                let what = format!("{} back to {BESIDE}", host.name());
                let run = members.etcdadm(host, words);
                timed(&what, || run.check()).unwrap();
                let words = ["downgrade", "--version", &format!("v{BESIDE}"), "--dry-run"];
                let again = members.etcdadm(host, words).text().unwrap();
                assert_eq!(again, "nothing to change");
            }
            members.check_healthy(hosts).unwrap();
        })
        .unwrap();
    for host in hosts {
        assert_eq!(members.lost(host, &written).unwrap(), [0; 0]);
        let version = host.exec(["/opt/bin/etcd", "--version"]).text().unwrap();
        assert!(version.contains(BESIDE), "{version}");
    }
}
