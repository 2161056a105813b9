//! What of a bundle each role needs, the first needed first.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use api::{ClusterConfiguration, Cni, Role};
use bundle::{Component, Entry, Layout};
use host::Digest;

use crate::Error;
use crate::fleet::ToolDigests;

/// The node tools, which are components of a bundle.
pub(crate) const TOOLS: [&str; 2] = ["etcdadm", "nodeadm"];
/// Components that a Kubernetes host needs besides Kubernetes.
const RUNTIME: [&str; 3] = ["containerd", "runc", "cni-plugins"];

/// A bundle that is open.
#[derive(Debug, Clone)]
pub struct Artifacts {
    layout: Arc<Layout>,
    entries: Arc<Vec<Entry>>,
}

impl Artifacts {
    /// Opens a bundle: a folder or a tar.
    ///
    /// # Errors
    /// When it is none.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let layout = Layout::open(path)?;
        let entries = layout.entries()?;
        Ok(Self {
            layout: Arc::new(layout),
            entries: Arc::new(entries),
        })
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.layout.path().to_owned()
    }

    fn lacks(&self, missing: Vec<String>) -> Error {
        Error::NotInBundle {
            bundle: self.path(),
            missing,
        }
    }

    /// The digests of the node tools for `arch`.
    pub(crate) fn tools(&self, arch: &str) -> Result<ToolDigests, Error> {
        let mut digests = ToolDigests::new();
        for name in TOOLS {
            let blob = self.tool_blob(name, arch)?;
            digests.insert(name.to_owned(), blob.digest);
        }
        Ok(digests)
    }

    /// A node tool's only file.
    pub(crate) fn tool_blob(
        &self,
        name: &str,
        arch: &str,
    ) -> Result<&bundle::oci::Descriptor, Error> {
        let component = self
            .newest(name, arch)
            .ok_or_else(|| self.lacks(vec![format!("{name} ({arch})")]))?;
        component
            .file(name)
            .or_else(|| component.files.first())
            .map(|file| &file.blob)
            .ok_or_else(|| self.lacks(vec![format!("the program of {name} ({arch})")]))
    }

    fn newest(&self, name: &str, arch: &str) -> Option<&Component> {
        let of =
            |entry: &'_ Entry| matches!(entry, Entry::Component(c) if c.is(name, &c.version, arch));
        let components = self
            .entries
            .iter()
            .filter(|entry| of(entry))
            .filter_map(|entry| match entry {
                Entry::Component(component) => Some(component),
                Entry::Image(_) => None,
            });
        components.max_by_key(|component| numbers(&component.version))
    }

    /// The versions of the components beside Kubernetes and etcd, which hosts are to use.
    #[must_use]
    pub fn component_versions(
        &self,
        configuration: &ClusterConfiguration,
        arch: &str,
    ) -> Vec<(String, String)> {
        let flannel = (configuration.network.cni == Cni::Flannel).then_some("flannel");
        let names = RUNTIME.into_iter().chain(flannel);
        names
            .filter_map(|name| Some((name.to_owned(), self.newest(name, arch)?.version.clone())))
            .collect()
    }

    /// What an etcd host needs.
    ///
    /// # Errors
    /// [`Error::NotInBundle`].
    pub fn for_etcd(
        &self,
        configuration: &ClusterConfiguration,
        arch: &str,
    ) -> Result<Vec<Entry>, Error> {
        let version = configuration.etcd.version.to_string();
        let found = self
            .entries
            .iter()
            .find(|entry| matches!(entry, Entry::Component(c) if c.is("etcd", &version, arch)));
        found
            .map(|entry| vec![entry.clone()])
            .ok_or_else(|| self.lacks(vec![format!("etcd {version} ({arch})")]))
    }

    /// What a Kubernetes host of `role` needs, in the order in which it needs it.
    ///
    /// # Errors
    /// [`Error::NotInBundle`] with all that is missing.
    pub fn for_kubernetes(
        &self,
        configuration: &ClusterConfiguration,
        role: Role,
        arch: &str,
    ) -> Result<Vec<Entry>, Error> {
        let version = configuration.kubernetes.version.to_string();
        let mut missing = Vec::new();
        let mut entries: Vec<Entry> = Vec::new();
        let flannel = configuration.network.cni == Cni::Flannel;
        for name in RUNTIME.into_iter().chain(flannel.then_some("flannel")) {
            match self.newest(name, arch) {
                Some(component) => entries.push(Entry::Component(component.clone())),
                None => missing.push(format!("{name} ({arch})")),
            }
        }
        let kubernetes = self.entries.iter().find(
            |entry| matches!(entry, Entry::Component(c) if c.is("kubernetes", &version, arch)),
        );
        match kubernetes {
            Some(entry) => entries.insert(0, entry.clone()),
            None => missing.push(format!("kubernetes {version} ({arch})")),
        }
        let own = |name: &str| format!("{name}:{version}");
        let master = role == Role::Master;
        let mut images = vec!["pause:".to_owned()];
        if master {
            if configuration.keepalived().is_some() {
                images.push("keepalived:".to_owned());
            }
            images.extend([
                own("kube-apiserver"),
                own("kube-controller-manager"),
                own("kube-scheduler"),
            ]);
        }
        images.push(own("kube-proxy"));
        if flannel {
            images.extend(["flannel:".to_owned(), "flannel-cni-plugin:".to_owned()]);
        }
        images.push("coredns:".to_owned());
        for wanted in images {
            let before = entries.len();
            entries.extend(
                self.entries
                    .iter()
                    .filter(|entry| is_image(entry, &wanted, arch))
                    .cloned(),
            );
            if entries.len() == before {
                missing.push(format!("image {} ({arch})", wanted.trim_end_matches(':')));
            }
        }
        if missing.is_empty() {
            Ok(entries)
        } else {
            Err(self.lacks(missing))
        }
    }
}

/// Whether the last part of the image's reference is `wanted`, or begins with it when that ends with a colon.
fn is_image(entry: &Entry, wanted: &str, arch: &str) -> bool {
    let Entry::Image(image) = entry else {
        return false;
    };
    let last = image.reference.rsplit('/').next().unwrap_or_default();
    let fits = if wanted.ends_with(':') {
        last.starts_with(wanted)
    } else {
        last == wanted
    };
    fits && image.is(&image.reference, arch)
}

/// All blobs of some entries, each once.
pub(crate) fn blobs(entries: &[Entry]) -> Vec<bundle::oci::Descriptor> {
    let mut seen = std::collections::BTreeSet::<Digest>::new();
    let all = entries
        .iter()
        .flat_map(|entry| entry.blobs().into_iter().cloned().collect::<Vec<_>>());
    all.filter(|blob| seen.insert(blob.digest)).collect()
}

/// The numbers of a version or tag, by which it is newer or older than another.
fn numbers(text: &str) -> Vec<u64> {
    text.split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

/// As Go and OCI name what `uname -m` prints.
pub(crate) fn architecture(machine: &str) -> Option<&'static str> {
    match machine {
        "x86_64" => Some("amd64"),
        "aarch64" => Some("arm64"),
        _ => None,
    }
}
