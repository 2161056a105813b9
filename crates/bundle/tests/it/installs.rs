//! Files out of blobs into their places.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bundle::{Install, InstallFile, InstallFolder, LayerBuilder, Mismatch};
use host::{Digest, Inspect, Local, Memory, Nothing};

use crate::support::{chain, etcd_tarball, listing};

struct Sample {
    root: tempfile::TempDir,
    install: Install,
}

impl Sample {
    fn root(&self) -> &Path {
        self.root.path()
    }

    fn local(&self) -> Local {
        Local::new(self.root.path())
    }
}

fn sample() -> Sample {
    let root = tempfile::tempdir().unwrap();
    for folder in ["opt/bin", "var/lib/etcdadm"] {
        std::fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    etcd_tarball(&root.path().join("blob"), "3.7.3");
    let digest = Digest::of(&std::fs::read(root.path().join("blob")).unwrap());
    let file = |name: &str| InstallFile {
        member: Some(format!("etcd-v3.7.3-linux-amd64/{name}")),
        path: PathBuf::from("/opt/bin").join(name),
        mode: 0o755,
    };
    let install = Install {
        component: "etcd v3.7.3".into(),
        archive: "/blob".into(),
        digest,
        files: vec![file("etcd"), file("etcdctl")],
        folders: vec![],
        receipt: "/var/lib/etcdadm/etcd.json".into(),
    };
    Sample { root, install }
}

#[test]
fn members_are_installed_and_a_second_run_needs_only_to_look() {
    let s = sample();
    assert!(!s.install.is_done(&s.local()).unwrap());
    s.install.apply(s.root()).unwrap();
    assert!(s.install.is_done(&s.local()).unwrap());
    let etcd = s.root().join("opt/bin/etcd");
    assert!(
        std::fs::read_to_string(&etcd)
            .unwrap()
            .starts_with("etcd 3.7.3\n")
    );
    assert_eq!(etcd.metadata().unwrap().mode() & 0o7777, 0o755);
    assert_eq!(
        std::fs::read_dir(s.root().join("opt/bin")).unwrap().count(),
        2
    );

    // Touched, the content is the same and still counts; changed, it does not.
    std::fs::File::open(&etcd)
        .unwrap()
        .set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    assert!(s.install.is_done(&s.local()).unwrap());
    let mut bytes = std::fs::read(&etcd).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&etcd, &bytes).unwrap();
    assert!(!s.install.is_done(&s.local()).unwrap());
    s.install.apply(s.root()).unwrap();
    assert!(s.install.is_done(&s.local()).unwrap());
    std::fs::set_permissions(&etcd, std::fs::Permissions::from_mode(0o700)).unwrap();
    assert!(!s.install.is_done(&s.local()).unwrap());

    // Another version, another place, a receipt that is lost: each is to be done.
    let other = Install {
        digest: Digest::of(b"3.7.4"),
        ..s.install.clone()
    };
    assert!(!other.is_done(&s.local()).unwrap());
    s.install.apply(s.root()).unwrap();
    let mut moved = s.install.clone();
    moved.files[0].path = "/opt/other/etcd".into();
    assert!(!moved.is_done(&s.local()).unwrap());
    std::fs::write(s.root().join("var/lib/etcdadm/etcd.json"), "{").unwrap();
    assert!(!s.install.is_done(&s.local()).unwrap());
}

