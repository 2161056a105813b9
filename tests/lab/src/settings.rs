//! What a lab and its hosts are made of, as their folder remembers it, and where everything of theirs lies.
//!
//! Two places: the lab's folder holds what a machine's disk would (it survives everything), and a folder under `/run` holds
//! what is true only while processes run (it is gone after a reboot of the machine, and so are they).

use std::fmt;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::files;

const RUN: &str = "/run/klusterkit-lab";

/// The most hosts of one lab; their names are in every host's `/etc/hosts`.
pub(crate) const MOST_HOSTS: u8 = 32;

/// The first three numbers of a lab's /24 network. Labs are isolated: several may have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet(pub [u8; 3]);

impl Default for Subnet {
    /// 10.77.0.0/24.
    fn default() -> Self {
        Self([10, 77, 0])
    }
}

impl Subnet {
    /// The address with this last number.
    #[must_use]
    pub fn address(self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(self.0[0], self.0[1], self.0[2], last)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/24", self.address(0))
    }
}

impl FromStr for Subnet {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bare = text.strip_suffix("/24").unwrap_or(text);
        match bare.parse::<Ipv4Addr>().map(|address| address.octets()) {
            Ok([a, b, c, 0]) => Ok(Self([a, b, c])),
            _ => Err(Error::Config {
                what: "network",
                value: text.to_owned(),
                rule: "must be written like 10.77.0.0/24",
            }),
        }
    }
}

/// What a host keeps its files on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Disk {
    /// An ext4 file system of this many bytes (sparse: it takes what is used). It can fill up and fail, and power loss takes
    /// from it what was not synced.
    Image(u64),
    /// A plain folder of the machine's own file system: nothing is ever lost, and it is as large as that is.
    Folder,
}

/// What a host is made of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HostSpec {
    /// Its disk; by default an image of 16 GiB.
    pub disk: Disk,
    /// Memory limit in bytes; by default the machine's.
    pub memory: Option<u64>,
    /// CPU limit in cores, parts of one too; by default the machine's.
    pub cpus: Option<f64>,
}

impl Default for HostSpec {
    fn default() -> Self {
        Self {
            disk: Disk::Image(16 << 30),
            memory: None,
            cpus: None,
        }
    }
}

/// A lab as its folder remembers it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) net: Subnet,
    pub(crate) base: PathBuf,
    pub(crate) supervisor: PathBuf,
    /// Left standing on purpose when its maker ended.
    pub(crate) kept: bool,
}

/// A lab's settings with the places that follow from them.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) dir: PathBuf,
    pub(crate) settings: Settings,
}

impl Site {
    pub(crate) fn load(dir: &Path) -> Result<Self, Error> {
        let settings = load(&dir.join("lab.json"))?;
        Ok(Self {
            dir: dir.to_path_buf(),
            settings,
        })
    }

    pub(crate) fn save(&self) -> Result<(), Error> {
        save(&self.dir.join("lab.json"), &self.settings)
    }

    /// The name of its network namespace, and of its cgroup in each hierarchy. The dot keeps labs and hosts apart: no lab's
    /// name has one.
    pub(crate) fn space(&self) -> String {
        space(&self.settings.name)
    }

    pub(crate) fn host_space(&self, host: &str) -> String {
        format!("{}.{host}", self.space())
    }

    pub(crate) fn host_dir(&self, host: &str) -> PathBuf {
        self.dir.join(host)
    }

    pub(crate) fn host_address(&self, host: &str) -> Ipv4Addr {
        self.settings.net.address(10 + number(host).unwrap_or(0))
    }

    /// What is true while processes run.
    pub(crate) fn run_dir(&self) -> PathBuf {
        run_dir(&self.settings.name)
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.dir.join("id_ed25519")
    }

    pub(crate) fn known_hosts(&self) -> PathBuf {
        self.dir.join("known_hosts")
    }

    pub(crate) fn host_spec(&self, host: &str) -> Result<HostSpec, Error> {
        load(&self.host_dir(host).join("host.json"))
    }

    /// The hosts whose folders are there, in order.
    pub(crate) fn host_names(&self) -> Result<Vec<String>, Error> {
        let mut numbers: Vec<u8> = files::names(&self.dir)?
            .iter()
            .filter_map(|name| number(name))
            .collect();
        numbers.sort_unstable();
        Ok(numbers.into_iter().map(|n| format!("h{n}")).collect())
    }
}

pub(crate) fn space(lab: &str) -> String {
    format!("klusterkit.{lab}")
}

pub(crate) fn run_dir(lab: &str) -> PathBuf {
    Path::new(RUN).join(lab)
}

/// The N of hN.
pub(crate) fn number(host: &str) -> Option<u8> {
    let n: u8 = host.strip_prefix('h')?.parse().ok()?;
    ((1..=MOST_HOSTS).contains(&n) && format!("h{n}") == host).then_some(n)
}

pub(crate) fn load<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Error> {
    serde_json::from_str(&files::read(path)?).map_err(|source| Error::State {
        path: path.to_path_buf(),
        source,
    })
}

pub(crate) fn save<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).map_err(|source| Error::State {
        path: path.to_path_buf(),
        source,
    })?;
    files::replace(path, text + "\n", 0o644)
}

/// A lab's name becomes part of file, cgroup and namespace names.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let fits = (1..=32).contains(&name.len())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !name.starts_with('-');
    if fits {
        Ok(())
    } else {
        Err(Error::Config {
            what: "lab name",
            value: name.to_owned(),
            rule: "must be 1 to 32 of a-z, 0-9 and -",
        })
    }
}

/// These paths become mount options, where commas and colons part one from the next.
pub(crate) fn check_path(what: &'static str, path: &Path) -> Result<(), Error> {
    let text = path.to_string_lossy();
    if path.is_absolute() && !text.contains([',', ':', '\\', '"', ' ', '\n']) {
        return Ok(());
    }
    Err(Error::Config {
        what,
        value: text.into_owned(),
        rule: "must be absolute, without commas, colons, backslashes, quotes and spaces",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_names() {
        assert_eq!("10.77.0.0/24".parse::<Subnet>().unwrap(), Subnet::default());
        assert_eq!(Subnet::default().to_string(), "10.77.0.0/24");
        assert!("10.77.0.1/24".parse::<Subnet>().is_err());
        assert_eq!(
            ["h1", "h32", "h0", "h33", "h01", "x1", "h"].map(number),
            [Some(1), Some(32), None, None, None, None, None]
        );
        assert!(check_name("a-1").is_ok());
        for bad in ["", "A", "a.b", "-a", "a/b"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
