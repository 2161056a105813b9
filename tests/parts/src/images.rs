//! The container images of a cluster, prepared: layers and configuration.
//!
//! Each has the reference that kubeadm, etcdadm and the manifests ask for and, in it,
//! the program where upstream's image has it. Four of them stand on the shared
//! Debian root, so a host stores and unpacks that once. Images and layouts are
//! written by the bundle library; [`Image::spec`] is what it takes.

use std::path::{Path, PathBuf};

use bundle::oci::{Execution, Platform};
use bundle::{ImageSpec, LayerSource};

use crate::archive::{self, Entry, Written};
use crate::catalog::Versions;
use crate::debian::{self, Root};
use crate::ensure::{Built, Workshop};
use crate::files::{self, FileError};
use crate::mirror::ARCH;

/// Where the keepalived image has the program that looks after the API server.
pub const VIP_CHECK: &str = "usr/bin/vip-check";

/// The version in the keepalived image's reference: that of the Debian package.
pub const KEEPALIVED: &str = "2.2.7";

/// Why there are no images.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The shared root is missing.
    #[error(transparent)]
    Root(#[from] debian::Error),
    /// A part was not handed in.
    #[error("images need the part {part}")]
    PartMissing {
        /// Which.
        part: String,
    },
    /// Debian has moved on.
    #[error("keepalived in the shared root is {found:?}, and its image is called {KEEPALIVED}")]
    OtherKeepalived {
        /// The package's version.
        found: Option<String>,
    },
}

/// One image.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its full reference.
    pub reference: String,
    /// Its layers, the lowest first.
    pub layers: Vec<Layer>,
    /// What is run, if the pod does not say.
    pub entrypoint: Vec<String>,
}

/// One layer: a compressed archive.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Where it lies.
    pub path: PathBuf,
    /// What it is known by.
    pub written: Written,
}

impl Image {
    /// What the bundle library writes it from.
    pub fn spec(&self) -> ImageSpec {
        ImageSpec {
            reference: self.reference.clone(),
            platform: Platform::linux(ARCH),
            config: Execution {
                env: vec![PATH.to_owned()],
                entrypoint: self.entrypoint.clone(),
                working_dir: Some("/".to_owned()),
                ..Execution::default()
            },
            layers: self
                .layers
                .iter()
                .map(|layer| LayerSource::TarGz(layer.path.clone()))
                .collect(),
        }
    }
}

/// Where commands without a folder are looked for, as in the static pods' manifests.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Prepares all images of a cluster in the order in which a host needs them.
///
/// `vip_check` is the program that goes into the keepalived image at
/// [`VIP_CHECK`]; without it that image only has keepalived.
///
/// # Errors
/// When a part is missing or a layer cannot be made.
pub fn prepare(
    workshop: &Workshop,
    versions: &Versions,
    built: &[Built],
    vip_check: Option<&Path>,
    say: &mut dyn FnMut(&str),
) -> Result<Vec<Image>, Error> {
    let root = debian::root(workshop, say)?;
    check_keepalived(&root)?;
    let mut press = Press::new(workshop, built, root, say);
    let k8s = versions.kubernetes;
    let mut images = vec![press.image(
        format!("registry.k8s.io/pause:{}", versions.pause),
        &[("pause", versions.pause, "pause", "pause")],
        Base::Empty,
    )?];
    images[0].entrypoint = vec!["/pause".to_owned()];
    for program in [
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
    ] {
        images.push(press.image(
            format!("registry.k8s.io/{program}:v{k8s}"),
            &[(
                "kubernetes",
                k8s,
                program,
                &format!("usr/local/bin/{program}"),
            )],
            Base::Empty,
        )?);
    }
    images.push(press.keepalived(vip_check)?);
    images.push(press.image(
        "ghcr.io/flannel-io/flannel-cni-plugin:v1.9.1-flannel3".to_owned(),
        &[(
            "cni-flannel",
            crate::catalog::CNI_FLANNEL,
            "flannel",
            "flannel",
        )],
        Base::Debian,
    )?);
    let mut flannel = press.image(
        format!("ghcr.io/flannel-io/flannel:v{}", versions.flannel),
        &[
            ("flannel", versions.flannel, "flanneld", "opt/bin/flanneld"),
            (
                "flannel",
                versions.flannel,
                "install-conf",
                "opt/bin/install-conf",
            ),
        ],
        Base::Debian,
    )?;
    flannel.entrypoint = vec!["/opt/bin/flanneld".to_owned()];
    images.push(flannel);
    images.push(press.image(
        format!("registry.k8s.io/kube-proxy:v{k8s}"),
        &[("kubernetes", k8s, "kube-proxy", "usr/local/bin/kube-proxy")],
        Base::Debian,
    )?);
    let mut coredns = press.image(
        format!("registry.k8s.io/coredns/coredns:v{}", versions.coredns),
        &[("coredns", versions.coredns, "coredns", "coredns")],
        Base::Empty,
    )?;
    coredns.entrypoint = vec!["/coredns".to_owned()];
    images.push(coredns);
    Ok(images)
}