#[test]
fn a_damaged_blob_changes_nothing() {
    let s = sample();
    std::fs::write(s.root().join("opt/bin/etcd"), "the old one").unwrap();
    let whole = std::fs::read(s.root().join("blob")).unwrap();
    let before = listing(&s.root().join("opt"));
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(s.root().join("blob"), &bytes).unwrap();
        let error = s.install.apply(s.root()).unwrap_err();
        assert!(
            error.to_string().contains("nothing was installed"),
            "{error}"
        );
    }
    for cut in (0..whole.len()).step_by(512) {
        std::fs::write(s.root().join("blob"), &whole[..cut]).unwrap();
        s.install.apply(s.root()).unwrap_err();
    }
    // A sound archive, but not the one that was asked for.
    etcd_tarball(&s.root().join("blob"), "3.7.4");
    let error = s.install.apply(s.root()).unwrap_err();
    assert!(
        chain(&error).contains("has no file") || Mismatch::behind(&error).is_some(),
        "{}",
        chain(&error)
    );
    assert_eq!(listing(&s.root().join("opt")), before);
    assert_eq!(
        std::fs::read_to_string(s.root().join("opt/bin/etcd")).unwrap(),
        "the old one"
    );
    assert!(!s.root().join("var/lib/etcdadm/etcd.json").exists());
}

