//! What can go wrong, by what is to be done about it.

use std::path::PathBuf;

use api::{Check, Verdict, Version};
use cli::{Explain, Kind};

/// A failure of etcdadm.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host could not be seen or changed.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// The cluster could not be seen or changed.
    #[error(transparent)]
    Etcd(#[from] etcd::Error),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] bundle::StoreError),
    /// containerd did not get its image.
    #[error(transparent)]
    Import(#[from] bundle::ImportError),
    /// The release could not be installed.
    #[error(transparent)]
    Install(#[from] bundle::InstallError),
    /// A value that etcd would not take.
    #[error(transparent)]
    Settings(#[from] etcd::settings::SettingsError),
    /// The unit's file cannot be written.
    #[error("the unit cannot be written")]
    Unit(#[source] systemd::UnitError),
    /// An environment file cannot be written.
    #[error("{path} cannot be written")]
    Environment {
        /// The file.
        path: &'static str,
        /// Why not.
        source: systemd::EnvironmentError,
    },
    /// The configuration makes no sense.
    #[error("{0}")]
    Configuration(String),
    /// The record of an earlier run cannot be understood.
    #[error("{path} cannot be understood")]
    Record {
        /// The record.
        path: PathBuf,
        /// Why not.
        source: serde_json::Error,
    },
    /// Checks failed before anything was changed.
    #[error("{}", failed(.0))]
    Preflight(Vec<Check>),
    /// The authority's files cannot be used.
    #[error("the authority in {folder} cannot be used")]
    Authority {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        source: pki::AuthorityError,
    },
    /// The authority's certificate cannot be read.
    #[error("{path} cannot be used")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: pki::CertificateError,
    },
    /// To join, and no authority is there.
    #[error(
        "{path} is not there: a member that joins needs the cluster's authority, or certificates of its own"
    )]
    NoAuthority {
        /// The file.
        path: PathBuf,
    },
    /// Certificates must be made, and the key to sign them is not there.
    #[error(
        "{stem}.crt in {folder} {fault}, and the authority's key to make a new one is not there"
    )]
    NoAuthorityKey {
        /// The folder.
        folder: PathBuf,
        /// The pair.
        stem: &'static str,
        /// What is wrong with it.
        fault: String,
    },
    /// Certificates were asked for, and have not come.
    #[error("{path} asks for a certificate that was not installed yet")]
    Requested {
        /// The request.
        path: PathBuf,
    },
    /// Certificates of another authority than the one that members trust.
    #[error(
        "what was brought is of the authority {brought}, and this host's member trusts {trusted}"
    )]
    OtherAuthority {
        /// The authority that was brought.
        brought: String,
        /// The one that is trusted.
        trusted: String,
        /// Where a new authority belongs.
        folder: PathBuf,
    },
    /// A pair that was handed in is not what this member needs.
    #[error("the given {stem}.crt {fault}")]
    Given {
        /// The pair.
        stem: &'static str,
        /// What is wrong with it.
        fault: String,
    },
    /// The client pair is not there.
    #[error("{path} is not there, without which etcd cannot be talked to")]
    NoCredentials {
        /// The file.
        path: PathBuf,
    },
    /// The release cannot be fetched.
    #[error("etcd {version} for {arch} is not on this host, and cannot be fetched")]
    Release {
        /// The release.
        version: Version,
        /// As release files name it.
        arch: String,
        /// Why not.
        source: Box<crate::fetch::ReleaseError>,
    },
    /// No archive of the release on this host.
    #[error("etcd {version} for {arch} is neither in {store} nor where older tools kept it")]
    NoArtifact {
        /// The release.
        version: Version,
        /// As release files name it.
        arch: &'static str,
        /// The store.
        store: PathBuf,
    },
    /// The member is the kubelet's to start and to end, and that does not run.
    #[error("kubelet.service does not run, which is to start and to end the member")]
    NoKubelet,
    /// Neither containerd nor the store has the image.
    #[error("the image {image} for {arch} is neither in containerd nor in {store}")]
    NoImage {
        /// Its reference.
        image: String,
        /// As release files name it.
        arch: &'static str,
        /// The store.
        store: PathBuf,
    },
    /// The image that is configured is of one release alone.
    #[error("the image {image} is not known to be of etcd {version}")]
    ExactImage {
        /// Its reference.
        image: String,
        /// What was asked for.
        version: Version,
    },
    /// The archive is not what upstream's is.
    #[error("the component etcd {version} has no file {file}")]
    BadArtifact {
        /// The release.
        version: Version,
        /// The file that it should have.
        file: String,
    },
    /// Another release is installed and has data.
    #[error("this member runs etcd {installed}, not {wanted}")]
    OtherVersion {
        /// What is there.
        installed: String,
        /// What was asked for.
        wanted: Version,
    },
    /// The member's data is there, and the cluster does not know it.
    #[error(
        "{data_dir} holds a member's data, but the cluster has no member at {peer_url}: it was removed, or the data is another cluster's"
    )]
    Removed {
        /// The data directory.
        data_dir: PathBuf,
        /// This member's peer URL.
        peer_url: String,
    },
    /// The cluster knows the member, and its data is gone.
    #[error(
        "the cluster knows {member}, which has run before, but {data_dir} holds no data of it; without it there would be {left}"
    )]
    LostData {
        /// The arithmetic.
        left: String,
        /// The member.
        member: String,
        /// The data directory.
        data_dir: PathBuf,
    },
    /// Another member has this name.
    #[error("the cluster has another member called {name}, at {peer_url}")]
    NameTaken {
        /// The name.
        name: String,
        /// The other member's peer URL.
        peer_url: String,
    },
    /// Releases that do not work together.
    #[error("etcd {wanted} cannot join a cluster that runs {running}")]
    VersionSkew {
        /// What was asked for.
        wanted: Version,
        /// What a member runs.
        running: String,
    },
    /// etcd does not come up.
    #[error("{unit} {what}; the end of its log:\n{log}")]
    Start {
        /// The unit.
        unit: String,
        /// `ended`, `not ready in time`.
        what: &'static str,
        /// The end of its log.
        log: String,
    },
    /// A first member does not become ready.
    #[error("{unit} was not ready within {seconds} s and was stopped; the end of its log:\n{log}")]
    NeverReady {
        /// The unit.
        unit: String,
        /// How long was waited.
        seconds: u64,
        /// The end of its log.
        log: String,
    },
    /// To reset, and the cluster cannot be asked.
    #[error("it cannot be told whether the cluster still has this member")]
    CannotTell {
        /// Why not.
        source: etcd::Error,
    },
    /// Removing the member would leave the others without a majority.
    #[error(
        "removing {member} leaves {left} voters, of which {healthy} serve: {needed} are needed"
    )]
    LosesQuorum {
        /// The member.
        member: String,
        /// Voters left.
        left: usize,
        /// Those of them that are healthy.
        healthy: usize,
        /// The majority.
        needed: usize,
    },
    /// A name that no member has.
    #[error("the cluster has no member {text:?}; it has {known}")]
    UnknownMember {
        /// What was typed.
        text: String,
        /// Those that there are.
        known: String,
    },
    /// A name that several members have.
    #[error("{text:?} is more than one member")]
    AmbiguousMember {
        /// What was typed.
        text: String,
    },
    /// To remove the member of this very host.
    #[error("{member} is this host's own member")]
    OwnMember {
        /// The member.
        member: String,
    },
    /// A removal that leaves too few.
    #[error("{what} would leave {left}")]
    CostsQuorum {
        /// What was asked for.
        what: String,
        /// The arithmetic.
        left: String,
        /// The member's id, to be typed.
        id: String,
    },
    /// A learner that does not run.
    #[error("{member} cannot be promoted: it does not answer ({why}), and there would be {left}")]
    PromotesDead {
        /// The member.
        member: String,
        /// The arithmetic.
        left: String,
        /// Why it does not answer.
        why: String,
    },
    /// A member that cannot lead.
    #[error("{member} cannot lead: {why}")]
    CannotLead {
        /// The member.
        member: String,
        /// Why not.
        why: String,
    },
    /// To defragment, and nobody would serve meanwhile.
    #[error(
        "while {member} is defragmented it answers nothing: {serving} of the {needed} voters that are needed would serve"
    )]
    StandsStill {
        /// The member.
        member: String,
        /// Those that serve without it.
        serving: usize,
        /// The majority.
        needed: usize,
    },
    /// A revision of the future.
    #[error("revision {revision} is not there yet: the newest is {newest}")]
    NoSuchRevision {
        /// What was asked for.
        revision: i64,
        /// What there is.
        newest: i64,
    },
    /// An alarm that says that data differs.
    #[error("{member} says that its data is corrupt")]
    CorruptMember {
        /// The member.
        member: String,
    },
    /// An alarm that would come back at once.
    #[error("{member}'s database still has {size} bytes, and its quota is {quota}")]
    StillFull {
        /// The member.
        member: String,
        /// Size of its database.
        size: i64,
        /// What it may have.
        quota: i64,
    },
    /// A snapshot cannot be read or written.
    #[error(transparent)]
    Capsule(#[from] capsule::CapsuleError),
    /// A snapshot would replace something.
    #[error("{path} is there already")]
    SnapshotInTheWay {
        /// The file.
        path: PathBuf,
    },
    /// The etcd that was to prove data does not serve it.
    #[error("the etcd that was to serve it, to prove it, {what}; the end of its log:\n{log}")]
    Proof {
        /// How it ended.
        what: String,
        /// The end of its log.
        log: String,
    },
    /// A snapshot that is whole, and is not what was said of it.
    #[error("the snapshot is not what it says: {0}")]
    Differs(String),
    /// A snapshot that is above what the clock makes of revisions.
    #[error(
        "the snapshot's revision {revision} is above {clock}, which this host's clock makes it: no revision is surely above all that was seen"
    )]
    ClockBack {
        /// The snapshot's revision.
        revision: i64,
        /// What the clock would lift it to.
        clock: i64,
    },
    /// An upgrade that etcd cannot make, or not yet.
    #[error("{0}")]
    NoUpgrade(String),
    /// A change of authorities, and the one that is to come is not there.
    #[error("{path} is not there: no new authority is known on this host")]
    NoNext {
        /// The file.
        path: PathBuf,
    },
    /// What is to be the new authority cannot be.
    #[error("{path} {why}")]
    NextUnusable {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// A new authority is to be made, and another host has made one.
    #[error("a new authority is on its way already: it is trusted by {members}")]
    NextElsewhere {
        /// Members that trust it.
        members: String,
        /// Where it belongs on this host.
        folder: PathBuf,
    },
    /// A step of a change of authorities, and members have not taken the one before.
    #[error("not every member is ready: {why}")]
    Behind {
        /// The verb of the step that they have not taken.
        verb: &'static str,
        /// Those that have not.
        members: String,
        /// How it is seen, of each.
        why: String,
    },
    /// A member is to be restarted, and another one does not serve.
    #[error("{member} does not serve: {why}")]
    OtherSick {
        /// The other member.
        member: String,
        /// What it or the transport complains of.
        why: String,
    },
    /// A member is to be restarted, and nobody would serve meanwhile.
    #[error(
        "while this member is restarted, {serving} of the {needed} voters that are needed would serve"
    )]
    Interrupts {
        /// Those that serve without it.
        serving: usize,
        /// The majority.
        needed: usize,
    },
    /// To recover a cluster that needs none.
    #[error("a majority serves: {members}")]
    StillServes {
        /// The members.
        members: String,
    },
    /// Another member that can be reached has more.
    #[error("{member} has newer data: its log goes up to entry {theirs}, this host's to {own}")]
    Newer {
        /// The other member.
        member: String,
        /// Its last entry.
        theirs: u64,
        /// Ours.
        own: u64,
    },
    /// To recover a member's data, and there is none.
    #[error("{data_dir} holds no member's data")]
    NoData {
        /// The data directory.
        data_dir: PathBuf,
    },
    /// To restore where a cluster serves.
    #[error("this host's member belongs to a cluster that serves: {members}")]
    Serves {
        /// Its members.
        members: String,
    },
    /// A snapshot of another release.
    #[error("the snapshot is of etcd {of}, and {named} was asked for")]
    OtherMinor {
        /// The snapshot's release.
        of: Version,
        /// What was asked for.
        named: Version,
    },
    /// A plain snapshot, and no release named.
    #[error("a plain snapshot does not say which release of etcd it is of")]
    UnknownRelease,
    /// Not a member at all.
    #[error("this host has no etcd member that etcdadm knows of")]
    NoMember,
    /// A configuration that a running member cannot be given.
    #[error("{0}, which cannot be put into force on a member that is there")]
    NoChange(String),
    /// No backups were ordered.
    #[error("no backups are scheduled on this host")]
    NoBackups,
    /// Some members are not healthy.
    #[error("{0}")]
    Sick(String),
}

