//! Images of a store, streamed into containerd.
//!
//! What goes in is checked against its digests on the way. It does not know which images a host needs, nor whether they are
//! there already. Entry point: [`import`].

use std::io::{self, Read};
use std::process::Stdio;
use std::thread;

use host::process;

use crate::{Store, StoreError};

/// How much of what `ctr` says on standard error is kept.
const TOLD: usize = 2000;

/// containerd did not get its images.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// `ctr` cannot be run.
    #[error("could not run {program}")]
    Run {
        /// The program.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// containerd did not take them.
    #[error("ctr images import failed ({status}): {stderr}")]
    Refused {
        /// How it ended.
        status: String,
        /// The end of what it said.
        stderr: String,
    },
    /// The store does not have them.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Hands `references` for `arch` to containerd's Kubernetes namespace in this order, as one stream, which exists nowhere as
/// a file. `ctr` is containerd's client: a path, or a name that is looked up.
///
/// # Errors
/// [`ImportError`]; images that were taken by then may be there.
pub fn import(
    store: &Store,
    references: &[&str],
    arch: &str,
    ctr: &str,
) -> Result<(), ImportError> {
    let unrun = |source| ImportError::Run {
        program: ctr.to_owned(),
        source,
    };
    let mut command = process::command(ctr);
    command
        .args([
            "--namespace",
            "k8s.io",
            "images",
            "import",
            // What is unpacked must be on the disk before containerd calls it so, or a power loss leaves images that are
            // there and cannot be run, for ever. Only an import that ctr itself leads can be told to.
            "--local",
            "--sync-fs",
            "--digests=false",
            "-",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(unrun)?;
    let stderr = child.stderr.take().expect("it was asked for as a pipe");
    let tail = thread::spawn(move || tail(stderr));
    let mut stdin = child.stdin.take().expect("it was asked for as a pipe");
    let sent = store.export(references, arch, &mut stdin, &mut |_| {});
    drop(stdin);
    let status = child.wait().map_err(unrun)?;
    let stderr = tail.join().unwrap_or_default();
    if !status.success() {
        // When ctr went away, that the stream was not taken is only the consequence.
        return Err(ImportError::Refused {
            status: status.to_string(),
            stderr,
        });
    }
    Ok(sent?)
}

fn tail(mut stderr: impl Read) -> String {
    let mut bytes = Vec::new();
    let _ = stderr.read_to_end(&mut bytes);
    let start = bytes.len().saturating_sub(TOLD);
    String::from_utf8_lossy(&bytes[start..]).trim().to_owned()
}
