//! What the hosts of the demo and of the tests are supplied with: the real parts, laid out as upstream does, and the
//! bundle made of them by the product's own library.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bundle::oci::Platform;
use bundle::{ComponentSpec, Draft, Layout};
use clap::Args;
use parts::catalog::{self, Versions};
use parts::{Built, Part, Workshop, files, images, mirror};

use crate::Outcome;
use crate::run::cache;

/// Which parts to build.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Everything that there is a recipe for, not only what the tests need
    #[arg(long)]
    all: bool,
}

/// What the supplies are for: it decides how much must be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// One Kubernetes, one etcd.
    Demo,
    /// And the versions of etcd that the tests go through.
    Tests,
}

impl Want {
    fn name(self) -> &'static str {
        match self {
            Self::Demo => "demo",
            Self::Tests => "tests",
        }
    }
}

pub(crate) fn main(arguments: &Arguments) -> Outcome {
    crate::machine::prepare(crate::machine::Need::Hosts, false)?;
    let parts = if arguments.all {
        catalog::all()
    } else {
        wanted(Want::Tests)
    };
    for part in &parts {
        println!("{part}");
    }
    Workshop::from_environment()?
        .ensure(&parts, &mut say)
        .map(drop)?;
    Ok(())
}

/// Builds what is missing, and returns the folder of supplies:
///
/// | Path in it | What |
/// |---|---|
/// | `mirror/` | release files as upstream lays them out, a folder for each of its hosts |
/// | `bundle.oci/` | an OCI layout with every component, image and node tool of [`catalog::NEWEST`] |
/// | `etcd.oci/` | an OCI layout with the other versions of etcd |
pub(crate) fn ensure(want: Want, tools: &Path) -> Outcome<PathBuf> {
    let workshop = Workshop::from_environment()?;
    let built = workshop.ensure(&wanted(want), &mut say)?;
    let parts = of_parts(want, &workshop, &built)?;

    let mut key = parts.display().to_string();
    for tool in ["etcdadm", "nodeadm"] {
        key.push_str(&files::sha256_of(&tools.join(tool))?.0);
    }
    let prefix = format!("supplies-{}-", want.name());
    let folder = cache()?.join(format!("{prefix}{}", &files::sha256(key.as_bytes())[..16]));
    if !folder.exists() {
        forget_older(&prefix)?;
        say("writing the bundle");
        let whole = beside(&folder)?;
        std::os::unix::fs::symlink(parts.join("mirror"), whole.join("mirror"))?;
        let other = parts.join("etcd.oci");
        if other.exists() {
            std::os::unix::fs::symlink(other, whole.join("etcd.oci"))?;
        }
        let from = Arc::new(Layout::open(&parts.join("parts.oci"))?);
        let mut draft = Draft::new();
        for entry in from.entries()? {
            draft.add_entry(&from, &entry)?;
        }
        for tool in ["etcdadm", "nodeadm"] {
            let files = vec![(tool.to_owned(), tools.join(tool))];
            add(
                &mut draft,
                tool,
                concat!("v", env!("CARGO_PKG_VERSION")),
                files,
            )?;
        }
        draft.write_folder(&whole.join("bundle.oci"), &mut |_| {})?;
        std::fs::rename(&whole, &folder)?;
    }
    Ok(folder)
}

