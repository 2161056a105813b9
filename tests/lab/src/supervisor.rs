//! Finding the program `lab-host`.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::error::Error;
use crate::files;
use crate::run::Run;

/// The program `lab-host` that belongs to this library, built now if it is not beside the calling program (in its target
/// folder) or older than its sources.
///
/// # Errors
/// The calling program cannot be found, or the build fails.
pub fn supervisor_path() -> Result<PathBuf, Error> {
    let exe = std::env::current_exe().map_err(Error::io("find", Path::new("/proc/self/exe")))?;
    let mut dir = exe.parent().unwrap_or(Path::new("/"));
    // Test programs lie in target/PROFILE/deps, xtask in target/PROFILE.
    if dir.ends_with("deps") {
        dir = dir.parent().unwrap_or(dir);
    }
    let program = dir.join("lab-host");
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    if program.exists() && (!source.is_dir() || modified(&program)? >= newest(&source.join("src"))?)
    {
        return Ok(program);
    }
    let manifest = source.join("Cargo.toml");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let profile = if dir.ends_with("release") {
        "release"
    } else {
        "dev"
    };
    let target = dir.parent().unwrap_or(dir);
    Run::here([cargo])
        .args([
            "build",
            "--quiet",
            "--package",
            "lab",
            "--bin",
            "lab-host",
            "--profile",
            profile,
            "--manifest-path",
        ])
        .args([&manifest])
        .args([Path::new("--target-dir"), target])
        .timeout(Duration::from_secs(1800))
        .check()?;
    // Cargo leaves a program alone that its fingerprints call fresh, however old its sources' dates make it look.
    let now = std::fs::File::options()
        .append(true)
        .open(&program)
        .and_then(|file| file.set_modified(SystemTime::now()));
    now.map_err(Error::io("touch", &program))?;
    Ok(program)
}

fn modified(path: &Path) -> Result<SystemTime, Error> {
    path.metadata()
        .and_then(|meta| meta.modified())
        .map_err(Error::io("look at", path))
}

fn newest(dir: &Path) -> Result<SystemTime, Error> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for name in files::names(dir)? {
        let path = dir.join(name);
        newest = newest.max(if path.is_dir() {
            newest.max(self::newest(&path)?)
        } else {
            modified(&path)?
        });
    }
    Ok(newest)
}
