//! What of the store this host needs: components, and the images of its role in the order in which they are needed.

use std::collections::BTreeMap;

use api::{Cni, NodeConfiguration, Role};
use bundle::versions::kubeadm_defaults;
use bundle::{Entry, Store, StoredComponent};
use host::Inspect;
use serde_json::Value;

use crate::{Error, flannel};

/// What is installed from the store.
#[derive(Debug, Clone, Default)]
pub struct Artifacts {
    /// kubeadm, kubelet, kubectl.
    pub kubernetes: Option<StoredComponent>,
    /// containerd.
    pub containerd: Option<StoredComponent>,
    /// runc.
    pub runc: Option<StoredComponent>,
    /// CNI plugins.
    pub cni_plugins: Option<StoredComponent>,
    /// flannel's manifest, where it is wanted.
    pub flannel: Option<Flannel>,
    /// Images by what they are.
    pub images: Images,
}

/// flannel, as its own manifest describes it.
#[derive(Debug, Clone)]
pub struct Flannel {
    /// Its version.
    pub version: String,
    /// Its objects, as upstream has them.
    pub objects: Vec<Value>,
}

/// The images of a role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Images {
    /// The sandbox of every pod.
    pub pause: String,
    /// keepalived, on a control plane that holds the endpoint's address.
    pub keepalived: Option<String>,
    /// Needed before the kubelet is started.
    pub first: Vec<String>,
    /// Needed later.
    pub later: Vec<String>,
}

/// What decides which images are needed.
pub(crate) struct Wanted<'a> {
    /// The node's document.
    pub config: &'a NodeConfiguration,
    /// Kubernetes' version as `v1.37.2`.
    pub version: String,
    /// Where Kubernetes' own images come from.
    pub repository: String,
    /// CoreDNS' repository and tag, where the user says so.
    pub dns: (Option<String>, Option<String>),
    /// `amd64`, `arm64`.
    pub arch: &'a str,
}

/// The newest version of `component` in the store.
pub(crate) fn newest(entries: &[Entry], component: &str, arch: &str) -> Option<String> {
    let versions = entries.iter().filter_map(|entry| match entry {
        Entry::Component(c) if c.is(component, &c.version, arch) => Some(c.version.clone()),
        _ => None,
    });
    versions.max_by_key(|version| numbers(version))
}

/// The numbers of a version or tag, by which it is newer or older than another.
fn numbers(text: &str) -> Vec<u64> {
    text.split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

/// Finds everything in the store, or names all that it lacks.
///
/// # Errors
/// [`Error::Missing`]; when the store cannot be read.
pub(crate) fn find(
    store: &Store,
    seen: &dyn Inspect,
    wanted: &Wanted<'_>,
) -> Result<Artifacts, Error> {
    let entries = store.entries(seen)?;
    let mut missing = Vec::new();
    let mut component =
        |name: &str, version: Option<&String>| -> Result<Option<StoredComponent>, Error> {
            let version = version
                .cloned()
                .or_else(|| newest(&entries, name, wanted.arch));
            let found = match &version {
                Some(version) => store.component(seen, name, version, wanted.arch)?,
                None => None,
            };
            if found.is_none() {
                missing.push(
                    format!("{name} {}", version.unwrap_or_default())
                        .trim_end()
                        .to_owned(),
                );
            }
            Ok(found)
        };
    let chosen = &wanted.config.components;
    let mut artifacts = Artifacts {
        kubernetes: component("kubernetes", Some(&wanted.version))?,
        containerd: component("containerd", chosen.get("containerd"))?,
        runc: component("runc", chosen.get("runc"))?,
        cni_plugins: component("cni-plugins", chosen.get("cni-plugins"))?,
        flannel: None,
        images: Images::default(),
    };
    if wanted.config.network.cni == Cni::Flannel
        && let Some(stored) = component("flannel", chosen.get("flannel"))?
    {
        artifacts.flannel = Some(read_flannel(store, seen, &stored)?);
    }
    let references: Vec<&str> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Image(image) if image.is(&image.reference, wanted.arch) => {
                Some(image.reference.as_str())
            }
            _ => None,
        })
        .collect();
    artifacts.images = images(
        wanted,
        artifacts.flannel.as_ref(),
        &references,
        &mut missing,
    );
    missing.sort();
    if missing.is_empty() {
        Ok(artifacts)
    } else {
        Err(Error::Missing {
            store: store.path().to_owned(),
            missing,
        })
    }
}

