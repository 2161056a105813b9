//! Total loss: all three control planes lose power and disks under two workers that go on; brought back from a snapshot
//! of a large database, by hand and by `cctl recover`.
//!
//! One cluster serves all contenders, one after the other: before each its control planes are taken away, and hosts stand
//! there anew with everything in place but what the cluster itself had. What is restored is the same each time, and the
//! workers have gone on since the cluster was made, as they would. Making those hosts, and forgetting the old ones' keys, is
//! not counted.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use hosts::{Admin, ClusterFile, Equipment};
use lab::{Base, Disk, Host, HostSpec, Lab, LabConfig, Wipe};
use serde_json::json;

use super::by_hand::ByHand;
use super::by_hand_recovery::RECOVERY;
use super::cluster::{HOSTS, LIMIT, MASTERS, at_once, middle};
use super::data::letters;
use super::observe::{Times, agent, client, url};
use super::prepared::{idle, prepare};
use super::{Row, load, recovery_seen};
use crate::Outcome;
use crate::run::cache;

/// So many objects at most; a larger database has larger ones.
const OBJECTS: u32 = 20_000;
/// What an object has at least, in bytes.
const OBJECT: u32 = 15_000;
const WRITERS: u32 = 8;
/// From this size on, the goal of a large database counts.
const LARGE: u32 = 2000;
/// The hosts that take over have numbers from here on.
const OTHERS: u8 = 6;

/// What an admin has kept who recovers by hand, as it lies on a control plane.
const SAVED: [&str; 6] = [
    "ca.crt",
    "ca.key",
    "front-proxy-ca.crt",
    "front-proxy-ca.key",
    "sa.key",
    "sa.pub",
];
const SEALED: &str = "etcd.snapshot";

struct Loss<'a> {
    lab: Lab,
    masters: Vec<Host>,
    workers: Vec<Host>,
    tools: &'a Path,
    supplies: &'a Path,
    folder: PathBuf,
    kubeconfig: String,
}

pub(crate) fn measure(
    tools: &Path,
    supplies: &Path,
    runs: usize,
    megabytes: u32,
) -> Outcome<Vec<Row>> {
    let mut loss = Loss::of_a_cluster(tools, supplies, megabytes)?;
    let (mut by_hand, mut ours, mut others) = (Vec::new(), Vec::new(), Vec::new());
    println!("\nseconds               API  new pods    done  hosts' CPU  load at the start");
    for _ in 0..runs {
        loss.strikes()?;
        by_hand.push(loss.run("best order by hand", Loss::by_hand)?);
        loss.strikes()?;
        ours.push(loss.run("cctl recover", |loss| loss.cctl(&[]))?);
    }
    for _ in 0..runs {
        let words = loss.others_take_over()?;
        others.push(loss.run("  other addresses", |loss| loss.cctl(&words))?);
    }
    loss.lab.down(Wipe::Yes)?;
    Ok(rows(&by_hand, &ours, &others, megabytes))
}

fn rows(by_hand: &[Times], ours: &[Times], others: &[Times], megabytes: u32) -> Vec<Row> {
    let api = |times: &[Times]| middle(times.iter().map(|times| times.api).collect());
    let pods = |times: &[Times]| middle(times.iter().map(|times| times.pods).collect());
    let row = |name, ours, yardstick, goal| Row {
        name,
        ours,
        yardstick,
        unit: "s",
        goal,
    };
    const HAND: &str = "best order by hand";
    const SAME: &str = "cctl, same addresses";
    let mut rows = vec![
        row("recover: API", api(ours), Some((HAND, api(by_hand))), 0.7),
        row(
            "recover: a new pod on every node, by hand",
            pods(ours),
            Some((HAND, pods(by_hand))),
            f64::INFINITY,
        ),
        row("recover: a new pod on every node", pods(ours), None, 20.0),
        row(
            "recover: API, other addresses",
            api(others),
            Some((SAME, api(ours))),
            1.2,
        ),
        row(
            "recover: a new pod, other addresses",
            pods(others),
            Some((SAME, pods(ours))),
            1.2,
        ),
    ];
    if megabytes >= LARGE {
        rows.push(row("recover: API, 2 GB", api(ours), None, 60.0));
    }
    rows
}

