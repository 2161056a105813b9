//! The verbs, one a file, each with its list of phases.

use crate::{
    backup, certs, change, download, examples, info, init, join, maintain, member, recover, reset,
    restore, snapshot, status, upgrade,
};
use std::path::Path;
use std::time::SystemTime;

use api::{Documents, EtcdConfiguration, ExpectedMember, MemberResult};
use clap::CommandFactory;
use cli::{Context, Tool};
use etcd::{Client, Cluster, Observe, Picture};
use host::{Host, Inspect, Local, Overlay, Phase, Summary};

use crate::arguments::{Arguments, MemberArgs, ReachArgs, RecoverVerb, Verb};
use crate::configuration::endpoint_url;
use crate::machine::Note;
use crate::survey::Reach;
use crate::upgrade::Way;
use crate::{Configuration, Error, Machine, Record, older, paths};

pub(crate) fn run(context: &mut Context, arguments: &Arguments) -> Result<(), cli::Error> {
    match &arguments.verb {
        Verb::Init(args) => init::run(context, &arguments.root, args),
        Verb::Join(args) => join::run(context, &arguments.root, args),
        Verb::Reset(args) => reset::run(context, &arguments.root, args),
        Verb::Info => info::run(context, &arguments.root),
        Verb::Status(args) => status::run(context, &arguments.root, args),
        Verb::Member { what } => member::run(context, &arguments.root, what),
        Verb::Compact(args) => maintain::compact(context, &arguments.root, args),
        Verb::Defrag(args) => maintain::defrag(context, &arguments.root, args),
        Verb::Alarm { what } => maintain::alarm(context, &arguments.root, what),
        Verb::Snapshot { what } => snapshot::run(context, &arguments.root, what),
        Verb::Backup { what } => backup::run(context, &arguments.root, what),
        Verb::Restore(args) => restore::run(context, &arguments.root, args),
        Verb::Upgrade(args) => upgrade::run(context, &arguments.root, args, Way::Up),
        Verb::Downgrade(args) => upgrade::run(context, &arguments.root, args, Way::Down),
        Verb::Recover { what } => match what {
            RecoverVerb::Quorum(args) => recover::run(context, &arguments.root, args),
            RecoverVerb::Snapshot(args) => recover::snapshot(context, &arguments.root, args),
        },
        Verb::Certs { what } => certs::run(context, &arguments.root, what),
        Verb::Maintain(args) => maintain::run(context, &arguments.root, args),
        Verb::Config { what } => change::run(context, &arguments.root, what),
        Verb::Download(args) => download::run(context, &arguments.root, args),
        Verb::Version(args) => {
            cli::print_version(context, "etcdadm", env!("CARGO_PKG_VERSION"), args)
        }
        Verb::Completion { shell } => cli::completion::<Arguments>(context, *shell),
    }
}

/// The command line, with the phases in the help of the verbs that walk them.
pub(crate) fn command() -> clap::Command {
    let nobody = Configuration::nobody();
    let help = |phases: Vec<AnyPhase<'_>>| {
        let phases: Vec<_> = phases.iter().map(AsRef::as_ref).collect();
        format!("Phases, in this order:\n{}", cli::list_phases(&phases))
    };
    let with = |examples: &str, phases: &str| format!("{examples}\n\n{phases}");
    let (init, join) = (help(init::phases(&nobody)), help(join::phases(&nobody)));
    Arguments::command()
        .mut_subcommand("init", |verb| {
            verb.after_help(with(examples::INIT, &init))
                .mut_subcommand("phase", |phase| phase.after_help(init))
        })
        .mut_subcommand("join", |verb| {
            verb.after_help(with(examples::JOIN, &join))
                .mut_subcommand("phase", |phase| phase.after_help(join))
        })
}

pub(crate) fn tool(root: &Path) -> Tool {
    let folder = Path::new(paths::FOLDER);
    Tool {
        name: "etcdadm",
        folder: root.join(folder.strip_prefix("/").unwrap_or(folder)),
    }
}

