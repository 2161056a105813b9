//! `nodeadm files`: what a recovery of this control plane needs besides etcd and the authorities, printed as one stream
//! (the `capsule` crate's `files`), and put back from it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use api::{FilesPutBack, HostFiles};
use cli::{Context, Kind, ResultExt};
use host::{Host, Inspect, Local, OnHost, Overlay};

use crate::arguments::{FilesArgs, FilesVerb};
use crate::gather::{Gathered, gather};
use crate::phases::PutFilesBack;
use crate::verbs::tool;

/// Runs the verb.
///
/// # Errors
/// When the host cannot be read, the stream is broken, or a file cannot be put back.
pub(crate) fn run(context: &mut Context, root: &Path, verb: &FilesVerb) -> Result<(), cli::Error> {
    match verb {
        FilesVerb::List(args) => context.print(&look(root, args)?.index, as_text),
        FilesVerb::Save(args) => save(context, root, args),
        FilesVerb::PutBack { dry_run } => put_back(context, root, *dry_run),
    }
}

fn look(root: &Path, args: &FilesArgs) -> Result<Gathered, cli::Error> {
    let host = Local::new(root);
    let name = host.read_text(Path::new("/proc/sys/kernel/hostname"))?;
    let name = name.unwrap_or_default();
    let mut include = args.include.clone();
    if let Some(from) = &args.include_from {
        let named = cli::read_input(from)?;
        include.extend(
            named
                .lines()
                .filter(|line| !line.is_empty())
                .map(PathBuf::from),
        );
    }
    Ok(gather(&host, name.trim(), &include)?)
}

fn as_text(index: &HostFiles) -> String {
    let mut text = String::new();
    for file in &index.files {
        let (path, why) = (file.path.display(), &file.why);
        text += &format!("{path} ({:04o}, {} bytes): {why}\n", file.mode, file.size);
    }
    for left in &index.left_out {
        text += &format!("NOT TAKEN: {}: {} ({})\n", left.path, left.what, left.why);
    }
    text
}

/// Standard output is the stream's.
fn save(context: &mut Context, root: &Path, args: &FilesArgs) -> Result<(), cli::Error> {
    let Gathered { index, contents } = look(root, args)?;
    for left in &index.left_out {
        let note = format!("{} is not taken: {} ({})", left.path, left.what, left.why);
        context.progress.note(&note);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let at = now.map_or(0, |now| now.as_secs());
    let mut stdout = std::io::stdout().lock();
    capsule::files::write(&index, &contents, at, &mut stdout).kind(Kind::Failed)
}

fn put_back(context: &mut Context, root: &Path, dry_run: bool) -> Result<(), cli::Error> {
    let mut stream = std::io::stdin()
        .lock()
        .take(capsule::files::STREAM_LIMIT + 1);
    // All of it is checked before anything is changed.
    let (index, contents) = capsule::files::read(&mut stream).kind(Kind::Preflight)?;
    let phase = PutFilesBack::new(&index, &contents);
    let mut host: Box<dyn Host> = if dry_run {
        Box::new(Overlay::new(Local::new(root)))
    } else {
        Box::new(Local::new(root))
    };
    let (tool, goal) = (tool(root), "nodeadm files put-back");
    let summary = context.walk(&tool, goal, dry_run, &mut OnHost(&mut *host), &[&phase])?;
    let put = index.files.iter().filter(|file| file.put_back);
    let result = FilesPutBack {
        files: put.count(),
        changes: summary
            .changes
            .iter()
            .map(|made| made.change.clone())
            .collect(),
    };
    context.print(&result, |result| match (dry_run, result.changes.len()) {
        (_, 0) => format!(
            "{} files are there as they were, nothing was changed\n",
            result.files
        ),
        (true, n) => format!("{n} changes would be made for {} files\n", result.files),
        (false, n) => format!(
            "{} files are there as they were: {n} changes\n",
            result.files
        ),
    })
}