impl<'a> Loss<'a> {
    /// A cluster with its objects, a snapshot of both kinds taken, nothing lost yet.
    fn of_a_cluster(tools: &'a Path, supplies: &'a Path, megabytes: u32) -> Outcome<Self> {
        let base = Base::ensure_in(&cache()?)?;
        let folder = cache()?.join("bench-recover");
        std::fs::create_dir_all(&folder)?;
        anew(&folder.join("admin"))?;
        anew(&folder.join("kept"))?;
        let lab = Lab::create(LabConfig::new("bench-recover", folder.join("lab"), &base))?;
        println!("\nmaking a cluster of {HOSTS} hosts, to be lost");
        let mut masters = lab.up(HOSTS, spec())?;
        let workers = masters.split_off(MASTERS);
        let mut loss = Self {
            lab,
            masters,
            workers,
            tools,
            supplies,
            folder,
            kubeconfig: String::new(),
        };
        loss.prepare(&loss.workers, false)?;
        loss.prepare(&loss.masters, true)?;
        loss.make(megabytes)?;
        Ok(loss)
    }

    fn make(&mut self, megabytes: u32) -> Outcome {
        let admin = self.admin()?;
        let hosts = self.hosts();
        let mut text = ClusterFile::new(&self.lab, &hosts, MASTERS, "root")
            .text()
            .to_owned();
        // etcd's default ends at two gigabytes.
        text.push_str(
            "---\napiVersion: klusterkit.dev/v1alpha1\nkind: EtcdConfiguration\n\
             extraEnvironment: {ETCD_QUOTA_BACKEND_BYTES: \"8589934592\"}\n",
        );
        let file = admin.write("cluster.yaml", &text)?;
        let (file, bundle) = (file.display().to_string(), self.bundle());
        let words = ["apply", "-f", &file, "--bundle", &bundle];
        admin
            .cctl(words.into_iter().chain(["--accept-new-host-keys"]))
            .check()?;
        let kubeconfig = std::fs::read_to_string(admin.fetch_kubeconfig()?)?;
        admin.wait_ready(hosts.len(), LIMIT)?;

        let objects = OBJECTS.min(megabytes * 1_000_000 / OBJECT);
        println!("writing {objects} objects, {megabytes} MB");
        let start = Instant::now();
        fill(&self.lab, &kubeconfig, objects, megabytes)?;
        let kept = self.folder.join("kept");
        std::fs::create_dir(kept.join("pki"))?;
        for name in SAVED {
            let from = format!("/etc/kubernetes/pki/{name}");
            self.masters[0].get(&from, &kept.join("pki").join(name))?;
        }
        let snapshot = kept.join("snapshot.db");
        let words = ["/opt/bin/etcdctl.sh", "snapshot", "save", "/root/db"];
        self.masters[0].nsexec(words)?.timeout(LIMIT).check()?;
        self.masters[0].get("/root/db", &snapshot)?;
        let sealed = admin.file(SEALED).display().to_string();
        admin.cctl(["snapshot", "etcd", &sealed]).check()?;
        println!(
            "written in {:.0} s; the snapshot has {} MB",
            start.elapsed().as_secs_f64(),
            snapshot.metadata()?.len() / 1_000_000
        );
        self.kubeconfig = kubeconfig;
        Ok(())
    }

