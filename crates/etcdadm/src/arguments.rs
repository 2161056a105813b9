//! The command line: verbs and flags, as the older tool had them as far as they still make sense.

use std::net::IpAddr;
use std::path::PathBuf;

use api::{InitSystem, Version};
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use cli::{Common, VersionArgs};

use crate::examples;
use crate::schedule::Every;

/// Makes, grows, shrinks and resets a secure etcd cluster, on its hosts
#[derive(Debug, Parser)]
#[command(
    name = "etcdadm",
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
    /// Begin a cluster with this host as its first member
    #[command(after_help = examples::INIT)]
    Init(InitArgs),
    /// Make this host a member of a cluster that exists
    #[command(after_help = examples::JOIN)]
    Join(JoinArgs),
    /// Leave the cluster, set the data aside and remove what was installed
    #[command(after_help = examples::RESET)]
    Reset(ResetArgs),
    /// Print this host's member
    #[command(after_help = examples::INFO)]
    Info,
    /// Print all members of the cluster and how they are; exits with 1 unless all are healthy
    #[command(after_help = examples::STATUS)]
    Status(StatusArgs),
    /// Print the members, remove one, let a learner vote, hand leadership over
    #[command(after_help = examples::MEMBER)]
    Member {
        /// What to do.
        #[command(subcommand)]
        what: MemberVerb,
    },
    /// Forget the history of keys
    #[command(after_help = examples::COMPACT)]
    Compact(CompactArgs),
    /// Give free space in databases back, one member at a time, the leader last
    #[command(after_help = examples::DEFRAG)]
    Defrag(DefragArgs),
    /// Print alarms, or take them back
    #[command(after_help = examples::ALARM)]
    Alarm {
        /// What to do.
        #[command(subcommand)]
        what: AlarmVerb,
    },
    /// Compact, defragment and take quota alarms back: the whole way out of a full database
    #[command(after_help = examples::MAINTAIN)]
    Maintain(MaintainArgs),
    /// Take the cluster's data into one file, or prove that such a file can be restored
    #[command(after_help = examples::SNAPSHOT)]
    Snapshot {
        /// What to do.
        #[command(subcommand)]
        what: SnapshotVerb,
    },
    /// Have snapshots taken by the clock, on whichever member leads
    #[command(after_help = examples::BACKUP)]
    Backup {
        /// What to do.
        #[command(subcommand)]
        what: BackupVerb,
    },
    /// Begin a new cluster with a snapshot's data and this host as its first member
    #[command(after_help = examples::RESTORE)]
    Restore(RestoreArgs),
    /// Run another release of etcd as this host's member, in place
    #[command(after_help = examples::UPGRADE)]
    Upgrade(UpgradeArgs),
    /// Go back to an earlier release of etcd as this host's member, in place: an earlier patch, or the minor before (from 3.6 on)
    #[command(after_help = examples::DOWNGRADE)]
    Downgrade(UpgradeArgs),
    /// Bring back a cluster that lost its majority for good, from this host's member
    #[command(after_help = examples::RECOVER)]
    Recover {
        /// What was lost.
        #[command(subcommand)]
        what: RecoverVerb,
    },
    /// Look at this host's certificates, or renew them
    #[command(after_help = examples::CERTS)]
    Certs {
        /// What to do.
        #[command(subcommand)]
        what: CertsVerb,
    },
    /// Print a member's configuration as a document, compare another one with it, put that one into force
    #[command(after_help = examples::CONFIG)]
    Config {
        /// What to do.
        #[command(subcommand)]
        what: ConfigVerb,
    },
    /// Bring an etcd release into this host's store, so that init and join need no network
    #[command(after_help = examples::DOWNLOAD)]
    Download(DownloadArgs),
    /// Print the version of etcdadm
    Version(VersionArgs),
    /// Print a shell's completion script
    #[command(after_help = examples::COMPLETION)]
    Completion {
        /// The shell.
        shell: Shell,
    },
}