/// Reads flannel's manifest, which is checked by its digest before it is looked at.
fn read_flannel(
    store: &Store,
    seen: &dyn Inspect,
    stored: &StoredComponent,
) -> Result<Flannel, Error> {
    let file = stored
        .file("kube-flannel.yml")
        .or_else(|| stored.files.first());
    let fault = |what: String| Error::File {
        path: file.map_or_else(|| "kube-flannel.yml".into(), |file| file.path.clone()),
        what,
    };
    let file = file.ok_or_else(|| fault("the component has no file".to_owned()))?;
    let text = String::from_utf8(store.read(seen, file)?)
        .map_err(|_| fault("it is no UTF-8 text".to_owned()))?;
    let objects = flannel::objects(&text).map_err(|error| fault(error.to_string()))?;
    Ok(Flannel {
        version: stored.version.clone(),
        objects,
    })
}

fn images(
    wanted: &Wanted<'_>,
    flannel: Option<&Flannel>,
    there: &[&str],
    missing: &mut Vec<String>,
) -> Images {
    let repository = &wanted.repository;
    let known = wanted.version.parse().ok().and_then(kubeadm_defaults);
    // One tag in the store: that one. Several: the one that kubeadm wants. Else the newest.
    let tagged = |name: &str, usual: Option<&str>| -> String {
        let tags: Vec<&str> = there
            .iter()
            .filter_map(|image| image.strip_prefix(name)?.strip_prefix(':'))
            .collect();
        let tag = usual
            .filter(|usual| tags.is_empty() || tags.contains(usual))
            .or_else(|| tags.iter().copied().max_by_key(|tag| numbers(tag)));
        format!("{name}:{}", tag.unwrap_or("?"))
    };
    let own = |name: &str| format!("{repository}/{name}:{}", wanted.version);
    let pause = tagged(
        &format!("{repository}/pause"),
        known.map(|(_, pause)| pause.bare()).as_deref(),
    );
    let coredns = {
        // kubeadm's rule: upstream's repository has one folder more.
        let folder = if repository == "registry.k8s.io" {
            "/coredns"
        } else {
            ""
        };
        let name = match &wanted.dns.0 {
            Some(repository) => format!("{repository}/coredns"),
            None => format!("{repository}{folder}/coredns"),
        };
        match &wanted.dns.1 {
            Some(tag) => format!("{name}:{tag}"),
            None => tagged(
                &name,
                known.map(|(coredns, _)| coredns.to_string()).as_deref(),
            ),
        }
    };
    let flannel = flannel
        .map(|flannel| flannel::images(&flannel.objects))
        .unwrap_or_default();
    let keepalived = wanted
        .config
        .vip
        .as_ref()
        .filter(|_| wanted.config.role == Role::Master)
        .map(|vip| {
            vip.image
                .clone()
                .unwrap_or_else(|| tagged("klusterkit.dev/keepalived", None))
        });
    let mut images = Images {
        pause: pause.clone(),
        keepalived: keepalived.clone(),
        ..Images::default()
    };
    images.first.push(pause);
    if wanted.config.role == Role::Master {
        images.first.extend(keepalived);
        images.first.extend(
            [
                "kube-apiserver",
                "kube-controller-manager",
                "kube-scheduler",
            ]
            .map(own),
        );
        images.later.push(own("kube-proxy"));
        images.later.extend(flannel);
    } else {
        images.first.push(own("kube-proxy"));
        images.first.extend(flannel);
    }
    // Its pods may come to run on any node.
    images.later.push(coredns);
    let lacking = images
        .first
        .iter()
        .chain(&images.later)
        .filter(|image| !there.contains(&image.as_str()));
    missing.extend(lacking.map(|image| format!("image {image}")));
    images
}