/// Prepares an image of each etcd that was built, as upstream publishes it: for members that are static pods.
///
/// # Errors
/// When a layer cannot be made.
pub fn of_etcd(
    workshop: &Workshop,
    built: &[Built],
    say: &mut dyn FnMut(&str),
) -> Result<Vec<Image>, Error> {
    let root = debian::root(workshop, say)?;
    let versions = built.iter().filter(|b| b.part.name == "etcd");
    let versions: Vec<&str> = versions.map(|b| b.part.version).collect();
    let mut press = Press::new(workshop, built, root, say);
    let image = |version: &&str| {
        let programs = ["etcd", "etcdctl", "etcdutl"];
        let places = programs.map(|program| format!("usr/local/bin/{program}"));
        let pieces: Vec<Piece<'_>> = programs
            .iter()
            .zip(&places)
            .map(|(program, place)| ("etcd", *version, *program, place.as_str()))
            .collect();
        let mut image = press.image(etcd(version), &pieces, Base::Empty)?;
        image.entrypoint = vec!["/usr/local/bin/etcd".to_owned()];
        Ok(image)
    };
    versions.iter().map(image).collect()
}

/// The reference of upstream's image of etcd; `version` as `3.7.3`.
fn etcd(version: &str) -> String {
    format!("gcr.io/etcd-development/etcd:v{version}")
}

/// The image is named by a version that is written down; it must be in it.
fn check_keepalived(root: &Root) -> Result<(), Error> {
    let found = root.package("keepalived");
    let upstream = found.map(|v| v.split_once(':').map_or(v, |(_, rest)| rest));
    if upstream.and_then(|v| v.split('-').next()) == Some(KEEPALIVED) {
        return Ok(());
    }
    Err(Error::OtherKeepalived {
        found: found.map(str::to_owned),
    })
}

/// What lies under an image's own layer.
#[derive(Clone, Copy)]
enum Base {
    /// Nothing: the program is static.
    Empty,
    /// The shared root.
    Debian,
}

/// Part, version, file in it, path in the image.
type Piece<'a> = (&'a str, &'a str, &'a str, &'a str);

struct Press<'a> {
    workshop: &'a Workshop,
    built: &'a [Built],
    say: &'a mut dyn FnMut(&str),
    root: Layer,
}

impl<'a> Press<'a> {
    fn new(
        workshop: &'a Workshop,
        built: &'a [Built],
        root: Root,
        say: &'a mut dyn FnMut(&str),
    ) -> Self {
        Self {
            workshop,
            built,
            say,
            root: Layer {
                path: root.layer,
                written: root.written,
            },
        }
    }

