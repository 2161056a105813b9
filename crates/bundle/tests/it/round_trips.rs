//! What is written is what is read, as a folder, a file and a stream.

use std::io::Read;
use std::sync::Arc;

use bundle::contents::Documents;
use bundle::{Draft, Entry, Layout};

use crate::support::{archive, chain, draft, listing, quiet};

#[test]
fn a_folder_and_a_file_hold_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let draft = draft(dir.path());
    draft
        .write_folder(&dir.path().join("folder"), &mut quiet())
        .unwrap();
    draft
        .write_archive(&dir.path().join("bundle.tar"), &mut quiet())
        .unwrap();
    let folder = Layout::open(&dir.path().join("folder")).unwrap();
    let file = Layout::open(&dir.path().join("bundle.tar")).unwrap();
    assert_eq!(folder.index(), file.index());
    assert_eq!(folder.blob_digests().unwrap(), file.blob_digests().unwrap());
    let entries = folder.entries().unwrap();
    assert_eq!(entries, file.entries().unwrap());
    let words: Vec<String> = entries.iter().map(Entry::describe).collect();
    assert_eq!(
        words,
        [
            "component etcd v3.7.3 (amd64)",
            "image registry.k8s.io/coredns/coredns:v1.14.6",
            "image registry.k8s.io/pause:3.10.2",
        ]
    );
    for entry in &entries {
        for blob in entry.blobs() {
            let (mut a, mut b) = (Vec::new(), Vec::new());
            folder.blob(blob).unwrap().read_to_end(&mut a).unwrap();
            file.blob(blob).unwrap().read_to_end(&mut b).unwrap();
            assert_eq!(a, b);
        }
    }
    let component = file.component("etcd", "3.7.3", "amd64").unwrap().unwrap();
    assert!(component.file("etcd-v3.7.3-linux-amd64.tar.gz").is_some());
    assert!(file.component("etcd", "3.7.2", "amd64").unwrap().is_none());
    assert!(file.component("etcd", "3.7.3", "arm64").unwrap().is_none());
    let image = file
        .image("registry.k8s.io/coredns/coredns:v1.14.6", "amd64")
        .unwrap()
        .unwrap();
    assert_eq!(image.layers.len(), 2);
    let config: bundle::oci::ImageConfig =
        serde_json::from_slice(&file.document(&image.config).unwrap()).unwrap();
    assert_eq!(
        config.rootfs.diff_ids[0], image.layers[0].digest,
        "a plain layer is its own diff id"
    );
    assert_ne!(
        config.rootfs.diff_ids[1], image.layers[1].digest,
        "a compressed one is not"
    );
}

#[test]
fn the_same_content_gives_the_same_bytes() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert_eq!(archive(one.path()), archive(two.path()));
}

#[test]
fn a_copy_keeps_every_byte() {
    let dir = tempfile::tempdir().unwrap();
    let first = archive(dir.path());
    let path = dir.path().join("bundle.tar");
    std::fs::write(&path, &first).unwrap();
    let layout = Arc::new(Layout::open(&path).unwrap());
    let mut copy = Draft::new();
    for entry in layout.entries().unwrap() {
        copy.add_entry(&layout, &entry).unwrap();
    }
    let mut second = Vec::new();
    copy.write_to(&mut second, &mut quiet()).unwrap();
    assert_eq!(first, second);
}

#[test]
fn a_source_that_changes_while_it_is_written_is_refused_and_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let draft = draft(dir.path());
    std::fs::write(dir.path().join("etcd-v3.7.3-linux-amd64.tar.gz"), "other").unwrap();
    let before = listing(dir.path());
    let error = draft
        .write_archive(&dir.path().join("bundle.tar"), &mut quiet())
        .unwrap_err();
    assert!(
        chain(&error).contains("content ends after 5 of the"),
        "{}",
        chain(&error)
    );
    draft
        .write_folder(&dir.path().join("folder"), &mut quiet())
        .unwrap_err();
    assert_eq!(listing(dir.path()), before);
}

#[test]
fn a_folder_that_is_there_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let draft = draft(dir.path());
    let target = dir.path().join("folder");
    std::fs::create_dir(&target).unwrap();
    draft.write_folder(&target, &mut quiet()).unwrap();
    let before = listing(&target);
    let error = draft.write_folder(&target, &mut quiet()).unwrap_err();
    assert!(error.to_string().ends_with("is already there"), "{error}");
    assert_eq!(listing(&target), before);
}

#[test]
fn two_things_of_one_name_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut draft = draft(dir.path());
    let other = dir.path().join("other.tar.gz");
    crate::support::etcd_tarball(&other, "3.7.4");
    let spec = bundle::ComponentSpec {
        name: "etcd".into(),
        version: "3.7.3".into(),
        platform: bundle::oci::Platform::linux("amd64"),
        files: vec![("etcd-v3.7.3-linux-amd64.tar.gz".into(), other)],
    };
    let error = draft.add_component(&spec).unwrap_err();
    assert_eq!(
        error.to_string(),
        "component etcd 3.7.3 (amd64) is added twice, with different content"
    );
}
