//! The main job on real hosts: five of them, with systemd and sshd and no way out, become a cluster.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use hosts::{Admin, ClusterFile, Equipment, VIP, Web};
use lab::{Base, Host, HostSpec, Lab, LabConfig, Wipe};

use crate::Outcome;
use crate::machine::{self, Need};
use crate::run::{Task, cache};
use crate::supplies::{self, Want};
use crate::tools;

const MASTERS: usize = 3;
const HOSTS: u8 = 5;

/// What to show.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Install missing packages without asking
    #[arg(long)]
    yes: bool,

    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make the hosts and the cluster, and show what it can (the default)
    Up,
    /// A shell on a host of the cluster that was left up
    Shell {
        /// h1 to h5
        #[arg(default_value = "h1")]
        host: String,
    },
    /// kubectl for the cluster that was left up
    Kubectl {
        /// Its words
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Take the hosts away, disks and all
    Down,
    /// The part that needs root
    #[command(hide = true)]
    Hosts {
        #[arg(long)]
        tools: PathBuf,
        #[arg(long)]
        supplies: PathBuf,
        #[arg(long)]
        folder: PathBuf,
    },
}

pub(crate) fn main(arguments: &Arguments) -> Outcome {
    let folder = cache()?.join("demo");
    match &arguments.verb {
        None | Some(Verb::Up) => up(arguments.yes, &folder),
        Some(Verb::Hosts {
            tools,
            supplies,
            folder,
        }) => show(
            &Equipment {
                tools: tools.clone(),
                supplies: supplies.clone(),
            },
            folder,
        ),
        Some(rest) if !nix::unistd::geteuid().is_root() => {
            let words: Vec<&str> = match rest {
                Verb::Shell { host } => vec!["shell", host],
                Verb::Kubectl { words } => ["kubectl", "--"]
                    .into_iter()
                    .chain(words.iter().map(String::as_str))
                    .collect(),
                _ => vec!["down"],
            };
            interactive(
                &mut Task::as_root(std::env::current_exe()?)
                    .args(["demo"])
                    .args(words)
                    .command(),
            )
        }
        Some(Verb::Shell { host }) => {
            let lab = Lab::attach(&folder.join("lab"))?;
            interactive(&mut lab.host(host)?.shell("root"))
        }
        Some(Verb::Kubectl { words }) => kubectl(&folder, words),
        Some(Verb::Down) => {
            Lab::attach(&folder.join("lab"))?.down(Wipe::Yes)?;
            println!("The hosts are gone.");
            Ok(())
        }
    }
}

fn interactive(command: &mut Command) -> Outcome {
    let status = command.stdin(Stdio::inherit()).status()?;
    if status.success() {
        Ok(())
    } else {
        Err(status.to_string().into())
    }
}

fn kubectl(folder: &Path, words: &[String]) -> Outcome {
    let lab = Lab::attach(&folder.join("lab"))?;
    let supplies = std::fs::read_to_string(folder.join("supplies"))?;
    let admin = Admin::new(
        &lab,
        Equipment {
            tools: PathBuf::new(),
            supplies: supplies.into(),
        },
        folder.join("admin"),
    )?;
    interactive(&mut admin.kubectl(words.iter().map(String::as_str))?.command())
}

fn up(yes: bool, folder: &Path) -> Outcome {
    println!(
        "Klusterkit's demo: five real hosts on this machine (systemd, sshd, a disk and a network card each, no way out)\n\
         become a highly available Kubernetes cluster from one offline bundle.\n\
         \n\
         To expect on two cores:   the first time   then\n\
           the real programs       15 min, 3 GB     nothing: they are cached\n\
           the three tools         5 min            seconds\n\
           five hosts              1 min, 0.5 GB    2 s\n\
           the cluster             2 min            2 min; 2 GB of memory, 6 GB of disk while it is up\n"
    );
    machine::prepare(Need::Hosts, yes)?;
    let tools = tools::build()?;
    let supplies = supplies::ensure(Want::Demo, &tools)?;
    // Built now, as the user: root is to build nothing.
    lab::supervisor_path()?;
    Task::as_root(std::env::current_exe()?)
        .args(["demo", "hosts", "--tools"])
        .args([&tools])
        .args(["--supplies"])
        .args([&supplies])
        .args(["--folder"])
        .args([folder])
        .run()
}

/// Headings with the time since the start.
struct Story {
    start: Instant,
}

impl Story {
    fn tell(&self, what: &str) {
        println!("\n== {:.0} s: {what}", self.start.elapsed().as_secs_f32());
    }
}