/// `config …`.
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// The configuration as a document
    Print(Box<MemberArgs>),
    /// How another document differs from what this host's member is configured by, field by field
    Diff(Box<MemberArgs>),
    /// Put another document into force on the running member: ports, address, environment, priorities; one restart at most
    Apply(Box<ApplyArgs>),
}

/// Arguments of `config apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// The cluster may stand still meanwhile
    #[arg(long)]
    pub interrupt: bool,
    /// Whom to ask.
    #[command(flatten)]
    pub reach: ReachArgs,
    /// What the member is to be.
    #[command(flatten)]
    pub member: MemberArgs,
}

/// What a member is to be; init and join share it.
#[derive(Debug, Clone, Args, Default)]
pub struct MemberArgs {
    /// Documents (EtcdConfiguration, Credentials) from this file, `-` for standard input; flags win over them
    #[arg(long, value_name = "FILE")]
    pub config: Option<String>,

    /// The member's name [default: the host's]
    #[arg(long)]
    pub name: Option<String>,

    /// The etcd release [default: v3.7.3, or the one that is installed]
    #[arg(long, value_name = "VERSION")]
    pub version: Option<Version>,

    /// Where peers and clients reach this member [default: the address of the default route]
    #[arg(long, value_name = "ADDRESS")]
    pub bind_address: Option<IpAddr>,

    /// The port for clients [default: 2379]
    #[arg(long, value_name = "PORT")]
    pub client_port: Option<u16>,

    /// The port for peers [default: 2380]
    #[arg(long, value_name = "PORT")]
    pub peer_port: Option<u16>,

    /// Where certificates and keys lie [default: /etc/etcd/pki]
    #[arg(long, value_name = "FOLDER")]
    pub certs_dir: Option<PathBuf>,

    /// Where programs are installed [default: /opt/bin]
    #[arg(long, value_name = "FOLDER")]
    pub install_dir: Option<PathBuf>,

    /// Where etcd keeps its data [default: /var/lib/etcd]
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,

    /// Further names and addresses in the server's certificate
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub server_cert_extra_sans: Vec<String>,

    /// Settings of the unit for its share of disk and processor [default: Nice=-10,IOSchedulingClass=best-effort,IOSchedulingPriority=2]
    #[arg(long, value_name = "SETTING=VALUE", value_delimiter = ',')]
    pub disk_priorities: Vec<String>,

    /// What keeps the member running: systemd, or the host's kubelet (kubelet), as a static pod [default: systemd]
    #[arg(long, value_name = "NAME")]
    pub init_system: Option<InitSystem>,

    /// The static pod's image; without a tag it gets the release's [default: gcr.io/etcd-development/etcd]
    #[arg(long, alias = "image-repository", value_name = "REFERENCE")]
    pub image: Option<String>,

    /// Where releases come from [default: upstream, github.com/etcd-io/etcd/releases/download]
    #[arg(long, value_name = "URL")]
    pub release_url: Option<String>,

    /// Checks that may fail, by name; `all` for all of them
    #[arg(long, value_name = "CHECK", value_delimiter = ',')]
    pub ignore_preflight_errors: Vec<String>,

    /// Phases to leave out
    #[arg(long, value_name = "PHASE", value_delimiter = ',')]
    pub skip_phases: Vec<String>,

    /// Print what would be changed, and change nothing
    #[arg(long)]
    pub dry_run: bool,

    /// What scripts for the older tool say.
    #[command(flatten)]
    pub older: OlderArgs,
}

/// Flags of the older tool that say nothing new here: scripts that have them go on working.
#[derive(Debug, Clone, Args, Default)]
pub struct OlderArgs {
    /// Joining waits for what passes in any case
    #[arg(long, hide = true, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub retry: Option<bool>,

    /// Downloads have limits of their own, and go on where they were cut off
    #[arg(long, hide = true, value_name = "DURATION")]
    pub download_connect_timeout: Option<String>,

    /// A kubelet says itself which folder it looks into
    #[arg(long, hide = true, value_name = "FOLDER")]
    pub kubelet_pod_manifest_path: Option<PathBuf>,

    /// A snapshot is restored by a verb of its own
    #[arg(long, hide = true, value_name = "FILE")]
    pub snapshot: Option<PathBuf>,
}

