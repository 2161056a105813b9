//! A database of two gigabytes: taken, proven and restored by `etcdadm`, and by etcd's own programs.
//!
//! By hand, an admin who believes his backup no more than `etcdadm` does restores it, starts etcd on it and has etcd's own
//! hash computed of what was restored.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use lab::{Base, Disk, Host, HostSpec, Lab, LabConfig};
use parts::catalog::NEWEST;
use parts::mirror::ARCH;

use super::Row;
use super::cluster::middle;
use super::etcd::timed;
use crate::Outcome;
use crate::run::cache;

/// As large as etcd's own default allows a database to become.
const SIZE: u64 = 2_000_000_000;
/// As objects of Kubernetes are: some kilobytes.
const VALUE: usize = 8192;
/// As many as etcd takes in one transaction.
const PUTS: usize = 128;
/// So many write side by side.
const WRITERS: u32 = 4;
const RUNS: usize = 3;
const LIMIT: Duration = Duration::from_secs(600);

const CAPSULE: &str = "/root/ours.capsule";
const SNAPSHOT: &str = "/root/by-hand.db";
const RESTORED: &str = "/root/restored";

pub(crate) fn measure(tools: &Path, supplies: &Path) -> Outcome<Vec<Row>> {
    let base = Base::ensure_in(&cache()?)?;
    let lab = Lab::create(LabConfig::new(
        "bench-data",
        cache()?.join("bench-data"),
        &base,
    ))?;
    // What is deleted is to leave this machine's disk at once: an image would keep its room.
    let disk = Disk::Folder;
    let hosts = lab.up(
        1,
        HostSpec {
            disk,
            ..HostSpec::default()
        },
    )?;
    let host = &hosts[0];
    let version = NEWEST.etcd;
    let file = format!("etcd-v{version}-linux-{ARCH}.tar.gz");
    let release = supplies.join(format!(
        "mirror/github.com/etcd-io/etcd/releases/download/v{version}/{file}"
    ));
    host.put(&tools.join("etcdadm"), "/usr/local/bin/etcdadm", 0o755)?;
    host.put(
        &release,
        &format!("/var/cache/etcdadm/etcd/v{version}/{file}"),
        0o644,
    )?;
    let document = "apiVersion: klusterkit.dev/v1alpha1\nkind: EtcdConfiguration\n\
                    extraEnvironment: {ETCD_QUOTA_BACKEND_BYTES: \"8589934592\"}\n";
    host.nsexec(["/usr/local/bin/etcdadm", "-q", "init", "--config", "-"])?
        .stdin(document)
        .check()?;
    println!("\nfilling a database of {} MB", SIZE / 1_000_000);
    fill(host)?;

    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let memory = scope.spawn(|| most_memory(&ended));
        let rows = rows(host);
        ended.store(true, Ordering::SeqCst);
        let memory = memory.join().map_err(|_| "memory cannot be measured")?;
        let mut rows = rows?;
        rows.push(Row {
            name: "etcdadm with 2 GB: memory",
            ours: memory,
            yardstick: None,
            unit: "MB",
            goal: 32.0,
        });
        Ok(rows)
    })
}

fn rows(host: &Host) -> Outcome<Vec<Row>> {
    let row = |name, ours, by_hand, yardstick| Row {
        name,
        ours,
        yardstick: Some((yardstick, by_hand)),
        unit: "s",
        goal: 1.2,
    };
    let save = median(|| {
        // No backup is written over.
        run(host, &["rm", "-f", CAPSULE])?;
        let ours = timed(|| etcdadm(host, &["snapshot", "save", CAPSULE]))?;
        let by_hand = timed(|| run(host, &["/opt/bin/etcdctl.sh", "snapshot", "save", SNAPSHOT]))?;
        Ok((ours, by_hand))
    })?;
    let verify = median(|| {
        let ours = timed(|| etcdadm(host, &["snapshot", "verify", CAPSULE]))?;
        Ok((ours, timed(|| restored(host))?))
    })?;
    run(host, &["systemctl", "stop", "etcd"])?;
    let restore = median(|| {
        // Data that was restored from this very snapshot would be left as it is.
        run(host, &["rm", "-rf", "/var/lib/etcd"])?;
        let ours = timed(|| etcdadm(host, &["restore", CAPSULE]))?;
        run(host, &["systemctl", "stop", "etcd"])?;
        Ok((ours, timed(|| restored(host))?))
    })?;
    let hand = "etcdutl snapshot restore, start, etcdutl hashkv";
    Ok(vec![
        row(
            "snapshot save, 2 GB",
            save.0,
            save.1,
            "etcdctl snapshot save",
        ),
        row("snapshot verify, 2 GB", verify.0, verify.1, hand),
        row("restore, 2 GB", restore.0, restore.1, hand),
    ])
}