    fn image(
        &mut self,
        reference: String,
        pieces: &[Piece<'_>],
        base: Base,
    ) -> Result<Image, Error> {
        let mut files = Vec::new();
        let mut recipe = String::new();
        for (name, version, file, to) in pieces {
            let built = self
                .built
                .iter()
                .find(|b| b.part.name == *name && b.part.version == *version)
                .ok_or_else(|| Error::PartMissing {
                    part: format!("{name}-{version}"),
                })?;
            recipe += &format!("{} {} {file} {to}\n", built.part, built.key);
            files.push((built.file(file), (*to).to_owned()));
        }
        let layer = self.layer(&reference, &recipe, &files)?;
        Ok(self.on(base, reference, Some(layer)))
    }

    fn keepalived(&mut self, check: Option<&Path>) -> Result<Image, Error> {
        let reference = format!("klusterkit.dev/keepalived:{KEEPALIVED}");
        let layer = match check {
            None => None,
            Some(path) => {
                let (digest, _) = files::sha256_of(path)?;
                let files = [(path.to_owned(), VIP_CHECK.to_owned())];
                Some(self.layer(&reference, &format!("{digest} {VIP_CHECK}\n"), &files)?)
            }
        };
        let mut image = self.on(Base::Debian, reference, layer);
        image.entrypoint = ["/usr/sbin/keepalived", "--dont-fork", "--log-console"]
            .map(str::to_owned)
            .to_vec();
        Ok(image)
    }

    fn on(&self, base: Base, reference: String, layer: Option<Layer>) -> Image {
        let below = match base {
            Base::Empty => None,
            Base::Debian => Some(self.root.clone()),
        };
        Image {
            reference,
            layers: below.into_iter().chain(layer).collect(),
            entrypoint: Vec::new(),
        }
    }

    /// A layer of its own with these programs, cached by the recipe.
    fn layer(
        &mut self,
        reference: &str,
        recipe: &str,
        programs: &[(PathBuf, String)],
    ) -> Result<Layer, FileError> {
        let name = reference.rsplit('/').next().unwrap_or(reference);
        let label = format!("layer-{}", name.replace(':', "-"));
        let key = &files::sha256(recipe.as_bytes())[..16];
        let folder = self.workshop.entry(&label, key, self.say, |out| {
            let written = archive::write(&out.join("layer.tar.gz"), &entries(programs))?;
            written.keep(out)
        })?;
        Ok(Layer {
            path: folder.join("layer.tar.gz"),
            written: Written::read(&folder)?.ok_or_else(|| FileError {
                action: "understand",
                path: folder,
                source: std::io::ErrorKind::InvalidData.into(),
            })?,
        })
    }
}

/// Programs with the folders above them, and a place for temporary files.
fn entries(programs: &[(PathBuf, String)]) -> Vec<Entry> {
    let mut folders: Vec<String> = Vec::new();
    for (_, to) in programs {
        for (end, _) in to.match_indices('/') {
            let folder = to[..end].to_owned();
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
    }
    let mut temporary = Entry::folder("tmp");
    temporary.mode = 0o1777;
    folders
        .iter()
        .map(|folder| Entry::folder(folder))
        .chain([temporary])
        .chain(programs.iter().map(|(from, to)| Entry::program(to, from)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundle_library_takes_a_prepared_image() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("pause");
        files::write(&program, b"#!").unwrap();
        let path = dir.path().join("layer.tar.gz");
        let programs = [(program, "pause".to_owned())];
        let written = archive::write(&path, &entries(&programs)).unwrap();
        let image = Image {
            reference: "registry.k8s.io/pause:1".to_owned(),
            layers: vec![Layer {
                path,
                written: written.clone(),
            }],
            entrypoint: vec!["/pause".to_owned()],
        };
        let mut draft = bundle::Draft::new();
        draft.add_image(&image.spec()).unwrap();
        let mut stream = Vec::new();
        draft.write_to(&mut stream, &mut |_| {}).unwrap();
        let text = String::from_utf8_lossy(&stream);
        assert!(text.contains(&image.reference));
        assert!(text.contains(&format!("sha256:{}", written.digest)));
        assert!(text.contains(&format!("sha256:{}", written.inner)));
        assert!(text.contains(r#""Entrypoint":["/pause"]"#));
    }

    #[test]
    fn folders_come_before_what_is_in_them() {
        let programs = [(PathBuf::from("a"), "usr/local/bin/a".to_owned())];
        let names: Vec<_> = entries(&programs).into_iter().map(|e| e.name).collect();
        assert_eq!(
            names,
            [
                "usr/",
                "usr/local/",
                "usr/local/bin/",
                "tmp/",
                "usr/local/bin/a"
            ]
        );
    }

    #[test]
    fn the_keepalived_in_the_root_must_be_the_one_in_the_name() {
        let root = |version: &str| Root {
            layer: PathBuf::new(),
            written: Written {
                digest: String::new(),
                inner: String::new(),
                size: 0,
            },
            packages: vec![("keepalived".to_owned(), version.to_owned())],
        };
        assert!(check_keepalived(&root("1:2.2.7-1+b2")).is_ok());
        assert!(check_keepalived(&root("1:2.2.8-1")).is_err());
    }
}
