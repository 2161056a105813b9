//! The shipped tools and the supplies, handed over by the task runner.

use std::path::{Path, PathBuf};

use crate::Error;

/// This machine and the hosts of its labs, as release files name it.
const ARCH: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "amd64"
};

/// The SHA-256 of a file of this machine, hexadecimal.
///
/// # Errors
/// It cannot be read.
pub fn sha256(path: &Path) -> Result<String, Error> {
    let digest = std::fs::File::open(path).and_then(host::Digest::of_reader);
    match digest {
        Ok((digest, _)) => Ok(digest.to_string()),
        Err(source) => Err(Error::File {
            action: "read",
            path: path.to_owned(),
            source,
        }),
    }
}

/// Where the things lie that tests put on hosts.
#[derive(Debug, Clone)]
pub struct Equipment {
    /// The folder with `etcdadm`, `nodeadm` and `cctl` as they are shipped.
    pub tools: PathBuf,
    /// The folder with `bundle.oci`, `etcd.oci` and `mirror`.
    pub supplies: PathBuf,
}

impl Equipment {
    /// What `cargo xtask test` hands over.
    ///
    /// # Errors
    /// [`Error::NotEquipped`], when the tests were started without it.
    pub fn from_environment() -> Result<Self, Error> {
        let folder = |name| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .ok_or(Error::NotEquipped(name))
        };
        Ok(Self {
            tools: folder("KLUSTERKIT_TOOLS")?,
            supplies: folder("KLUSTERKIT_SUPPLIES")?,
        })
    }

    /// A shipped tool.
    #[must_use]
    pub fn tool(&self, name: &str) -> PathBuf {
        self.tools.join(name)
    }

    /// The bundle with all that a cluster needs.
    #[must_use]
    pub fn bundle(&self) -> PathBuf {
        self.supplies.join("bundle.oci")
    }

    /// The bundle with this release of Kubernetes (as `1.36.3`): the one with all, or one that a sweep was equipped with.
    #[must_use]
    pub fn kubernetes(&self, version: &str) -> PathBuf {
        let other = self.supplies.join(format!("kubernetes-{version}.oci"));
        if other.exists() { other } else { self.bundle() }
    }

    /// Whether there is a bundle with this release of Kubernetes.
    #[must_use]
    pub fn has_kubernetes(&self, version: &str) -> bool {
        let other = self.supplies.join(format!("kubernetes-{version}.oci"));
        let component = |entry: &bundle::Entry| {
            matches!(entry, bundle::Entry::Component(component)
                if component.name == "kubernetes" && component.version == format!("v{version}"))
        };
        other.exists()
            || bundle::Layout::open(&self.bundle())
                .and_then(|layout| layout.entries())
                .is_ok_and(|entries| entries.iter().any(component))
    }

    /// An etcd release as upstream publishes it; `version` as `3.7.3`.
    #[must_use]
    pub fn etcd(&self, version: &str) -> PathBuf {
        self.supplies.join(format!(
            "mirror/github.com/etcd-io/etcd/releases/download/v{version}/{}.tar.gz",
            Self::etcd_name(version)
        ))
    }

    /// The name of a release's archive without its suffix, which is that of the folder in it, too.
    #[must_use]
    pub fn etcd_name(version: &str) -> String {
        format!("etcd-v{version}-linux-{ARCH}")
    }

    /// An OCI layout with the releases of etcd that the bundle does not have, and with an image of each release.
    #[must_use]
    pub fn etcd_layout(&self) -> PathBuf {
        self.supplies.join("etcd.oci")
    }

    /// kubectl, for the admin's machine.
    ///
    /// # Errors
    /// The supplies have none.
    pub fn kubectl(&self) -> Result<PathBuf, Error> {
        let releases = self.supplies.join("mirror/dl.k8s.io/release");
        newest(&releases).map(|version| version.join(format!("bin/linux/{ARCH}/kubectl")))
    }
}

fn newest(folder: &Path) -> Result<PathBuf, Error> {
    let error = |source| Error::File {
        action: "list",
        path: folder.to_owned(),
        source,
    };
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect()
        })
        .map_err(error)?;
    found.sort();
    found
        .pop()
        .ok_or_else(|| error(std::io::ErrorKind::NotFound.into()))
}
