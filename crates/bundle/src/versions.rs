//! The file of versions that a bundle is made from: `kind: BundleConfiguration`, and behind it, in the same file, the
//! digests of what was fetched: `kind: BundlePins`.
//!
//! The first document is the admin's and is only read. The second is written by `--update-pins`, and nothing of the
//! first is touched then. What the first does not say is filled in here: the versions that this release was tried with,
//! CoreDNS and pause as kubeadm of that Kubernetes release wants them.
//!
//! It fetches nothing and knows no mirror. Entry point: [`VersionsFile::read`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use api::{API_VERSION, Version, yaml};
use host::Digest;
use serde::{Deserialize, Serialize};

/// The file cannot be read, understood or written.
#[derive(Debug, thiserror::Error)]
pub enum VersionsError {
    /// It cannot be read or written.
    #[error(transparent)]
    File(#[from] host::Error),
    /// It is not there.
    #[error("{path} does not exist")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It is no text.
    #[error("{path} is no UTF-8 text")]
    NoText {
        /// The file.
        path: PathBuf,
    },
    /// It is not YAML, or has fields that nobody knows.
    #[error("{path} cannot be understood")]
    Yaml {
        /// The file.
        path: PathBuf,
        /// What and where.
        source: yaml::YamlError,
    },
    /// A document that does not belong there, or one that is missing.
    #[error("{path}: {what}")]
    Documents {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A Kubernetes release that nothing is known of.
    #[error(
        "{version}: CoreDNS and pause are known for Kubernetes 1.34 to 1.37 only; say `coredns` and `pause`"
    )]
    UnknownRelease {
        /// The release.
        version: Version,
    },
}

/// What a bundle is to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BundleConfiguration {
    /// `klusterkit.dev/v1alpha1`.
    pub api_version: String,
    /// `BundleConfiguration`.
    pub kind: String,
    /// Kubernetes: kubeadm, kubelet, kubectl and the images.
    pub kubernetes: Release,
    /// etcd.
    #[serde(default = "etcd")]
    pub etcd: Release,
    /// containerd.
    #[serde(default = "containerd")]
    pub containerd: Release,
    /// runc.
    #[serde(default = "runc")]
    pub runc: Release,
    /// The CNI plugins.
    #[serde(default = "cni_plugins")]
    pub cni_plugins: Release,
    /// flannel; its images are those that its manifest names.
    #[serde(default = "flannel")]
    pub flannel: Release,
    /// CoreDNS; as kubeadm wants it unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coredns: Option<Release>,
    /// The pause image; as kubeadm wants it unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Release>,
    /// What holds the API's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vip: Option<VipImage>,
    /// Folders with `etcdadm` and `nodeadm` for the hosts, by architecture; relative to this file. Whoever makes the
    /// bundle may know others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_tools: BTreeMap<String, PathBuf>,
    /// Further images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// For which machines.
    #[serde(default = "architectures")]
    pub architectures: Vec<String>,
    /// Components to be left out, by their names in the bundle: `flannel` where another network is used, the node tools
    /// where they come otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
}

/// A release of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a version, as in {version: v1.37.2}")]
pub struct Release {
    /// As `v1.37.2`.
    pub version: Version,
}

/// The image that holds the API's address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "an image, as in {image: klusterkit.dev/keepalived:2.2.7}"
)]
pub struct VipImage {
    /// Its full reference, as `klusterkit.dev/keepalived:2.2.7`.
    pub image: String,
    /// An OCI layout, folder or tar, that it lies in; relative to this file. A registry where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
}

/// Digests of what upstream publishes, as they were when they were last taken over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pins {
    /// Files, by host and path of upstream's address: `dl.k8s.io/release/v1.37.2/bin/linux/amd64/kubelet`.
    pub files: BTreeMap<String, Digest>,
    /// Images' manifests, by reference and platform: `registry.k8s.io/pause:3.10.2 linux/amd64`.
    pub images: BTreeMap<String, Digest>,
}

/// The pins as they stand in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct PinsDocument {
    api_version: String,
    kind: String,
    #[serde(default)]
    files: BTreeMap<String, Digest>,
    #[serde(default)]
    images: BTreeMap<String, Digest>,
}

/// A file of versions, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionsFile {
    /// Where it lies.
    pub path: PathBuf,
    /// What is to be in the bundle.
    pub configuration: BundleConfiguration,
    /// The digests.
    pub pins: Pins,
    /// The admin's part of the text, as it stands.
    text: String,
}

