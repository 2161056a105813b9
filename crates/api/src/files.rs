//! What `nodeadm files save` says of a host's files, and `nodeadm files put-back` reads: the contract for a backup.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The first entry of what `nodeadm files save` prints: every file that follows, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostFiles {
    /// `klusterkit.dev/v1alpha1`.
    pub api_version: String,
    /// `HostFiles`.
    pub kind: String,
    /// The host's name.
    pub hostname: String,
    /// Files, each with its contents behind this index.
    pub files: Vec<HostFile>,
    /// Folders that these files lie in.
    #[serde(default)]
    pub folders: Vec<HostFolder>,
    /// What a static pod names or mounts and is not here.
    #[serde(default)]
    pub left_out: Vec<LeftOut>,
    /// What the API server's `--encryption-provider-config` names: without it no Secret can be read.
    #[serde(default)]
    pub encryption: Vec<PathBuf>,
}

impl HostFiles {
    /// Of a host of this name, nothing yet.
    #[must_use]
    pub fn new(hostname: &str) -> Self {
        Self {
            api_version: crate::API_VERSION.to_owned(),
            kind: "HostFiles".to_owned(),
            hostname: hostname.to_owned(),
            files: Vec::new(),
            folders: Vec::new(),
            left_out: Vec::new(),
            encryption: Vec::new(),
        }
    }

    /// The file at this path.
    #[must_use]
    pub fn file(&self, path: &std::path::Path) -> Option<&HostFile> {
        self.files.iter().find(|file| file.path == path)
    }
}

/// A file of a host's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// In bytes.
    pub size: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
    /// Who names it: `--audit-policy-file of kube-apiserver`.
    pub why: String,
    /// Whether a recovery puts it back; what it makes anew is here to be compared with.
    pub put_back: bool,
}

/// A folder of a host's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostFolder {
    /// Where it lies.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
}

/// Something that is not in a backup, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftOut {
    /// Where it is: a path, or a KMS's endpoint.
    pub path: String,
    /// Who names it.
    pub why: String,
    /// What hinders.
    pub what: String,
}

/// What `nodeadm files put-back` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct FilesPutBack {
    /// How many files are there now as they were.
    pub files: usize,
    /// The changes that were made.
    pub changes: Vec<String>,
}
