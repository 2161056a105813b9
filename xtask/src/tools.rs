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
    [
        "-Ctarget-feature=+crt-static",
        &format!("-Clink-arg=-Wl,-T,{}", script.display()),
        "-Clink-arg=-Wl,--no-eh-frame-hdr",
    ]
    .join("\u{1f}")
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