const CONFIGURATION: &str = "BundleConfiguration";
const PINS: &str = "BundlePins";
/// Stands above the pins. It tells a reader of the file whose they are, and the writer where its part begins.
const PINS_HEADER: &str =
    "# Digests of what was fetched, written by `cctl bundle create --update-pins`.\n";

fn release(major: u32, minor: u32, patch: u32) -> Release {
    Release {
        version: Version::new(major, minor, patch),
    }
}

fn etcd() -> Release {
    release(3, 7, 3)
}

fn containerd() -> Release {
    release(2, 4, 2)
}

fn runc() -> Release {
    release(1, 5, 2)
}

fn cni_plugins() -> Release {
    release(1, 9, 1)
}

fn flannel() -> Release {
    release(0, 28, 10)
}

fn architectures() -> Vec<String> {
    vec!["amd64".into()]
}

/// CoreDNS and pause as kubeadm of a Kubernetes release wants them (`CoreDNSVersion` and `PauseVersion` in kubeadm's
/// constants, of 1.34.4, 1.35.4, 1.36.3 and 1.37.2); `None` for a release that nothing is known of.
pub fn kubeadm_defaults(kubernetes: Version) -> Option<(Version, Version)> {
    match (kubernetes.major, kubernetes.minor) {
        (1, 34) => Some((Version::new(1, 12, 1), Version::new(3, 10, 1))),
        (1, 35) => Some((Version::new(1, 13, 1), Version::new(3, 10, 1))),
        (1, 36) => Some((Version::new(1, 14, 2), Version::new(3, 10, 2))),
        (1, 37) => Some((Version::new(1, 14, 6), Version::new(3, 10, 2))),
        _ => None,
    }
}

/// The images of a Kubernetes release with this CoreDNS and pause, the first needed first.
pub fn kubernetes_images(kubernetes: Version, coredns: Version, pause: Version) -> Vec<String> {
    let mut images = vec![format!("registry.k8s.io/pause:{}", pause.bare())];
    for name in [
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kube-proxy",
    ] {
        images.push(format!("registry.k8s.io/{name}:{kubernetes}"));
    }
    images.push(format!("registry.k8s.io/coredns/coredns:{coredns}"));
    images
}

/// A file to be fetched for a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamFile {
    /// Its name in the bundle.
    pub name: String,
    /// Host and path of upstream's address, as `dl.k8s.io/release/…`; also its name among the pins.
    pub address: String,
    /// Host and path of the file in which upstream publishes its digest, where there is one.
    pub checksum: Option<String>,
}

/// A component to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamComponent {
    /// Its name in the bundle.
    pub name: &'static str,
    /// Its version in the bundle.
    pub version: String,
    /// Its architecture in the bundle.
    pub arch: String,
    /// Its files.
    pub files: Vec<UpstreamFile>,
}

impl BundleConfiguration {
    /// A bundle of this Kubernetes release with the defaults for all else.
    pub fn of(kubernetes: Version) -> Self {
        BundleConfiguration {
            api_version: API_VERSION.into(),
            kind: CONFIGURATION.into(),
            kubernetes: Release {
                version: kubernetes,
            },
            etcd: etcd(),
            containerd: containerd(),
            runc: runc(),
            cni_plugins: cni_plugins(),
            flannel: flannel(),
            coredns: None,
            pause: None,
            vip: None,
            node_tools: BTreeMap::new(),
            images: Vec::new(),
            architectures: architectures(),
            without: Vec::new(),
        }
    }

    /// A file of versions for this Kubernetes release, with all that can be said in it and why: something to start from.
    /// Read again, it says the same as [`BundleConfiguration::of`].
    pub fn example(kubernetes: Version) -> String {
        let all = BundleConfiguration::of(kubernetes);
        let BundleConfiguration {
            etcd,
            containerd,
            runc,
            cni_plugins,
            flannel,
            ..
        } = &all;
        let wanted = match kubeadm_defaults(kubernetes) {
            Some((coredns, pause)) => {
                format!("# coredns: {{version: {coredns}}}\n# pause: {{version: {pause}}}")
            }
            None => "# coredns: {version: …}\n# pause: {version: …}".to_owned(),
        };
        format!(
            "\
# What a bundle is to hold. Only `kubernetes` must be said; for all else this is what would be taken.
apiVersion: {API_VERSION}
kind: {CONFIGURATION}
kubernetes: {{version: {kubernetes}}}
etcd: {{version: {}}}
containerd: {{version: {}}}
runc: {{version: {}}}
cniPlugins: {{version: {}}}
flannel: {{version: {}}}

# For which machines: amd64, arm64.
architectures: [amd64]

# CoreDNS and pause are those that kubeadm of this Kubernetes asks for, unless said:
{wanted}

# What holds the API's address, where that is an address of no host: an image with /usr/sbin/keepalived in it, from its
# registry or, with `from`, from an OCI layout (folder or tar) beside this file. Clusters with a balancer need none.
# vip: {{image: klusterkit.dev/keepalived:2.2.7, from: keepalived.tar}}

# Folders with etcdadm and nodeadm for the hosts, beside this file; else those beside cctl's own program.
# nodeTools: {{amd64: tools/amd64, arm64: tools/arm64}}

# Further images, by their full references.
# images: [registry.example/team/app:1.0]

# What is to be left out: etcd, kubernetes, containerd, runc, cni-plugins, flannel, etcdadm, nodeadm.
# without: [flannel]
",
            etcd.version, containerd.version, runc.version, cni_plugins.version, flannel.version
        )
    }

