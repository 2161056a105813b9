//! Saved hosts: what a cluster took minutes to become is copied in seconds.
//!
//! A checkpoint is a folder that looks like a lab's: its key, and of each host its disk and what makes it that host. Hosts
//! made from it have the same names, addresses, keys and machine ids, so they live in a lab of their own, one lab beside
//! the other if need be. Images are cloned where the file system can (btrfs, xfs), else their used parts are copied.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::Error;
use crate::files;
use crate::run::Run;
use crate::settings::{Site, Subnet};

/// What a host is besides its console and its mount points.
const PARTS: &[&str] = &[
    "host.json",
    "machine-id",
    "product_uuid",
    "ssh_host_ed25519_key",
    "ssh_host_ed25519_key.pub",
    "disk.img",
    "disk",
];

pub(crate) fn save(site: &Site, to: &Path) -> Result<(), Error> {
    if to.exists() {
        return Err(taken(to));
    }
    let mut beside = to.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    files::remove_tree(&beside)?;
    files::make_dir(&beside)?;
    copy_all(&site.dir, &beside, &site.host_names()?)?;
    crate::settings::save(&beside.join("lab.json"), &site.settings)?;
    std::fs::rename(&beside, to).map_err(Error::io("put in its place", to))
}

pub(crate) fn restore(from: &Path, site: &Site) -> Result<(), Error> {
    let saved = Site::load(from)?;
    let differs = |what, value: String, rule| Err(Error::Config { what, value, rule });
    // The upper directory of an overlay fits no other lower one.
    if saved.settings.base != site.settings.base {
        let value = saved.settings.base.display().to_string();
        return differs("base of the checkpoint", value, "must be the lab's");
    }
    // Its hosts have their addresses in certificates and files.
    let net: Subnet = saved.settings.net;
    if net != site.settings.net {
        return differs(
            "network of the checkpoint",
            net.to_string(),
            "must be the lab's",
        );
    }
    copy_all(from, &site.dir, &saved.host_names()?)
}

fn copy_all(from: &Path, to: &Path, hosts: &[String]) -> Result<(), Error> {
    for name in ["id_ed25519", "id_ed25519.pub"] {
        copy(&from.join(name), &to.join(name))?;
    }
    // One after the other: the disk that they lie on is one.
    for host in hosts {
        files::make_dir(&to.join(host))?;
        for part in PARTS {
            let part_from = from.join(host).join(part);
            if part_from.exists() {
                copy(&part_from, &to.join(host).join(part))?;
            }
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    Run::here([
        "cp",
        "--archive",
        "--sparse=always",
        "--reflink=auto",
        "--no-target-directory",
    ])
    .args([from, to])
    .timeout(Duration::from_secs(900))
    .check()
    .map(drop)
}

fn taken(to: &Path) -> Error {
    Error::Io {
        what: "make folder",
        path: to.to_path_buf(),
        source: std::io::ErrorKind::AlreadyExists.into(),
    }
}
