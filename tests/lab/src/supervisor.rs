//! Finding the program `lab-host`.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::error::Error;
use crate::files;
use crate::run::Run;

/// The program `lab-host` that belongs to this library, built now if it is not beside the calling program in cargo's target
/// folder, or is older than its sources.
///
/// # Errors
/// The calling program does not lie in such a folder (then the lab has to be told where `lab-host` is), or the build fails.
pub fn supervisor_path() -> Result<PathBuf, Error> {
    let exe = std::env::current_exe().map_err(Error::io("find", Path::new("/proc/self/exe")))?;
    let Some((target, dir)) = folders(&exe) else {
        return Err(Error::Config {
            what: "program",
            value: exe.display().to_string(),
            rule: "must lie in cargo's target folder, or the lab be told where lab-host is",
        });
    };
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

/// Cargo's target folder and the profile's in it, for a program that lies in the latter, or in `deps` (tests) or `examples`
/// below it.
fn folders(exe: &Path) -> Option<(&Path, &Path)> {
    let mut dir = exe.parent()?;
    if dir.ends_with("deps") || dir.ends_with("examples") {
        dir = dir.parent()?;
    }
    let target = dir.parent()?;
    target
        .join("CACHEDIR.TAG")
        .exists()
        .then_some((target, dir))
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
