//! A control plane that was only cut off while the cluster was recovered without it. When it is back, it holds the endpoint's
//! address, too: `status` names it, and `fence --watch` stops it at once.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use hosts::{Admin, Next};
use lab::{Host, wait_until};
use serde_json::Value;

use crate::recovered::text;
use crate::saved::{MASTERS, SNAPSHOT, Saved, has};
use crate::{READY, timed};

/// How long two hosts may have the address.
const LIMIT: Duration = Duration::from_secs(5);

#[test]
#[ignore = "whole hosts: run by `cargo xtask test`"]
fn an_old_control_plane_that_is_back_is_stopped_at_once() {
    let ground = Saved::ensure().boot();
    let admin = ground.admin("admin");
    let snapshot = admin.file(SNAPSHOT);
    let old = &ground.hosts[1];
    let address = old.address().to_string();
    old.cut().unwrap();
    let words = [
        "recover",
        "--snapshot",
        text(&snapshot),
        "--yes",
        "--dead",
        &address,
    ];
    timed("recover without one that is cut off", || {
        admin.cctl(words).check().unwrap();
    });
    assert!(has(&admin, "before") && !has(&admin, "after"));
    let away = admin.cctl(["fence"]).output().unwrap();
    assert_eq!(away.code, 4, "{}", away.error_text());

    // It is back, and nobody looks: it is named.
    old.mend().unwrap();
    old.wait_ssh().unwrap();
    let status = admin.cctl(["status"]).output().unwrap();
    println!("{}", status.text());
    assert!(
        status.text().contains("OLD CONTROL PLANE"),
        "{}",
        status.error_text()
    );
    assert!(
        status.error_text().contains("`cctl fence`"),
        "{}",
        status.error_text()
    );
    let plan = admin.cctl(["plan"]).text().unwrap();
    assert!(plan.contains("[fence-old-hosts] h2"), "{plan}");

    old.cut().unwrap();
    let others = [&ground.hosts[0], &ground.hosts[2]];
    let shared = watched(&admin, &others, old);
    println!(
        "two hosts had the address for {:.2} s",
        shared.as_secs_f32()
    );
    assert!(shared <= LIMIT, "two hosts had the address for {shared:?}");
    assert!(!holds(&admin, old));
    let state = std::fs::read_to_string(admin.file("cctl-state.yaml")).unwrap();
    assert!(!state.contains("givenUpAt:"), "it is looked for still");
    let again = admin.cctl(["fence"]).text().unwrap();
    assert_eq!(again, "no old control plane is looked for");

    // Its place is its own still.
    timed("apply makes it a control plane again", || {
        println!("{}", admin.cctl(["apply"]).check().unwrap().error_text());
    });
    admin.check_healthy(&ground.hosts, MASTERS, READY).unwrap();
    assert!(has(&admin, "before") && !has(&admin, "after"));
}

/// Lets `old` come back while `cctl fence --watch` looks for it: how long it had the endpoint's address beside another one.
fn watched(admin: &Admin<'_>, others: &[&Host], old: &Host) -> Duration {
    let (says, hears) = mpsc::channel();
    let hear = |told: &Value| {
        let note = told["note"].as_str().unwrap_or_default().to_owned();
        println!("  watch: {told}");
        // Whoever listens has heard enough by then.
        let _ = says.send(note);
        Next::GoOn
    };
    let words = ["fence", "--watch"].map(str::to_owned);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| admin.listen(&words, hear).unwrap());
        let begun = hears.recv_timeout(READY).unwrap();
        assert!(begun.contains("looked for every second"), "{begun}");
        assert!(!holds(admin, old), "a cable that is out lends no address");
        old.mend().unwrap();
        // From the first look that found it to the first that found it gone.
        let (mut first, mut until) = (None, Instant::now());
        let (mut had, mut beside) = (false, false);
        wait_until("the watch to end", READY, || {
            let looked = Instant::now();
            let has = holds(admin, old);
            if has {
                first.get_or_insert(looked);
                beside |= others.iter().any(|other| holds(admin, other));
            }
            if has || had {
                until = Instant::now();
            }
            had = has;
            Ok(watch.is_finished())
        })
        .unwrap();
        let output = watch.join().unwrap();
        assert_eq!(output.code, 0, "{}", output.error_text());
        println!("  another one had it, too: {beside}");
        first.map_or(Duration::ZERO, |first| until - first)
    })
}

fn holds(admin: &Admin<'_>, host: &Host) -> bool {
    admin
        .vip_holder(std::slice::from_ref(host))
        .unwrap()
        .is_some()
}
