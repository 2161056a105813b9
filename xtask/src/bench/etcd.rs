//! etcd alone: `etcdadm` against the same etcd, configured already and started by systemd.

use std::path::Path;
use std::time::{Duration, Instant};

use hosts::{client_url, peer_url};
use lab::{Base, Host, HostSpec, Lab, LabConfig, Output, wait_until};
use parts::catalog::NEWEST;
use parts::mirror::ARCH;

use super::Row;
use super::cluster::{at_once, middle};
use crate::Outcome;
use crate::run::cache;

/// How long a single member takes to elect itself is chance, between 0.3 and 1.1 s.
const RUNS: usize = 11;
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
    let mut rows = vec![one(&hosts[0])?];
    rows.extend(three(&hosts)?);
    Ok(rows)
}

/// One member, its programs installed: `etcdadm init` against `systemctl start etcd` of what it configured.
fn one(host: &Host) -> Outcome<Row> {
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    etcdadm(host, &["init"])?;
    for _ in 0..RUNS {
        forget(host)?;
        ours.push(timed(|| etcdadm(host, &["init"]))?);
        empty(host)?;
        bare.push(timed(|| start(host))?);
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
///
/// What learners have to wait for is no work of ours: it is measured by the same steps with etcdctl, on members that are
/// configured already, and added to the goal.
fn three(hosts: &[Host]) -> Outcome<Vec<Row>> {
    let (mut ours, mut bare, mut learners) = (Vec::new(), Vec::new(), Vec::new());
    // Programs on all three.
    forget(&hosts[0])?;
    joined(hosts)?;
    for _ in 0..RUNS {
        for host in hosts {
            forget(host)?;
        }
        ours.push(timed(|| joined(hosts))?);
        configure(hosts, &hosts[1..], "existing")?;
        learners.push(timed(|| joined_by_hand(hosts))?);
        configure(hosts, hosts, "new")?;
        bare.push(timed(|| {
            at_once(hosts, start)?;
            healthy(hosts)
        })?);
    }
    let (ours, bare) = (middle(ours), middle(bare));
    // At the luckiest: more often than not one of the two waits for the five seconds.
    let learners = learners.into_iter().fold(f64::INFINITY, f64::min);
    let row = |name, ours, goal| Row {
        name,
        ours,
        yardstick: Some(("three started at once", bare)),
        unit: "s",
        goal,
    };
    let waits = (learners - bare) / bare;
    Ok(vec![
        row("three etcd members", ours, 1.3 + waits),
        row(
            "  by etcdctl alone, the best of all runs",
            learners,
            f64::INFINITY,
        ),
    ])
}

fn joined(hosts: &[Host]) -> Outcome {
    let endpoint = client_url(&hosts[0]);
    // Both are learners before either is promoted: else the second waits for etcd's five seconds of health.
    let joining = format!("{},{}", hosts[1].address(), hosts[2].address());
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
}

/// The first member, two learners added and started, both promoted as soon as they may be.
fn joined_by_hand(hosts: &[Host]) -> Outcome {
    start(&hosts[0])?;
    let etcdctl = |words: &[&str]| -> Outcome<Output> {
        let words = ["/opt/bin/etcdctl.sh"].iter().chain(words).copied();
        Ok(hosts[0].nsexec(words)?.output()?)
    };
    let mut ids = Vec::new();
    for host in &hosts[1..] {
        let url = format!("--peer-urls={}", peer_url(host));
        let words = [
            "member",
            "add",
            host.name(),
            "--learner",
            &url,
            "-w",
            "json",
        ];
        let added: serde_json::Value = serde_json::from_slice(&etcdctl(&words)?.stdout)?;
        let id = added["member"]["ID"].as_u64().ok_or("no member's id")?;
        ids.push(format!("{id:x}"));
    }
    // Each as soon as it may be: once one votes, the other waits for etcd's five seconds of health.
    at_once(&hosts[1..], |host| {
        start(host)?;
        let id = &ids[usize::from(host.name() != hosts[1].name())];
        wait_until("a learner to be in sync", LIMIT, || {
            let promoted = etcdctl(&["member", "promote", id]);
            Ok(promoted.is_ok_and(|output| output.success()))
        })?;
        Ok(())
    })?;
    healthy(hosts)
}

/// Leaves members without data that have the same configuration but for how the cluster is begun: `members` with all
/// `hosts`, in this state.
fn configure(hosts: &[Host], members: &[Host], state: &str) -> Outcome {
    let all: Vec<String> = hosts
        .iter()
        .map(|host| format!("{}={}", host.name(), peer_url(host)))
        .collect();
    let edits = [
        format!(
            "s|^ETCD_INITIAL_CLUSTER=.*|ETCD_INITIAL_CLUSTER={}|",
            all.join(",")
        ),
        format!("s|^ETCD_INITIAL_CLUSTER_STATE=.*|ETCD_INITIAL_CLUSTER_STATE={state}|"),
        "/^ETCD_INITIAL_CLUSTER_TOKEN=/d".to_owned(),
    ];
    for host in hosts {
        empty(host)?;
    }
    for host in members {
        let sed = ["sed", "-i", &edits.join(";"), "/etc/etcd/etcd.env"];
        host.nsexec(sed)?.check()?;
    }
    Ok(())
}

fn start(host: &Host) -> Outcome {
    host.nsexec(["systemctl", "start", "etcd"])?.check()?;
    Ok(())
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

/// Leaves nothing of the member but its programs, and what is known of them.
fn forget(host: &Host) -> Outcome {
    empty(host)?;
    host.nsexec(["rm", "-rf", "/etc/etcd", "/etc/systemd/system/etcd.service"])?
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
    let urls: Vec<String> = hosts.iter().map(client_url).collect();
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

pub(crate) fn timed(work: impl FnOnce() -> Outcome) -> Outcome<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}
