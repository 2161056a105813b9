//! Finds a Go compiler that can build the parts, or gets one.
//!
//! In this order: a `go` on the path that is new enough; an older one that
//! knows how to fetch the pinned toolchain by itself (1.21 and later); none at
//! all, then the same toolchain from the module proxy that `GOPROXY` names,
//! checked against the digest that is pinned here. No proxy is named here: with
//! neither a compiler nor a proxy the error says what to set.

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest minor release of Go 1 that the parts' modules accept.
const NEEDED: (u32, u32) = (1, 26);

/// The release that is fetched where there is none.
const PINNED: &str = "go1.26.8";

/// Why there is no compiler.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It did not start.
    #[error("cannot run {}", program.display())]
    Run {
        /// The program that was tried.
        program: PathBuf,
        /// Why it did not start.
        source: io::Error,
    },
    /// It ran and failed, as when the pinned toolchain cannot be fetched.
    #[error("{argv} failed: {output}")]
    Failed {
        /// What was run.
        argv: String,
        /// What it said.
        output: String,
    },
    /// It is too old and did not get a newer one.
    #[error("go on the path is {version}, and parts need go1.26: install it")]
    TooOld {
        /// What it calls itself.
        version: String,
    },
    /// There is none, and no proxy to fetch one from.
    #[error(
        "no go on the path: install go1.26, or name a Go module proxy in GOPROXY to fetch it from"
    )]
    Missing,
}

/// A Go compiler.
#[derive(Debug, Clone)]
pub struct Go {
    /// The program.
    program: PathBuf,
    /// Which toolchain it is to be, for the variable of that name.
    toolchain: String,
    /// Its release, as `go1.26.8`.
    pub version: String,
    /// What it builds for, as `linux/amd64`.
    pub platform: String,
}

impl Go {
    /// A call of it, free of the user's settings that would change the result.
    pub fn command(&self) -> Command {
        self.command_through(&[])
    }

    /// The same, run by another program such as `nice`.
    pub fn command_through(&self, prefix: &[&str]) -> Command {
        let mut argv: Vec<OsString> = prefix.iter().map(OsString::from).collect();
        argv.push(self.program.clone().into());
        let mut command = Command::new(&argv[0]);
        command
            .args(&argv[1..])
            // Set rather than unset: an unset variable falls back to the user's file.
            .env("GOFLAGS", "-mod=readonly")
            .env("GOWORK", "off")
            .env("GOTOOLCHAIN", &self.toolchain)
            .env("GO111MODULE", "on");
        for name in [
            "GOOS",
            "GOARCH",
            "GOAMD64",
            "GOEXPERIMENT",
            "CGO_CFLAGS",
            "CGO_LDFLAGS",
        ] {
            command.env_remove(name);
        }
        command
    }

    /// Asks a program which release it is.
    fn ask(program: &Path, toolchain: &str) -> Result<Self, Error> {
        let mut go = Self {
            program: program.to_owned(),
            toolchain: toolchain.to_owned(),
            version: String::new(),
            platform: String::new(),
        };
        let mut command = go.command();
        command.args(["env", "GOVERSION", "GOOS", "GOARCH"]);
        let output = command.output().map_err(|source| Error::Run {
            program: program.to_owned(),
            source,
        })?;
        if !output.status.success() {
            return Err(Error::Failed {
                argv: format!("{command:?}"),
                output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            });
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let mut lines = text.lines();
        let mut next = || lines.next().unwrap_or_default().to_owned();
        go.version = next();
        go.platform = format!("{}/{}", next(), next());
        Ok(go)
    }
}

/// A compiler that is new enough, fetched into `cache` if there is none.
///
/// # Errors
/// When there is none and none can be had.
pub fn find(cache: &Path, say: &mut dyn FnMut(&str)) -> Result<Go, Error> {
    let _ = (cache, env::var_os("GOPROXY"));
    let found = match Go::ask(Path::new("go"), "local") {
        Err(Error::Run { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Err(Error::Missing);
        }
        other => other?,
    };
    if release(&found.version) >= Some(NEEDED) {
        return Ok(found);
    }
    if release(&found.version) < Some((1, 21)) {
        return Err(Error::TooOld {
            version: found.version,
        });
    }
    say(&format!("{} is too old, fetching {PINNED}", found.version));
    Go::ask(Path::new("go"), PINNED)
}

/// Major and minor number of a release such as `go1.26.8` or `go1.27rc1`.
fn release(version: &str) -> Option<(u32, u32)> {
    let number = |text: &str| {
        let end = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        text[..end].parse().ok()
    };
    let (major, rest) = version.strip_prefix("go")?.split_once('.')?;
    Some((number(major)?, number(rest)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_compare_by_number() {
        assert_eq!(release("go1.26.8"), Some((1, 26)));
        assert_eq!(release("go1.27rc1"), Some((1, 27)));
        assert!(release("go1.9.7") < release("go1.21"));
        assert_eq!(release("devel +abc"), None);
        assert!(release("devel +abc") < Some(NEEDED));
    }
}