fn show(equipment: &Equipment, folder: &Path) -> Outcome {
    let story = Story {
        start: Instant::now(),
    };
    std::fs::create_dir_all(folder)?;
    std::fs::write(
        folder.join("supplies"),
        equipment.supplies.display().to_string(),
    )?;
    story.tell("five hosts");
    let base = Base::ensure_in(&cache()?)?;
    let lab =
        Lab::create(LabConfig::new("demo", folder.join("lab"), &base)).map_err(
            |error| match error {
                lab::Error::Standing { .. } => {
                    "the last demo's hosts are still up: `cargo xtask demo down` takes them away"
                        .to_owned()
                }
                other => other.to_string(),
            },
        )?;
    let told = the_job(&story, equipment, folder, &lab);
    // Whatever came of it: it can be looked at.
    lab.keep()?;
    told.inspect_err(|_| {
        println!(
            "\nThe hosts stay up: `cargo xtask demo shell h1` is a shell on one, `cargo xtask demo down` takes them away."
        );
    })
}

fn the_job(story: &Story, equipment: &Equipment, folder: &Path, lab: &Lab) -> Outcome {
    let hosts = lab.up(HOSTS, HostSpec::default())?;
    for host in &hosts {
        println!("{} answers on {}", host.name(), host.address());
    }

    let admin = Admin::new(lab, equipment.clone(), folder.join("admin"))?;
    forget(&admin)?;
    story.tell("cctl apply");
    let file = ClusterFile::new(lab, &hosts, MASTERS, "admin");
    let words = admin.apply_words(&file)?;
    println!("{}\n$ cctl {}", file.text(), words.join(" "));
    let applied = Instant::now();
    let mut apply = admin.cctl(words.iter().map(String::as_str)).command();
    interactive(&mut apply)?;
    let applied = applied.elapsed().as_secs_f32();
    admin.fetch_kubeconfig()?;
    admin.wait_ready(hosts.len(), Duration::from_secs(180))?;
    story.tell("all nodes and all pods of kube-system are Ready");
    print(&admin, &["get", "nodes", "--output", "wide"])?;
    print(
        &admin,
        &["get", "pods", "--all-namespaces", "--output", "wide"],
    )?;

    exhibits(story, &admin, &hosts)?;
    story.tell("the end");
    println!(
        "cctl apply took {applied:.0} s. The cluster stays up. Look around:\n\
         \n\
           cargo xtask demo shell h1                     a shell on a host\n\
           cargo xtask demo kubectl -- get pods -A       kubectl\n\
           (in the shell) /opt/bin/etcdctl.sh member list -w table\n\
         \n\
         End it:\n\
         \n\
           cargo xtask demo down"
    );
    Ok(())
}

fn exhibits(story: &Story, admin: &Admin<'_>, hosts: &[Host]) -> Outcome {
    story.tell("an application with a pod on each worker");
    let web = Web::deploy(admin, &hosts[MASTERS..], 2)?;
    println!("pods run on {}", web.nodes()?.join(" and "));
    for host in hosts {
        let pages = web.reach_from(host, 2)?;
        println!(
            "{}: web.default.svc.cluster.local answered as {}",
            host.name(),
            pages.join(" and ")
        );
    }

    let holder = admin
        .vip_holder(hosts)?
        .ok_or("nobody holds the control planes' address")?;
    story.tell(&format!(
        "{}, which holds the control planes' address, loses power",
        holder.name()
    ));
    let vip = admin.lab().net().address(VIP).to_string();
    let silence = hosts::silence(admin.lab(), &vip, || holder.power_loss())?;
    println!(
        "the API did not answer for {:.1} s ({} probes failed)",
        silence.longest.as_secs_f32(),
        silence.unanswered
    );
    story.tell(&format!("{} comes back", holder.name()));
    holder.boot()?;
    holder.wait_ssh()?;
    admin.wait_serving(holder, Duration::from_secs(180))?;
    println!("its etcd member is healthy, its API server ready");
    admin.wait_ready(hosts.len(), Duration::from_secs(180))?;
    print(admin, &["get", "nodes"])
}

fn print(admin: &Admin<'_>, words: &[&str]) -> Outcome {
    println!(
        "$ kubectl {}\n{}",
        words.join(" "),
        admin.kubectl(words.iter().copied())?.text()?
    );
    Ok(())
}

/// The files of the last demo's cluster: its hosts are gone.
fn forget(admin: &Admin<'_>) -> Outcome {
    for name in [
        "cctl-state.yaml",
        "cctl-state.yaml.known_hosts",
        "kubeconfig",
    ] {
        let path = admin.file(name);
        if path.exists() {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}
