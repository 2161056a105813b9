//! Finds a Go compiler that can build the parts, or gets one.
//!
//! In this order: a `go` on the path that is new enough; an older one that
//! knows how to fetch the pinned toolchain by itself (1.21 and later); none at
//! all, then the same toolchain from the module proxy that `GOPROXY` names,
//! checked against the digest that is pinned here. No proxy is named here: with
//! neither a compiler nor a proxy the error says what to set.

use std::env;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use ureq::tls::{PemItem, RootCerts, TlsConfig};

use crate::files::{self, FileError, at};
use crate::unzip;

/// The oldest minor release of Go 1 that the parts' modules accept.
const NEEDED: (u32, u32) = (1, 26);

/// The release that is fetched where there is none.
const PINNED: &str = "go1.26.8";

/// Its digest, as the module proxy's zip, by architecture.
const PINNED_ZIPS: &[(&str, &str)] = &[
    (
        "amd64",
        "30c2b1bf7dcc88d3eb0a1364e47ddd9128edb3110a30e8a0ef61cd5856b31de7",
    ),
    (
        "arm64",
        "02b36b6787b3ac767668f630e2998df45a3b1f9ffee08d1bf3ef6487cd658d99",
    ),
];

/// No toolchain's zip is larger.
const LARGEST: u64 = 256 << 20;

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
    /// The proxy did not give the toolchain.
    #[error("cannot fetch {url}")]
    Fetch {
        /// From where.
        url: String,
        /// Why not.
        source: Box<ureq::Error>,
    },
    /// What the proxy gave is something else.
    #[error("{url} has the digest {found}, not {expected}")]
    Digest {
        /// From where it came.
        url: String,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// The toolchain cannot be unpacked.
    #[error("cannot unpack the toolchain")]
    Unpack(#[source] unzip::Error),
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
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
    let found = match Go::ask(Path::new("go"), "local") {
        Err(Error::Run { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            let proxies = env::var("GOPROXY").unwrap_or_default();
            let proxy = first_proxy(&proxies).ok_or(Error::Missing)?;
            Go::ask(&fetched(cache, proxy, say)?, "local")?
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

/// The first of the proxies in a `GOPROXY` that is one.
fn first_proxy(list: &str) -> Option<&str> {
    list.split([',', '|'])
        .map(str::trim)
        .find(|entry| entry.starts_with("https://") || entry.starts_with("http://"))
        .map(|entry| entry.trim_end_matches('/'))
}

/// The pinned toolchain's `go`, fetched unless the cache has it.
fn fetched(cache: &Path, proxy: &str, say: &mut dyn FnMut(&str)) -> Result<PathBuf, Error> {
    let (arch, digest) = PINNED_ZIPS
        .iter()
        .find(|(arch, _)| *arch == crate::mirror::ARCH)
        .ok_or(Error::Missing)?;
    let version = format!("v0.0.1-{PINNED}.linux-{arch}");
    let folder = cache.join(format!("{PINNED}-{}", &digest[..16]));
    if folder.is_dir() {
        return Ok(folder.join("bin/go"));
    }
    let url = format!("{proxy}/golang.org/toolchain/@v/{version}.zip");
    say(&format!("no go on the path, fetching {PINNED}"));
    let unfinished = cache.join(format!(".unfinished-{PINNED}-{}", std::process::id()));
    let zip = unfinished.with_extension("zip");
    download(&url, &zip)?;
    let (found, _) = files::sha256_of(&zip)?;
    if found != *digest {
        files::remove_file_if_there(&zip)?;
        return Err(Error::Digest {
            url,
            expected: digest,
            found,
        });
    }
    unpack_toolchain(&zip, &version, &unfinished)?;
    files::remove_file_if_there(&zip)?;
    match files::publish(&unfinished, &folder) {
        // Somebody else was quicker, with the same toolchain.
        Err(_) if folder.is_dir() => {}
        other => other?,
    }
    Ok(folder.join("bin/go"))
}

fn download(url: &str, to: &Path) -> Result<(), Error> {
    let failed = |source| Error::Fetch {
        url: url.to_owned(),
        source: Box::new(source),
    };
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .tls_config(TlsConfig::builder().root_certs(authorities()?).build())
        .build()
        .into();
    let mut response = agent.get(url).call().map_err(failed)?;
    let bytes = response
        .body_mut()
        .with_config()
        .limit(LARGEST)
        .read_to_vec()
        .map_err(failed)?;
    Ok(files::write(to, &bytes)?)
}

/// The authorities of the file that `SSL_CERT_FILE` names, as `go` itself would
/// take them; else the public ones.
fn authorities() -> Result<RootCerts, FileError> {
    let Some(path) = env::var_os("SSL_CERT_FILE").map(PathBuf::from) else {
        return Ok(RootCerts::WebPki);
    };
    let text = files::read(&path)?;
    let certificates = ureq::tls::parse_pem(&text).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    Ok(RootCerts::Specific(Arc::new(certificates.collect())))
}

/// Module zips carry no modes: what is run gets its own here, as `go` does it.
fn unpack_toolchain(zip: &Path, version: &str, to: &Path) -> Result<(), Error> {
    let prefix = format!("golang.org/toolchain@{version}/");
    unzip::unpack(zip, &prefix, to).map_err(Error::Unpack)?;
    for file in files::walk(to)? {
        if file.starts_with("bin") || file.starts_with("pkg/tool") {
            let path = to.join(file);
            let mode = Permissions::from_mode(0o755);
            at("make runnable", &path, fs::set_permissions(&path, mode))?;
        }
    }
    Ok(())
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
    fn the_first_proxy_is_taken() {
        assert_eq!(
            first_proxy("off,https://a.example/,direct"),
            Some("https://a.example")
        );
        assert_eq!(first_proxy("direct"), None);
        assert_eq!(first_proxy(""), None);
    }

    #[test]
    fn a_toolchain_of_another_digest_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let arch = crate::mirror::ARCH;
        let path = format!("golang.org/toolchain/@v/v0.0.1-{PINNED}.linux-{arch}.zip");
        files::write(&dir.path().join("proxy").join(&path), b"PK").unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = crate::serve::Server::start(listener, &dir.path().join("proxy")).unwrap();
        let cache = dir.path().join("cache");
        let error = fetched(&cache, &server.url(""), &mut |_| {}).unwrap_err();
        assert!(matches!(error, Error::Digest { .. }), "{error}");
        assert!(files::walk(&cache).unwrap().is_empty());
    }

    #[test]
    fn an_unpacked_toolchain_runs() {
        let dir = tempfile::tempdir().unwrap();
        let zip = dir.path().join("x.zip");
        let version = "v0.0.1-go1.26.8.linux-amd64";
        let name = format!("golang.org/toolchain@{version}/bin/go");
        let script: &[u8] = b"#!/bin/sh\nprintf 'go1.26.8\\nlinux\\namd64\\n'\n";
        files::write(&zip, &unzip::tests::zip(&[(&name, script)])).unwrap();
        let to = dir.path().join("go");
        unpack_toolchain(&zip, version, &to).unwrap();
        let go = Go::ask(&to.join("bin/go"), "local").unwrap();
        assert_eq!(
            (go.version, go.platform),
            ("go1.26.8".into(), "linux/amd64".into())
        );
    }

    #[test]
    fn releases_compare_by_number() {
        assert_eq!(release("go1.26.8"), Some((1, 26)));
        assert_eq!(release("go1.27rc1"), Some((1, 27)));
        assert!(release("go1.9.7") < release("go1.21"));
        assert_eq!(release("devel +abc"), None);
        assert!(release("devel +abc") < Some(NEEDED));
    }
}