/// Calls `work` with this host and its cluster, or with pictures of them.
pub(crate) fn with_machine<T>(
    context: &mut Context,
    root: &Path,
    configuration: &Configuration,
    dry_run: bool,
    work: impl FnOnce(&mut Context, &mut Machine<'_>) -> T,
) -> T {
    let local = Local::new(root);
    let (mut real, mut picture);
    let host: &mut dyn Host = if dry_run {
        picture = Overlay::new(local);
        &mut picture
    } else {
        real = local;
        &mut real
    };
    let (mut client, mut twin);
    let etcd: &mut dyn Cluster = if dry_run {
        twin = Picture::over(Client::default());
        &mut twin
    } else {
        client = Client::default();
        &mut client
    };
    let mut progress = context.progress.clone();
    let note: Note = Box::new(move |text| progress.note(text));
    let mut machine = Machine::new(
        host,
        etcd,
        configuration.certs_dir(),
        SystemTime::now(),
        note,
    );
    work(context, &mut machine)
}

/// A dry run writes nothing, so it cannot tell how fast the disk is.
pub(crate) fn say_what_is_not_measured(context: &mut Context, dry_run: bool) {
    if dry_run {
        let text = "how fast the disk is, is not measured in a dry run";
        context.progress.note(text);
    }
}

/// A phase that walks on any machine.
pub(crate) type AnyPhase<'c> = Box<dyn for<'m> Phase<Machine<'m>> + 'c>;

/// Whom to ask, by the command line and what is known of this host.
pub(crate) fn reach<'c>(
    configuration: &'c Configuration,
    args: &ReachArgs,
) -> Result<Reach<'c>, Error> {
    let endpoints = args.endpoints.iter().map(|text| endpoint_url(text));
    Ok(Reach {
        configuration,
        endpoints: endpoints.collect::<Result<_, _>>()?,
    })
}

/// How a verb's phases are walked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk<'a> {
    /// The verb, as it is typed.
    pub(crate) goal: &'a str,
    pub(crate) dry_run: bool,
    /// Phases by name; all where none is named.
    pub(crate) only: &'a [String],
    /// Phases to leave out, by name.
    pub(crate) skip: &'a [String],
}

impl<'a> Walk<'a> {
    /// All phases.
    pub(crate) fn all(goal: &'a str, dry_run: bool) -> Self {
        let (only, skip) = (&[], &[]);
        Self {
            goal,
            dry_run,
            only,
            skip,
        }
    }
}

