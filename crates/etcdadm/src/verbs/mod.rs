//! The verbs, one a file, each with its list of phases.

mod download;
mod info;
pub(crate) mod init;
pub(crate) mod join;
pub(crate) mod reset;
mod status;

use std::path::Path;
use std::time::SystemTime;

use api::{Documents, EtcdConfiguration, MemberResult};
use cli::{Context, Tool};
use etcd::{Client, Cluster, Observe, Picture};
use host::{Host, Inspect, Local, Overlay};

use crate::arguments::{Arguments, MemberArgs, Verb};
use crate::machine::Note;
use crate::{Configuration, Error, Machine, Record, paths};

pub(crate) fn run(context: &mut Context, arguments: &Arguments) -> Result<(), cli::Error> {
    match &arguments.verb {
        Verb::Init(args) => init::run(context, &arguments.root, args),
        Verb::Join(args) => join::run(context, &arguments.root, args),
        Verb::Reset(args) => reset::run(context, &arguments.root, args),
        Verb::Info => info::run(context, &arguments.root),
        Verb::Status => status::run(context, &arguments.root),
        Verb::Download(args) => download::run(context, &arguments.root, args),
        Verb::Version(args) => {
            cli::print_version(context, "etcdadm", env!("CARGO_PKG_VERSION"), args)
        }
        Verb::Completion { shell } => cli::completion::<Arguments>(context, *shell),
    }
}

fn tool(root: &Path) -> Tool {
    let folder = Path::new(paths::FOLDER);
    Tool {
        name: "etcdadm",
        folder: root.join(folder.strip_prefix("/").unwrap_or(folder)),
    }
}

/// Calls `work` with this host and its cluster, or with pictures of them.
fn with_machine<T>(
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
        twin = Picture::over(Client);
        &mut twin
    } else {
        client = Client;
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

/// What init and join are to make of this host: document, then record, then defaults; flags win.
fn configure(
    root: &Path,
    args: &MemberArgs,
    endpoints: &[String],
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
        (None, None) => EtcdConfiguration::default(),
    };
    let args = args.clone();
    if let Some(name) = args.name {
        document.metadata.name = name;
    }
    if !endpoints.is_empty() {
        document.endpoints = endpoints.to_vec();
    }
    document.version = args.version.or(document.version);
    document.address = args.bind_address.or(document.address);
    document.client_port = args.client_port.unwrap_or(document.client_port);
    document.peer_port = args.peer_port.unwrap_or(document.peer_port);
    document.certs_dir = args.certs_dir.unwrap_or(document.certs_dir);
    document.install_dir = args.install_dir.unwrap_or(document.install_dir);
    document.data_dir = args.data_dir.unwrap_or(document.data_dir);
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
fn token() -> Result<String, Error> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes)
        .map_err(|e| Error::Configuration(format!("the system gives no randomness: {e}")))?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

/// What is known of this host, by its record; by the environment that an older tool wrote; else nothing.
fn recorded(root: &Path) -> Result<Configuration, Error> {
    let seen = Local::new(root);
    let record = Record::read(&seen)?.map(|record| record.configuration);
    let document = match record {
        Some(document) => document,
        None => written_by_others(&seen)?.ok_or(Error::NoMember)?,
    };
    Configuration::resolve(document, Default::default(), &seen, String::new())
}

/// The configuration that an environment file tells, as the older tool wrote it.
fn written_by_others(seen: &dyn Inspect) -> Result<Option<EtcdConfiguration>, Error> {
    let Some(text) = seen.read_text(Path::new(paths::ENVIRONMENT))? else {
        return Ok(None);
    };
    let variables = systemd::parse_environment(&text);
    let get = |key: &str| {
        variables
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, value)| value.as_str())
    };
    let (Some(name), Some(peer_url)) = (get("ETCD_NAME"), get("ETCD_INITIAL_ADVERTISE_PEER_URLS"))
    else {
        return Ok(None);
    };
    let split = |url: &str| -> Option<api::Endpoint> {
        url.split(',')
            .next()?
            .trim_start_matches("https://")
            .trim_end_matches('/')
            .parse()
            .ok()
    };
    let peer = split(peer_url);
    let client = get("ETCD_ADVERTISE_CLIENT_URLS").and_then(split);
    let mut document = EtcdConfiguration::default();
    document.metadata.name = name.to_owned();
    document.address = peer.as_ref().and_then(api::Endpoint::address);
    document.peer_port = peer.and_then(|e| e.port).unwrap_or(document.peer_port);
    document.client_port = client.and_then(|e| e.port).unwrap_or(document.client_port);
    if let Some(data_dir) = get("ETCD_DATA_DIR") {
        document.data_dir = data_dir.into();
    }
    if let Some(certs_dir) = get("ETCD_TRUSTED_CA_FILE").and_then(|path| Path::new(path).parent()) {
        document.certs_dir = certs_dir.to_owned();
    }
    Ok(Some(document))
}

/// The member as the cluster sees it.
fn member_result(
    seen: &dyn Inspect,
    configuration: &Configuration,
    changes: usize,
) -> Result<MemberResult, Error> {
    let credentials = crate::machine::credentials(seen, configuration.certs_dir())?;
    let mut ask = vec![configuration.local_url()];
    ask.extend(configuration.endpoints.iter().cloned());
    let list = Client.members(&ask, &credentials)?;
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

fn print_member(context: &Context, result: &MemberResult) -> Result<(), cli::Error> {
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
fn known_as(names: &[String]) -> Vec<String> {
    let today = |name: &String| {
        OLD_NAMES
            .iter()
            .find(|(old, _)| old == name)
            .map_or(name.clone(), |(_, new)| (*new).to_owned())
    };
    names.iter().map(today).collect()
}

/// What a run changed, or would change.
fn print_changes(context: &Context, summary: &host::Summary) -> Result<(), cli::Error> {
    context.print(summary, |summary| match summary.changes.len() {
        0 => "nothing to change\n".to_owned(),
        _ => summary
            .changes
            .iter()
            .map(|applied| format!("{}: {}\n", applied.phase, applied.change))
            .collect(),
    })
}
