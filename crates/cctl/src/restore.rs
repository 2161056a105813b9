//! `cctl restore FILE`: the state back out of a backup, where it is lost here. Hosts are not asked and not touched: what
//! brings the cluster itself back is said at the end.

use std::path::{Path, PathBuf};

use cli::Context;
use host::write_atomically;
use serde::Serialize;
use state::State;

use crate::Error;
use crate::arguments::Restore;
use crate::backup::opened::Opened;
use crate::session;
use crate::settings::Settings;

/// What `restore` prints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Restored {
    file: PathBuf,
    cluster: String,
    generation: u64,
    /// When the backup was taken, RFC 3339.
    taken_at: String,
    /// Where the state lies now that was here.
    #[serde(skip_serializing_if = "Option::is_none")]
    set_aside: Option<PathBuf>,
    /// What can be run now.
    next: Vec<String>,
}

pub(crate) fn run(
    context: &mut Context,
    settings: &Settings,
    args: &Restore,
) -> Result<(), cli::Error> {
    let here = session::read_state(settings)?;
    let login = here
        .as_ref()
        .map(|state| state.configuration().ssh.identity_file.clone());
    let identity = settings.identity(login.flatten().as_deref())?;
    context.progress.note("reading the backup");
    let opened = Opened::read(&args.file, identity, &args.signer, None)?;
    let path = &settings.state;
    let set_aside = match &here {
        Some(here) => make_way(path, here, &opened.state, args.older)?,
        None => None,
    };
    write_atomically(path, 0o600, opened.text.as_bytes()).map_err(Error::from)?;
    let restored = Restored {
        file: path.clone(),
        cluster: opened.index.cluster.clone(),
        generation: opened.state.generation,
        taken_at: opened.index.taken_at.clone(),
        set_aside,
        next: next(&args.file, &opened.state),
    };
    context.print(&restored, as_text)
}

/// Keeps the state that is here, where it may be replaced at all.
fn make_way(
    path: &Path,
    here: &State,
    new: &State,
    older: bool,
) -> Result<Option<PathBuf>, cli::Error> {
    if here.cluster_id != new.cluster_id {
        let other = Error::Refused(format!(
            "{} is the state of another cluster, {}",
            path.display(),
            here.cluster.metadata.name
        ));
        return Err(cli::Error::from(other).hint("name another file with --state"));
    }
    if here.generation >= new.generation && !older {
        let newer = Error::Refused(format!(
            "{} is generation {} already, and the backup's {}",
            path.display(),
            here.generation,
            new.generation
        ));
        return Err(cli::Error::from(newer)
            .hint("it is the better one; --older says that it is to be replaced all the same"));
    }
    let text = crate::settings::read_text(path)?;
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".generation-{}", here.generation));
    let aside = PathBuf::from(aside);
    write_atomically(&aside, 0o600, text.as_bytes()).map_err(Error::from)?;
    Ok(Some(aside))
}

/// What brings the cluster back, from the least to the most.
fn next(file: &Path, state: &State) -> Vec<String> {
    let masters = state.configuration().masters();
    let from: Vec<String> = masters.map(|machine| machine.address.to_string()).collect();
    vec![
        format!(
            "cctl state pull --from {}    if a control plane lives: it may have a newer state",
            from.first().map_or("HOST", String::as_str)
        ),
        "cctl status                          if the cluster lives".to_owned(),
        format!(
            "cctl recover --from-backup {} --bundle BUNDLE --yes    if the control plane is lost",
            file.display()
        ),
    ]
}

fn as_text(restored: &Restored) -> String {
    let mut text = format!(
        "{}: the state of cluster {}, generation {}, as it was at {}\n",
        restored.file.display(),
        restored.cluster,
        restored.generation,
        restored.taken_at
    );
    if let Some(aside) = &restored.set_aside {
        text += &format!("the one that was here is {} now\n", aside.display());
    }
    text += "Now:\n";
    for next in &restored.next {
        text += &format!("  {next}\n");
    }
    text
}
