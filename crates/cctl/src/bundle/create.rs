//! `cctl bundle create`: a bundle from a file of versions, out of upstream's places or mirrors of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bundle::create::{Create, CreateError, Created, Output};
use bundle::fetch::{Mirror, Sources};
use bundle::versions::{BundleConfiguration, VersionsError, VersionsFile};
use bundle::{DraftError, Progress};
use cli::{Context, Kind};
use serde::Serialize;

use super::meter::{Meter, megabytes};
use crate::Error;
use crate::arguments::CreateBundle;

/// This machine, as release files name it: only for such hosts can cctl's own folder have the node tools.
const HERE: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "amd64"
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    #[serde(flatten)]
    created: Created,
    /// The file of versions, where digests were written into it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pins_written: Option<PathBuf>,
}

pub(super) fn run(context: &mut Context, args: &CreateBundle) -> Result<(), cli::Error> {
    let read = VersionsFile::read(&args.file).map_err(CreateError::from);
    let versions = read.map_err(Error::from)?;
    let output = output(&args.bundle)?;
    let how = Create {
        sources: Sources {
            mirrors: mirrors(&args.mirrors)?,
            ca_file: args.ca_file.clone(),
            proxy: args.proxy.clone(),
        },
        trust_upstream: args.trust_upstream,
        update_pins: args.update_pins,
        tools_version: concat!("v", env!("CARGO_PKG_VERSION")).to_owned(),
        tools: own_tools(),
        work: args.work.clone(),
        output,
    };
    if versions.configuration.vip.is_none() {
        context.progress.note(
            "the file names no `vip` image: clusters of this bundle need a balancer of their own (`vip: none`)",
        );
    }
    if args.update_pins {
        // What cannot be written in the end is said before anything is fetched.
        let checked = versions
            .with_pins(&versions.pins)
            .map_err(CreateError::from);
        checked.map_err(Error::from)?;
    }
    let mut meter = Meter::new(&mut context.progress);
    let mut told = |step: Progress<'_>| meter.take(step);
    let created = bundle::create::create(&versions, &how, &mut told);
    drop(meter);
    let created = created.map_err(|error| {
        let work = how.work_folder();
        let error = cli::Error::from(Error::from(error));
        if work.exists() {
            let work = work.display();
            error.hint(format!(
                "run it again after that: what was fetched waits in {work}"
            ))
        } else {
            error
        }
    })?;
    let mut pins_written = None;
    if args.update_pins {
        let written = versions
            .write_pins(&created.pins)
            .map_err(CreateError::from);
        written.map_err(Error::from)?;
        pins_written = Some(versions.path);
    }
    let made = Made {
        created,
        pins_written,
    };
    context.print(&made, text)
}

/// `cctl bundle versions`.
pub(super) fn versions(
    context: &mut Context,
    version: Option<api::Version>,
) -> Result<(), cli::Error> {
    let version = version.unwrap_or(NEWEST);
    context.print_text(&BundleConfiguration::example(version))
}

/// The Kubernetes release that a new file of versions begins with.
const NEWEST: api::Version = api::Version::new(1, 37, 2);

fn text(made: &Made) -> String {
    let Made {
        created,
        pins_written,
    } = made;
    let mut text = String::new();
    for entry in &created.entries {
        text.push_str(&format!("{entry}\n"));
    }
    for name in &created.changed {
        text.push_str(&format!("changed since it was pinned: {name}\n"));
    }
    if let Some(file) = pins_written {
        text.push_str(&format!("{}: digests written\n", file.display()));
    }
    let size = megabytes(created.bytes);
    text.push_str(&format!("{}: {size}\n", created.path.display()));
    text
}

fn mirrors(words: &[String]) -> Result<Vec<Mirror>, cli::Error> {
    words
        .iter()
        .map(|word| word.parse::<Mirror>().map_err(cli::Error::usage))
        .collect()
}

/// A tar where the name says so, else a folder. What must not be in the way is said before anything is fetched.
fn output(path: &Path) -> Result<Output, cli::Error> {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    if let Some(parent) = parent.filter(|parent| !parent.is_dir()) {
        let what = format!("the folder {} does not exist", parent.display());
        return Err(cli::Error::usage(what).hint("make it first"));
    }
    if path.file_name().is_none() {
        return Err(cli::Error::usage(format!(
            "{} names no bundle",
            path.display()
        )));
    }
    if path.extension().is_some_and(|extension| extension == "tar") {
        if path.is_dir() {
            return Err(cli::Error::usage(format!("{} is a folder", path.display())));
        }
        return Ok(Output::Archive(path.to_owned()));
    }
    let empty = |path: &Path| {
        path.read_dir()
            .is_ok_and(|mut items| items.next().is_none())
    };
    if path.symlink_metadata().is_ok() && !empty(path) {
        let exists = DraftError::Exists {
            path: path.to_owned(),
        };
        return Err(Error::from(CreateError::from(exists)).into());
    }
    Ok(Output::Folder(path.to_owned()))
}

/// The folder of cctl's own program, which has the node tools beside it where all three were installed together.
fn own_tools() -> BTreeMap<String, PathBuf> {
    let own = std::env::current_exe().ok();
    let folder = own.as_deref().and_then(Path::parent);
    folder
        .map(|folder| BTreeMap::from([(HERE.to_owned(), folder.to_owned())]))
        .unwrap_or_default()
}

pub(crate) fn kind(error: &CreateError) -> Kind {
    match error {
        CreateError::Versions(VersionsError::File(_)) => Kind::Failed,
        CreateError::Versions(_)
        | CreateError::Unpinned { .. }
        | CreateError::NoTool { .. }
        | CreateError::NoTools { .. }
        | CreateError::OtherTool { .. }
        | CreateError::NoImage { .. }
        | CreateError::Draft(DraftError::Exists { .. }) => Kind::Usage,
        _ => Kind::Failed,
    }
}

pub(crate) fn hints(error: &CreateError) -> Vec<String> {
    let hint = match error {
        CreateError::Versions(VersionsError::Missing { path }) => {
            format!("write one to start from: cctl bundle versions > {}", path.display())
        }
        CreateError::Unpinned { .. } => "take over the digests of what upstream has now with --update-pins, or take it \
             without pins with --trust-upstream".to_owned(),
        CreateError::NoTool { arch, .. }
        | CreateError::NoTools { arch }
        | CreateError::OtherTool { arch, .. } => format!(
            "name the folder that has etcdadm and nodeadm, `nodeTools: {{{arch}: FOLDER}}`, or leave them out, \
             `without: [etcdadm, nodeadm]`"
        ),
        CreateError::Draft(DraftError::Exists { .. }) => {
            "name a folder that is not there yet, or a file that ends in .tar".to_owned()
        }
        CreateError::Fetch(error) if error.is_mismatch() => {
            "it was damaged or replaced: try another mirror; only where you know why it is another now, take it over with --update-pins".to_owned()
        }
        CreateError::Fetch(error) if error.is_not_there() => {
            "check the version, or name a further place that has it: --mirror may be given more than once".to_owned()
        }
        CreateError::Fetch(error) if error.is_out_of_reach() => {
            "name what can be reached from here: --mirror, or --proxy for upstream's places".to_owned()
        }
        _ => return Vec::new(),
    };
    vec![hint]
}
