//! etcd alone: `etcdadm` against the same etcd, configured already and started by systemd.

use std::path::Path;
use std::time::{Duration, Instant};

use lab::{Base, Host, HostSpec, Lab, LabConfig, wait_until};
use parts::catalog::NEWEST;
use parts::mirror::ARCH;

use super::Row;
use crate::Outcome;
use crate::run::cache;

const RUNS: usize = 5;
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn measure(tools: &Path, supplies: &Path) -> Outcome<Vec<Row>> {
    let base = Base::ensure_in(&cache()?)?;
    let lab = Lab::create(LabConfig::new("bench", cache()?.join("bench-lab"), &base))?;
    let hosts = lab.up(3, HostSpec::default())?;
    let version = NEWEST.etcd;
    let file = format!("etcd-v{version}-linux-{ARCH}.tar.gz");
    let release = supplies.join(format!(
        "mirror/github.com/etcd-io/etcd/releases/download/v{version}/{file}"
    ));
    for host in &hosts {
        host.put(&tools.join("etcdadm"), "/usr/local/bin/etcdadm", 0o755)?;
        host.put(
            &release,
            &format!("/var/cache/etcdadm/etcd/v{version}/{file}"),
            0o644,
        )?;
    }
    Ok(vec![one(&hosts[0])?, three(&hosts)?])
}

/// One member, its programs installed: `etcdadm init` against `systemctl start etcd` of what it configured.
fn one(host: &Host) -> Outcome<Row> {
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    etcdadm(host, &["init"])?;
    for _ in 0..RUNS {
        empty(host)?;
        // Its own record would make it a second run: only programs stay.
        host.nsexec(["rm", "-rf", "/etc/etcd", "/etc/systemd/system/etcd.service"])?
            .check()?;
        ours.push(timed(|| etcdadm(host, &["init"]))?);
        empty(host)?;
        bare.push(timed(|| {
            Ok(host
                .nsexec(["systemctl", "start", "etcd"])?
                .check()
                .map(drop)?)
        })?);
    }
    let (ours, bare) = (middle(ours), middle(bare));
    Ok(Row {
        name: "etcdadm init",
        ours,
        yardstick: Some(("systemctl start etcd", bare)),
        unit: "s",
        goal: 1.15,
    })
}

/// Three members from nothing: init, then two joins at once, against three configured members started at once.
fn three(hosts: &[Host]) -> Outcome<Row> {
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    let endpoint = format!("https://{}:2379", hosts[0].address());
    // Both are learners before either is promoted: else the second waits for etcd's five seconds of health.
    let joining = format!("{},{}", hosts[1].address(), hosts[2].address());
    for _ in 0..RUNS {
        for host in hosts {
            etcdadm(host, &["reset", "--skip-remove-member"])?;
        }
        ours.push(timed(|| {
            etcdadm(&hosts[0], &["init"])?;
            let (ca, key) = (
                hosts[0].read("/etc/etcd/pki/ca.crt")?,
                hosts[0].read("/etc/etcd/pki/ca.key")?,
            );
            at_once(&hosts[1..], |host| {
                host.write("/etc/etcd/pki/ca.crt", ca.clone(), 0o644)?;
                host.write("/etc/etcd/pki/ca.key", key.clone(), 0o600)?;
                etcdadm(host, &["join", &endpoint, "--expected-members", &joining])
            })?;
            healthy(hosts)
        })?);
        let all: Vec<String> = hosts
            .iter()
            .map(|host| format!("{}=https://{}:2380", host.name(), host.address()))
            .collect();
        for host in hosts {
            empty(host)?;
            // The same configuration, but for how the cluster is begun.
            for (key, value) in [
                ("ETCD_INITIAL_CLUSTER", all.join(",")),
                ("ETCD_INITIAL_CLUSTER_STATE", "new".into()),
            ] {
                let edit = format!("s|^{key}=.*|{key}={value}|");
                host.nsexec(["sed", "-i", &edit, "/etc/etcd/etcd.env"])?
                    .check()?;
            }
        }
        bare.push(timed(|| {
            at_once(hosts, |host| {
                Ok(host
                    .nsexec(["systemctl", "start", "etcd"])?
                    .check()
                    .map(drop)?)
            })?;
            healthy(hosts)
        })?);
    }
    let (ours, bare) = (middle(ours), middle(bare));
    Ok(Row {
        name: "three etcd members",
        ours,
        yardstick: Some(("three started at once", bare)),
        unit: "s",
        goal: 1.3,
    })
}

fn etcdadm(host: &Host, words: &[&str]) -> Outcome {
    host.nsexec(
        ["/usr/local/bin/etcdadm", "--quiet"]
            .into_iter()
            .chain(words.iter().copied()),
    )?
    .check()?;
    Ok(())
}

/// Stops the member and takes its data away.
fn empty(host: &Host) -> Outcome {
    host.nsexec(["systemctl", "stop", "etcd"])?.check()?;
    host.nsexec(["rm", "-rf", "/var/lib/etcd"])?.check()?;
    host.nsexec(["install", "-d", "-m", "0700", "/var/lib/etcd"])?
        .check()?;
    Ok(())
}

fn healthy(hosts: &[Host]) -> Outcome {
    let urls: Vec<String> = hosts
        .iter()
        .map(|host| format!("https://{}:2379", host.address()))
        .collect();
    let urls = format!("--endpoints={}", urls.join(","));
    let mut said = String::new();
    let waited = wait_until("all members to be healthy", LIMIT, || {
        let words = ["/opt/bin/etcdctl.sh", "endpoint", "health", &urls];
        let output = hosts[0].nsexec(words)?.output()?;
        said = output.error_text();
        Ok(output.success())
    });
    waited.map_err(|error| format!("{error}: {said}"))?;
    Ok(())
}

fn at_once(hosts: &[Host], work: impl Fn(&Host) -> Outcome + Sync) -> Outcome {
    std::thread::scope(|scope| {
        let run = |host| {
            scope.spawn({
                let work = &work;
                move || work(host).map_err(|error| error.to_string())
            })
        };
        let workers: Vec<_> = hosts.iter().map(run).collect();
        for worker in workers {
            worker.join().map_err(|_| "a worker panicked")??;
        }
        Ok(())
    })
}

fn timed(work: impl FnOnce() -> Outcome) -> Outcome<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

fn middle(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
