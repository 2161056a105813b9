//! Images, streamed from the store into containerd.

use std::process::Stdio;
use std::thread;

use host::process;

use crate::Error;
use crate::settings::Settings;

/// Hands `references` to containerd in this order, as one stream, which exists nowhere as a file.
pub(crate) fn import(settings: &Settings, references: &[String]) -> Result<(), Error> {
    let io = |what: &str| {
        let what = what.to_owned();
        move |source| Error::Io { what, source }
    };
    let mut command = process::command(&settings.program("ctr"));
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
    let mut child = command.spawn().map_err(io("run ctr"))?;
    let stderr = child.stderr.take().expect("it was asked for as a pipe");
    let tail = thread::spawn(move || tail(stderr));
    let mut stdin = child.stdin.take().expect("it was asked for as a pipe");
    let references: Vec<&str> = references.iter().map(String::as_str).collect();
    let sent = settings
        .store
        .export(&references, settings.arch, &mut stdin, &mut |_| {});
    drop(stdin);
    let status = child.wait().map_err(io("wait for ctr"))?;
    let stderr = tail.join().unwrap_or_default();
    if !status.success() {
        // When ctr went away, that the stream was not taken is only the consequence.
        return Err(Error::Import {
            status: status.to_string(),
            stderr,
        });
    }
    Ok(sent?)
}

fn tail(mut stderr: impl std::io::Read) -> String {
    let mut bytes = Vec::new();
    let _ = stderr.read_to_end(&mut bytes);
    let start = bytes.len().saturating_sub(2000);
    String::from_utf8_lossy(&bytes[start..]).trim().to_owned()
}