/// The versions of what was found, by component, as the record keeps them: a later run takes the same.
#[must_use]
pub(crate) fn versions(artifacts: &Artifacts) -> BTreeMap<String, String> {
    let stored = [
        &artifacts.containerd,
        &artifacts.runc,
        &artifacts.cni_plugins,
    ];
    let mut versions: BTreeMap<String, String> = stored
        .into_iter()
        .flatten()
        .map(|c| (c.name.clone(), c.version.clone()))
        .collect();
    if let Some(flannel) = &artifacts.flannel {
        versions.insert("flannel".to_owned(), flannel.version.clone());
    }
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(config: &NodeConfiguration) -> Wanted<'_> {
        Wanted {
            config,
            version: "v1.37.2".into(),
            repository: "registry.k8s.io".into(),
            dns: (None, None),
            arch: "amd64",
        }
    }

    const THERE: [&str; 8] = [
        "registry.k8s.io/pause:3.10.2",
        "registry.k8s.io/pause:3.9",
        "registry.k8s.io/kube-apiserver:v1.37.2",
        "registry.k8s.io/kube-controller-manager:v1.37.2",
        "registry.k8s.io/kube-scheduler:v1.37.2",
        "registry.k8s.io/kube-proxy:v1.37.2",
        "registry.k8s.io/coredns/coredns:v1.14.2",
        "registry.k8s.io/coredns/coredns:v1.14.6",
    ];

    #[test]
    fn each_role_gets_its_own_images_the_first_needed_first() {
        let mut missing = Vec::new();
        let master = NodeConfiguration::default();
        let images_of_master = images(&wanted(&master), None, &THERE, &mut missing);
        assert_eq!(images_of_master.first[0], "registry.k8s.io/pause:3.10.2");
        assert_eq!(images_of_master.first.len(), 4);
        assert_eq!(
            images_of_master.later,
            [
                "registry.k8s.io/kube-proxy:v1.37.2",
                "registry.k8s.io/coredns/coredns:v1.14.6"
            ]
        );
        let node = NodeConfiguration {
            role: Role::Node,
            ..NodeConfiguration::default()
        };
        let images_of_node = images(&wanted(&node), None, &THERE, &mut missing);
        assert_eq!(
            images_of_node.first,
            [
                "registry.k8s.io/pause:3.10.2",
                "registry.k8s.io/kube-proxy:v1.37.2"
            ]
        );
        assert_eq!(missing, Vec::<String>::new());
    }

    #[test]
    fn a_damaged_manifest_is_not_looked_at() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(root.path());
        let manifest = root.path().join("kube-flannel.yml");
        host::write_atomically(&manifest, 0o644, b"kind: Namespace\napiVersion: v1\n").unwrap();
        let mut draft = bundle::Draft::new();
        draft
            .add_component(&bundle::ComponentSpec {
                name: "flannel".into(),
                version: "v0.28.10".into(),
                platform: bundle::oci::Platform::linux(bundle::ANY_ARCH),
                files: vec![("kube-flannel.yml".into(), manifest)],
            })
            .unwrap();
        let cache = root.path().join("var/cache");
        let seen = host::Local::new(root.path());
        let make = host::Change::MakeDir {
            path: cache.clone(),
            mode: 0o755,
        };
        host::Host::apply(&mut host::Local::new("/"), &make).unwrap();
        draft
            .write_folder(&cache.join("klusterkit"), &mut |_| {})
            .unwrap();
        let find = || store.component(&seen, "flannel", "v0.28.10", "amd64");
        let stored = find().unwrap().unwrap();
        let read = read_flannel(&store, &seen, &stored).unwrap();
        assert_eq!(read.objects.len(), 1);

        // Another namespace of the same length.
        let blob = stored.files[0].path.strip_prefix("/").unwrap();
        host::write_atomically(
            &root.path().join(blob),
            0o644,
            b"kind: Namespace\napiVersion: v2\n",
        )
        .unwrap();
        let error = read_flannel(&store, &seen, &stored).unwrap_err();
        assert!(error.to_string().contains("is damaged"), "{error}");
    }

    #[test]
    fn what_is_missing_is_named_altogether() {
        let mut missing = Vec::new();
        images(
            &wanted(&NodeConfiguration::default()),
            None,
            &THERE[..3],
            &mut missing,
        );
        assert_eq!(
            missing,
            [
                "image registry.k8s.io/kube-controller-manager:v1.37.2",
                "image registry.k8s.io/kube-scheduler:v1.37.2",
                "image registry.k8s.io/kube-proxy:v1.37.2",
                "image registry.k8s.io/coredns/coredns:v1.14.6"
            ]
        );
    }
}
