//! The root that kube-proxy's, flannel's and keepalived's images share: a small
//! Debian with the firewall tools, made by `mmdebstrap` and thinned out.
//!
//! Its packages are those of the day when it is made, from the mirror that the
//! machine's own `mmdebstrap` takes: unlike the parts it is not pinned. It is
//! kept in the cache until the list here changes.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use tar::{Archive, EntryType};

use crate::archive::{Writer, Written};
use crate::ensure::Workshop;
use crate::files::{self, FileError, at};

/// The release: the last whose systemd and tools know both cgroup versions.
const SUITE: &str = "bookworm";

/// What is in it beside the essential packages.
const PACKAGES: &[&str] = &[
    "iptables",
    "nftables",
    "conntrack",
    "ipset",
    "ca-certificates",
    "keepalived",
    "kmod",
    "iproute2",
];

/// What is left out again: documentation, translations, and the Perl that no
/// program of these images runs. `libperl.so` stays, keepalived links to it.
const DROPPED: &[&str] = &[
    "boot/",
    "dev/",
    "proc/",
    "run/",
    "sys/",
    "tmp/",
    "usr/bin/perl",
    "usr/lib/x86_64-linux-gnu/gconv/",
    "usr/lib/x86_64-linux-gnu/perl",
    "usr/lib/aarch64-linux-gnu/gconv/",
    "usr/lib/aarch64-linux-gnu/perl",
    "usr/share/bash-completion/",
    "usr/share/doc/",
    "usr/share/info/",
    "usr/share/lintian/",
    "usr/share/locale/",
    "usr/share/man/",
    "usr/share/misc/",
    "usr/share/perl",
    "usr/share/snmp/",
    "var/cache/",
    "var/lib/apt/",
    "var/lib/dpkg/info/",
    "var/lib/dpkg/status-old",
    "var/log/",
];

/// Why there is no root.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// `mmdebstrap` is not there.
    #[error("cannot run mmdebstrap: install it (Debian package mmdebstrap)")]
    Missing {
        /// Why it did not start.
        source: io::Error,
    },
    /// It ran and failed.
    #[error("mmdebstrap failed: {output}")]
    Failed {
        /// The end of what it said.
        output: String,
    },
    /// What was kept beside the layer cannot be read.
    #[error("{} is not what was written there: delete its folder", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// The shared root.
#[derive(Debug, Clone)]
pub struct Root {
    /// Its layer.
    pub layer: PathBuf,
    /// What the layer is known by.
    pub written: Written,
    /// Names and versions of its packages.
    pub packages: Vec<(String, String)>,
}

impl Root {
    /// The version of a package, if it is in.
    pub fn package(&self, name: &str) -> Option<&str> {
        let found = self.packages.iter().find(|(n, _)| n == name)?;
        Some(&found.1)
    }
}

/// Makes the root unless it is cached; `say` gets one line a step.
///
/// # Errors
/// When it can neither be found nor made.
pub fn root(workshop: &Workshop, say: &mut dyn FnMut(&str)) -> Result<Root, Error> {
    let recipe = format!(
        "2\n{SUITE}\n{}\n{}\n",
        PACKAGES.join(" "),
        DROPPED.join(" ")
    );
    let key = &files::sha256(recipe.as_bytes())[..16];
    let folder = workshop.entry("debian-root", key, say, make)?;
    let status = folder.join("packages.txt");
    let listed = files::read(&status)?;
    let packages = String::from_utf8_lossy(&listed)
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, version)| (name.to_owned(), version.to_owned()))
        .collect();
    Ok(Root {
        layer: folder.join("layer.tar.gz"),
        written: Written::read(&folder)?.ok_or(Error::Damaged { path: folder })?,
        packages,
    })
}