/// The layout of everything but our own tools, which change more often.
fn of_parts(want: Want, workshop: &Workshop, built: &[Built]) -> Outcome<PathBuf> {
    let keys: String = built
        .iter()
        .map(|built| format!("{} {}\n", built.part, built.key))
        .collect();
    let prefix = format!("laid-out-{}-", want.name());
    let folder = cache()?.join(format!("{prefix}{}", &files::sha256(keys.as_bytes())[..16]));
    if folder.exists() {
        return Ok(folder);
    }
    forget_older(&prefix)?;
    say("laying the parts out as upstream does");
    let whole = beside(&folder)?;
    let tree = mirror::cached(workshop, built, &mut say)?;
    std::os::unix::fs::symlink(&tree, whole.join("mirror"))?;

    let newest = catalog::NEWEST;
    let mut draft = Draft::new();
    components(&mut draft, &tree, &newest)?;
    for image in images::prepare(workshop, &newest, built, None, &mut say)? {
        draft.add_image(&image.spec())?;
    }
    draft.write_folder(&whole.join("parts.oci"), &mut |_| {})?;

    let others: Vec<&str> = built
        .iter()
        .filter(|b| b.part.name == "etcd" && b.part.version != newest.etcd)
        .map(|b| b.part.version)
        .collect();
    if !others.is_empty() {
        let mut draft = Draft::new();
        for version in others {
            let files = vec![etcd(&tree, version)];
            add(&mut draft, "etcd", &format!("v{version}"), files)?;
        }
        draft.write_folder(&whole.join("etcd.oci"), &mut |_| {})?;
    }
    std::fs::rename(&whole, &folder)?;
    Ok(folder)
}

fn wanted(want: Want) -> Vec<Part> {
    let mut parts = catalog::NEWEST.parts();
    if want == Want::Tests {
        let others = ["3.6.16", "3.5.35"];
        parts.extend(
            others
                .iter()
                .filter_map(|version| catalog::find("etcd", version)),
        );
    }
    parts
}

fn components(draft: &mut Draft, tree: &Path, versions: &Versions) -> Outcome {
    let arch = mirror::ARCH;
    let github = tree.join("github.com");
    let Versions {
        kubernetes,
        containerd,
        runc,
        cni_plugins,
        flannel,
        ..
    } = versions;
    add(
        draft,
        "etcd",
        &format!("v{}", versions.etcd),
        vec![etcd(tree, versions.etcd)],
    )?;
    let bin = tree.join(format!("dl.k8s.io/release/v{kubernetes}/bin/linux/{arch}"));
    let programs = ["kubeadm", "kubelet", "kubectl"].map(|name| (name.to_owned(), bin.join(name)));
    add(
        draft,
        "kubernetes",
        &format!("v{kubernetes}"),
        programs.to_vec(),
    )?;
    for (name, version, repository, file) in [
        (
            "containerd",
            containerd,
            "containerd/containerd",
            format!("containerd-{containerd}-linux-{arch}.tar.gz"),
        ),
        ("runc", runc, "opencontainers/runc", format!("runc.{arch}")),
        (
            "cni-plugins",
            cni_plugins,
            "containernetworking/plugins",
            format!("cni-plugins-linux-{arch}-v{cni_plugins}.tgz"),
        ),
        (
            "flannel",
            flannel,
            "flannel-io/flannel",
            "kube-flannel.yml".to_owned(),
        ),
    ] {
        let path = github.join(format!("{repository}/releases/download/v{version}/{file}"));
        add(draft, name, &format!("v{version}"), vec![(file, path)])?;
    }
    Ok(())
}

fn etcd(tree: &Path, version: &str) -> (String, PathBuf) {
    let file = format!("etcd-v{version}-linux-{}.tar.gz", mirror::ARCH);
    let path = tree.join(format!(
        "github.com/etcd-io/etcd/releases/download/v{version}/{file}"
    ));
    (file, path)
}

fn add(draft: &mut Draft, name: &str, version: &str, files: Vec<(String, PathBuf)>) -> Outcome {
    let platform = Platform::linux(mirror::ARCH);
    draft.add_component(&ComponentSpec {
        name: name.to_owned(),
        version: version.to_owned(),
        platform,
        files,
    })?;
    Ok(())
}

/// An empty folder beside `folder`, which takes its place when all is in it.
fn beside(folder: &Path) -> Outcome<PathBuf> {
    let temporary = folder.with_extension("unfinished");
    if temporary.exists() {
        std::fs::remove_dir_all(&temporary)?;
    }
    std::fs::create_dir_all(&temporary)?;
    Ok(temporary)
}

/// Each is some hundred megabytes and made again in seconds: only the newest is kept.
fn forget_older(prefix: &str) -> Outcome {
    for entry in std::fs::read_dir(cache()?)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn say(line: &str) {
    println!("{line}");
}
