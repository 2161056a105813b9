//! `nodeadm download`: components and images brought straight into this host's store, before any runtime is there.
//!
//! It makes what `cctl bundle create` makes, for this host's architecture, beside the store, and takes it in from there
//! as any other bundle. A download that was cut off goes on from what it had.

use std::path::{Path, PathBuf};

use api::Version;
use bundle::create::{Create, CreateError, Output, create};
use bundle::fetch::{Mirror, Sources};
use bundle::versions::{BundleConfiguration, VersionsFile};
use bundle::{Layout, Progress, Received, Store, stream};
use cli::{Context, Error, Kind, ResultExt};
use host::{Change, Host, Local};

use crate::arguments::DownloadArgs;
use crate::settings::architecture;
use crate::verbs::tool;

/// Beside the store, on the same file system.
const WORK: &str = "/var/cache/klusterkit.download";

/// Runs the verb.
///
/// # Errors
/// When something cannot be fetched, or is not what its digest says.
pub(crate) fn run(context: &mut Context, root: &Path, args: &DownloadArgs) -> Result<(), Error> {
    let _lock = context.lock(&tool(root), "nodeadm download")?;
    let mut versions = match (&args.versions, args.kubernetes_version) {
        (Some(path), _) => VersionsFile::read(Path::new(path)).kind(Kind::Usage)?,
        (None, Some(version)) => plain(version)?,
        (None, None) => {
            return Err(Error::usage(
                "say which: --kubernetes-version VERSION, or --versions FILE",
            ));
        }
    };
    let configuration = &mut versions.configuration;
    configuration.architectures = vec![architecture().to_owned()];
    configuration.node_tools.clear();
    for other in ["etcd", "etcdadm", "nodeadm"] {
        if !configuration.is_without(other) {
            configuration.without.push(other.to_owned());
        }
    }
    let mirrors: Result<Vec<Mirror>, _> = args.mirrors.iter().map(|text| text.parse()).collect();
    let (whole, work) = (
        PathBuf::from(WORK).join("bundle"),
        PathBuf::from(WORK).join("fetched"),
    );
    let mut local = Local::new(root);
    for change in [
        Change::MakeDir {
            path: WORK.into(),
            mode: 0o755,
        },
        // What an earlier run made whole and did not take in.
        Change::RemoveTree {
            path: whole.clone(),
        },
    ] {
        local.apply(&change)?;
    }
    let how = Create {
        sources: Sources {
            mirrors: mirrors.kind(Kind::Usage)?,
            ca_file: args.ca_file.clone(),
            proxy: args.proxy.clone(),
        },
        trust_upstream: args.trust_upstream,
        update_pins: false,
        tools_version: env!("CARGO_PKG_VERSION").to_owned(),
        tools: std::collections::BTreeMap::new(),
        work: Some(local.path(&work)),
        output: Output::Folder(local.path(&whole)),
    };
    let mut progress = context.progress.clone();
    create(&versions, &how, &mut |step| {
        if let Progress::Step { what, .. } = step {
            progress.note(what);
        }
    })
    .map_err(|error| match error {
        CreateError::Unpinned { .. } => Error::new(Kind::Failed, error)
            .hint("name a file with pinned digests (--versions), or take what upstream has (--trust-upstream)"),
        error => Error::new(Kind::Failed, error),
    })?;
    let received = take_in(root, &local.path(&whole))?;
    local.apply(&Change::RemoveTree { path: WORK.into() })?;
    context.print(&received, |received| {
        received
            .entries
            .iter()
            .map(|entry| format!("{entry}\n"))
            .collect()
    })
}

/// A file of versions that names one release, with the defaults for all else.
fn plain(version: Version) -> Result<VersionsFile, Error> {
    let text = api::yaml::to_string(&BundleConfiguration::of(version));
    VersionsFile::parse(Path::new("(defaults)"), text).kind(Kind::Usage)
}

/// Takes a bundle into the store; what is there already is not written again.
fn take_in(root: &Path, bundle: &Path) -> Result<Received, Error> {
    let layout = Layout::open(bundle).kind(Kind::Failed)?;
    let entries = layout.entries().kind(Kind::Failed)?;
    let (reader, mut writer) = std::io::pipe().kind(Kind::Failed)?;
    let sending = std::thread::spawn(move || {
        stream::send(&layout, &entries, &mut |_| true, &mut writer, &mut |_| {})
    });
    let received = Store::new(root).receive(reader, &mut |_| {});
    let sent = sending.join().expect("sending does not panic");
    // When the store refuses, that the stream was not taken is only the consequence.
    let received = received.kind(Kind::Failed)?;
    sent.kind(Kind::Failed)?;
    Ok(received)
}
