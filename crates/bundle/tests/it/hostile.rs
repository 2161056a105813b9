//! What a stranger may hand in: each refused with a clear error, with nothing left behind.

use bundle::{Layout, Store};
use host::{Digest, Local};
use tar::{EntryType, Header};

use crate::support::{archive, chain, listing, quiet};

/// A member of a tar, as raw as a stranger can make it.
fn member(kind: EntryType, name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    if matches!(kind, EntryType::Symlink | EntryType::Link) {
        header.set_link_name_literal("/etc/passwd").unwrap();
    }
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(name: &str, content: &[u8]) -> Vec<u8> {
    member(EntryType::Regular, name, content)
}

fn start() -> Vec<u8> {
    file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)
}

fn empty_index() -> Vec<u8> {
    file("index.json", br#"{"schemaVersion":2,"manifests":[]}"#)
}

fn end(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend([0; 1024]);
    bytes
}

/// Both ways in refuse it, say why in these words, and leave nothing.
fn refused(bytes: &[u8], words: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle.tar");
    std::fs::write(&path, bytes).unwrap();
    let opened = Layout::open(&path).map(drop);
    if let Err(error) = &opened {
        assert!(chain(error).contains(words), "opened: {}", chain(error));
    }
    let root = dir.path().join("host");
    let store = Store::new(&root);
    let error = store.receive(bytes, &mut quiet()).expect_err(words);
    assert!(chain(&error).contains(words), "received: {}", chain(&error));
    let left: Vec<String> = listing(&root)
        .into_iter()
        .filter(|line| !line.ends_with('/') && !line.contains("oci-layout"))
        .collect();
    assert_eq!(left, [] as [&str; 0], "{words}");
    // A blob's content is not looked at when a tar is opened; all else is.
    if !words.contains("digest") {
        opened.expect_err(words);
    }
}

#[test]
fn names_that_lead_elsewhere() {
    let digest = Digest::of(b"x");
    for name in [
        "../../../../etc/cron.d/evil",
        "/etc/cron.d/evil",
        "blobs/sha256/../../../evil",
        "blobs/evil",
        "evil",
        &format!("blobs/sha256/{digest}/evil"),
    ] {
        let bytes = end([start(), empty_index(), file(name, b"x")].concat());
        refused(&bytes, "does not belong into an OCI layout");
    }
}

#[test]
fn links_and_devices() {
    let blob = format!("blobs/sha256/{}", Digest::of(b"x"));
    for kind in [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
    ] {
        for name in ["index.json", "blobs", &blob] {
            refused(
                &end([start(), member(kind, name, b"")].concat()),
                "does not belong into an OCI layout",
            );
        }
    }
}

#[test]
fn duplicates() {
    let blob = file(&format!("blobs/sha256/{}", Digest::of(b"x")), b"x");
    let dotted = file(&format!("./blobs/sha256/{}", Digest::of(b"x")), b"x");
    refused(
        &end([start(), empty_index(), empty_index()].concat()),
        "index.json is there twice",
    );
    refused(
        &end([start(), start(), empty_index()].concat()),
        "oci-layout is there twice",
    );
    // The first of the two is what its name says, and may stay.
    for second in [&blob, &dotted] {
        let bytes = end([start(), empty_index(), blob.clone(), second.clone()].concat());
        let dir = tempfile::tempdir().unwrap();
        let error = Store::new(dir.path())
            .receive(&bytes[..], &mut quiet())
            .unwrap_err();
        assert!(
            chain(&error).contains("is there twice"),
            "{}",
            chain(&error)
        );
    }
}

#[test]
fn wrong_digests() {
    let blob = file(&format!("blobs/sha256/{}", Digest::of(b"x")), b"y");
    refused(
        &end([start(), empty_index(), blob].concat()),
        "content has the digest",
    );
}

#[test]
fn documents_that_make_no_sense() {
    refused(
        &end([start(), file("index.json", b"{")].concat()),
        "index.json is malformed",
    );
    refused(
        &end([file("oci-layout", b"{}"), empty_index()].concat()),
        "unknown version",
    );
    refused(&end(start()), "has no index.json");
    refused(&end(empty_index()), "has no oci-layout");
    let index = br#"{"schemaVersion":2,"manifests":[{"mediaType":"a","digest":"sha256:../../../etc","size":1}]}"#;
    refused(
        &end([start(), file("index.json", index)].concat()),
        "index.json is malformed",
    );
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    refused(
        &end([start(), file("index.json", deep.as_bytes())].concat()),
        "index.json is malformed",
    );
}

#[test]
fn documents_without_bounds() {
    let mut header = Header::new_ustar();
    header.set_path("index.json").unwrap();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_size(1 << 40);
    header.set_cksum();
    refused(
        &[start(), header.as_bytes().to_vec()].concat(),
        "is too large",
    );
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":99999999999}}]}}"#,
        Digest::of(b"x").to_oci()
    );
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle.tar");
    std::fs::write(
        &path,
        end([start(), file("index.json", index.as_bytes())].concat()),
    )
    .unwrap();
    let error = Layout::open(&path).unwrap().entries().unwrap_err();
    assert!(chain(&error).contains("too large"), "{}", chain(&error));
}

