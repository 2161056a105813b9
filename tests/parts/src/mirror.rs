//! Lays built parts out as upstream's download sites do.
//!
//! Below the root stands one folder a site, named by its host, so that the tree
//! can be served as a mirror of all of them: `https://dl.k8s.io/release/…` is
//! found at `<mirror>/dl.k8s.io/release/…`. Archives and digest files have
//! upstream's names, inner layout and form; signatures are left out, but for the
//! frame of runc's signed digest list, which a reader must see through.

use std::path::{Path, PathBuf};

use crate::archive::{self, Entry};
use crate::ensure::{Built, Workshop};
use crate::files::{self, FileError};

/// The architecture in upstream's file names.
pub const ARCH: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "amd64"
};

/// The tree of these parts, kept in the cache: it is to be served, not changed.
/// `say` gets one line a step.
///
/// # Errors
/// When a file cannot be read or written.
pub fn cached(
    workshop: &Workshop,
    parts: &[Built],
    say: &mut dyn FnMut(&str),
) -> Result<PathBuf, FileError> {
    let mut recipe = format!("layout {LAYOUT}\n");
    for built in parts {
        recipe += &format!("{} {}\n", built.part, built.key);
    }
    let key = &files::sha256(recipe.as_bytes())[..16];
    workshop.entry("mirror", key, say, |out| lay_out(parts, out).map(drop))
}

/// To be raised when the layout changes, so that cached trees are left behind.
const LAYOUT: u32 = 1;

/// Lays out every part that upstream publishes as files; the others (they come
/// in images only) are passed over. Returns the paths of the files written,
/// relative to `root`, sorted; what is there already is written again.
///
/// # Errors
/// When a file cannot be read or written.
pub fn lay_out(parts: &[Built], root: &Path) -> Result<Vec<PathBuf>, FileError> {
    files::make_dirs(root)?;
    let mut tree = Tree {
        root,
        written: Vec::new(),
    };
    for built in parts {
        match built.part.name {
            "etcd" => tree.etcd(built)?,
            "kubernetes" => tree.kubernetes(built)?,
            "containerd" => tree.containerd(built)?,
            "runc" => tree.runc(built)?,
            "cni-plugins" => tree.cni_plugins(built)?,
            "flannel" => tree.flannel(built)?,
            _ => {}
        }
    }
    tree.written.sort();
    Ok(tree.written)
}

struct Tree<'a> {
    root: &'a Path,
    written: Vec<PathBuf>,
}

