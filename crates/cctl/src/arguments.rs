//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::examples;

/// A highly available cluster's whole life over SSH, from one state file
#[derive(Debug, Parser)]
#[command(name = "cctl", version, max_term_width = 110)]
pub struct Arguments {
    /// Options that every tool has.
    #[command(flatten)]
    pub common: cli::Common,
    /// Options that every verb has.
    #[command(flatten)]
    pub options: Options,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Options that every verb has.
#[derive(Debug, Clone, Default, Args)]
pub struct Options {
    /// The state file [default: ./cctl-state.yaml, else /etc/cctl-state.yaml]
    #[arg(long, global = true, value_name = "FILE", display_order = 800)]
    pub state: Option<PathBuf>,
    /// The key that opens the state: an ed25519 or RSA key file, or an age identity [default: the cluster file's
    /// ssh.identityFile, else ~/.ssh/id_ed25519, else ~/.ssh/id_rsa]
    #[arg(long, global = true, value_name = "FILE", display_order = 801)]
    pub identity: Option<PathBuf>,
    /// Whom a new state is sealed for besides: an SSH public key, an age recipient, or a file of them; may be repeated
    #[arg(long, global = true, value_name = "KEY|FILE", display_order = 802)]
    pub recipient: Vec<String>,
    /// Take and pin the keys that hosts show at first contact; a key that changed is refused all the same
    #[arg(long, global = true, display_order = 803)]
    pub accept_new_host_keys: bool,
    /// Pin the host keys of this known_hosts file for hosts of which none is pinned yet
    #[arg(long, global = true, value_name = "FILE", display_order = 804)]
    pub known_hosts: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make the hosts what the cluster file says
    #[command(after_help = examples::APPLY)]
    Apply(ApplyArgs),
    /// Show what apply would do; writes nothing but the node tools into the hosts' caches
    #[command(after_help = examples::PLAN)]
    Plan(ApplyArgs),
    /// Make a cluster, or add a machine to it
    #[command(subcommand, after_help = examples::CREATE)]
    Create(Create),
    /// Take a machine out of the cluster, or the whole cluster down
    #[command(subcommand, after_help = examples::DELETE)]
    Delete(Delete),
    /// Print the cluster, its machines, or a kubeconfig
    #[command(subcommand, after_help = examples::GET)]
    Get(Get),
    /// Look at the hosts: members, nodes, certificates
    #[command(after_help = examples::STATUS)]
    Status,
    /// Take a snapshot of etcd
    #[command(subcommand, after_help = examples::SNAPSHOT)]
    Snapshot(Snapshot),
    /// Take all that a lost cluster is brought back from, in one file: etcd, the state, the control planes' files
    #[command(after_help = examples::BACKUP)]
    Backup(Backup),
    /// Get the state back from a backup
    #[command(after_help = examples::RESTORE)]
    Restore(Restore),
    /// Begin the control plane anew from a snapshot of etcd, or bring one of its machines back
    #[command(after_help = examples::RECOVER)]
    Recover(Recover),
    /// Stop old control planes that are back after the cluster went on without them
    #[command(after_help = examples::FENCE)]
    Fence(FenceArgs),
    /// Get the state back from the control planes' copies; say whom it is sealed for
    #[command(subcommand, after_help = examples::STATE)]
    State(StateVerb),
    /// Make, look at, check and unpack bundles
    #[command(subcommand, after_help = examples::BUNDLE)]
    Bundle(Bundle),
    /// Forget the pinned keys of a host that was installed anew
    #[command(after_help = examples::FORGET)]
    ForgetHostKey {
        /// Its address
        address: IpAddr,
    },
    /// Print the version
    #[command(after_help = examples::VERSION)]
    Version(cli::VersionArgs),
    /// Print a completion script
    #[command(after_help = examples::COMPLETION)]
    Completion {
        /// For which shell
        shell: Shell,
    },
}

/// Options of `apply` and `plan`.
#[derive(Debug, Clone, Default, Args)]
pub struct ApplyArgs {
    /// The cluster file; `-` for standard input [default: what the state says]
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<String>,
    /// The bundle that hosts get what they lack from: a folder or a tar
    #[arg(long, value_name = "PATH")]
    pub bundle: Option<PathBuf>,
    /// Only show what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// What to create.
#[derive(Debug, Subcommand)]
pub enum Create {
    /// A cluster: with -f all of it, without only its state, to which machines are added by `create machine`
    #[command(after_help = examples::CREATE_CLUSTER)]
    Cluster(CreateCluster),
    /// Add a machine to the cluster, and make it what its role says
    #[command(after_help = examples::CREATE_MACHINE)]
    Machine(CreateMachine),
}

/// Options of `create cluster`.
#[derive(Debug, Clone, Args)]
pub struct CreateCluster {
    /// Options as of apply.
    #[command(flatten)]
    pub apply: ApplyArgs,
    /// The cluster's name
    #[arg(long, default_value = "cluster", conflicts_with = "file")]
    pub name: String,
    /// Kubernetes' version
    #[arg(long, value_name = "VERSION", conflicts_with = "file")]
    pub kubernetes_version: Option<api::Version>,
    /// etcd's version
    #[arg(long, value_name = "VERSION", conflicts_with = "file")]
    pub etcd_version: Option<api::Version>,
    /// Where pods get addresses
    #[arg(long, value_name = "CIDR", conflicts_with = "file")]
    pub pod_network: Option<String>,
    /// Where services get addresses
    #[arg(long, value_name = "CIDR", conflicts_with = "file")]
    pub service_network: Option<String>,
    /// Where all reach the API: an address that keepalived holds, or the name of your own balancer
    #[arg(long, value_name = "ADDRESS|NAME", conflicts_with = "file")]
    pub vip: Option<api::Endpoint>,
    /// VRRP's virtual router id, 1 to 255
    #[arg(long, conflicts_with = "file", value_parser = clap::value_parser!(u8).range(1..))]
    pub router_id: Option<u8>,
    /// Who logs in to the machines
    #[arg(long, default_value = "root", conflicts_with = "file")]
    pub user: String,
    /// The private key to log in with
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    pub private_key: Option<String>,
}

/// Options of `create machine`.
#[derive(Debug, Clone, Args)]
pub struct CreateMachine {
    /// Its address
    #[arg(long)]
    pub ip: IpAddr,
    /// Its role: master, node or etcd
    #[arg(long, value_parser = role)]
    pub role: api::Role,
    /// Its SSH port, where it differs from the cluster's
    #[arg(long)]
    pub port: Option<u16>,
    /// The name of its Node and member [default: its host name]
    #[arg(long)]
    pub name: Option<String>,
    /// A label of its Node, as KEY=VALUE; may be repeated
    #[arg(long, value_parser = key_value)]
    pub label: Vec<(String, String)>,
    /// The bundle that it gets what it lacks from
    #[arg(long, value_name = "PATH")]
    pub bundle: Option<PathBuf>,
    /// Only show what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// What to delete.
#[derive(Debug, Subcommand)]
pub enum Delete {
    /// Drain a machine, take it out of the cluster and of etcd, and reset it
    #[command(after_help = examples::DELETE_MACHINE)]
    Machine(DeleteMachine),
    /// Reset all machines of the cluster: its data is set aside on them, the state beside itself
    #[command(after_help = examples::DELETE_CLUSTER)]
    Cluster(DeleteCluster),
}

/// Options of `delete machine`.
#[derive(Debug, Clone, Args)]
pub struct DeleteMachine {
    /// Its address
    #[arg(long)]
    pub ip: IpAddr,
    /// The machine is gone for good: take it out of the cluster without reaching it
    #[arg(long)]
    pub force: bool,
    /// Do not evict its pods first
    #[arg(long)]
    pub skip_drain: bool,
    /// How long evicting its pods may take, in seconds
    #[arg(long, default_value_t = 300)]
    pub drain_timeout: u64,
    /// Only show what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// Options of `delete cluster`.
#[derive(Debug, Clone, Args)]
pub struct DeleteCluster {
    /// Yes, the whole cluster
    #[arg(long)]
    pub yes: bool,
    /// Go on without machines that cannot be reached
    #[arg(long)]
    pub force: bool,
    /// Only show what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// What to take a snapshot of.
#[derive(Debug, Subcommand)]
pub enum Snapshot {
    /// etcd: all that the API holds, in one file here, sealed for whom the state is sealed for
    #[command(after_help = examples::SNAPSHOT)]
    Etcd(SnapshotEtcd),
}

/// Options of `snapshot etcd`.
#[derive(Debug, Clone, Args)]
pub struct SnapshotEtcd {
    /// Where to write it (mode 0600)
    pub file: PathBuf,
    /// Leave it readable for whoever gets the file: every Secret of the cluster is in it
    #[arg(long)]
    pub unsealed: bool,
}

/// Options of `backup`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Backup {
    /// What to do with one, unless it is to be taken.
    #[command(subcommand)]
    pub what: Option<BackupVerb>,
    /// What to take.
    #[command(flatten)]
    pub take: BackupTake,
}

/// What a backup is to be.
#[derive(Debug, Clone, Args)]
pub struct BackupTake {
    /// Where to write it (mode 0600); nothing may lie there
    #[arg(required = true)]
    pub file: Option<PathBuf>,
    /// A file or folder of the control planes', besides what their static pods name and mount; may be repeated
    #[arg(long, value_name = "PATH")]
    pub include: Vec<PathBuf>,
}

/// What to do with a backup.
#[derive(Debug, Clone, Subcommand)]
pub enum BackupVerb {
    /// Prove that a cluster can be brought back from it: all digests and signatures here, etcd's data served on a host
    #[command(after_help = examples::BACKUP_VERIFY)]
    Verify(BackupVerify),
}

/// Options of `backup verify`.
#[derive(Debug, Clone, Args)]
pub struct BackupVerify {
    /// The backup
    pub file: PathBuf,
    /// Check the file alone, and ask no host
    #[arg(long)]
    pub offline: bool,
    /// Another admin's public key whose word is good, as it stands in a .pub file; may be repeated
    #[arg(long, value_name = "KEY")]
    pub signer: Vec<String>,
}

/// Options of `restore`.
#[derive(Debug, Clone, Args)]
pub struct Restore {
    /// The backup
    pub file: PathBuf,
    /// Also over a state that is as new or newer; that one is kept beside it
    #[arg(long)]
    pub older: bool,
    /// Another admin's public key whose word is good, as it stands in a .pub file; may be repeated
    #[arg(long, value_name = "KEY")]
    pub signer: Vec<String>,
}

/// What to do with the state.
#[derive(Debug, Subcommand)]
pub enum StateVerb {
    /// Bring the newest copy here, from a control plane of the cluster; it must be sealed for your key, and vouched for by it
    #[command(after_help = examples::STATE)]
    Pull(StatePull),
    /// Whom the state's secrets are sealed for: each of them alone can recover the cluster, and nobody else
    #[command(subcommand, after_help = examples::RECIPIENTS)]
    Recipients(Recipients),
}

/// What to do with the recipients.
#[derive(Debug, Subcommand)]
pub enum Recipients {
    /// Print them
    #[command(after_help = examples::RECIPIENTS)]
    List,
    /// Seal for these, too; two at least are advised: a key that is lost opens nothing
    #[command(after_help = examples::RECIPIENTS)]
    Add {
        /// An SSH public key (ed25519 or RSA), an age recipient, or a file of them
        #[arg(required = true)]
        recipient: Vec<String>,
    },
    /// Seal for these no more. What they have already stays readable for them: the authorities' keys are known to them
    #[command(after_help = examples::RECIPIENTS)]
    Remove {
        /// The key, its comment, or the age recipient
        #[arg(required = true)]
        recipient: Vec<String>,
    },
}

/// Options of `state pull`.
#[derive(Debug, Clone, Args)]
pub struct StatePull {
    /// A control plane to ask, as `10.0.0.11`, `admin@10.0.0.11` or `admin@10.0.0.11:2222`; may be repeated. The others that it knows are asked, too
    #[arg(long, value_name = "[USER@]ADDRESS[:PORT]", required = true)]
    pub from: Vec<Login>,
    /// Another admin's public key whose word is good, as it stands in a .pub file; may be repeated
    #[arg(long, value_name = "KEY")]
    pub signer: Vec<String>,
}

/// Where to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    user: String,
    address: IpAddr,
    port: u16,
}

impl std::str::FromStr for Login {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (user, place) = text.split_once('@').unwrap_or(("root", text));
        let plain = place.trim_matches(['[', ']']).parse::<IpAddr>();
        let (address, port) = match (plain, place.parse::<std::net::SocketAddr>()) {
            (Ok(address), _) => (address, 22),
            (_, Ok(both)) => (both.ip(), both.port()),
            _ => return Err("not [USER@]ADDRESS[:PORT]".to_owned()),
        };
        let user = user.to_owned();
        Ok(Self {
            user,
            address,
            port,
        })
    }
}

impl Login {
    /// As SSH is told, with this key.
    pub(crate) fn target(&self, identity: &state::Identity) -> ssh::Target {
        ssh::Target {
            address: self.address.to_string(),
            port: self.port,
            user: self.user.clone(),
            identity_file: Some(identity.path().display().to_string()),
            options: Default::default(),
        }
    }
}

/// Options of `recover`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Recover {
    /// What to recover, unless it is the whole control plane.
    #[command(subcommand)]
    pub what: Option<RecoverVerb>,
    /// The snapshot, as `cctl snapshot etcd` or `etcdadm snapshot save` wrote it
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present_any = ["from_member", "from_backup"],
        conflicts_with = "from_member"
    )]
    pub snapshot: Option<PathBuf>,
    /// Instead of a snapshot: a backup, as `cctl backup` wrote it; the control planes' files are put back, too
    #[arg(long, value_name = "FILE", conflicts_with_all = ["snapshot", "from_member"])]
    pub from_backup: Option<PathBuf>,
    /// Instead of a snapshot: the data of the etcd member on this host, which is stopped; when the majority is lost for good
    #[arg(long, value_name = "ADDRESS")]
    pub from_member: Option<IpAddr>,
    /// A cluster file whose documents (kubeadm's and others) are used instead of the state's; all else in it must be as there
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<String>,
    /// Another host in the place of a control plane: the old one's address and the new one's; may be repeated
    #[arg(long, value_name = "OLD=NEW", value_parser = replacement)]
    pub replace: Vec<(IpAddr, IpAddr)>,
    /// Another place where all reach the API from now on: an address that keepalived holds, or the name of your own balancer
    #[arg(long, value_name = "ADDRESS|NAME")]
    pub endpoint: Option<api::Endpoint>,
    /// A new authority for etcd, so that no certificate from before opens it; there is one anyway with --replace
    #[arg(long)]
    pub new_etcd_authority: bool,
    /// A control plane that is gone for good, or cut off: `cctl fence` looks for it; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub dead: Vec<IpAddr>,
    /// The bundle that hosts get what they lack from: a folder or a tar
    #[arg(long, value_name = "PATH")]
    pub bundle: Option<PathBuf>,
    /// Although the snapshot was taken before the last recovery
    #[arg(long)]
    pub older: bool,
    /// In place of a recovery that is not finished
    #[arg(long)]
    pub anew: bool,
    /// Yes, go back in time
    #[arg(long)]
    pub yes: bool,
    /// Only show what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// What to recover, unless it is the whole control plane.