/// Walks phases on this host, or on a picture of it.
pub(crate) fn walked(
    context: &mut Context,
    root: &Path,
    configuration: &Configuration,
    walk: Walk<'_>,
    phases: &[AnyPhase<'_>],
) -> Result<Summary, cli::Error> {
    let Walk { goal, dry_run, .. } = walk;
    with_machine(context, root, configuration, dry_run, |context, machine| {
        let phases: Vec<_> = phases.iter().map(AsRef::as_ref).collect();
        let chosen = cli::select(&phases, walk.only, walk.skip)?;
        context.walk(&tool(root), goal, dry_run, machine, &chosen)
    })
}

/// Walks a verb's phases on this host and prints what was changed.
pub(crate) fn walk(
    context: &mut Context,
    root: &Path,
    configuration: &Configuration,
    goal: &str,
    dry_run: bool,
    phases: &[AnyPhase<'_>],
) -> Result<(), cli::Error> {
    let walk = Walk::all(goal, dry_run);
    let summary = walked(context, root, configuration, walk, phases)?;
    print_changes(context, &summary)
}

/// What came of a walk that makes a member: the member; its changes where it was a rehearsal, or a part of it.
pub(crate) fn print_made(
    context: &Context,
    root: &Path,
    configuration: &Configuration,
    walk: Walk<'_>,
    summary: &Summary,
) -> Result<(), cli::Error> {
    if walk.dry_run || !walk.only.is_empty() {
        return print_changes(context, summary);
    }
    let member = member_result(&Local::new(root), configuration, summary.changes.len())?;
    print_member(context, &member)
}

/// What init and join are to make of this host: document, then record, then defaults; flags win.
pub(crate) fn configure(
    root: &Path,
    args: &MemberArgs,
    endpoints: &[String],
    expected: &[String],
) -> Result<Configuration, cli::Error> {
    let documents = match &args.config {
        Some(path) => cli::read_documents(path)?,
        None => Documents::default(),
    };
    let seen = Local::new(root);
    let record = Record::read(&seen)?;
    let mut document = match (documents.etcd, record) {
        (Some(document), Some(record)) => EtcdConfiguration {
            version: document.version.or(record.configuration.version),
            ..document
        },
        (Some(document), None) => document,
        (None, Some(record)) => record.configuration,
        (None, None) => older::configuration(&seen)?.unwrap_or_default(),
    };
    let args = args.clone();
    if let Some(file) = args.older.snapshot {
        return Err(
            cli::Error::usage("a snapshot is restored by a verb of its own")
                .hint(format!("run `etcdadm restore {}`", file.display())),
        );
    }
    if let Some(name) = args.name {
        document.metadata.name = name;
    }
    if !endpoints.is_empty() {
        document.endpoints = endpoints.to_vec();
    }
    if !expected.is_empty() {
        let member = |peer_url: &String| ExpectedMember {
            name: peer_url.clone(),
            peer_url: peer_url.clone(),
        };
        document.expected_members = expected.iter().map(member).collect();
    }
    document.version = args.version.or(document.version);
    document.address = args.bind_address.or(document.address);
    document.client_port = args.client_port.unwrap_or(document.client_port);
    document.peer_port = args.peer_port.unwrap_or(document.peer_port);
    document.certs_dir = args.certs_dir.unwrap_or(document.certs_dir);
    document.install_dir = args.install_dir.unwrap_or(document.install_dir);
    document.data_dir = args.data_dir.unwrap_or(document.data_dir);
    document.init_system = args.init_system.unwrap_or(document.init_system);
    document.image = args.image.or(document.image);
    document.release_url = args.release_url.or(document.release_url);
    if !args.server_cert_extra_sans.is_empty() {
        document.extra_sans = args.server_cert_extra_sans;
    }
    if !args.disk_priorities.is_empty() {
        document.disk_priorities = Some(args.disk_priorities);
    }
    document
        .ignore_preflight_errors
        .extend(args.ignore_preflight_errors);
    let given = documents
        .credentials
        .map(|credentials| credentials.files)
        .unwrap_or_default();
    Ok(Configuration::resolve(document, given, &seen, token()?)?)
}

/// Eight hexadecimal digits that no other cluster has.
pub(crate) fn token() -> Result<String, Error> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes)
        .map_err(|e| Error::Configuration(format!("the system gives no randomness: {e}")))?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

/// What is known of this host, by its record; by the environment that an older tool wrote; else nothing.
pub(crate) fn recorded(root: &Path) -> Result<Configuration, Error> {
    recorded_for(root, String::new())
}

/// The same, with the token that a new cluster gets.
pub(crate) fn recorded_for(root: &Path, token: String) -> Result<Configuration, Error> {
    let seen = Local::new(root);
    let record = Record::read(&seen)?.map(|record| record.configuration);
    let document = match record {
        Some(document) => document,
        None => older::configuration(&seen)?.ok_or(Error::NoMember)?,
    };
    Configuration::resolve(document, Default::default(), &seen, token)
}

/// The member as the cluster sees it.
pub(crate) fn member_result(
    seen: &dyn Inspect,
    configuration: &Configuration,
    changes: usize,
) -> Result<MemberResult, Error> {
    let credentials = crate::machine::credentials(seen, configuration.certs_dir())?;
    let mut ask = vec![configuration.local_url()];
    ask.extend(configuration.endpoints.iter().cloned());
    let list = Client::default().members(&ask, &credentials)?;
    let peer_url = configuration.peer_url();
    let data_dir = || configuration.data_dir().to_owned();
    let member = list.at_peer_url(&peer_url).ok_or_else(|| Error::Removed {
        data_dir: data_dir(),
        peer_url: peer_url.clone(),
    })?;
    Ok(MemberResult {
        name: member.name.clone(),
        member_id: etcd::hex_id(member.id),
        cluster_id: etcd::hex_id(list.cluster_id),
        peer_urls: member.peer_urls.clone(),
        client_urls: member.client_urls.clone(),
        learner: member.learner,
        changes,
    })
}

pub(crate) fn print_member(context: &Context, result: &MemberResult) -> Result<(), cli::Error> {
    context.print(result, |member| {
        format!(
            "member {} {}{} of cluster {}\n  peers:   {}\n  clients: {}\n",
            member.name,
            member.member_id,
            if member.learner { " (learner)" } else { "" },
            member.cluster_id,
            member.peer_urls.join(", "),
            member.client_urls.join(", ")
        )
    })
}

/// Names that the older tool gave to phases.
const OLD_NAMES: [(&str, &str); 7] = [
    ("install", "install-binaries"),
    ("certificates", "issue-certificates"),
    ("membership", "add-learner"),
    ("configure", "write-configuration"),
    ("start", "start-member"),
    ("etcdctl", "write-etcdctl"),
    ("health", "await-health"),
];

/// Phases by their names of today.
pub(crate) fn known_as(names: &[String]) -> Vec<String> {
    let today = |name: &String| {
        OLD_NAMES
            .iter()
            .find(|(old, _)| old == name)
            .map_or(name.clone(), |(_, new)| (*new).to_owned())
    };
    names.iter().map(today).collect()
}

/// What a run changed, or would change.
pub(crate) fn print_changes(context: &Context, summary: &Summary) -> Result<(), cli::Error> {
    context.print(summary, |summary| match summary.changes.len() {
        0 => "nothing to change\n".to_owned(),
        _ => summary
            .changes
            .iter()
            .map(|applied| format!("{}: {}\n", applied.phase, applied.change))
            .collect(),
    })
}