impl Tree<'_> {
    fn etcd(&mut self, built: &Built) -> Result<(), FileError> {
        let version = built.part.version;
        let top = format!("etcd-v{version}-linux-{ARCH}");
        let mut entries = vec![
            Entry::folder(&top),
            Entry::text(&format!("{top}/README.md"), "# etcd\n"),
        ];
        for program in ["etcdctl", "etcdutl", "etcd"] {
            entries.push(Entry::program(
                &format!("{top}/{program}"),
                built.file(program),
            ));
        }
        let folder = release("etcd-io/etcd", version);
        let name = format!("{top}.tar.gz");
        let digest = self.archive(&folder.join(&name), &entries)?;
        self.text(&folder.join("SHA256SUMS"), &format!("{digest}  {name}\n"))
    }

    fn kubernetes(&mut self, built: &Built) -> Result<(), FileError> {
        let folder = PathBuf::from(format!(
            "dl.k8s.io/release/v{}/bin/linux/{ARCH}",
            built.part.version
        ));
        for program in ["kubeadm", "kubectl", "kubelet"] {
            let path = folder.join(program);
            files::place(&built.file(program), &self.root.join(&path))?;
            let (digest, _) = files::sha256_of(&built.file(program))?;
            self.written.push(path);
            // The digest alone, without a line's end.
            self.text(&folder.join(format!("{program}.sha256")), &digest)?;
        }
        Ok(())
    }

    fn containerd(&mut self, built: &Built) -> Result<(), FileError> {
        let version = built.part.version;
        let mut entries = vec![Entry::folder("bin")];
        for program in ["containerd", "containerd-shim-runc-v2", "ctr"] {
            entries.push(Entry::program(
                &format!("bin/{program}"),
                built.file(program),
            ));
        }
        let folder = release("containerd/containerd", version);
        let name = format!("containerd-{version}-linux-{ARCH}.tar.gz");
        let digest = self.archive(&folder.join(&name), &entries)?;
        self.text(
            &folder.join(format!("{name}.sha256sum")),
            &format!("{digest}  {name}\n"),
        )
    }

    fn runc(&mut self, built: &Built) -> Result<(), FileError> {
        let folder = release("opencontainers/runc", built.part.version);
        let name = format!("runc.{ARCH}");
        files::place(&built.file("runc"), &self.root.join(folder.join(&name)))?;
        let (digest, _) = files::sha256_of(&built.file("runc"))?;
        self.written.push(folder.join(&name));
        // Upstream signs the list in clear text; the signature here is nobody's.
        let list = format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n\
             {digest} *{name}\n\
             -----BEGIN PGP SIGNATURE-----\n\nbm9ib2R5J3M=\n-----END PGP SIGNATURE-----\n"
        );
        self.text(&folder.join("runc.sha256sum"), &list)
    }

    fn cni_plugins(&mut self, built: &Built) -> Result<(), FileError> {
        let version = built.part.version;
        // Upstream packs the folder itself: every name begins with `./`.
        let mut entries = vec![Entry::folder(".")];
        for plugin in built.files()? {
            entries.push(Entry::program(&format!("./{plugin}"), built.file(&plugin)));
        }
        entries.push(Entry::text("./README.md", "# Plugins\n"));
        let folder = release("containernetworking/plugins", version);
        let name = format!("cni-plugins-linux-{ARCH}-v{version}.tgz");
        let digest = self.archive(&folder.join(&name), &entries)?;
        self.text(
            &folder.join(format!("{name}.sha256")),
            &format!("{digest}  {name}\n"),
        )
    }

    fn flannel(&mut self, built: &Built) -> Result<(), FileError> {
        let folder = release("flannel-io/flannel", built.part.version);
        let upstream = files::read(&built.file(FLANNEL_MANIFEST))?;
        let text = String::from_utf8_lossy(&upstream);
        self.text(&folder.join(FLANNEL_MANIFEST), &for_old_plugin(&text))
    }

    fn archive(&mut self, path: &Path, entries: &[Entry]) -> Result<String, FileError> {
        let to = self.root.join(path);
        files::make_dirs(to.parent().expect("laid out below a folder"))?;
        let written = archive::write(&to, entries)?;
        self.written.push(path.to_owned());
        Ok(written.digest)
    }

    fn text(&mut self, path: &Path, text: &str) -> Result<(), FileError> {
        files::write(&self.root.join(path), text.as_bytes())?;
        self.written.push(path.to_owned());
        Ok(())
    }
}

/// The manifest's name in flannel's release.
pub const FLANNEL_MANIFEST: &str = "kube-flannel.yml";

fn release(project: &str, version: &str) -> PathBuf {
    PathBuf::from(format!("github.com/{project}/releases/download/v{version}"))
}

