//! The three tools as they are shipped: static, small, one file each.

use std::path::PathBuf;

use crate::Outcome;
use crate::run::{Task, target, workspace};

/// The tools, in the order in which they are built.
pub(crate) const TOOLS: [&str; 3] = ["etcdadm", "nodeadm", "cctl"];

/// Where the built tools lie.
pub(crate) fn folder() -> PathBuf {
    target().join(triple()).join("release")
}

/// Static linking is asked for by a target feature, which must not reach build scripts: hence a `--target`.
fn triple() -> &'static str {
    if cfg!(target_arch = "aarch64") {
        "aarch64-unknown-linux-gnu"
    } else {
        "x86_64-unknown-linux-gnu"
    }
}

/// Static; and without unwind tables, a tenth of each program: a panic aborts, and names of functions are stripped
/// anyway, so that no one could read a backtrace.
fn flags() -> String {
    let script = workspace().join("xtask/no-unwind-tables.ld");
    let script = format!("-Clink-arg=-Wl,-T,{}", script.display());
    let mut flags = vec![
        "-Ctarget-feature=+crt-static",
        &script,
        "-Clink-arg=-Wl,--no-eh-frame-hdr",
    ];
    if relocates_packed() {
        flags.push("-Clink-arg=-Wl,-z,pack-relative-relocs");
    }
    flags.join("\u{1f}")
}

/// Whether a static program of this machine's C library can be told in short what in it depends on where it is loaded
/// (a bit for each place instead of 24 bytes): glibc's start code knows how since 2.36.
fn relocates_packed() -> bool {
    let said = Task::new("getconf").args(["GNU_LIBC_VERSION"]).text();
    let version = said.ok().and_then(|said| {
        let (major, minor) = said.trim().strip_prefix("glibc ")?.split_once('.')?;
        Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
    });
    version.is_some_and(|version| version >= (2, 36))
}

/// Builds them and says how large they are.
pub(crate) fn build() -> Outcome<PathBuf> {
    Task::cargo()
        .args(["build", "--release", "--locked", "--target", triple()])
        .args(TOOLS.iter().flat_map(|tool| ["--package", tool]))
        .env("CARGO_ENCODED_RUSTFLAGS", flags())
        .run()?;
    for tool in TOOLS {
        let size = folder().join(tool).metadata()?.len();
        println!("{tool}: {:.1} MB", size as f64 / 1e6);
    }
    Ok(folder())
}
