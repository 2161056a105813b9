//! `etcdadm snapshot`: the cluster's data in one file, and the proof that it can be restored.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use api::Version;
use cli::Context;
use etcd::Client;
use host::{Change, Host, Local, Pending};

use crate::arguments::{SnapshotSaveArgs, SnapshotVerb, SnapshotVerifyArgs};
use crate::phases::{Keep, PruneSnapshots, SaveSnapshot, snapshot_name};
use crate::verbs::{AnyPhase, Walk, print_changes, reach, recorded, tool, walked};
use crate::verify::{Programs, Proven, prove};
use crate::{Configuration, Error, paths};
use capsule::{CapsuleError, Checked, Metadata};

/// Where a snapshot is restored to look at it.
const WORK: &str = "proof";

pub(crate) fn run(
    context: &mut Context,
    root: &Path,
    verb: &SnapshotVerb,
) -> Result<(), cli::Error> {
    match verb {
        SnapshotVerb::Save(args) => save(context, root, args),
        SnapshotVerb::Verify(args) => verify(context, root, args),
    }
}

fn save(context: &mut Context, root: &Path, args: &SnapshotSaveArgs) -> Result<(), cli::Error> {
    let configuration = recorded(root)?;
    let reach = reach(&configuration, &args.change.reach)?;
    let keep = Keep {
        last: args.keep_last,
        daily: args.keep_daily,
    };
    let (to, folder) = place(root, args)?;
    let stdout = to.is_none();
    let mut phases: Vec<AnyPhase<'_>> = vec![Box::new(SaveSnapshot::new(reach, to, args.raw))];
    if let Some(folder) = folder {
        phases.push(Box::new(PruneSnapshots { folder, keep }));
    } else if keep != Keep::default() {
        return Err(
            cli::Error::usage("--keep-last and --keep-daily are for a folder")
                .hint("name a folder that is there: `etcdadm snapshot save /var/backups/etcd`"),
        );
    }
    let walk = Walk::all("etcdadm snapshot save", args.change.dry_run);
    let summary = walked(context, root, &configuration, walk, &phases)?;
    // Standard output is the snapshot's.
    if stdout && !walk.dry_run {
        return Ok(());
    }
    print_changes(context, &summary)
}

/// The file to write, and the folder whose older snapshots may go.
fn place(
    root: &Path,
    args: &SnapshotSaveArgs,
) -> Result<(Option<PathBuf>, Option<PathBuf>), Error> {
    if args.file.as_os_str() == "-" {
        return Ok((None, None));
    }
    let path = std::path::absolute(&args.file).map_err(|e| {
        Error::Configuration(format!("{} cannot be used: {e}", args.file.display()))
    })?;
    let path = path
        .strip_prefix(root)
        .map_or(path.clone(), |below| Path::new("/").join(below));
    if Local::new(root).path(&path).is_dir() {
        let file = path.join(snapshot_name(SystemTime::now()));
        return Ok((Some(file), Some(path)));
    }
    Ok((Some(path), None))
}

fn verify(context: &mut Context, root: &Path, args: &SnapshotVerifyArgs) -> Result<(), cli::Error> {
    let proven = prove_file(context, root, args)?;
    context.print(&proven, |proven| {
        format!(
            "{}: restored and served by etcd v{}: revision {}, {} keys{}\n",
            args.file.display(),
            proven.etcd_version,
            proven.revision,
            proven.keys.count,
            if proven.hash_compared {
                ", hash as it was when it was taken"
            } else {
                ""
            }
        )
    })
}

/// Proves a capsule by restoring it.
pub(crate) fn proven(context: &mut Context, root: &Path, file: &Path) -> Result<(), cli::Error> {
    let args = SnapshotVerifyArgs {
        file: Local::new(root).path(file),
        etcd_version: None,
        work_dir: None,
    };
    prove_file(context, root, &args).map(drop)
}

fn prove_file(
    context: &mut Context,
    root: &Path,
    args: &SnapshotVerifyArgs,
) -> Result<Proven, cli::Error> {
    let _lock = context.lock(&tool(root), "etcdadm snapshot verify")?;
    let mut host = Local::new(root);
    let work = args
        .work_dir
        .clone()
        .unwrap_or_else(|| Path::new(paths::FOLDER).to_owned());
    let work = work.join(WORK);
    let mut progress = context.progress.clone();
    let mut note = |text: &str| progress.note(text);
    clear(&mut host, &work)?;
    let proven = look(&mut host, root, &work, args, &mut note);
    // Nothing is left, whatever was found; what was found is the one to tell.
    let cleared = clear(&mut host, &work);
    let proven = proven?;
    cleared?;
    Ok(proven)
}

fn clear(host: &mut Local, work: &Path) -> Result<(), Error> {
    let path = work.to_owned();
    Ok(host.apply(&Change::RemoveTree { path })?)
}

fn look(
    host: &mut Local,
    root: &Path,
    work: &Path,
    args: &SnapshotVerifyArgs,
    note: &mut dyn FnMut(&str),
) -> Result<Proven, Error> {
    let make = Change::MakeDir {
        path: work.to_owned(),
        mode: 0o700,
    };
    host.apply(&make)?;
    let snapshot = work.join("snapshot.db");
    let (checked, metadata) = extract(host, &args.file, &snapshot)?;
    note(&format!("the snapshot is whole: sha256 {}", checked.sha256));
    let version = release(metadata.as_ref(), args.etcd_version)?;
    let install_dir = match recorded(root) {
        Ok(configuration) => configuration.document.install_dir,
        Err(Error::NoMember) => Configuration::nobody().document.install_dir,
        Err(error) => return Err(error),
    };
    let programs = Programs::of(host, &install_dir, version, &work.join("programs"))?;
    let said = (&checked, metadata.as_ref());
    prove(
        host,
        &Client::default(),
        &programs,
        &snapshot,
        said,
        work,
        note,
    )
}

/// The release that a snapshot must be restored by.
pub(crate) fn release(
    metadata: Option<&Metadata>,
    named: Option<Version>,
) -> Result<Version, Error> {
    let of_capsule = match metadata {
        Some(metadata) => {
            let bad = |_| CapsuleError::Metadata("names no release of etcd".to_owned());
            Some(metadata.etcd_version.parse::<Version>().map_err(bad)?)
        }
        None => None,
    };
    match (of_capsule, named) {
        (Some(of), Some(named)) if (of.major, of.minor) != (named.major, named.minor) => {
            Err(Error::OtherMinor { of, named })
        }
        (_, Some(named)) => Ok(named),
        (Some(of), None) => Ok(of),
        (None, None) => Err(Error::UnknownRelease),
    }
}

/// The snapshot out of a capsule (or a plain one, as it is), checked while it is read. A file to work with: whoever comes
/// after a power loss takes it out anew.
pub(crate) fn extract(
    host: &Local,
    file: &Path,
    to: &Path,
) -> Result<(Checked, Option<Metadata>), Error> {
    let mut from: Box<dyn Read> = if file.as_os_str() == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(open(file)?)
    };
    let mut pending = Pending::new(&host.path(to), 0o600)?;
    let found = capsule::read(&mut from, &mut pending)?;
    pending.place()?;
    Ok(found)
}

pub(crate) fn open(file: &Path) -> Result<File, Error> {
    File::open(file).map_err(|source| {
        host::Error::File {
            action: "read",
            path: file.to_owned(),
            source,
        }
        .into()
    })
}