/// flannel's manifest for the plugin that there is: it speaks CNI up to 0.4.0,
/// and the manifest asks for 1.0.0 (see `cni-flannel` in the catalogue). This is
/// the one place where what is served differs from upstream's.
fn for_old_plugin(manifest: &str) -> String {
    manifest.replace("\"cniVersion\": \"1.0.0\"", "\"cniVersion\": \"0.3.1\"")
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use flate2::read::GzDecoder;

    use super::*;
    use crate::catalog::{NEWEST, Versions};

    /// Parts whose programs are short texts; layout and digests do not care.
    fn pretend(versions: &Versions, cache: &Path) -> Vec<Built> {
        let programs = |name: &str| -> Vec<&str> {
            match name {
                "etcd" => vec!["etcd", "etcdctl", "etcdutl"],
                "kubernetes" => vec!["kubeadm", "kubectl", "kubelet", "kube-proxy"],
                "containerd" => vec!["containerd", "containerd-shim-runc-v2", "ctr"],
                "cni-plugins" => vec!["bridge", "host-local"],
                "flannel" => vec!["flanneld", FLANNEL_MANIFEST],
                "runc" => vec!["runc"],
                _ => Vec::new(),
            }
        };
        versions
            .parts()
            .into_iter()
            .map(|part| {
                let folder = cache.join(part.to_string());
                for program in programs(part.name) {
                    let text = format!("{program} \"cniVersion\": \"1.0.0\"");
                    files::write(&folder.join(program), text.as_bytes()).unwrap();
                }
                files::write(&folder.join("recipe.txt"), b"recipe").unwrap();
                Built {
                    part,
                    key: "0".repeat(16),
                    folder,
                }
            })
            .collect()
    }

    fn names_in(archive: &Path) -> Vec<String> {
        tar::Archive::new(GzDecoder::new(File::open(archive).unwrap()))
            .entries()
            .unwrap()
            .map(|e| String::from_utf8_lossy(&e.unwrap().path_bytes()).into_owned())
            .collect()
    }

    #[test]
    fn the_tree_is_upstreams() {
        let dir = tempfile::tempdir().unwrap();
        let parts = pretend(&NEWEST, &dir.path().join("cache"));
        let root = dir.path().join("mirror");
        let written = lay_out(&parts, &root).unwrap();
        let list: Vec<_> = written
            .iter()
            .map(|p| p.to_str().unwrap().replace(ARCH, "ARCH"))
            .collect();
        insta::assert_snapshot!(list.join("\n"), @r"
        dl.k8s.io/release/v1.37.2/bin/linux/ARCH/kubeadm
        dl.k8s.io/release/v1.37.2/bin/linux/ARCH/kubeadm.sha256
        dl.k8s.io/release/v1.37.2/bin/linux/ARCH/kubectl
        dl.k8s.io/release/v1.37.2/bin/linux/ARCH/kubectl.sha256
        dl.k8s.io/release/v1.37.2/bin/linux/ARCH/kubelet
        dl.k8s.io/release/v1.37.2/bin/linux/ARCH/kubelet.sha256
        github.com/containerd/containerd/releases/download/v2.4.2/containerd-2.4.2-linux-ARCH.tar.gz
        github.com/containerd/containerd/releases/download/v2.4.2/containerd-2.4.2-linux-ARCH.tar.gz.sha256sum
        github.com/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-ARCH-v1.9.1.tgz
        github.com/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-ARCH-v1.9.1.tgz.sha256
        github.com/etcd-io/etcd/releases/download/v3.7.3/SHA256SUMS
        github.com/etcd-io/etcd/releases/download/v3.7.3/etcd-v3.7.3-linux-ARCH.tar.gz
        github.com/flannel-io/flannel/releases/download/v0.28.10/kube-flannel.yml
        github.com/opencontainers/runc/releases/download/v1.5.2/runc.ARCH
        github.com/opencontainers/runc/releases/download/v1.5.2/runc.sha256sum
        ");
        let mut there = files::walk(&root).unwrap();
        there.sort();
        assert_eq!(written, there);

        let github = root.join("github.com");
        let cni = format!(
            "containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-{ARCH}-v1.9.1.tgz"
        );
        assert_eq!(
            names_in(&github.join(&cni)),
            ["./", "./bridge", "./host-local", "./README.md"]
        );
        let (digest, _) = files::sha256_of(&github.join(&cni)).unwrap();
        let published = files::read(&github.join(format!("{cni}.sha256"))).unwrap();
        assert!(published.starts_with(digest.as_bytes()));

        let manifest = "flannel-io/flannel/releases/download/v0.28.10/kube-flannel.yml";
        let manifest = files::read(&github.join(manifest)).unwrap();
        assert_eq!(manifest, b"kube-flannel.yml \"cniVersion\": \"0.3.1\"");
    }

    #[test]
    fn laying_out_again_gives_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let parts = pretend(&NEWEST, &dir.path().join("cache"));
        let digests = |root: &Path| -> Vec<_> {
            lay_out(&parts, root)
                .unwrap()
                .iter()
                .map(|p| files::sha256_of(&root.join(p)).unwrap())
                .collect()
        };
        let root = dir.path().join("mirror");
        let first = digests(&root);
        assert_eq!(first, digests(&root));
        assert_eq!(first, digests(&dir.path().join("other")));
    }
}
