//! Where the tools of old kept their artifacts; what lies there still counts.
//!
//! Nothing vouches for these files: no digest was ever kept with them. They are found by name, and their digest is that
//! of what is there. Whoever has the bundle's own digests uses those instead; nothing is written here.

use std::path::PathBuf;

use host::{Error, Inspect, Kind};

use crate::store::{Origin, StoredComponent, StoredFile};

/// The files of a component at the places of old, all of them or nothing. `version` has no leading `v`.
pub(crate) fn component(
    seen: &(impl Inspect + ?Sized),
    name: &str,
    version: &str,
    arch: &str,
) -> Result<Option<StoredComponent>, Error> {
    let mut files = Vec::new();
    for (name, places) in places(name, version, arch) {
        let mut found = None;
        for path in places {
            let Some(stat) = seen.stat(&path)?.filter(|stat| stat.kind == Kind::File) else {
                continue;
            };
            let Some(digest) = seen.digest(&path)? else {
                continue;
            };
            found = Some(StoredFile {
                name: name.clone(),
                digest,
                size: stat.size,
                path,
            });
            break;
        }
        match found {
            Some(file) => files.push(file),
            None => return Ok(None),
        }
    }
    let found = StoredComponent {
        name: name.into(),
        version: version.into(),
        origin: Origin::OldCache,
        files,
    };
    Ok((!found.files.is_empty()).then_some(found))
}

/// Each file's name in a bundle, and where it may lie.
fn places(name: &str, version: &str, arch: &str) -> Vec<(String, Vec<PathBuf>)> {
    // Both are put into paths, and may come from a document.
    if !crate::contents::is_plain_name(version) || !crate::contents::is_plain_name(arch) {
        return Vec::new();
    }
    let one = |name: String, paths: Vec<String>| {
        vec![(name, paths.into_iter().map(PathBuf::from).collect())]
    };
    match name {
        "etcd" => {
            let file = format!("etcd-v{version}-linux-{arch}.tar.gz");
            one(
                file.clone(),
                vec![format!("/var/cache/etcdadm/etcd/v{version}/{file}")],
            )
        }
        "kubernetes" => ["kubeadm", "kubelet", "kubectl"]
            .into_iter()
            .map(|file| {
                let path = format!("/var/cache/nodeadm/kubernetes/v{version}/{file}");
                (file.to_owned(), vec![PathBuf::from(path)])
            })
            .collect(),
        "cni-plugins" => {
            let file = format!("cni-plugins-linux-{arch}-v{version}.tgz");
            let folder = format!("/var/cache/nodeadm/cni/v{version}");
            let old = format!("{folder}/cni-plugins-{arch}-v{version}.tgz");
            one(file.clone(), vec![format!("{folder}/{file}"), old])
        }
        "flannel" => {
            let path = format!("/var/cache/nodeadm/flannel/v{version}/kube-flannel.yml");
            one("kube-flannel.yml".into(), vec![path])
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host::{Change, Host, Memory, Nothing};

    #[test]
    fn artifacts_at_the_places_of_old_are_found_whole_or_not_at_all() {
        let mut host = Memory::new(Nothing);
        assert_eq!(component(&host, "etcd", "3.5.7", "amd64").unwrap(), None);
        let path = "/var/cache/etcdadm/etcd/v3.5.7/etcd-v3.5.7-linux-amd64.tar.gz";
        host.apply(&Change::file(path, "tarball")).unwrap();
        let found = component(&host, "etcd", "3.5.7", "amd64").unwrap().unwrap();
        assert_eq!(found.origin, Origin::OldCache);
        assert_eq!(found.files[0].path, PathBuf::from(path));
        assert_eq!(found.files[0].digest, host::Digest::of(b"tarball"));
        assert_eq!(component(&host, "etcd", "3.5.7", "arm64").unwrap(), None);

        for file in ["kubeadm", "kubelet"] {
            host.apply(&Change::file(
                format!("/var/cache/nodeadm/kubernetes/v1.12.8/{file}"),
                file,
            ))
            .unwrap();
        }
        assert_eq!(
            component(&host, "kubernetes", "1.12.8", "amd64").unwrap(),
            None,
            "kubectl is missing"
        );
        host.apply(&Change::file(
            "/var/cache/nodeadm/kubernetes/v1.12.8/kubectl",
            "k",
        ))
        .unwrap();
        assert_eq!(
            component(&host, "kubernetes", "1.12.8", "amd64")
                .unwrap()
                .unwrap()
                .files
                .len(),
            3
        );
    }

    #[test]
    fn a_version_is_no_path() {
        assert!(places("etcd", "../../..", "amd64").is_empty());
        assert!(places("etcd", "3.5.7", "/etc").is_empty());
    }
}