#[test]
fn the_digest_is_named_even_where_the_archive_breaks_first() {
    let s = sample();
    let mut bytes = std::fs::read(s.root().join("blob")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(s.root().join("blob"), &bytes).unwrap();
    let error = s.install.apply(s.root()).unwrap_err();
    assert!(
        matches!(Mismatch::behind(&error), Some(Mismatch::Digest { .. })),
        "{}",
        chain(&error)
    );
}

#[test]
fn a_member_that_is_not_there_is_named() {
    let mut s = sample();
    s.install.files[1].member = Some("etcd-v3.7.3-linux-amd64/etcdfoo".into());
    let error = s.install.apply(s.root()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/blob has no file etcd-v3.7.3-linux-amd64/etcdfoo; nothing was installed from it"
    );
    assert_eq!(listing(&s.root().join("opt/bin")), [] as [&str; 0]);
}

#[test]
fn a_plain_file_is_installed_as_it_is() {
    let s = sample();
    std::fs::write(s.root().join("blob"), "kubelet").unwrap();
    let install = Install {
        component: "kubelet".into(),
        digest: Digest::of(b"kubelet"),
        files: vec![InstallFile {
            member: None,
            path: "/opt/bin/kubelet".into(),
            mode: 0o755,
        }],
        ..s.install.clone()
    };
    install.apply(s.root()).unwrap();
    assert!(install.is_done(&s.local()).unwrap());
    assert_eq!(
        std::fs::read_to_string(s.root().join("opt/bin/kubelet")).unwrap(),
        "kubelet"
    );
    std::fs::write(s.root().join("blob"), "Kubelet").unwrap();
    install.apply(s.root()).unwrap_err();
    assert_eq!(
        std::fs::read_to_string(s.root().join("opt/bin/kubelet")).unwrap(),
        "kubelet"
    );
    let mixed = Install {
        folders: vec![top_folder()],
        ..install
    };
    assert_eq!(
        mixed.apply(s.root()).unwrap_err().to_string(),
        "kubelet cannot be installed both as a file and as an archive"
    );
}

fn top_folder() -> InstallFolder {
    InstallFolder {
        member: String::new(),
        path: "/opt/bin".into(),
        mode: 0o755,
    }
}

fn gz(build: impl FnOnce(&mut LayerBuilder<flate2::write::GzEncoder<Vec<u8>>>)) -> Vec<u8> {
    let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut layer = LayerBuilder::new(encoder);
    build(&mut layer);
    layer.finish().unwrap().finish().unwrap()
}

#[test]
fn all_programs_of_a_folder_are_installed() {
    let s = sample();
    let blob = gz(|tar| {
        tar.bytes("./bridge", 0o755, b"bridge").unwrap();
        tar.bytes("./loopback", 0o755, b"loopback").unwrap();
        tar.bytes("./LICENSE", 0o644, b"text").unwrap();
        tar.bytes("./sub/deep", 0o755, b"deep").unwrap();
    });
    std::fs::write(s.root().join("blob"), &blob).unwrap();
    let install = Install {
        digest: Digest::of(&blob),
        files: vec![],
        folders: vec![top_folder()],
        ..s.install.clone()
    };
    install.apply(s.root()).unwrap();
    assert_eq!(
        listing(&s.root().join("opt/bin")),
        ["bridge 6", "loopback 8"]
    );
    assert!(install.is_done(&s.local()).unwrap());
    std::fs::remove_file(s.root().join("opt/bin/bridge")).unwrap();
    assert!(!install.is_done(&s.local()).unwrap());
}

#[test]
fn an_archive_writes_nowhere_but_where_it_was_told() {
    let s = sample();
    // The tar crate refuses to write such names, so a stranger's header is made by hand.
    let mut header = tar::Header::new_ustar();
    let name = b"../../../tmp/evil";
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_mode(0o755);
    header.set_size(4);
    header.set_cksum();
    let mut tar = header.as_bytes().to_vec();
    tar.extend_from_slice(b"evil");
    tar.resize(1024 + 1024, 0);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&tar).unwrap();
    let blob = encoder.finish().unwrap();
    std::fs::write(s.root().join("blob"), &blob).unwrap();
    let install = Install {
        digest: Digest::of(&blob),
        files: vec![],
        folders: vec![top_folder()],
        ..s.install.clone()
    };
    let error = install.apply(s.root()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/blob has no file /*; nothing was installed from it"
    );

    let blob = gz(|tar| {
        tar.link("etcd-v3.7.3-linux-amd64/etcd", "/bin/sh").unwrap();
        tar.bytes("etcd-v3.7.3-linux-amd64/etcdctl", 0o755, b"x")
            .unwrap();
    });
    std::fs::write(s.root().join("blob"), &blob).unwrap();
    let install = Install {
        digest: Digest::of(&blob),
        ..s.install.clone()
    };
    let error = install.apply(s.root()).unwrap_err();
    assert!(error.to_string().contains("is no regular file"), "{error}");

    let blob = gz(|tar| {
        for content in [b"one", b"two"] {
            tar.bytes("etcd-v3.7.3-linux-amd64/etcd", 0o755, content)
                .unwrap();
        }
    });
    std::fs::write(s.root().join("blob"), &blob).unwrap();
    let install = Install {
        digest: Digest::of(&blob),
        ..s.install.clone()
    };
    let error = install.apply(s.root()).unwrap_err();
    assert!(error.to_string().contains("is there twice"), "{error}");
    assert_eq!(listing(&s.root().join("opt/bin")), [] as [&str; 0]);
}

#[test]
fn a_dry_run_sees_it_done() {
    let s = sample();
    let mut host = Memory::new(Nothing);
    assert!(!s.install.is_done(&host).unwrap());
    s.install.rehearse(&mut host).unwrap();
    assert!(s.install.is_done(&host).unwrap());
    assert!(host.stat(Path::new("/opt/bin/etcd")).unwrap().is_some());
    assert_eq!(listing(&s.root().join("opt/bin")), [] as [&str; 0]);
    insta::assert_snapshot!(
        s.install.to_string().replace(&s.install.digest.to_string()[..12], "DIGEST"),
        @"install etcd v3.7.3 from sha256 DIGEST…: /opt/bin/etcd, /opt/bin/etcdctl"
    );
}

#[test]
fn what_a_killed_run_left_is_removed_and_nothing_else() {
    let s = sample();
    let bin = s.root().join("opt/bin");
    for name in [
        ".etcd.4194305-3.tmp",
        ".other.4194305-3.tmp",
        ".etcd.tmp",
        "etcd.4194305-3.tmp",
    ] {
        std::fs::write(bin.join(name), "").unwrap();
    }
    s.install.apply(s.root()).unwrap();
    let left: Vec<String> = listing(&bin)
        .into_iter()
        .filter(|line| line.contains("tmp"))
        .collect();
    assert_eq!(
        left,
        [
            ".etcd.tmp 0",
            ".other.4194305-3.tmp 0",
            "etcd.4194305-3.tmp 0"
        ]
    );
}
