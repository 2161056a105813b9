//! `nodeadm download`: components and images brought straight into this host's store, before any runtime is there.
//!
//! It makes what `cctl bundle create` makes, for this host's architecture, beside the store, and takes it in from there
//! as any other bundle. A download that was cut off goes on from what it had; what is pinned and in the store is not fetched
//! again.

use std::path::{Path, PathBuf};

use api::Version;
use bundle::create::{Create, CreateError, Output, create};
use bundle::fetch::{Mirror, Sources};
use bundle::versions::{BundleConfiguration, Pins, UpstreamComponent, VersionsFile};
use bundle::{Component, Entry, Layout, Progress, Received, Store, stream};
use cli::{Context, Error, Kind, ResultExt};
use host::{Change, Digest, Host, Inspect, Local};

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
    if has_all(&Store::new(Path::new("/")), &Local::new("/"), &versions)? {
        context.progress.note("the store has all of it");
        return print(context, &Received::default());
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
    print(context, &received)
}

fn print(context: &Context, received: &Received) -> Result<(), Error> {
    context.print(received, |received| {
        received
            .entries
            .iter()
            .map(|entry| format!("{entry}\n"))
            .collect()
    })
}

/// Whether all that the file asks for is pinned, and is in the store in just those bytes: then there is nothing to fetch.
fn has_all(store: &Store, seen: &dyn Inspect, versions: &VersionsFile) -> Result<bool, Error> {
    let configuration = &versions.configuration;
    let known = configuration.known_images().kind(Kind::Usage)?;
    let entries = store.entries(seen).kind(Kind::Failed)?;
    let (arch, pins) = (architecture(), &versions.pins);
    let has_image = |reference: &str, pin: Option<&Digest>| {
        entries.iter().any(|entry| match entry {
            Entry::Image(image) => image.is(reference, arch) && Some(&image.manifest.digest) == pin,
            Entry::Component(_) => false,
        })
    };
    let has_component = |wanted: &UpstreamComponent| {
        let fits = |component: &Component| {
            component.is(wanted.name, &wanted.version, arch)
                && wanted.files.iter().all(|file| {
                    let there = component.file(&file.name).map(|it| &it.blob.digest);
                    there.is_some() && there == pins.files.get(&file.address)
                })
        };
        entries
            .iter()
            .any(|entry| matches!(entry, Entry::Component(component) if fits(component)))
    };
    // Images that only flannel's manifest names are among the pins, too.
    let ours = format!(" linux/{arch}");
    let mut pinned = pins.images.iter();
    let mut components = configuration.upstream_components(arch).into_iter();
    Ok(components.all(|component| has_component(&component))
        && known
            .iter()
            .all(|image| has_image(image, pins.images.get(&Pins::image_key(image, arch))))
        && pinned.all(|(name, digest)| match name.strip_suffix(&ours) {
            Some(reference) => has_image(reference, Some(digest)),
            None => true,
        }))
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
