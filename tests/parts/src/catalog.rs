//! Which parts there are: name, version, packages and flags, as data.
//!
//! The sources and their digests stand in `modules/<name>-<version>/`; what is
//! said here is how they are compiled. The flags are upstream's where upstream's
//! change what the program does, and leave out what only makes it larger.

use std::fmt;

/// One part: a set of programs of one upstream project in one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Upstream's name for it.
    pub name: &'static str,
    /// Its version, without a leading `v`.
    pub version: &'static str,
    /// How it is made.
    pub build: Build,
}

/// How a part is made from its sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Build {
    /// By the Go compiler.
    Go(GoBuild),
    /// By the C compiler, from one file that a Go module carries along.
    C(CBuild),
}

/// A build by the Go compiler.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GoBuild {
    /// Packages to build, each the main package of one program.
    pub packages: Vec<String>,
    /// Whether C sources are compiled in and the C linker is used.
    pub cgo: bool,
    /// Build tags.
    pub tags: &'static str,
    /// Flags of the linker.
    pub ldflags: String,
    /// Libraries that must be known to `pkg-config`, with the Debian package
    /// that brings each.
    pub libraries: &'static [(&'static str, &'static str)],
    /// Programs that upstream publishes under another name than their package's.
    pub rename: &'static [(&'static str, &'static str)],
    /// Files kept beside the programs: Go module, path in it.
    pub keep: &'static [(&'static str, &'static str)],
}

/// A build by the C compiler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CBuild {
    /// The folder under `modules/` that pins the source.
    pub pinned_by: &'static str,
    /// The Go module that carries the source.
    pub module: &'static str,
    /// The source's path in it.
    pub source: &'static str,
    /// Arguments of the compiler, but for source and result.
    pub arguments: &'static [&'static str],
    /// The program's name.
    pub program: &'static str,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.name, self.version)
    }
}

impl Part {
    /// The folder under `modules/` that pins its sources.
    pub fn module_folder(&self) -> String {
        match &self.build {
            Build::Go(_) => self.to_string(),
            Build::C(c) => c.pinned_by.to_owned(),
        }
    }
}

/// The versions of everything that one cluster runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// etcd.
    pub etcd: &'static str,
    /// Kubernetes.
    pub kubernetes: &'static str,
    /// The CoreDNS that this Kubernetes asks for.
    pub coredns: &'static str,
    /// The pause image that this Kubernetes asks for.
    pub pause: &'static str,
    /// containerd.
    pub containerd: &'static str,
    /// runc.
    pub runc: &'static str,
    /// The CNI plugins.
    pub cni_plugins: &'static str,
    /// flannel.
    pub flannel: &'static str,
}

/// What a new cluster gets.
pub const NEWEST: Versions = Versions {
    etcd: "3.7.3",
    kubernetes: "1.37.2",
    coredns: "1.14.6",
    pause: "3.10.2",
    containerd: "2.4.2",
    runc: "1.5.2",
    cni_plugins: "1.9.1",
    flannel: "0.28.10",
};

/// What an upgrade to [`NEWEST`] starts from.
pub const PREVIOUS: Versions = Versions {
    etcd: "3.6.16",
    kubernetes: "1.36.3",
    coredns: "1.14.2",
    ..NEWEST
};

/// The oldest Kubernetes that is supported.
pub const OLDEST: Versions = Versions {
    kubernetes: "1.34.4",
    coredns: "1.12.1",
    pause: "3.10.1",
    ..NEWEST
};

/// The Kubernetes after [`OLDEST`].
pub const OLDER: Versions = Versions {
    kubernetes: "1.35.4",
    coredns: "1.13.1",
    pause: "3.10.1",
    ..NEWEST
};

/// The version of flannel's own CNI plugin, which its image names otherwise:
/// the last that was part of the CNI plugins' module.
pub const CNI_FLANNEL: &str = "0.9.1";

/// The version of the OCI registry.
pub const REGISTRY: &str = "3.1.2";

impl Versions {
    /// All parts that a cluster of these versions runs, the quickest first.
    pub fn parts(&self) -> Vec<Part> {
        let wanted = [
            ("etcd", self.etcd),
            ("runc", self.runc),
            ("cni-plugins", self.cni_plugins),
            ("cni-flannel", CNI_FLANNEL),
            ("containerd", self.containerd),
            ("flannel", self.flannel),
            ("coredns", self.coredns),
            ("kubernetes", self.kubernetes),
            ("pause", self.pause),
        ];
        wanted
            .iter()
            .map(|(name, version)| find(name, version).expect("stated versions are catalogued"))
            .collect()
    }
}

