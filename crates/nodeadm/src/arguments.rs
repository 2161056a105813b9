//! The command line: verbs and flags.

use std::net::IpAddr;
use std::path::PathBuf;

use api::{Cni, Endpoint, Version};
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use cli::{Common, VersionArgs};

use crate::settings::Overrides;

/// Makes a Kubernetes node out of a host that has only systemd, and takes it down again
#[derive(Debug, Parser)]
#[command(
    name = "nodeadm",
    version,
    disable_version_flag = true,
    max_term_width = 120
)]
pub struct Arguments {
    /// Options of every verb.
    #[command(flatten)]
    pub common: Common,

    /// A folder that stands for the host, for tests and for looking at plans
    #[arg(long, global = true, hide = true, default_value = "/")]
    pub root: PathBuf,

    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Begin a cluster with this host as its first control plane
    Init(NodeVerb),
    /// Make this host a worker, or a further control plane, of a cluster that exists
    Join(NodeVerb),
    /// Do all of init and join that needs neither etcd nor keys: programs, kernel, container runtime, images
    Prepare(NodeVerb),
    /// Take the node down and leave the host as it was found
    Reset(ResetVerb),
    /// Stop this host's control plane for good, before it is begun anew elsewhere; init or join make it a node again
    Fence(WalkArgs),
    /// Print what this node is and how it is
    Status,
    /// Check the host, as init and join do before anything else, and change nothing
    Preflight(NodeArgs),
    /// Print what can be seen of this host
    Facts,
    /// Print the components that this node needs and those that are in the store
    List(ListArgs),
    /// Bring components and images into this host's store
    Download(DownloadArgs),
    /// Show configuration
    Config {
        /// What of it.
        #[command(subcommand)]
        verb: ConfigVerb,
    },
    /// Fill this host's store from afar
    Store {
        /// What to do.
        #[command(subcommand)]
        verb: StoreVerb,
    },
    /// Save and put back what this control plane's static pods name and mount: an EncryptionConfiguration above all
    Files {
        /// What to do.
        #[command(subcommand)]
        verb: FilesVerb,
    },
    /// Start etcd and an API server on a backup (unsealed, on standard input), apart from all else, and list every object
    Rehearse(RehearseArgs),
    /// Make and end the tokens that workers join with, on a control plane
    Token {
        /// What to do.
        #[command(subcommand)]
        verb: TokenVerb,
    },
    /// Print the version of nodeadm
    Version(VersionArgs),
    /// Print a shell's completion script
    Completion {
        /// The shell.
        shell: Shell,
    },
    /// Whether this host's API server lives; keepalived asks every second
    #[command(hide = true)]
    VipCheck(VipCheckArgs),
}

/// What a node is to be.
#[derive(Debug, Clone, Args, Default)]
pub struct NodeArgs {
    /// Documents (NodeConfiguration, Credentials, kubeadm's, kubelet's, kube-proxy's) from this file, `-` for standard
    /// input; flags win over them [default: what an earlier run was told]
    #[arg(long, visible_alias = "cfg", value_name = "FILE")]
    pub config: Option<String>,

    /// The Node's name [default: the host's]
    #[arg(long)]
    pub name: Option<String>,

    /// The Kubernetes release [default: the newest in the store]
    #[arg(long, value_name = "VERSION")]
    pub kubernetes_version: Option<Version>,

    /// This host's address [default: that of the default route]
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<IpAddr>,

    /// Where all reach the API [default: this host]
    #[arg(long, value_name = "HOST[:PORT]")]
    pub control_plane_endpoint: Option<Endpoint>,

    /// Where programs are installed [default: /opt/bin]
    #[arg(long, value_name = "FOLDER")]
    pub install_dir: Option<PathBuf>,

    /// Who connects pods: `flannel`, or `none` for a network that you apply yourself
    #[arg(long, value_name = "NAME", value_parser = cni)]
    pub cni: Option<Cni>,

    /// Checks that may fail, by name, ours and kubeadm's
    #[arg(long, value_name = "CHECK", value_delimiter = ',')]
    pub ignore_preflight_errors: Vec<String>,
}

impl NodeArgs {
    /// What the flags say.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        Overrides {
            first: false,
            role: None,
            version: self.kubernetes_version,
            name: self.name.clone(),
            address: self.address,
            endpoint: self.control_plane_endpoint.clone(),
            install_dir: self.install_dir.clone(),
            cni: self.cni,
            ignore: self.ignore_preflight_errors.clone(),
            store_may_lack: false,
        }
    }
}

fn cni(text: &str) -> Result<Cni, String> {
    match text {
        "flannel" => Ok(Cni::Flannel),
        "none" => Ok(Cni::None),
        _ => Err("choose flannel or none".to_owned()),
    }
}

/// Options of a walk through phases.
#[derive(Debug, Clone, Args, Default)]
pub struct WalkArgs {
    /// Phases to leave out
    #[arg(long, value_name = "PHASE", value_delimiter = ',')]
    pub skip_phases: Vec<String>,