    /// Whether a component is to be left out.
    pub fn is_without(&self, component: &str) -> bool {
        self.without.iter().any(|name| name == component)
    }

    /// All images that are known before anything is fetched: Kubernetes', the VIP's and the further ones.
    ///
    /// # Errors
    /// [`VersionsError::UnknownRelease`].
    pub fn known_images(&self) -> Result<Vec<String>, VersionsError> {
        let mut images = Vec::new();
        if !self.is_without("kubernetes") {
            let version = self.kubernetes.version;
            let known = kubeadm_defaults(version);
            let unknown = || VersionsError::UnknownRelease { version };
            let coredns = self
                .coredns
                .map(|it| it.version)
                .or(known.map(|it| it.0))
                .ok_or_else(unknown)?;
            let pause = self
                .pause
                .map(|it| it.version)
                .or(known.map(|it| it.1))
                .ok_or_else(unknown)?;
            images.extend(kubernetes_images(version, coredns, pause));
        }
        images.extend(self.vip.iter().map(|vip| vip.image.clone()));
        images.extend(self.images.iter().cloned());
        Ok(images)
    }

    /// All components that upstream publishes, with upstream's addresses, for one architecture.
    pub fn upstream_components(&self, arch: &str) -> Vec<UpstreamComponent> {
        let github =
            |repository: &str, release: &Release, file: String, checksum: Option<String>| {
                let folder = format!(
                    "github.com/{repository}/releases/download/{}",
                    release.version
                );
                let checksum = checksum.map(|name| format!("{folder}/{name}"));
                UpstreamFile {
                    address: format!("{folder}/{file}"),
                    name: file,
                    checksum,
                }
            };
        let one = |name, release: &Release, arch: &str, file| UpstreamComponent {
            name,
            version: release.version.to_string(),
            arch: arch.to_owned(),
            files: vec![file],
        };
        let etcd = format!("etcd-{}-linux-{arch}.tar.gz", self.etcd.version);
        let containerd = format!(
            "containerd-{}-linux-{arch}.tar.gz",
            self.containerd.version.bare()
        );
        let cni = format!("cni-plugins-linux-{arch}-{}.tgz", self.cni_plugins.version);
        let sums = |file: &str, suffix: &str| Some(format!("{file}.{suffix}"));
        let kubernetes = ["kubeadm", "kubelet", "kubectl"].map(|name| {
            let address = format!(
                "dl.k8s.io/release/{}/bin/linux/{arch}/{name}",
                self.kubernetes.version
            );
            UpstreamFile {
                name: name.into(),
                checksum: Some(format!("{address}.sha256")),
                address,
            }
        });
        let mut all = vec![
            one("etcd", &self.etcd, arch, {
                github("etcd-io/etcd", &self.etcd, etcd, Some("SHA256SUMS".into()))
            }),
            UpstreamComponent {
                name: "kubernetes",
                version: self.kubernetes.version.to_string(),
                arch: arch.to_owned(),
                files: kubernetes.into(),
            },
            one("containerd", &self.containerd, arch, {
                let checksum = sums(&containerd, "sha256sum");
                github(
                    "containerd/containerd",
                    &self.containerd,
                    containerd,
                    checksum,
                )
            }),
            one("runc", &self.runc, arch, {
                github(
                    "opencontainers/runc",
                    &self.runc,
                    format!("runc.{arch}"),
                    Some("runc.sha256sum".into()),
                )
            }),
            one("cni-plugins", &self.cni_plugins, arch, {
                let checksum = sums(&cni, "sha256");
                github(
                    "containernetworking/plugins",
                    &self.cni_plugins,
                    cni,
                    checksum,
                )
            }),
            one("flannel", &self.flannel, crate::ANY_ARCH, {
                github(
                    "flannel-io/flannel",
                    &self.flannel,
                    "kube-flannel.yml".into(),
                    None,
                )
            }),
        ];
        all.retain(|component| !self.is_without(component.name));
        all
    }
}

