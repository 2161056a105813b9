//! Nodes on hosts of a lab, made with `nodeadm` as an admin makes them by hand: the program copied to the host, its store
//! filled, a document written, then one command a host. Their etcd is [`Members`]'.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bundle::{Entry, Layout, stream};
use lab::{Host, Run};
use serde_json::Value;

use crate::admin::wait_all_ready;
use crate::{Equipment, Error, Members};

/// Where an admin puts the program on hosts.
pub const NODEADM: &str = "/usr/local/bin/nodeadm";
/// Where an admin keeps the document on hosts.
pub const NODE_FILE: &str = "/root/node.yaml";
/// How long one run of nodeadm may take on a busy machine.
const RUN: Duration = Duration::from_secs(420);
/// What is no node's.
const NOT_OF_NODES: [&str; 3] = ["etcd", "etcdadm", "nodeadm"];

/// Nodes of one release.
#[derive(Debug)]
pub struct Nodes {
    equipment: Equipment,
    /// As `1.37.2`.
    version: String,
    /// What a host's store is filled from: one stream, as it comes from a bundle.
    stream: PathBuf,
}

impl Nodes {
    /// Nodes of this release (as `1.37.2`), with all that the bundle has for it. The admin keeps the stream in `folder`.
    ///
    /// # Errors
    /// There is no such bundle, or it cannot be read.
    pub fn new(equipment: Equipment, version: &str, folder: &Path) -> Result<Self, Error> {
        Self::with(equipment, version, folder, |_| true)
    }

    /// The same, with those of its images alone whose references are wanted.
    ///
    /// # Errors
    /// As [`Nodes::new`].
    pub fn with(
        equipment: Equipment,
        version: &str,
        folder: &Path,
        image: impl Fn(&str) -> bool,
    ) -> Result<Self, Error> {
        let stream = folder.join(format!("store-{version}.tar"));
        write_stream(
            &equipment.kubernetes(version),
            &stream,
            |entry| match entry {
                Entry::Component(component) => !NOT_OF_NODES.contains(&component.name.as_str()),
                Entry::Image(found) => image(&found.reference),
            },
        )?;
        Ok(Self {
            equipment,
            version: version.to_owned(),
            stream,
        })
    }

    /// The release, as `1.37.2`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Puts nodeadm on a host and fills its store.
    ///
    /// # Errors
    /// The host is off, or does not take it.
    pub fn equip(&self, host: &Host) -> Result<(), Error> {
        host.put(&self.equipment.tool("nodeadm"), NODEADM, 0o755)?;
        self.receive(host, &self.stream)
    }

    /// Adds to the store of a host what [`write_stream`] wrote.
    ///
    /// # Errors
    /// The host is off, or does not take it.
    pub fn receive(&self, host: &Host, stream: &Path) -> Result<(), Error> {
        self.nodeadm(host, ["store", "receive"])
            .stdin_file(stream)
            .check()?;
        Ok(())
    }

    /// Writes the document for a host, which is then found in [`NODE_FILE`]. `fields` are fields of the
    /// `NodeConfiguration`, a line each.
    ///
    /// # Errors
    /// The host is off.
    pub fn configure(&self, host: &Host, fields: &str) -> Result<(), Error> {
        let text = format!(
            "apiVersion: klusterkit.dev/v1alpha1\nkind: NodeConfiguration\nkubernetesVersion: v{}\n{fields}{}",
            self.version,
            crate::cluster::of_lab_nodes()
        );
        Ok(host.write(NODE_FILE, text, 0o600)?)
    }

    /// `nodeadm` with these words on a host.
    pub fn nodeadm<'a>(&self, host: &Host, words: impl IntoIterator<Item = &'a str>) -> Run {
        host.exec([NODEADM].into_iter().chain(words)).timeout(RUN)
    }

    /// `nodeadm` with these words and the host's document.
    pub fn configured<'a>(&self, host: &Host, words: impl IntoIterator<Item = &'a str>) -> Run {
        let words: Vec<&str> = words.into_iter().collect();
        self.nodeadm(host, words.into_iter().chain(["--config", NODE_FILE]))
    }

    /// `kubectl` on a control plane, as its admin.
    pub fn kubectl<'a>(&self, host: &Host, words: impl IntoIterator<Item = &'a str>) -> Run {
        let kubectl = [
            "/opt/bin/kubectl",
            "--kubeconfig",
            "/etc/kubernetes/admin.conf",
        ];
        host.exec(kubectl.into_iter().chain(words))
    }

    /// What `kubectl get WHAT -o json` tells on a control plane.
    ///
    /// # Errors
    /// It fails or prints no JSON.
    pub fn get(&self, host: &Host, what: &[&str]) -> Result<Value, Error> {
        let words = ["get"]
            .into_iter()
            .chain(what.iter().copied())
            .chain(["-o", "json"]);
        let text = self.kubectl(host, words).text()?;
        serde_json::from_str(&text).map_err(|_| Error::Printed {
            argv: format!("kubectl get {}", what.join(" ")),
            text,
        })
    }

    /// Waits until this many nodes and every pod of kube-system are Ready, as this control plane sees it.
    ///
    /// # Errors
    /// Not in time.
    pub fn wait_ready(&self, host: &Host, nodes: usize, limit: Duration) -> Result<(), Error> {
        wait_all_ready(nodes, limit, |what| self.get(host, what).ok())
    }

    /// An etcd of one on this host, as its API server expects it.
    ///
    /// # Errors
    /// It does not come about.
    pub fn etcd(members: &Members<'_>, host: &Host) -> Result<(), Error> {
        members.equip(host)?;
        members.init(host).check()?;
        Ok(())
    }
}

/// Writes those of a layout's entries that are wanted to `path`, as the stream that a store takes.
///
/// # Errors
/// The layout cannot be read, or the stream not written.
pub fn write_stream(
    layout: &Path,
    path: &Path,
    wanted: impl Fn(&Entry) -> bool,
) -> Result<(), Error> {
    let error = |source| Error::File {
        action: "write",
        path: path.to_owned(),
        source,
    };
    let unreadable = |what: String| Error::Bundle {
        path: layout.to_owned(),
        what,
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(error)?;
    }
    let opened = Layout::open(layout).map_err(|error| unreadable(error.to_string()))?;
    let mut entries = opened
        .entries()
        .map_err(|error| unreadable(error.to_string()))?;
    entries.retain(wanted);
    let mut out = BufWriter::new(File::create(path).map_err(error)?);
    stream::send(&opened, &entries, &mut |_| true, &mut out, &mut |_| {})
        .map_err(|error| unreadable(error.to_string()))
}