#[derive(Debug, Clone, Subcommand)]
pub enum RecoverVerb {
    /// Bring one control plane back that died, while the others go on
    #[command(after_help = examples::RECOVER_MACHINE)]
    Machine(RecoverMachine),
}

/// Options of `fence`.
#[derive(Debug, Clone, Args)]
pub struct FenceArgs {
    /// Only these [default: all that were named dead in a recovery, replaced, or taken out without being reached]
    #[arg(value_name = "ADDRESS")]
    pub addresses: Vec<IpAddr>,
    /// Look for each every second until all are stopped
    #[arg(long, conflicts_with = "dry_run")]
    pub watch: bool,
    /// One that is gone for good: it is looked for no more; may be repeated
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["addresses", "watch", "dry_run"])]
    pub forget: Vec<IpAddr>,
    /// The bundle that they get the node tools from, where they lack them: a folder or a tar
    #[arg(long, value_name = "PATH")]
    pub bundle: Option<PathBuf>,
    /// Only show what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// Options of `recover machine`.
#[derive(Debug, Clone, Args)]
pub struct RecoverMachine {
    /// The address of the one that died
    pub address: IpAddr,
    /// The host that takes its place [default: the same address, installed anew or reset]
    #[arg(long, value_name = "ADDRESS")]
    pub replaced_by: Option<IpAddr>,
    /// The bundle that hosts get what they lack from: a folder or a tar
    #[arg(long, value_name = "PATH")]
    pub bundle: Option<PathBuf>,
    /// Only show what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// What to print.
#[derive(Debug, Subcommand)]
pub enum Get {
    /// The cluster; with -o yaml its objects
    #[command(after_help = examples::GET_CLUSTER)]
    Cluster,
    /// The machines, or one of them; with -o yaml their objects
    #[command(alias = "machines", after_help = examples::GET_MACHINE)]
    Machine {
        /// Its address
        #[arg(long)]
        ip: Option<IpAddr>,
    },
    /// A kubeconfig for the cluster's admin
    #[command(after_help = examples::GET_KUBECONFIG)]
    Kubeconfig {
        /// Where to write it (mode 0600) instead of printing it
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

/// What to do with a bundle.
#[derive(Debug, Subcommand)]
pub enum Bundle {
    /// Make a bundle of what a file of versions asks for
    Create(CreateBundle),
    /// Print a file of versions to start from
    #[command(after_help = examples::VERSIONS)]
    Versions {
        /// The Kubernetes release [default: the newest that is known]
        #[arg(long, value_name = "VERSION")]
        kubernetes_version: Option<api::Version>,
    },
    /// List what is in a bundle
    #[command(after_help = examples::INSPECT)]
    Inspect {
        /// The bundle: a folder or a tar
        bundle: PathBuf,
    },
    /// Read a whole bundle and check every digest in it
    #[command(after_help = examples::VERIFY)]
    Verify {
        /// The bundle: a folder or a tar
        bundle: PathBuf,
    },
    /// Check a bundle and unpack it into a folder
    #[command(after_help = examples::UNPACK)]
    Unpack {
        /// The bundle: a folder or a tar
        bundle: PathBuf,
        /// The folder; made, or empty
        folder: PathBuf,
    },
}

/// Options of `bundle create`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Mirrors, asked in the order in which they are given; upstream is not asked for what a mirror stands for:
  https://mirror.example/root         release files, as <root>/<upstream's host>/<path>
  ./folder                            the same as files below a folder, or an OCI layout with images
  oci://registry.example/prefix       images of all registries, as <prefix>/<upstream's host>/<repository>
  registry.k8s.io=oci://r.example/k   images of that registry, as <k>/<repository>; oci+http:// without TLS

Examples:
  cctl bundle versions > versions.yaml                        a file to start from
  cctl bundle create -f versions.yaml --update-pins b.tar     the first time: digests go into the file
  cctl bundle create -f versions.yaml b.tar                   from then on: only what was pinned
  cctl bundle create -f versions.yaml --mirror https://mirror.example/root --mirror oci://registry.example b.tar")]
pub struct CreateBundle {
    /// The file of versions
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
    /// Where the bundle goes: one file where the name ends in .tar, else a folder
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    /// Fetch from here instead of upstream: a URL, a folder, an OCI layout or a registry; may be repeated (see below)
    #[arg(long = "mirror", value_name = "MIRROR")]
    pub mirrors: Vec<String>,
    /// The certificate authorities (PEM) of the mirrors, or of upstream where there is no mirror
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// A proxy for upstream's places, as http://proxy:3128
    #[arg(long, value_name = "URL")]
    pub proxy: Option<String>,
    /// Take what upstream has now, whatever was pinned, and write its digests into the file
    #[arg(long)]
    pub update_pins: bool,
    /// Take what upstream has where no digest is pinned
    #[arg(long)]
    pub trust_upstream: bool,
    /// Where what was fetched waits and stays for the next bundle [default: beside the bundle until that is made]
    #[arg(long, value_name = "FOLDER")]
    pub work: Option<PathBuf>,
}

fn role(text: &str) -> Result<api::Role, String> {
    match text {
        "master" | "control-plane" => Ok(api::Role::Master),
        "node" | "worker" => Ok(api::Role::Node),
        "etcd" => Ok(api::Role::Etcd),
        _ => Err("roles are master, node and etcd".to_owned()),
    }
}

fn replacement(text: &str) -> Result<(IpAddr, IpAddr), String> {
    let (old, new) = text.split_once('=').ok_or("not OLD=NEW")?;
    let address = |text: &str| {
        let parsed: Result<IpAddr, _> = text.parse();
        parsed.map_err(|_| format!("{text:?} is no address"))
    };
    Ok((address(old)?, address(new)?))
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("not KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}
