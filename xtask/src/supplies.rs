//! What the hosts of the demo and of the tests are supplied with: the real parts, laid out as upstream does, and the
//! bundle that `cctl bundle create` makes out of them, as an admin would with a mirror at hand.

use std::path::{Path, PathBuf};

use bundle::oci::Platform;
use bundle::{ComponentSpec, Draft};
use clap::Args;
use parts::catalog::{self, Versions};
use parts::{Built, Part, Workshop, files, images, mirror};

use crate::Outcome;
use crate::run::{Task, cache};
use crate::tools::TOOLS;

/// This file decides what lies where in a folder of supplies: a folder that another version of it made is made again.
const LAYOUT: &str = include_str!("supplies.rs");

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
    /// And the versions of etcd that the tests go through, and a registry.
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
/// | `images.oci/` | an OCI layout with the images of [`catalog::NEWEST`] |
/// | `versions.yaml` | the file of versions of [`catalog::NEWEST`], with the digests of all that is in the bundle |
/// | `bundle.oci/` | the bundle: every component, image and node tool |
/// | `etcd.oci/` | for tests, an OCI layout with the other versions of etcd, and with an image of each |
/// | `registry` | for tests, the OCI registry's program |
pub(crate) fn ensure(want: Want, tools: &Path) -> Outcome<PathBuf> {
    let workshop = Workshop::from_environment()?;
    let built = workshop.ensure(&wanted(want), &mut say)?;
    let parts = of_parts(want, &workshop, &built)?;

    let mut key = format!("{}\n{LAYOUT}", parts.display());
    for tool in TOOLS {
        key.push_str(&files::sha256_of(&tools.join(tool))?.0);
    }
    let prefix = format!("supplies-{}-", want.name());
    let folder = cache()?.join(format!("{prefix}{}", &files::sha256(key.as_bytes())[..16]));
    if folder.exists() {
        return Ok(folder);
    }
    forget_older(&prefix)?;
    let whole = beside(&folder)?;
    for entry in std::fs::read_dir(&parts)? {
        let entry = entry?;
        std::os::unix::fs::symlink(entry.path(), whole.join(entry.file_name()))?;
    }
    create_bundle(tools, &whole, &catalog::NEWEST)?;
    std::fs::rename(&whole, &folder)?;
    Ok(folder)
}

/// For a sweep through the supported releases of Kubernetes: makes `kubernetes-VERSION.oci` in the folder of supplies for
/// each that [`ensure`] does not take care of. What is not cached takes some ten minutes a release.
pub(crate) fn add_releases(supplies: &Path, tools: &Path) -> Outcome {
    let workshop = Workshop::from_environment()?;
    for versions in [catalog::PREVIOUS, catalog::OLDER, catalog::OLDEST] {
        let bundle = supplies.join(format!("kubernetes-{}.oci", versions.kubernetes));
        if bundle.exists() {
            continue;
        }
        let built = workshop.ensure(&versions.parts(), &mut say)?;
        let work = beside(&bundle)?;
        let tree = mirror::cached(&workshop, &built, &mut say)?;
        std::os::unix::fs::symlink(&tree, work.join("mirror"))?;
        write_images(&workshop, &versions, &built, &work)?;
        create_bundle(tools, &work, &versions)?;
        std::fs::rename(work.join("bundle.oci"), &bundle)?;
        std::fs::remove_dir_all(&work)?;
    }
    Ok(())
}

/// Has `cctl` make `bundle.oci` out of `mirror` and `images.oci`, all in `folder`. The node tools are found beside cctl,
/// where an admin has them, too.
fn create_bundle(tools: &Path, folder: &Path, versions: &Versions) -> Outcome {
    let file = folder.join("versions.yaml");
    std::fs::write(&file, versions_file(versions))?;
    Task::new(tools.join("cctl"))
        .args(["bundle", "create", "--update-pins", "--file"])
        .args([&file])
        .args(["--mirror"])
        .args([folder.join("mirror")])
        .args(["--mirror"])
        .args([folder.join("images.oci")])
        .args([folder.join("bundle.oci")])
        .run()
}

fn write_images(
    workshop: &Workshop,
    versions: &Versions,
    built: &[Built],
    folder: &Path,
) -> Outcome {
    let mut draft = Draft::new();
    for image in images::prepare(workshop, versions, built, None, &mut say)? {
        draft.add_image(&image.spec())?;
    }
    draft.write_folder(&folder.join("images.oci"), &mut |_| {})?;
    Ok(())
}

fn versions_file(versions: &Versions) -> String {
    let Versions {
        etcd,
        kubernetes,
        coredns,
        pause,
        containerd,
        runc,
        cni_plugins,
        flannel,
    } = versions;
    format!(
        "\
# The versions of the programs that were built for the hosts.
apiVersion: klusterkit.dev/v1alpha1
kind: BundleConfiguration
kubernetes: {{version: v{kubernetes}}}
etcd: {{version: v{etcd}}}
containerd: {{version: v{containerd}}}
runc: {{version: v{runc}}}
cniPlugins: {{version: v{cni_plugins}}}
flannel: {{version: v{flannel}}}
coredns: {{version: v{coredns}}}
pause: {{version: v{pause}}}
vip: {{image: klusterkit.dev/keepalived:{}}}
architectures: [{}]
",
        images::KEEPALIVED,
        mirror::ARCH
    )
}

/// Everything but what our own tools have a part in, which change more often.
fn of_parts(want: Want, workshop: &Workshop, built: &[Built]) -> Outcome<PathBuf> {
    let keys: String = built
        .iter()
        .map(|built| format!("{} {}\n", built.part, built.key))
        .chain([LAYOUT.to_owned()])
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
    write_images(workshop, &newest, built, &whole)?;
    if let Some(registry) = built.iter().find(|b| b.part.name == "registry") {
        let program = registry.file("registry");
        std::os::unix::fs::symlink(program, whole.join("registry"))?;
    }

    let others: Vec<&str> = built
        .iter()
        .filter(|b| b.part.name == "etcd" && b.part.version != newest.etcd)
        .map(|b| b.part.version)
        .collect();
    if !others.is_empty() {
        let mut draft = Draft::new();
        for version in others {
            let files = vec![etcd(&tree, version)];
            draft.add_component(&ComponentSpec {
                name: "etcd".to_owned(),
                version: format!("v{version}"),
                platform: Platform::linux(mirror::ARCH),
                files,
            })?;
        }
        for image in images::of_etcd(workshop, built, &mut say)? {
            draft.add_image(&image.spec())?;
        }
        draft.write_folder(&whole.join("etcd.oci"), &mut |_| {})?;
    }
    std::fs::rename(&whole, &folder)?;
    Ok(folder)
}

fn wanted(want: Want) -> Vec<Part> {
    let mut parts = catalog::NEWEST.parts();
    if want == Want::Tests {
        let others = [
            ("etcd", "3.6.16"),
            ("etcd", "3.5.35"),
            ("registry", catalog::REGISTRY),
        ];
        parts.extend(
            others
                .iter()
                .filter_map(|(name, version)| catalog::find(name, version)),
        );
    }
    parts
}

fn etcd(tree: &Path, version: &str) -> (String, PathBuf) {
    let file = format!("etcd-v{version}-linux-{}.tar.gz", mirror::ARCH);
    let path = tree.join(format!(
        "github.com/etcd-io/etcd/releases/download/v{version}/{file}"
    ));
    (file, path)
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