impl Pins {
    /// The name of an image's pin.
    pub fn image_key(reference: &str, arch: &str) -> String {
        format!("{reference} linux/{arch}")
    }

    /// Whether nothing is pinned.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.images.is_empty()
    }
}

impl VersionsFile {
    /// Reads a file of versions.
    ///
    /// # Errors
    /// When it is not there, not YAML, or has a field, a kind or a document that does not belong there.
    pub fn read(path: &Path) -> Result<Self, VersionsError> {
        let local = host::Local::new("/");
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let bytes = host::Inspect::read(&local, &path, yaml::LIMIT)?;
        let bytes = bytes.ok_or_else(|| VersionsError::Missing { path: path.clone() })?;
        let text =
            String::from_utf8(bytes).map_err(|_| VersionsError::NoText { path: path.clone() })?;
        VersionsFile::parse(&path, text)
    }

    /// Reads the text of a file of versions that lies at `path`.
    ///
    /// # Errors
    /// As [`VersionsFile::read`].
    pub fn parse(path: &Path, text: String) -> Result<Self, VersionsError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Kind {
            #[serde(default)]
            api_version: String,
            #[serde(default)]
            kind: String,
        }
        let yaml_error = |source| VersionsError::Yaml {
            path: path.to_owned(),
            source,
        };
        let wrong = |what: String| VersionsError::Documents {
            path: path.to_owned(),
            what,
        };
        let (mut configuration, mut pins) = (None, None);
        for part in yaml::split(&text) {
            let kind: Kind = part.parse().map_err(yaml_error)?;
            let twice = match (kind.api_version.as_str(), kind.kind.as_str()) {
                (API_VERSION, CONFIGURATION) => configuration
                    .replace(part.parse::<BundleConfiguration>().map_err(yaml_error)?)
                    .is_some(),
                (API_VERSION, PINS) => pins
                    .replace(part.parse::<PinsDocument>().map_err(yaml_error)?)
                    .is_some(),
                (version, kind) => {
                    return Err(wrong(format!(
                        "a document of `{version}`, `kind: {kind}` does not belong into a file of versions"
                    )));
                }
            };
            if twice {
                return Err(wrong(format!(
                    "there are two documents of `kind: {}`",
                    kind.kind
                )));
            }
        }
        let configuration = configuration
            .ok_or_else(|| wrong(format!("there is no document of `kind: {CONFIGURATION}`")))?;
        let pins = pins
            .map(|PinsDocument { files, images, .. }| Pins { files, images })
            .unwrap_or_default();
        let path = path.to_owned();
        Ok(VersionsFile {
            path,
            configuration,
            pins,
            text,
        })
    }

    /// The file's text with other pins; the admin's part as it stands.
    ///
    /// # Errors
    /// When the pins of the file do not stand behind all else, as they are written.
    pub fn with_pins(&self, pins: &Pins) -> Result<String, VersionsError> {
        let own = match self.text.find(PINS_HEADER) {
            Some(at) => self.text[..at]
                .trim_end_matches('\n')
                .trim_end_matches("---")
                .to_owned(),
            None if self.pins.is_empty() => self.text.clone(),
            None => {
                let what = "the document of `kind: BundlePins` was moved or its first line removed: delete it once".to_owned();
                return Err(VersionsError::Documents {
                    path: self.path.clone(),
                    what,
                });
            }
        };
        let mut text = own.trim_end().to_owned();
        let Pins { files, images } = pins.clone();
        let pins = PinsDocument {
            api_version: API_VERSION.into(),
            kind: PINS.into(),
            files,
            images,
        };
        text += &format!("\n---\n{PINS_HEADER}{}", yaml::to_string(&pins));
        let again = VersionsFile::parse(&self.path, text)?;
        if again.configuration != self.configuration {
            let what =
                "the pins do not stand at its end: put the document of `kind: BundlePins` last"
                    .to_owned();
            return Err(VersionsError::Documents {
                path: self.path.clone(),
                what,
            });
        }
        Ok(again.text)
    }

    /// Writes other pins into the file, atomically.
    ///
    /// # Errors
    /// As [`VersionsFile::with_pins`], and when the file cannot be written.
    pub fn write_pins(&self, pins: &Pins) -> Result<(), VersionsError> {
        let text = self.with_pins(pins)?;
        Ok(host::write_atomically(&self.path, 0o644, text.as_bytes())?)
    }
}

#[cfg(test)]
mod tests;
