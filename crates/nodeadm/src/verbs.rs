//! The verbs, one a file, each with its phases in order: what a verb does stands there on one screen.

use crate::{
    config, download, facts, fence, files, init, join, list, preflight, prepare, rehearse, reset,
    status, store, token, vip_check,
};
use std::collections::BTreeMap;
use std::path::Path;

use api::NodeResult;
use bundle::Store;
use cli::{Context, Tool};
use host::{Host, Local, Overlay, Phase, Summary};

use crate::arguments::{
    Arguments, ConfigVerb, NodeArgs, NodePhase, NodeVerb, StoreVerb, TokenVerb, Verb, WalkArgs,
};
use crate::cluster::{Cluster, Live, Picture};
use crate::observe::Network;
use crate::settings::{Overrides, Settings};
use crate::{Node, paths};

/// A verb's phases.
pub type Phases = &'static [&'static dyn Phase<Node>];

/// Runs the verb.
///
/// # Errors
/// As the verb's.
pub fn run(context: &mut Context, arguments: &Arguments) -> Result<(), cli::Error> {
    let root = arguments.root.as_path();
    match &arguments.verb {
        Verb::Init(verb) => init::run(context, root, verb),
        Verb::Join(verb) => join::run(context, root, verb),
        Verb::Prepare(verb) => prepare::run(context, root, verb),
        Verb::Reset(verb) => reset::run(context, root, verb),
        Verb::Fence(args) => fence::run(context, root, args),
        Verb::Status => status::run(context, root),
        Verb::Preflight(args) => preflight::run(context, root, args),
        Verb::Facts => facts::run(context, root),
        Verb::List(args) => list::run(context, root, args),
        Verb::Download(args) => download::run(context, root, args),
        Verb::Config {
            verb: ConfigVerb::Print(args),
        } => config::run(context, root, args),
        Verb::Store {
            verb: StoreVerb::Missing,
        } => store::missing(context, root),
        Verb::Store {
            verb: StoreVerb::Receive,
        } => store::receive(context, root),
        Verb::Rehearse(args) => rehearse::run(context, root, args),
        Verb::Files { verb } => files::run(context, root, verb),
        Verb::Token {
            verb: TokenVerb::Create(args),
        } => token::create(context, root, args),
        Verb::Token {
            verb: TokenVerb::Delete { token },
        } => token::delete(context, root, token),
        Verb::Version(args) => {
            cli::print_version(context, "nodeadm", env!("CARGO_PKG_VERSION"), args)
        }
        Verb::Completion { shell } => cli::completion::<Arguments>(context, *shell),
        Verb::VipCheck(args) => vip_check::run(args),
    }
}

pub(crate) fn tool(root: &Path) -> Tool {
    let folder = Path::new(paths::FOLDER);
    Tool {
        name: "nodeadm",
        folder: root.join(folder.strip_prefix("/").unwrap_or(folder)),
    }
}

/// The arguments of a verb, or of its `phase`, and which phases are named there.
pub(crate) fn chosen(verb: &NodeVerb) -> (&NodeArgs, &WalkArgs, &[String]) {
    match &verb.phase {
        Some(NodePhase::Phase { names, node, walk }) => (node, walk, names),
        None => (&verb.node, &verb.walk, &[]),
    }
}

/// What is wanted of this host.
pub(crate) fn settings(
    root: &Path,
    args: &NodeArgs,
    overrides: &Overrides,
) -> Result<Settings, cli::Error> {
    let documents = args
        .config
        .as_deref()
        .map(cli::read_documents)
        .transpose()?;
    Ok(Settings::resolve(
        documents,
        overrides,
        &Local::new(root),
        &Network::of(root),
        Store::new(root),
    )?)
}

/// This host and its cluster: the real ones, or pictures of them for a dry run.
pub(crate) fn node(root: &Path, settings: Settings, dry_run: bool) -> Node {
    let live = Live::new(root, settings.api.clone());
    let (host, cluster): (Box<dyn Host>, Box<dyn Cluster>) = if dry_run {
        (
            Box::new(Overlay::new(Local::new(root))),
            Box::new(Picture::new(live)),
        )
    } else {
        (Box::new(Local::new(root)), Box::new(live))
    };
    Node::new(host, cluster, settings)
}

/// Walks the chosen ones of `phases`.
pub(crate) fn walk(
    context: &mut Context,
    goal: &str,
    node: &mut Node,
    phases: Phases,
    walk: &WalkArgs,
    only: &[String],
) -> Result<Summary, cli::Error> {
    let selected = cli::select(phases, only, &walk.skip_phases)?;
    let tool = tool(node.host().root());
    context.walk(&tool, goal, walk.dry_run, node, &selected)
}

/// The verb's result.
pub(crate) fn result(node: &Node, summary: &Summary, join: Option<String>) -> NodeResult {
    let mut phases: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for applied in &summary.changes {
        phases
            .entry(applied.phase.to_owned())
            .or_default()
            .push(applied.change.clone());
    }
    NodeResult {
        name: node.settings().name.clone(),
        changes: summary.changes.len(),
        phases,
        join,
    }
}

/// On a host that nodeadm has nothing on.
pub(crate) fn nothing(context: &mut Context) -> Result<(), cli::Error> {
    context
        .progress
        .note("nodeadm has set up nothing on this host: there is nothing to take down");
    let nothing = NodeResult {
        name: String::new(),
        changes: 0,
        phases: BTreeMap::new(),
        join: None,
    };
    context.print(&nothing, |_| String::new())
}

pub(crate) fn print_result(
    context: &Context,
    result: &NodeResult,
    dry_run: bool,
) -> Result<(), cli::Error> {
    context.print(result, |result| {
        let mut text = match (dry_run, result.changes) {
            (_, 0) => format!("{}: all is as it should be, nothing was changed\n", result.name),
            (true, n) => format!("{}: {n} changes would be made\n", result.name),
            (false, n) => format!("{}: done, {n} changes were made\n", result.name),
        };
        if let Some(join) = &result.join {
            text.push_str("To make another host a worker, give it this on standard input of `nodeadm join --config -`:\n\n");
            text.push_str(join);
        }
        text
    })
}
