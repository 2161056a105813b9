//! Hosts that lose power while `cctl apply` works on them: the others are brought as far as they can, the error names the
//! lost ones, and the next apply finishes when they are back.

use hosts::{ClusterFile, Next};
use serde_json::Value;

use crate::killed::{Point, finish};
use crate::{Ground, timed};

/// Each of these hosts loses power when this is told of it.
pub(crate) fn lost_at(points: &[Point; 2]) {
    let ground = Ground::new("power", 5);
    let admin = ground.admin("admin");
    let file = ClusterFile::new(&ground.lab, &ground.hosts, 3, "admin");
    let words = admin.apply_words(&file).unwrap();
    let mut struck = Vec::new();
    let output = timed("apply, with two hosts that lose power", || {
        let hear = |told: &Value| {
            for point in points.iter().filter(|point| point.is(told)) {
                let host = &ground.hosts[usize::from(point.host) - 1];
                if !struck.contains(&point.host) {
                    println!("{} loses power at {point}", host.name());
                    host.power_loss().unwrap();
                    struck.push(point.host);
                }
            }
            Next::GoOn
        };
        admin.listen(&words, hear).unwrap()
    });
    struck.sort_unstable();
    assert_eq!(struck, [3, 5], "{}", output.error_text());
    let said = output.error_text();
    let error: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    println!("{error:#}");
    assert_eq!(
        (output.code, &error["kind"]),
        (5, &Value::from("partial")),
        "{said}"
    );
    let told = error["causes"][0].as_str().unwrap();
    // A host that is going down may still say that its disk is gone; else only its address is left to be named.
    for (step, name, address) in [
        ("join-control-planes", "h3", "10.77.0.13"),
        ("join-workers", "h5", "10.77.0.15"),
    ] {
        let names = |who: &str| told.contains(&format!("[{step}] {who}: "));
        assert!(names(name) || names(address), "{told}");
    }

    for number in struck {
        let host = &ground.hosts[usize::from(number) - 1];
        host.boot().unwrap();
        host.wait_ssh().unwrap();
    }
    finish(&admin, &file, &ground);
}