/// Both contenders in turn, each one's median.
fn median(mut both: impl FnMut() -> Outcome<(f64, f64)>) -> Outcome<(f64, f64)> {
    let pairs = (0..RUNS).map(|_| both()).collect::<Outcome<Vec<_>>>()?;
    let (ours, by_hand) = pairs.into_iter().unzip();
    Ok((middle(ours), middle(by_hand)))
}

/// By hand: restored, started until it serves, its hash told.
fn restored(host: &Host) -> Outcome {
    run(host, &["rm", "-rf", RESTORED])?;
    run(
        host,
        &[
            "/opt/bin/etcdutl",
            "snapshot",
            "restore",
            SNAPSHOT,
            "--data-dir",
            RESTORED,
            "--bump-revision=1000000000",
            "--mark-compacted",
        ],
    )?;
    let data_dir = format!("--data-dir={RESTORED}");
    run(
        host,
        &[
            // Of this type, it is started when it serves.
            "systemd-run",
            "--quiet",
            "--unit=by-hand",
            "--property=Type=notify",
            "/opt/bin/etcd",
            &data_dir,
            "--listen-client-urls=http://127.0.0.1:12379",
            "--advertise-client-urls=http://127.0.0.1:12379",
            "--listen-peer-urls=http://127.0.0.1:12380",
            "--quota-backend-bytes=8589934592",
        ],
    )?;
    run(host, &["systemctl", "stop", "by-hand"])?;
    run(
        host,
        &[
            "/opt/bin/etcdutl",
            "hashkv",
            &format!("{RESTORED}/member/snap/db"),
        ],
    )?;
    run(host, &["rm", "-rf", RESTORED])
}

/// Writes until the database is as large as it is to be.
fn fill(host: &Host) -> Outcome {
    let written = AtomicU32::new(0);
    let writer = || -> Result<(), String> {
        loop {
            let number = written.fetch_add(1, Ordering::SeqCst);
            if u64::from(number) * (PUTS * VALUE) as u64 >= SIZE {
                return Ok(());
            }
            let put = host
                .nsexec(["/opt/bin/etcdctl.sh", "--command-timeout=60s", "txn"])
                .and_then(|run| run.stdin(transaction(number)).check());
            put.map_err(|error| error.to_string())?;
        }
    };
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS).map(|_| scope.spawn(writer)).collect();
        for writer in writers {
            writer.join().map_err(|_| "a writer ended")??;
        }
        Ok(())
    })
}

/// As etcdctl reads one: no conditions, puts, nothing else.
fn transaction(number: u32) -> String {
    let mut letters = letters(number);
    let mut text = String::from("\n");
    for put in 0..PUTS {
        text.push_str(&format!("put /data/{number:06}/{put:03} "));
        text.extend(letters.by_ref().take(VALUE));
        text.push('\n');
    }
    text.push_str("\n\n");
    text
}

/// Letters without end that do not shrink when they are compressed, by a generator that anybody can repeat.
pub(crate) fn letters(number: u32) -> impl Iterator<Item = char> {
    let mut seed = u64::from(number).wrapping_mul(6_364_136_223_846_793_005) | 1;
    std::iter::repeat_with(move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        char::from(b'a' + (seed % 26) as u8)
    })
}

/// The most memory that an etcdadm held at once, in MB, looked at until `ended`.
fn most_memory(ended: &AtomicBool) -> f64 {
    let mut most = 0;
    while !ended.load(Ordering::SeqCst) {
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        for process in processes {
            // The mark is the most that a process ever had; one that is gone between two looks had it before.
            let status = std::fs::read_to_string(process.path().join("status")).unwrap_or_default();
            let field = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name));
                line.map(str::trim).unwrap_or_default()
            };
            if field("Name:") == "etcdadm" {
                let kib = field("VmHWM:").trim_end_matches(" kB").parse().unwrap_or(0);
                most = most.max(kib);
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    f64::from(most) * 1024.0 / 1e6
}

fn etcdadm(host: &Host, words: &[&str]) -> Outcome {
    let all = ["/usr/local/bin/etcdadm", "-q"];
    run(host, &[&all, words].concat())
}

fn run(host: &Host, words: &[&str]) -> Outcome {
    host.nsexec(words.iter().copied())?.timeout(LIMIT).check()?;
    Ok(())
}