fn failed(checks: &[Check]) -> String {
    let bad = checks
        .iter()
        .filter(|check| matches!(check.verdict, Verdict::Failed | Verdict::Unknown));
    bad.map(|check| format!("{}: {}", check.name, check.message))
        .collect::<Vec<_>>()
        .join("\n")
}

fn artifact_hint(version: Version, arch: &str) -> String {
    format!(
        "without a network: unpack a bundle that has it, or put etcd-{version}-linux-{arch}.tar.gz into /var/cache/etcdadm/etcd/{version}/"
    )
}

impl Explain for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Preflight(_) => Kind::Preflight,
            Self::Host(error) => error.kind(),
            Self::Configuration(_)
            | Self::Settings(_)
            | Self::ExactImage { .. }
            | Self::UnknownRelease
            | Self::OtherMinor { .. }
            | Self::UnknownMember { .. }
            | Self::AmbiguousMember { .. } => Kind::Usage,
            Self::Etcd(etcd::Error::Unreachable { .. } | etcd::Error::Timeout { .. }) => {
                Kind::Unreachable
            }
            _ => Kind::Failed,
        }
    }

    fn hints(&self) -> Vec<String> {
        let one = |hint: &str| vec![hint.to_owned()];
        match self {
            Self::Host(error) => error.hints(),
            Self::Preflight(checks) => {
                let mut hints: Vec<String> = checks
                    .iter()
                    .filter(|check| matches!(check.verdict, Verdict::Failed | Verdict::Unknown))
                    .filter_map(|check| check.hint.clone())
                    .collect();
                hints.push(
                    "a check that may fail here is named in --ignore-preflight-errors".to_owned(),
                );
                hints
            }
            Self::NoAuthority { .. } => {
                one("copy ca.crt and ca.key from a member's certificate folder into this host's")
            }
            Self::NoAuthorityKey { .. } => one(
                "copy ca.key from where the authority is kept, or bring certificates that were signed there (`etcdadm certs install`)",
            ),
            Self::NoArtifact { version, arch, .. } => vec![artifact_hint(*version, arch)],
            Self::NoImage { image, .. } => vec![format!(
                "without a network: unpack a bundle that has it (`images` in its file of versions); with one: `ctr --namespace k8s.io images pull {image}`"
            )],
            Self::NoKubelet => one("start it: `systemctl start kubelet.service`"),
            Self::ExactImage { .. } => one("name the one of that release with --image"),
            Self::Release { version, arch, .. } => vec![artifact_hint(*version, arch)],
            Self::OtherVersion { installed, .. } => {
                vec![format!("leave --version out, or say --version {installed}")]
            }
            Self::NoChange(_) => one(
                "leave it as it is; another release: `etcdadm upgrade`; all else: `etcdadm reset`, then join",
            ),
            Self::NoBackups => one("run `etcdadm backup schedule FOLDER`"),
            Self::Requested { .. } => one(
                "have the requests signed, then run `etcdadm certs install FOLDER`; to have an authority on this host instead, remove them",
            ),
            Self::OtherAuthority { folder, .. } => vec![format!(
                "to change authorities, put all of it into {}, and run `etcdadm certs rotate-ca trust`",
                folder.display()
            )],
            Self::NeverReady { .. } => one(
                "mend what the log tells of (room on the disk, mostly), then run this again: what the member left is set aside, for it served nobody",
            ),
            Self::NoNext { path } => vec![format!(
                "run `etcdadm certs rotate-ca trust` on a host that has the authority's key, and copy {} from there",
                path.parent().unwrap_or(path).display()
            )],
            Self::NextElsewhere { folder, .. } => vec![format!(
                "copy {} from there to this host, then run this again",
                folder.display()
            )],
            Self::Behind { verb, members, .. } => vec![format!("run `{verb}` on {members} first")],
            Self::OtherSick { .. } => {
                one("bring it up first, or remove it: `etcdadm member remove`")
            }
            Self::Interrupts { .. } => {
                one("add --interrupt if the cluster may stand still meanwhile")
            }
            Self::Removed { .. } => one("run `etcdadm reset` first: it sets the data aside"),
            Self::LostData { .. } => one(
                "if its data lies on a disk that is not mounted, mount it; else bring the other members up first",
            ),
            Self::StillServes { .. } => one(
                "there is nothing to recover: a dead member is removed by `etcdadm member remove`",
            ),
            Self::Newer { .. } => one("run this on that member's host, or add --force"),
            Self::NoData { .. } => one(
                "run this on the host of a member that has its data, or restore a snapshot: `etcdadm restore`",
            ),
            Self::ClockBack { .. } => one("set this host's clock right"),
            Self::Serves { .. } => one(
                "stop or reset its members first, or add --force: they go on as a cluster of their own",
            ),
            Self::SnapshotInTheWay { .. } => {
                one("name another file, or a folder, which keeps several")
            }
            Self::OtherMinor { .. } => one("restore it with its own minor release, then upgrade"),
            Self::UnknownRelease => one("say it: --etcd-version v3.6.16"),
            Self::OwnMember { .. } => one("run `etcdadm reset`, which leaves the cluster first"),
            Self::CostsQuorum { id, .. } => vec![
                "bring the other members up first".to_owned(),
                format!("to do it all the same, add --force {id}"),
            ],
            Self::PromotesDead { .. } => one("start it first, or remove it"),
            Self::StandsStill { .. } => {
                one("add --interrupt if the cluster may stand still meanwhile")
            }
            Self::CorruptMember { .. } => {
                one("remove that member and join its host again; when that is done, add --corrupt")
            }
            Self::StillFull { .. } => one("run `etcdadm maintain`, or raise the quota"),
            Self::NameTaken { .. } => one("choose another name with --name"),
            Self::CannotTell { .. } => one(
                "name a reachable member (`etcdadm reset https://ADDRESS:2379`), or add --skip-remove-member and remove the member from the cluster yourself",
            ),
            Self::Etcd(etcd::Error::Deadline { last, .. }) => Self::Etcd((**last).clone()).hints(),
            Self::LosesQuorum { .. } => one("bring the other members up first"),
            Self::Etcd(etcd::Error::Unhealthy) => one(
                "run `etcdadm status` on a member: one that is down for good must be removed before others can join",
            ),
            Self::Etcd(etcd::Error::Rejected { .. }) => one(
                "check that the authority in this host's certificate folder is the cluster's, and that the clocks agree",
            ),
            Self::Etcd(etcd::Error::Untrusted { .. }) => one(
                "check that ca.crt in this host's certificate folder is the cluster's, and that the endpoint is one of its names",
            ),
            _ => Vec::new(),
        }
    }
}
