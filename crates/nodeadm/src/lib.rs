//! Everything kubeadm needs on a host, and kubeadm itself.
//!
//! # Purpose
//! nodeadm makes a Kubernetes node out of a host that has only systemd: it installs the container runtime, the kubelet,
//! CNI plugins and images from the host's store, runs kubeadm phase by phase, and takes it all away again.
//!
//! # What it does not do
//! It makes no etcd (that is etcdadm's), fetches nothing while it works, and knows one host only: what needs several
//! is `cctl`'s.
//!
//! # Where to enter
//! [`run`]; then a verb, as `init`, whose list of phases is the whole of what it does, and
//! [`phases`].

mod arguments;
mod artifacts;
mod bootstrap_token;
mod change;
mod checks;
pub mod cluster;
mod config;
mod containerd;
mod coredns;
mod download;
mod error;
mod examples;
mod facts;
mod fence;
mod files;
mod flannel;
mod found;
mod gather;
mod init;
mod join;
mod keepalived;
mod kubeadm;
mod kubeconfig;
mod list;
mod node;
mod observe;
mod paths;
pub mod phases;
mod preflight;
mod prepare;
mod record;
mod rehearsal;
mod rehearse;
mod reset;
mod resolver;
mod settings;
mod status;
mod store;
mod token;
mod units;
pub mod verbs;
mod vip_check;

pub use change::{Await, Awaited, Change, ClusterChange, Kubeadm};
pub use error::Error;
pub use node::Node;
pub use settings::{Overrides, Settings};

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

/// Parses the command line and runs the verb.
#[must_use]
pub fn run(environment: &cli::Environment) -> ExitCode {
    let matches = command().get_matches();
    let arguments = match arguments::Arguments::from_arg_matches(&matches) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    cli::run(&arguments.common, environment, |context| {
        verbs::run(context, &arguments)
    })
}

/// The command line, each verb's help naming its phases.
#[must_use]
pub fn command() -> clap::Command {
    let phases = |phases: verbs::Phases| format!("Phases:\n{}", cli::list_phases(phases));
    let join = format!(
        "Phases of a worker:\n{}\nPhases of a control plane:\n{}",
        cli::list_phases(join::WORKER),
        cli::list_phases(join::CONTROL_PLANE)
    );
    let mut command = arguments::Arguments::command();
    for (verb, examples, more) in [
        ("init", examples::INIT, phases(init::PHASES)),
        ("join", examples::JOIN, join),
        ("prepare", examples::PREPARE, phases(prepare::PHASES)),
        ("reset", examples::RESET, phases(reset::PHASES)),
        ("fence", examples::FENCE, phases(fence::PHASES)),
        ("status", examples::STATUS, String::new()),
        (
            "preflight",
            examples::PREFLIGHT,
            format!("Checks:\n{}", checks::list()),
        ),
        ("facts", examples::FACTS, String::new()),
        ("list", examples::LIST, String::new()),
        ("download", examples::DOWNLOAD, String::new()),
        ("config", examples::CONFIG, String::new()),
        ("store", examples::STORE, String::new()),
        ("files", examples::FILES, String::new()),
        ("rehearse", examples::REHEARSE, String::new()),
        ("token", examples::TOKEN, String::new()),
        ("version", examples::VERSION, String::new()),
        ("completion", examples::COMPLETION, String::new()),
    ] {
        let help = if more.is_empty() {
            examples.to_owned()
        } else {
            format!("{examples}\n\n{more}")
        };
        command = command.mut_subcommand(verb, |command| command.after_help(help));
        // Whoever asks for help of a single phase wants to know which there are.
        let has_phase = |command: &clap::Command| command.find_subcommand("phase").is_some();
        if command.find_subcommand(verb).is_some_and(has_phase) {
            command = command.mut_subcommand(verb, |command| {
                command.mut_subcommand("phase", |phase| phase.after_help(more))
            });
        }
    }
    command
}