/// Arguments of `init`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct InitArgs {
    /// What the member is to be.
    #[command(flatten)]
    pub member: MemberArgs,
    /// A single phase.
    #[command(subcommand)]
    pub phase: Option<InitPhase>,
}

/// `init phase NAME`.
#[derive(Debug, Subcommand)]
pub enum InitPhase {
    /// Walk single phases of init
    Phase {
        /// The phases, in any order: they are walked in theirs
        #[arg(required = true)]
        names: Vec<String>,
        /// What the member is to be.
        #[command(flatten)]
        member: MemberArgs,
    },
}

/// Arguments of `join`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct JoinArgs {
    /// Client URLs of members (`https://10.0.0.1:2379`, or the address alone)
    #[arg(value_name = "ENDPOINT")]
    pub endpoints: Vec<String>,
    /// Peer URLs (or addresses) of members that join at the same time: all become learners before the first is promoted
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    pub expected_members: Vec<String>,
    /// What the member is to be.
    #[command(flatten)]
    pub member: MemberArgs,
    /// A single phase.
    #[command(subcommand)]
    pub phase: Option<JoinPhase>,
}

/// `join phase NAME`.
#[derive(Debug, Subcommand)]
pub enum JoinPhase {
    /// Walk single phases of join
    Phase {
        /// The phases, in any order: they are walked in theirs
        #[arg(required = true)]
        names: Vec<String>,
        /// Client URLs of members
        #[arg(long = "endpoint", value_name = "ENDPOINT")]
        endpoints: Vec<String>,
        /// What the member is to be.
        #[command(flatten)]
        member: MemberArgs,
    },
}

/// Arguments of `reset`.
#[derive(Debug, Args)]
pub struct ResetArgs {
    /// Client URLs of other members, where this host's own cannot be asked
    #[arg(value_name = "ENDPOINT")]
    pub endpoints: Vec<String>,

    /// Leave the member in the cluster's member list: it is gone already, or you remove it yourself
    #[arg(long)]
    pub skip_remove_member: bool,

    /// Where certificates and keys lie, for a host that has no record [default: /etc/etcd/pki]
    #[arg(long, value_name = "FOLDER")]
    pub certs_dir: Option<PathBuf>,

    /// Where programs are installed, for a host that has no record [default: /opt/bin]
    #[arg(long, value_name = "FOLDER")]
    pub install_dir: Option<PathBuf>,

    /// Print what would be changed, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `download`.
#[derive(Debug, Args)]
pub struct DownloadArgs {
    /// The etcd release
    #[arg(long, value_name = "VERSION", default_value = "v3.7.3")]
    pub version: Version,

    /// Where releases come from
    #[arg(long, value_name = "URL", default_value = crate::configuration::DEFAULT_RELEASE_URL)]
    pub release_url: String,
}

/// Whom to ask, where this host's member does not answer.
#[derive(Debug, Clone, Args, Default)]
pub struct ReachArgs {
    /// Client URLs of members to ask before this host's own
    #[arg(long = "endpoint", value_name = "URL", value_delimiter = ',')]
    pub endpoints: Vec<String>,
}

/// What every change to a cluster takes.
#[derive(Debug, Clone, Args, Default)]
pub struct ChangeArgs {
    /// Whom to ask.
    #[command(flatten)]
    pub reach: ReachArgs,