/// The part of this name and version.
pub fn find(name: &str, version: &str) -> Option<Part> {
    all()
        .into_iter()
        .find(|part| part.name == name && part.version == version)
}

/// Every part that there is a recipe for.
pub fn all() -> Vec<Part> {
    vec![
        etcd("3.7.3"),
        etcd("3.6.16"),
        etcd("3.5.35"),
        kubernetes("1.37.2", "37", "2026-10-27T12:01:04Z"),
        kubernetes("1.36.3", "36", "2026-07-22T18:07:38Z"),
        kubernetes("1.35.4", "35", "2026-04-15T18:01:22Z"),
        kubernetes("1.34.4", "34", "2026-02-10T12:53:36Z"),
        containerd(),
        runc(),
        cni_plugins(),
        cni_flannel(),
        flannel(),
        coredns("1.14.6"),
        coredns("1.14.2"),
        coredns("1.13.1"),
        coredns("1.12.1"),
        registry(),
        pause("3.10.2"),
        pause("3.10.1"),
    ]
}

/// No symbol table and no debug information: half the size, the same program.
const STRIP: &str = "-s -w";

fn packages(module: &str, below: &[&str]) -> Vec<String> {
    below.iter().map(|p| format!("{module}/{p}")).collect()
}

fn etcd(version: &'static str) -> Part {
    Part {
        name: "etcd",
        version,
        build: Build::Go(GoBuild {
            packages: packages(
                "go.etcd.io/etcd",
                &["server/v3", "etcdctl/v3", "etcdutl/v3"],
            ),
            ldflags: STRIP.to_owned(),
            rename: &[("server", "etcd")],
            ..GoBuild::default()
        }),
    }
}

/// `date` is that of the tag. The commit is not known to a module proxy and does
/// not change what the programs do; the version does (kubeadm picks images by it).
fn kubernetes(version: &'static str, minor: &str, date: &str) -> Part {
    let mut ldflags = STRIP.to_owned();
    for package in [
        "k8s.io/component-base/version",
        "k8s.io/client-go/pkg/version",
    ] {
        for (name, value) in [
            ("gitVersion", format!("v{version}").as_str()),
            ("gitMajor", "1"),
            ("gitMinor", minor),
            ("gitTreeState", "clean"),
            ("gitCommit", "modules"),
            ("buildDate", date),
        ] {
            ldflags += &format!(" -X {package}.{name}={value}");
        }
    }
    let programs = [
        "kubeadm",
        "kubelet",
        "kubectl",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kube-proxy",
    ];
    Part {
        name: "kubernetes",
        version,
        build: Build::Go(GoBuild {
            packages: packages("k8s.io/kubernetes/cmd", &programs),
            ldflags,
            ..GoBuild::default()
        }),
    }
}

fn containerd() -> Part {
    const MODULE: &str = "github.com/containerd/containerd/v2";
    Part {
        name: "containerd",
        version: "2.4.2",
        build: Build::Go(GoBuild {
            packages: packages(
                &format!("{MODULE}/cmd"),
                &["containerd", "containerd-shim-runc-v2", "ctr"],
            ),
            tags: "urfave_cli_no_docs",
            ldflags: format!("{STRIP} -X {MODULE}/version.Version=v2.4.2"),
            ..GoBuild::default()
        }),
    }
}

/// Static as upstream's: a host need not have libseccomp.
fn runc() -> Part {
    Part {
        name: "runc",
        version: "1.5.2",
        build: Build::Go(GoBuild {
            packages: vec!["github.com/opencontainers/runc".to_owned()],
            cgo: true,
            tags: "seccomp urfave_cli_no_docs netgo osusergo",
            ldflags: format!("{STRIP} -linkmode external -extldflags -static"),
            libraries: &[("libseccomp", "libseccomp-dev")],
            ..GoBuild::default()
        }),
    }
}

const CNI_MODULE: &str = "github.com/containernetworking/plugins";

fn cni_ldflags(version: &str) -> String {
    format!("{STRIP} -X {CNI_MODULE}/pkg/utils/buildversion.BuildVersion=v{version}")
}