    fn admin(&self) -> Outcome<Admin<'_>> {
        let equipment = Equipment {
            tools: self.tools.to_owned(),
            supplies: self.supplies.to_owned(),
        };
        Ok(Admin::new(&self.lab, equipment, self.folder.join("admin"))?)
    }

    fn bundle(&self) -> String {
        self.supplies.join("bundle.oci").display().to_string()
    }

    fn hosts(&self) -> Vec<Host> {
        [&self.masters[..], &self.workers].concat()
    }

    fn prepare(&self, hosts: &[Host], are_masters: bool) -> Outcome {
        let addresses: Vec<String> = self.masters.iter().map(address).collect();
        at_once(hosts, |host| {
            let (tools, supplies) = (self.tools, self.supplies);
            prepare(&self.lab, host, &addresses, are_masters, tools, supplies)?;
            idle(host)
        })
    }

    /// All control planes lose power and disks. Hosts with the same names and addresses stand there anew, prepared.
    fn strikes(&mut self) -> Outcome {
        at_once(&self.masters, |host| Ok(host.power_loss()?))?;
        let fresh = self.masters.iter().map(|lost| self.lab.replace(lost));
        self.masters = fresh.collect::<Result<_, _>>()?;
        self.begin()?;
        let admin = self.admin()?;
        for host in &self.masters {
            admin.cctl(["forget-host-key", &address(host)]).check()?;
        }
        Ok(())
    }

    /// All control planes lose power for good; others stand ready. What is said to `cctl recover` besides.
    fn others_take_over(&mut self) -> Outcome<Vec<String>> {
        at_once(&self.masters, |host| Ok(host.power_loss()?))?;
        let lost = self.masters.clone();
        let first = match lost[0].name() {
            "h1" => OTHERS,
            _ => 1,
        };
        let mut others = Vec::new();
        for number in (first..).take(lost.len()) {
            others.push(match self.lab.host(&format!("h{number}")) {
                Ok(there) => self.lab.replace(&there)?,
                Err(_) => self.lab.add(number, spec())?,
            });
        }
        self.masters = others;
        self.begin()?;
        let pairs = lost.iter().zip(&self.masters);
        let words = pairs.flat_map(|(lost, other)| {
            let (lost, other) = (address(lost), address(other));
            [
                format!("--replace={lost}={other}"),
                format!("--dead={lost}"),
            ]
        });
        Ok(words.collect())
    }

    fn begin(&self) -> Outcome {
        at_once(&self.masters, |host| {
            host.boot()?;
            Ok(host.wait_ssh()?)
        })?;
        self.prepare(&self.masters, true)
    }

    /// One contender; shows its line.
    fn run(&self, name: &str, contender: impl FnOnce(&Self) -> Outcome) -> Outcome<Times> {
        // What was copied just now is not to be written during the race.
        nix::unistd::sync();
        let before = load();
        let nodes: Vec<String> = self.hosts().iter().map(|h| h.name().to_owned()).collect();
        let times =
            recovery_seen::observe(&self.lab, &self.kubeconfig, &nodes, || contender(self))?;
        println!(
            "{name:20} {:6.1}  {:8.1}  {:6.1}  {:10.1}  {before}",
            times.api, times.pods, times.done, times.cpu
        );
        println!("{:20} the last to run one: {}", "", times.last);
        Ok(times)
    }

    fn by_hand(&self) -> Outcome {
        let (hosts, folder) = (self.hosts(), self.folder.join("by-hand"));
        anew(&folder)?;
        let admin = ByHand {
            lab: &self.lab,
            hosts: &hosts,
            folder,
            mirror: self.supplies.join("mirror"),
            images: PathBuf::new(),
        };
        admin.run(RECOVERY)
    }

    fn cctl(&self, more: &[String]) -> Outcome {
        let admin = self.admin()?;
        let (sealed, bundle) = (admin.file(SEALED).display().to_string(), self.bundle());
        let words = [
            "recover",
            "--snapshot",
            &sealed,
            "--older",
            "--yes",
            "--accept-new-host-keys",
            "--bundle",
            &bundle,
        ];
        let more = more.iter().map(String::as_str);
        admin.cctl(words.into_iter().chain(more)).check()?;
        Ok(())
    }
}

/// What is deleted is to leave this machine's disk at once: an image would keep its room.
fn spec() -> HostSpec {
    HostSpec {
        disk: Disk::Folder,
        ..HostSpec::default()
    }
}

/// An empty folder: kubeadm would take what another run has left there for its own.
fn anew(folder: &Path) -> Outcome {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    Ok(std::fs::create_dir(folder)?)
}

fn address(host: &Host) -> String {
    host.address().to_string()
}

/// Writes ConfigMaps through the API, several side by side.
fn fill(lab: &Lab, kubeconfig: &str, objects: u32, megabytes: u32) -> Outcome {
    let size = megabytes as usize * 1_000_000 / objects as usize;
    let admin = agent(client(kubeconfig));
    let deadline = Instant::now() + LIMIT;
    let put = |place: &str, body: &str| -> Result<(), String> {
        loop {
            let said = match admin.post(url(lab, place)).send(body) {
                // One whose answer was late may be there already.
                Ok(answer) if [201, 409].contains(&answer.status().as_u16()) => return Ok(()),
                Ok(answer) => answer.status().to_string(),
                Err(error) => error.to_string(),
            };
            if Instant::now() > deadline {
                return Err(format!("{place}: {said}"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    let written = AtomicU32::new(0);
    let writer = || -> Result<(), String> {
        loop {
            let number = written.fetch_add(1, Ordering::SeqCst);
            if number >= objects {
                return Ok(());
            }
            let data: String = letters(number).take(size).collect();
            let name = format!("data-{number:05}");
            let object = json!({"metadata": {"name": name}, "data": {"data": data}});
            put("/api/v1/namespaces/bench/configmaps", &object.to_string())?;
        }
    };
    let work = || -> Result<(), String> {
        let namespace = json!({"metadata": {"name": "bench"}});
        put("/api/v1/namespaces", &namespace.to_string())?;
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS).map(|_| scope.spawn(writer)).collect();
            for writer in writers {
                writer.join().map_err(|_| "a writer ended")??;
            }
            Ok(())
        })
    };
    Ok(lab.in_net(work)??)
}