    /// Print what would be changed, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `member …`.
#[derive(Debug, Subcommand)]
pub enum MemberVerb {
    /// Print the members
    List(ReachArgs),
    /// Remove a member that is not this host's: one that is dead, mostly
    Remove {
        /// Its name, id or URL
        member: String,
        /// Do it although the majority is lost; the member's id must be typed
        #[arg(long, value_name = "ID")]
        force: Option<String>,
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Let a learner vote
    Promote {
        /// Its name, id or URL
        member: String,
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Hand leadership to a member
    MoveLeader {
        /// Its name, id or URL
        member: String,
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
}

/// Arguments of `compact`.
#[derive(Debug, Args)]
pub struct CompactArgs {
    /// How many revisions are kept
    #[arg(long, value_name = "COUNT", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    pub keep: i64,
    /// The oldest revision that can be read afterwards, instead
    #[arg(long, value_name = "REVISION", conflicts_with = "keep")]
    pub revision: Option<i64>,
    /// How.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// Arguments of `defrag`.
#[derive(Debug, Args)]
pub struct DefragArgs {
    /// One member alone, by its name, id or URL
    #[arg(long)]
    pub member: Option<String>,
    /// The cluster may stand still meanwhile
    #[arg(long)]
    pub interrupt: bool,
    /// How.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// `alarm …`.
#[derive(Debug, Subcommand)]
pub enum AlarmVerb {
    /// Print alarms
    List(ReachArgs),
    /// Take alarms back, where what they warn of is over
    Disarm {
        /// Alarms of corrupt data, too: that member has been replaced
        #[arg(long)]
        corrupt: bool,
        /// How.
        #[command(flatten)]
        change: ChangeArgs,
    },
}

/// Arguments of `maintain`.
#[derive(Debug, Args)]
pub struct MaintainArgs {
    /// How many revisions are kept
    #[arg(long, value_name = "COUNT", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    pub keep: i64,
    /// The cluster may stand still meanwhile
    #[arg(long)]
    pub interrupt: bool,
    /// How.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Whom to ask.
    #[command(flatten)]
    pub reach: ReachArgs,
    /// Look again every so many seconds, until interrupted
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = clap::value_parser!(u64).range(1..))]
    pub watch: Option<u64>,
}

/// `snapshot …`.
#[derive(Debug, Subcommand)]
pub enum SnapshotVerb {
    /// Take a snapshot of the healthiest member, or of --endpoint; checked while it comes
    Save(SnapshotSaveArgs),
    /// Restore a snapshot into a folder of its own, serve it on loopback, compare what is in it; leaves nothing
    Verify(SnapshotVerifyArgs),
}

/// Arguments of `snapshot save`.
#[derive(Debug, Args)]
pub struct SnapshotSaveArgs {
    /// The file to write, a folder that keeps several, or `-` for standard output
    pub file: PathBuf,
    /// etcd's plain snapshot, without what is said of it
    #[arg(long)]
    pub raw: bool,
    /// In a folder: remove all but so many of the newest
    #[arg(long, value_name = "COUNT")]
    pub keep_last: Option<usize>,
    /// In a folder: keep the newest of each of so many days
    #[arg(long, value_name = "DAYS")]
    pub keep_daily: Option<usize>,
    /// How.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// Arguments of `snapshot verify`.
#[derive(Debug, Args)]
pub struct SnapshotVerifyArgs {
    /// The file, or `-` for standard input
    pub file: PathBuf,
    /// The etcd release that a plain snapshot is of; a capsule says it itself
    #[arg(long, value_name = "VERSION")]
    pub etcd_version: Option<Version>,
    /// Where it is restored to look at it; twice its size is needed [default: /var/lib/etcdadm]
    #[arg(long, value_name = "FOLDER")]
    pub work_dir: Option<PathBuf>,
}

/// `backup …`.
#[derive(Debug, Subcommand)]
pub enum BackupVerb {
    /// Leave a timer on this host; run it on every member's, with the same words
    Schedule(ScheduleArgs),
    /// Remove the timer from this host; backups stay
    Cancel {
        /// Print what would be changed, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// What the timer runs: takes a backup if this host's member leads
    Run,
}

/// Arguments of `backup schedule`.
#[derive(Debug, Args)]
pub struct ScheduleArgs {
    /// Where backups go on this host; another machine's file system is best
    pub folder: PathBuf,
    /// How often
    #[arg(long, value_enum, default_value = "1h")]
    pub every: Every,
    /// Remove all but so many of the newest
    #[arg(long, value_name = "COUNT")]
    pub keep_last: Option<usize>,
    /// Keep the newest of each of so many days
    #[arg(long, value_name = "DAYS")]
    pub keep_daily: Option<usize>,
    /// How often one is proven by restoring it, in hours; 0 for never
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    pub verify_every: u64,
    /// Print what would be changed, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `restore`.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The capsule or plain snapshot
    pub file: PathBuf,
    /// The etcd release that a plain snapshot is of; a capsule says it itself
    #[arg(long, value_name = "VERSION")]
    pub etcd_version: Option<Version>,
    /// Do not lift the revision: clients that saw later ones will miss changes, without an error
    #[arg(long)]
    pub keep_revision: bool,
    /// Restore although this host's member belongs to a cluster that serves
    #[arg(long)]
    pub force: bool,
    /// What the member is to be.
    #[command(flatten)]
    pub member: MemberArgs,
}

/// `recover …`.
#[derive(Debug, Subcommand)]
pub enum RecoverVerb {
    /// The majority is lost for good, this host's member has its data: a new cluster of what it knew to be agreed on
    Quorum(RecoverArgs),
    /// The same, but only a snapshot of what this host's member knew to be agreed on; the member is stopped
    Snapshot(RecoverSnapshotArgs),
}

/// Arguments of `recover snapshot`.
#[derive(Debug, Args)]
pub struct RecoverSnapshotArgs {
    /// The file (a capsule); `-` for standard output
    pub file: PathBuf,
    /// Although another member that can be reached has newer data
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `recover quorum`.
#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// Although another member that can be reached has newer data
    #[arg(long)]
    pub force: bool,
    /// Print what would be changed, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `certs …`.
#[derive(Debug, Subcommand)]
pub enum CertsVerb {
    /// Print what is wrong with which certificate, and how long they last; exits with 1 unless all are right
    Check {
        /// So many days must be left
        #[arg(long, default_value_t = 30)]
        days: i64,
    },
    /// Issue certificates anew that end soon or do not name this member as it is; nothing is stopped
    Renew {
        /// All of them
        #[arg(long)]
        all: bool,
        /// Those that have fewer days left
        #[arg(long, default_value_t = 120, conflicts_with = "all")]
        days: i64,
        /// Print what would be changed, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Ask an authority whose key is kept elsewhere: keys are made here and stay, requests lie beside them as NAME.csr
    Csr(Box<MemberArgs>),
    /// Take the certificates that it signed, and its own: verified against the keys that are here
    Install {
        /// The folder with ca.crt and server.crt, peer.crt, etcdctl-etcd-client.crt, apiserver-etcd-client.crt
        folder: PathBuf,
        /// What the member is to be.
        #[command(flatten)]
        member: Box<MemberArgs>,
    },
    /// Put a new authority in the place of the old one, in three steps; all hosts take one before any takes the next
    RotateCa {
        /// The step.
        #[command(subcommand)]
        what: RotateVerb,
    },
}

/// `certs rotate-ca …`.
#[derive(Debug, Subcommand)]
pub enum RotateVerb {
    /// Trust a new authority beside the old one. It is made on the first host; copy its folder (/etc/etcd/pki/next) to the
    /// others before you run this there
    Trust(RotateArgs),
    /// Show certificates of the new authority; refused until every member accepts it
    Reissue(RotateArgs),
    /// Trust the new authority alone; refused until every member shows its certificates
    Finish(RotateArgs),
}

/// Arguments of `certs rotate-ca …`.
#[derive(Debug, Args)]
pub struct RotateArgs {
    /// The cluster may stand still meanwhile
    #[arg(long)]
    pub interrupt: bool,
    /// How.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// Arguments of `upgrade` and `downgrade`.
#[derive(Debug, Args)]
pub struct UpgradeArgs {
    /// The release
    #[arg(long, value_name = "VERSION")]
    pub version: Version,
    /// Where it comes from, if it is not on this host
    #[arg(long, value_name = "URL")]
    pub release_url: Option<String>,
    /// The static pod's image of it, where the one that is configured has a tag
    #[arg(long, value_name = "REFERENCE")]
    pub image: Option<String>,
    /// The cluster may stand still meanwhile
    #[arg(long)]
    pub interrupt: bool,
    /// How.
    #[command(flatten)]
    pub change: ChangeArgs,
}