    /// Print what would be changed, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// init, join and prepare.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct NodeVerb {
    /// What the node is to be.
    #[command(flatten)]
    pub node: NodeArgs,
    /// How the phases are walked.
    #[command(flatten)]
    pub walk: WalkArgs,
    /// Single phases.
    #[command(subcommand)]
    pub phase: Option<NodePhase>,
}

/// Single phases of init, join or prepare.
#[derive(Debug, Subcommand)]
pub enum NodePhase {
    /// Walk single phases
    Phase {
        /// The phases, in any order: they are walked in theirs
        #[arg(required = true, value_delimiter = ',')]
        names: Vec<String>,
        /// What the node is to be.
        #[command(flatten)]
        node: NodeArgs,
        /// How the phases are walked.
        #[command(flatten)]
        walk: WalkArgs,
    },
}

/// reset.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ResetVerb {
    /// How the phases are walked.
    #[command(flatten)]
    pub walk: WalkArgs,
    /// Single phases.
    #[command(subcommand)]
    pub phase: Option<ResetPhase>,
}

/// Single phases of reset.
#[derive(Debug, Subcommand)]
pub enum ResetPhase {
    /// Walk single phases
    Phase {
        /// The phases, in any order: they are walked in theirs
        #[arg(required = true, value_delimiter = ',')]
        names: Vec<String>,
        /// How the phases are walked.
        #[command(flatten)]
        walk: WalkArgs,
    },
}

/// list.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// Print images alone
    #[arg(long)]
    pub images: bool,
}

/// download.
#[derive(Debug, Clone, Args)]
pub struct DownloadArgs {
    /// A file of versions with pinned digests, as `cctl bundle create` takes it
    #[arg(long, value_name = "FILE")]
    pub versions: Option<String>,

    /// Instead of a file: this Kubernetes release, and what goes with it
    #[arg(long, value_name = "VERSION", conflicts_with = "versions")]
    pub kubernetes_version: Option<Version>,

    /// Where to fetch from instead of upstream: a URL, oci://REGISTRY, or a path; may be given more than once
    #[arg(long = "mirror", value_name = "MIRROR")]
    pub mirrors: Vec<String>,

    /// The certificate authorities of the mirrors
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,

    /// A proxy for upstream's places
    #[arg(long, value_name = "URL")]
    pub proxy: Option<String>,

    /// Take what upstream has where no digest is pinned
    #[arg(long)]
    pub trust_upstream: bool,
}

/// config.
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Print the NodeConfiguration with every default filled in
    Print(NodeArgs),
}

/// store.
#[derive(Debug, Subcommand)]
pub enum StoreVerb {
    /// Print which of the blobs on standard input (descriptors, as a JSON list) are not there
    Missing,
    /// Take in a stream of blobs (a layout's tar, or part of one) from standard input
    Receive,
}

/// rehearse.
#[derive(Debug, Clone, Args)]
pub struct RehearseArgs {
    /// Where etcd and etcdutl are installed
    #[arg(long, value_name = "FOLDER", default_value = "/opt/bin")]
    pub etcd_dir: PathBuf,

    /// The program of the API server; said to the run that is kept apart
    #[arg(long, hide = true)]
    pub api_server: Option<PathBuf>,
}

/// files.
#[derive(Debug, Subcommand)]
pub enum FilesVerb {
    /// Print which files would be saved, and what would not be, and why
    List(FilesArgs),
    /// Print the files as one stream (a tar whose first entry says what follows): secrets are in it
    Save(FilesArgs),
    /// Put the files of such a stream, on standard input, where they were; what differs there is set aside
    PutBack {
        /// Print what would be changed, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// files list and save.
#[derive(Debug, Clone, Args)]
pub struct FilesArgs {
    /// This file or folder, too; may be given more than once
    #[arg(long, value_name = "PATH")]
    pub include: Vec<PathBuf>,

    /// Those that this file names, a line each; - is standard input
    #[arg(long, value_name = "FILE")]
    pub include_from: Option<String>,
}

/// token.
#[derive(Debug, Subcommand)]
pub enum TokenVerb {
    /// Make a token
    Create(TokenCreateArgs),
    /// End a token
    Delete {
        /// Its id (the part before the dot), or all of it
        token: String,
    },
}

/// token create.
#[derive(Debug, Clone, Args)]
pub struct TokenCreateArgs {
    /// How long it is valid, as 15m or 24h
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = crate::bootstrap_token::duration)]
    pub ttl: std::time::Duration,

    /// What it is for, kept beside it
    #[arg(long, default_value = "made by nodeadm token create")]
    pub description: String,

    /// Print the documents that a worker joins with, the token among them
    #[arg(long)]
    pub print_join: bool,
}

/// vip-check.
#[derive(Debug, Clone, Args)]
pub struct VipCheckArgs {
    /// The API server, `HOST:PORT`
    #[arg(long)]
    pub at: String,
    /// The authority that its certificate must be of
    #[arg(long)]
    pub ca: PathBuf,
}