#[test]
fn trailing_garbage() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = archive(dir.path());
    bytes.extend_from_slice(b"garbage");
    let path = dir.path().join("bundle.tar");
    std::fs::write(&path, &bytes).unwrap();
    assert!(chain(&Layout::open(&path).unwrap_err()).contains("trailing data"));
    let root = dir.path().join("host");
    let error = Store::new(&root)
        .receive(&bytes[..], &mut quiet())
        .unwrap_err();
    assert!(chain(&error).contains("trailing data"));
    assert!(
        Store::new(&root)
            .entries(&Local::new(&root))
            .unwrap()
            .is_empty()
    );
}

#[test]
fn truncated_files_at_every_block() {
    let dir = tempfile::tempdir().unwrap();
    let whole = archive(dir.path());
    let path = dir.path().join("bundle.tar");
    for cut in (0..whole.len()).step_by(512) {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let error =
            Layout::open(&path).expect_err(&format!("opened with {cut} of {} bytes", whole.len()));
        assert!(chain(&error).contains("cut off"), "{}", chain(&error));
    }
}

#[test]
fn any_flipped_byte_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let whole = archive(dir.path());
    for at in (0..whole.len() - 1024).step_by(97) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        let root = dir.path().join("host");
        let store = Store::new(&root);
        let received = store.receive(&bytes[..], &mut quiet());
        // Padding, owners and modes carry no content: there a changed byte may pass, but the content is the same.
        if received.is_ok_and(|received| received.incomplete.is_empty()) {
            let entries = store.entries(&Local::new(&root)).unwrap();
            for blob in entries.iter().flat_map(|entry| entry.blobs()) {
                store
                    .layout()
                    .unwrap()
                    .unwrap()
                    .blob(blob)
                    .unwrap()
                    .drain()
                    .unwrap();
            }
        }
        std::fs::remove_dir_all(&root).unwrap();
    }
}

#[test]
fn a_folder_with_links_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("folder");
    crate::support::draft(dir.path())
        .write_folder(&folder, &mut quiet())
        .unwrap();
    let layout = Layout::open(&folder).unwrap();
    let entry = layout.entries().unwrap().remove(0);
    let blob = entry.blobs()[2].clone();
    let path = folder.join(format!("blobs/sha256/{}", blob.digest));
    let elsewhere = dir.path().join("elsewhere");
    std::fs::rename(&path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    assert!(
        layout.blob(&blob).is_err(),
        "a link is not followed, even to the right content"
    );
    std::fs::rename(&elsewhere, dir.path().join("x")).unwrap();
    std::fs::remove_file(folder.join("index.json")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", folder.join("index.json")).unwrap();
    assert!(Layout::open(&folder).is_err());
}
