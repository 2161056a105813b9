//! The main job: three control planes and two workers, from prepared hosts and from bare ones, against the ways by hand.
//!
//! Every contender gets the same hosts, the same programs and images, and the same watcher. The machine's processors are
//! shared by all five hosts: on two of them some 25 s of the time from prepared hosts are work that nobody can avoid, and
//! what is compared is the rest. So the hosts' CPU seconds are shown beside each time.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bundle::{Draft, Entry, Layout};
use hosts::{Admin, ClusterFile, Equipment};
use lab::{Host, Lab, Wipe};

use super::by_hand::ByHand;
use super::by_hand_bare::BARE;
use super::by_hand_phases::PHASES;
use super::by_hand_serial::SERIAL;
use super::observe::{Times, observe};
use super::prepared::Prepared;
use super::{Row, load};
use crate::Outcome;

pub(crate) const HOSTS: u8 = 5;
pub(crate) const MASTERS: usize = 3;
/// How long anything may take on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(900);

/// What makes the cluster.
#[derive(Debug, Clone, Copy)]
enum Contender {
    Cctl,
    /// By hand, with this script.
    Script(&'static str),
}

struct Ring<'a> {
    prepared: Prepared,
    tools: &'a Path,
    supplies: &'a Path,
}

pub(crate) fn measure(tools: &Path, supplies: &Path, runs: usize) -> Outcome<Vec<Row>> {
    let ring = Ring {
        prepared: Prepared::make(tools, supplies)?,
        tools,
        supplies,
    };
    let images = ring.prepared.folder("images")?.join("images.tar");
    all_images(supplies, &images)?;

    let (mut serial, mut phases, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    let (mut by_hand, mut from_bundle, mut again) = (Vec::new(), Vec::new(), Again::default());
    println!("\nseconds               API   Nodes    pods    done  hosts' CPU  load at the start");
    for _ in 0..runs {
        // In turns, so that a busy minute hits none alone.
        let mut run =
            |name, contender, is_bare| ring.run(name, contender, is_bare, &images, &mut again);
        serial.push(run("kubeadm in series", Contender::Script(SERIAL), false)?);
        phases.push(run("best order by hand", Contender::Script(PHASES), false)?);
        ours.push(run("cctl apply", Contender::Cctl, false)?);
        by_hand.push(run("bare, by hand", Contender::Script(BARE), true)?);
        from_bundle.push(run("bare, cctl apply", Contender::Cctl, true)?);
    }

    let mut rows = Vec::new();
    let api: Of = |times| times.api;
    let nodes: Of = |times| times.nodes;
    let pods: Of = |times| times.pods;
    const SERIES: &str = "kubeadm in series";
    for (name, of, goal) in [
        ("cluster: API, to in series", api, f64::INFINITY),
        ("cluster: Nodes, to in series", nodes, 0.6),
        ("cluster: pods, to in series", pods, 0.7),
    ] {
        rows.push(row(name, of, &ours, SERIES, &serial, goal));
    }
    const BEST: &str = "best order by hand";
    for (name, of) in [
        ("cluster: API, to the best order", api),
        ("cluster: Nodes, to the best order", nodes),
        ("cluster: pods, to the best order", pods),
    ] {
        rows.push(row(name, of, &ours, BEST, &phases, 1.0));
    }
    const AT_ONCE: &str = "copy, import, init, joins at once";
    for (name, of) in [
        ("cluster from sshd alone: Nodes", nodes),
        ("cluster from sshd alone: pods", pods),
    ] {
        rows.push(row(name, of, &from_bundle, AT_ONCE, &by_hand, 0.6));
    }
    rows.push(Row {
        name: "cluster: apply that changes nothing",
        ours: middle(again.applies),
        yardstick: None,
        unit: "s",
        goal: 1.0,
    });
    rows.push(Row {
        name: "  of which logging in to all five hosts",
        ours: middle(again.logins),
        yardstick: None,
        unit: "s",
        goal: f64::INFINITY,
    });
    Ok(rows)
}

/// What an apply that changes nothing takes; and what ssh alone does, whose key exchange is some 0.2 s of CPU a host.
#[derive(Debug, Default)]
struct Again {
    applies: Vec<f64>,
    logins: Vec<f64>,
}

type Of = fn(&Times) -> f64;

fn row(
    name: &'static str,
    of: Of,
    ours: &[Times],
    yardstick: &'static str,
    theirs: &[Times],
    goal: f64,
) -> Row {
    let median = |times: &[Times]| middle(times.iter().map(of).collect());
    Row {
        name,
        ours: median(ours),
        yardstick: Some((yardstick, median(theirs))),
        unit: "s",
        goal,
    }
}

impl Ring<'_> {
    /// One contender on fresh hosts; shows its line.
    fn run(
        &self,
        name: &str,
        contender: Contender,
        is_bare: bool,
        images: &Path,
        again: &mut Again,
    ) -> Outcome<Times> {
        let (lab, hosts) = if is_bare {
            self.prepared.bare()?
        } else {
            self.prepared.boot()?
        };
        // What was copied just now is not to be written during the race.
        nix::unistd::sync();
        let folder = self.prepared.folder("admin")?;
        let before = load();
        let times = match contender {
            Contender::Script(script) => {
                let admin = ByHand {
                    lab: &lab,
                    hosts: &hosts,
                    folder,
                    mirror: self.supplies.join("mirror"),
                    images: images.to_owned(),
                };
                observe(&lab, &hosts, MASTERS, || admin.run(script))?
            }
            Contender::Cctl => self.cctl(&lab, &hosts, &folder, is_bare, again)?,
        };
        println!(
            "{name:20} {:6.1}  {:6.1}  {:6.1}  {:6.1}  {:10.1}  {before}",
            times.api, times.nodes, times.pods, times.done, times.cpu
        );
        println!("{:20} the last to be Ready: {}", "", times.last);
        lab.down(Wipe::Yes)?;
        Ok(times)
    }

    fn cctl(
        &self,
        lab: &Lab,
        hosts: &[Host],
        folder: &Path,
        is_bare: bool,
        again: &mut Again,
    ) -> Outcome<Times> {
        let equipment = Equipment {
            tools: self.tools.to_owned(),
            supplies: self.supplies.to_owned(),
        };
        let admin = Admin::new(lab, equipment, folder.to_owned())?;
        let file = ClusterFile::new(lab, hosts, MASTERS, "root");
        let times = observe(lab, hosts, MASTERS, || Ok(admin.apply(&file).map(drop)?))?;
        if !is_bare {
            for _ in 0..3 {
                let start = Instant::now();
                admin.apply(&file)?;
                again.applies.push(start.elapsed().as_secs_f64());
                let start = Instant::now();
                at_once(hosts, |host| Ok(host.exec(["true"]).check().map(drop)?))?;
                again.logins.push(start.elapsed().as_secs_f64());
            }
        }
        Ok(times)
    }
}

/// All images of the bundle in one archive that `ctr images import` takes.
fn all_images(supplies: &Path, to: &Path) -> Outcome {
    let layout = Arc::new(Layout::open(&supplies.join("bundle.oci"))?);
    let mut draft = Draft::new();
    for entry in layout.entries()? {
        if let Entry::Image(_) = entry {
            draft.add_entry(&layout, &entry)?;
        }
    }
    Ok(draft.write_archive(to, &mut |_| {})?)
}

/// Does one thing to all these hosts side by side; the first error counts.
pub(crate) fn at_once(hosts: &[Host], work: impl Fn(&Host) -> Outcome + Sync) -> Outcome {
    let work = |host: &Host| work(host).map_err(|error| error.to_string());
    for result in hosts::side_by_side(hosts, work) {
        result?;
    }
    Ok(())
}

/// The median, or the upper one of two.
pub(crate) fn middle(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