fn cni_plugins() -> Part {
    let mut list = packages(
        &format!("{CNI_MODULE}/plugins/ipam"),
        &["dhcp", "host-local", "static"],
    );
    list.extend(packages(
        &format!("{CNI_MODULE}/plugins/main"),
        &[
            "bridge",
            "dummy",
            "host-device",
            "ipvlan",
            "loopback",
            "macvlan",
            "ptp",
            "tap",
            "vlan",
        ],
    ));
    list.extend(packages(
        &format!("{CNI_MODULE}/plugins/meta"),
        &["bandwidth", "firewall", "portmap", "sbr", "tuning", "vrf"],
    ));
    Part {
        name: "cni-plugins",
        version: "1.9.1",
        build: Build::Go(GoBuild {
            packages: list,
            ldflags: cni_ldflags("1.9.1"),
            ..GoBuild::default()
        }),
    }
}

/// flannel's plugin lives in a module of its own now, which proxies do not
/// serve. This is the last version under the old roof; it speaks CNI up to 0.4.0.
fn cni_flannel() -> Part {
    Part {
        name: "cni-flannel",
        version: CNI_FLANNEL,
        build: Build::Go(GoBuild {
            packages: packages(CNI_MODULE, &["plugins/meta/flannel"]),
            ldflags: cni_ldflags(CNI_FLANNEL),
            ..GoBuild::default()
        }),
    }
}

fn flannel() -> Part {
    const MODULE: &str = "github.com/flannel-io/flannel";
    Part {
        name: "flannel",
        version: "0.28.10",
        build: Build::Go(GoBuild {
            packages: vec![MODULE.to_owned(), format!("{MODULE}/cmd/install_conf")],
            cgo: true,
            ldflags: format!(
                "{STRIP} -X {MODULE}/pkg/version.Version=v0.28.10 -linkmode external -extldflags -static"
            ),
            rename: &[("flannel", "flanneld"), ("install_conf", "install-conf")],
            keep: &[(MODULE, "Documentation/kube-flannel.yml")],
            ..GoBuild::default()
        }),
    }
}

fn coredns(version: &'static str) -> Part {
    Part {
        name: "coredns",
        version,
        build: Build::Go(GoBuild {
            packages: vec!["github.com/coredns/coredns".to_owned()],
            ldflags: STRIP.to_owned(),
            ..GoBuild::default()
        }),
    }
}

fn registry() -> Part {
    const MODULE: &str = "github.com/distribution/distribution/v3";
    Part {
        name: "registry",
        version: REGISTRY,
        build: Build::Go(GoBuild {
            packages: packages(MODULE, &["cmd/registry"]),
            ldflags: format!("{STRIP} -X {MODULE}/version.version=v{REGISTRY}"),
            ..GoBuild::default()
        }),
    }
}

/// From the sources of a Kubernetes that asks for it.
fn pause(version: &'static str) -> Part {
    let (pinned_by, arguments): (_, &[&str]) = match version {
        "3.10.1" => (
            "kubernetes-1.34.4",
            &["-Os", "-Wall", "-static", "-s", "-DVERSION=v3.10.1"],
        ),
        _ => (
            "kubernetes-1.37.2",
            &["-Os", "-Wall", "-static", "-s", "-DVERSION=v3.10.2"],
        ),
    };
    Part {
        name: "pause",
        version,
        build: Build::C(CBuild {
            pinned_by,
            module: "k8s.io/kubernetes",
            source: "build/pause/linux/pause.c",
            arguments,
            program: "pause",
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::recipe::modules_folder;

    #[test]
    fn every_part_pins_its_own_version() {
        for part in all() {
            let Build::Go(go) = &part.build else { continue };
            let folder = modules_folder().join(part.module_folder());
            let text = std::fs::read_to_string(folder.join("go.mod")).unwrap();
            assert!(folder.join("go.sum").exists(), "{part} has no go.sum");
            for package in &go.packages {
                assert!(
                    text.contains(&format!("{package}\n")),
                    "{part}: go.mod does not name the tool {package}"
                );
            }
            assert!(
                text.contains(&format!(" v{}\n", part.version)),
                "{part}: go.mod pins another version"
            );
        }
    }

    #[test]
    fn every_module_folder_belongs_to_a_part() {
        let used: BTreeSet<_> = all().iter().map(Part::module_folder).collect();
        for entry in std::fs::read_dir(modules_folder()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(used.contains(&name), "modules/{name} is used by no part");
        }
    }

    #[test]
    fn names_are_unique() {
        let names: BTreeSet<_> = all().iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), all().len());
    }

    #[test]
    fn clusters_are_complete() {
        assert_eq!(NEWEST.parts().len(), 9);
        assert_eq!(PREVIOUS.parts().len(), 9);
        assert_eq!(OLDER.parts().len(), 9);
        assert_eq!(OLDEST.parts().len(), 9);
    }
}
