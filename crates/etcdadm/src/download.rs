//! `etcdadm download`: a release brought into this host's store, so that init and join need no network.

use std::path::Path;

use bundle::Store;
use cli::Context;
use host::Local;
use serde::Serialize;

use crate::arguments::DownloadArgs;
use crate::fetch::Fetch;
use crate::verbs::tool;
use crate::{Error, facts};

/// Where a release lies on this host.
#[derive(Debug, Serialize)]
struct Downloaded {
    version: String,
    /// Whether it was there before.
    present: bool,
    files: Vec<String>,
}

pub(crate) fn run(
    context: &mut Context,
    root: &Path,
    args: &DownloadArgs,
) -> Result<(), cli::Error> {
    let _lock = context.lock(&tool(root), "etcdadm download")?;
    let mut host = Local::new(root);
    let (store, version, arch) = (
        Store::new(root),
        args.version.to_string(),
        facts::architecture(),
    );
    let present = store
        .component(&host, "etcd", &version, arch)
        .map_err(Error::from)?
        .is_some();
    if !present {
        let fetch = Fetch {
            version: args.version,
            arch: arch.to_owned(),
            from: args.release_url.clone(),
        };
        context.progress.note(&fetch.to_string());
        let mut progress = context.progress.clone();
        fetch.apply(&mut host, &mut |text| progress.note(text))?;
    }
    let stored = store
        .component(&host, "etcd", &version, arch)
        .map_err(Error::from)?;
    let files = stored.map(|component| component.files).unwrap_or_default();
    let files = files
        .iter()
        .map(|file| file.path.display().to_string())
        .collect();
    context.print(
        &Downloaded {
            version,
            present,
            files,
        },
        |done| {
            format!(
                "etcd {} {}: {}\n",
                done.version,
                if done.present {
                    "was here already"
                } else {
                    "is here now"
                },
                done.files.join(", ")
            )
        },
    )
}
