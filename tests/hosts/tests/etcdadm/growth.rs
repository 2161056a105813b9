//! A cluster's growth from nothing to five members and back to four, written to all the while.

use std::time::Duration;

use hosts::{Listing, Written, side_by_side};
use lab::Host;

use crate::{BESIDE, Ground, NEWEST, OLDEST, timed};

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn members_come_and_go_on_etcd_3_5_and_no_write_is_lost() {
    come_and_go(OLDEST, "v3-5");
}

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn members_come_and_go_on_etcd_3_6_and_no_write_is_lost() {
    come_and_go(BESIDE, "v3-6");
}

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn members_come_and_go_on_etcd_3_7_and_no_write_is_lost() {
    come_and_go(NEWEST, "v3-7");
}

fn come_and_go(version: &str, lab: &str) {
    println!("\netcd {version}");
    let ground = Ground::alone(lab, 5);
    let members = ground.members(version);
    let hosts = ground.hosts.as_slice();
    members.equip_all(hosts).unwrap();
    let (first, others) = hosts.split_first().unwrap();

    timed("init", || members.init(first).check()).unwrap();
    members.share_authority(first, others).unwrap();
    members.check_healthy(&hosts[..1]).unwrap();

    let ((), written) = members
        .under_load(&hosts[..1], |load| {
            // Two join at once, each as if it were alone.
            timed("second and third, at once", || {
                for joined in side_by_side(&hosts[1..3], |host| members.join(host, first).check()) {
                    joined.unwrap();
                }
            });
            members.check_healthy(&hosts[..3]).unwrap();
            load.on(&hosts[..3]);

            // Two more, which know of each other.
            timed("fourth and fifth, at once", || {
                let join = |host: &Host| members.join_beside(host, &hosts[1], &hosts[3..]).check();
                for joined in side_by_side(&hosts[3..], join) {
                    println!("{}", joined.unwrap().error_text());
                }
            });
            members.check_healthy(hosts).unwrap();
            load.on(hosts);

            nothing_changes("init", first, || members.init(first).check().map(drop));
            nothing_changes("join", &hosts[2], || {
                members.join(&hosts[2], first).check().map(drop)
            });

            // The first member goes, which may well be the leader: nobody writes to it any more, all others stay healthy.
            load.on(others);
            timed("first removed", || {
                members.etcdadm(first, ["reset"]).check()
            })
            .unwrap();
            members.check_healthy(others).unwrap();
        })
        .unwrap();
    report(&written);
    for host in others {
        assert_eq!(
            members.lost(host, &written).unwrap(),
            [0; 0],
            "lost on {}",
            host.name()
        );
    }
}

/// A second run of a verb changes no file and restarts nothing.
fn nothing_changes(verb: &str, host: &Host, run: impl FnOnce() -> Result<(), lab::Error>) {
    // The lock and the journal tell that etcdadm ran, which is what it may say.
    let listing = || {
        Listing::of(host)
            .unwrap()
            .without(&["/var/lib/etcdadm/lock", "/var/lib/etcdadm/journal"])
    };
    let process = || {
        let words = [
            "systemctl",
            "show",
            "etcd.service",
            "--property=MainPID,NRestarts,ActiveEnterTimestampMonotonic",
        ];
        host.nsexec(words).unwrap().text().unwrap()
    };
    let before = (listing(), process());
    timed(&format!("second {verb}"), run).unwrap();
    assert_eq!(
        listing().since(&before.0),
        "",
        "a second {verb} changed {}",
        host.name()
    );
    assert_eq!(
        process(),
        before.1,
        "a second {verb} restarted etcd on {}",
        host.name()
    );
}

fn report(written: &Written) {
    println!(
        "{} writes acknowledged, {} not, at most {:.2} s between two; all members healthy in {} of {} looks",
        written.acknowledged.len(),
        written.refused.len(),
        written.longest.as_secs_f32(),
        written.looks as usize - written.unhealthy.len(),
        written.looks,
    );
    for (number, said) in &written.refused {
        println!("  write {number}: {said}");
    }
    assert!(
        written.unhealthy.is_empty(),
        "{}",
        written.unhealthy.join("\n")
    );
    assert!(
        written.acknowledged.len() > 20,
        "hardly anything was written"
    );
    assert!(written.looks > 5, "hardly anybody looked");
    // A leader that leaves hands leadership over; an election would take a second or two, and the write in flight with it.
    assert!(written.refused.is_empty(), "{:?}", written.refused);
    assert!(
        written.longest < Duration::from_secs(5),
        "{:?}",
        written.longest
    );
}