fn make(out: &Path) -> Result<(), Error> {
    let full = out.join("full.tar");
    let made = Command::new("nice")
        .args(["-n", "5", "mmdebstrap", "--quiet", "--variant=essential"])
        .arg(format!("--include={}", PACKAGES.join(",")))
        .args([SUITE])
        .arg(&full)
        .output()
        .map_err(|source| Error::Missing { source })?;
    if !made.status.success() {
        let said = String::from_utf8_lossy(&made.stderr);
        let lines: Vec<&str> = said.lines().collect();
        return Err(Error::Failed {
            output: lines[lines.len().saturating_sub(5)..].join("\n"),
        });
    }
    let layer = out.join("layer.tar.gz");
    let mut status = String::new();
    let written = thin_out(&full, &layer, &mut status)?;
    files::remove_file_if_there(&full)?;
    written.keep(out)?;
    let listed: String = packages(&status)
        .iter()
        .map(|(name, version)| format!("{name} {version}\n"))
        .collect();
    Ok(files::write(&out.join("packages.txt"), listed.as_bytes())?)
}

/// Copies the archive without what is dropped, dated as all our archives, and
/// picks the package database out on the way.
fn thin_out(full: &Path, layer: &Path, status: &mut String) -> Result<Written, FileError> {
    let mut archive = Archive::new(at("open", full, File::open(full))?);
    let mut to = Writer::create(layer)?;
    for entry in at("read", full, archive.entries())? {
        let mut entry = at("read", full, entry)?;
        let path = at("read", full, entry.path().map(|p| p.into_owned()))?;
        let name = path.to_string_lossy();
        let name = name.strip_prefix("./").unwrap_or(&name);
        if name.is_empty() || name == "./" || is_dropped(name) {
            continue;
        }
        let mut header = entry.header().clone();
        match header.entry_type() {
            EntryType::Symlink | EntryType::Link => {
                let target = at("read", full, entry.link_name())?.unwrap_or_default();
                let target = target.strip_prefix("./").unwrap_or(&target);
                to.append_link(&mut header, name, target)?;
            }
            _ if name == "var/lib/dpkg/status" => {
                at("read", full, entry.read_to_string(status))?;
                to.append_as(&mut header, name, status.as_bytes())?;
            }
            _ => to.append_as(&mut header, name, entry)?,
        }
    }
    to.finish()
}

/// The folders themselves stay, since programs expect them, and so do licences.
fn is_dropped(name: &str) -> bool {
    !name.ends_with("/copyright")
        && DROPPED.iter().any(|dropped| {
            name.starts_with(dropped) && !(name == *dropped && dropped.ends_with('/'))
        })
}

/// Names and versions in Debian's package database.
fn packages(status: &str) -> Vec<(String, String)> {
    status
        .split("\n\n")
        .filter_map(|paragraph| {
            let field = |name: &str| {
                paragraph
                    .lines()
                    .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            };
            Some((field("Package")?.to_owned(), field("Version")?.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_licences_stay() {
        for kept in [
            "dev/",
            "tmp/",
            "usr/share/doc/",
            "usr/share/doc/iptables/copyright",
            "usr/lib/x86_64-linux-gnu/libperl.so.5.36.0",
            "usr/sbin/keepalived",
        ] {
            assert!(!is_dropped(kept), "{kept}");
        }
        for dropped in [
            "dev/null",
            "usr/bin/perl",
            "usr/bin/perl5.36.0",
            "usr/share/doc/iptables/changelog.gz",
            "var/lib/dpkg/info/iptables.list",
        ] {
            assert!(is_dropped(dropped), "{dropped}");
        }
    }

    #[test]
    fn the_package_database_is_understood() {
        let status = "Package: a\nStatus: install ok installed\nVersion: 1:2-3\nDescription: x\n more\n\n\
                      Package: b\nVersion: 4\n\n";
        assert_eq!(
            packages(status),
            [("a", "1:2-3"), ("b", "4")].map(|(n, v)| (n.to_owned(), v.to_owned()))
        );
    }
}
