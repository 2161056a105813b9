//! Verifying, unpacking, inspecting: from a folder, a file and a stream.

use bundle::inspect::inspect;
use bundle::unpack::{unpack, unpack_stream};
use bundle::verify::{verify, verify_stream};
use bundle::{Layout, Progress};

use crate::support::{archive, chain, draft, listing, quiet};

#[test]
fn all_three_ways_find_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let draft = draft(dir.path());
    let (folder, file) = (dir.path().join("folder"), dir.path().join("bundle.tar"));
    draft.write_folder(&folder, &mut quiet()).unwrap();
    draft.write_archive(&file, &mut quiet()).unwrap();
    let found = verify(&Layout::open(&folder).unwrap(), &mut quiet()).unwrap();
    assert_eq!(
        (found.entries, found.unreferenced, found.bytes),
        (3, 0, draft.size())
    );
    assert_eq!(
        found,
        verify(&Layout::open(&file).unwrap(), &mut quiet()).unwrap()
    );
    let stream = std::fs::File::open(&file).unwrap();
    assert_eq!(
        found,
        verify_stream(stream, "standard input", &mut quiet()).unwrap()
    );
    let inspection = inspect(&Layout::open(&file).unwrap()).unwrap();
    assert_eq!(
        (inspection.blobs, inspection.bytes),
        (found.blobs, found.bytes)
    );
    assert_eq!(
        inspection.components[0].files[0].name,
        "etcd-v3.7.3-linux-amd64.tar.gz"
    );
    assert_eq!(
        inspection.images[1].reference,
        "registry.k8s.io/pause:3.10.2"
    );
}

#[test]
fn progress_adds_up_to_what_was_announced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle.tar");
    draft(dir.path())
        .write_archive(&path, &mut quiet())
        .unwrap();
    let (mut announced, mut done) = (0, 0);
    let mut count = |progress: Progress<'_>| match progress {
        Progress::Step { bytes, .. } => announced += bytes.unwrap(),
        Progress::Bytes(bytes) => done += bytes,
    };
    verify(&Layout::open(&path).unwrap(), &mut count).unwrap();
    assert!(announced > 0);
    assert_eq!(announced, done);
}

#[test]
fn every_damaged_blob_is_found_by_every_way() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("folder");
    draft(dir.path())
        .write_folder(&folder, &mut quiet())
        .unwrap();
    let layout = Layout::open(&folder).unwrap();
    for digest in layout.blob_digests().unwrap() {
        let path = folder.join(format!("blobs/sha256/{digest}"));
        let sound = std::fs::read(&path).unwrap();
        let mut damaged = sound.clone();
        *damaged.last_mut().unwrap() ^= 1;
        std::fs::write(&path, &damaged).unwrap();
        let error = verify(&layout, &mut quiet()).unwrap_err();
        assert!(
            chain(&error).contains(&digest.to_string()),
            "{}",
            chain(&error)
        );
        let error = unpack(&layout, &dir.path().join("out"), &mut quiet()).unwrap_err();
        assert!(
            chain(&error).contains("content has the digest"),
            "{}",
            chain(&error)
        );
        std::fs::remove_file(&path).unwrap();
        let error = verify(&layout, &mut quiet()).unwrap_err();
        assert!(chain(&error).contains("lacks blob"), "{}", chain(&error));
        std::fs::write(&path, &sound).unwrap();
    }
    verify(&layout, &mut quiet()).unwrap();
    assert!(!dir.path().join("out").exists());
}

#[test]
fn a_blob_that_nothing_names_is_counted_checked_and_not_unpacked() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("folder");
    draft(dir.path())
        .write_folder(&folder, &mut quiet())
        .unwrap();
    let stray = host::Digest::of(b"stray");
    let path = folder.join(format!("blobs/sha256/{stray}"));
    std::fs::write(&path, "stray").unwrap();
    let layout = Layout::open(&folder).unwrap();
    assert_eq!(verify(&layout, &mut quiet()).unwrap().unreferenced, 1);
    unpack(&layout, &dir.path().join("out"), &mut quiet()).unwrap();
    assert!(
        !dir.path()
            .join(format!("out/blobs/sha256/{stray}"))
            .exists()
    );
    std::fs::write(&path, "Stray").unwrap();
    verify(&layout, &mut quiet()).unwrap_err();
}

#[test]
fn what_is_unpacked_is_what_was_packed() {
    let dir = tempfile::tempdir().unwrap();
    let draft = draft(dir.path());
    let whole = archive(dir.path());
    draft
        .write_folder(&dir.path().join("folder"), &mut quiet())
        .unwrap();
    std::fs::write(dir.path().join("bundle.tar"), &whole).unwrap();
    let layout = Layout::open(&dir.path().join("bundle.tar")).unwrap();
    let found = unpack(&layout, &dir.path().join("out"), &mut quiet()).unwrap();
    assert_eq!(
        listing(&dir.path().join("out")),
        listing(&dir.path().join("folder"))
    );
    assert_eq!(
        found,
        unpack_stream(&whole[..], "x", &dir.path().join("too"), &mut quiet()).unwrap()
    );
    assert_eq!(
        listing(&dir.path().join("too")),
        listing(&dir.path().join("folder"))
    );
    verify(
        &Layout::open(&dir.path().join("too")).unwrap(),
        &mut quiet(),
    )
    .unwrap();
    let error = unpack(&layout, &dir.path().join("out"), &mut quiet()).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("is already there, and not empty"),
        "{error}"
    );
}

#[test]
fn a_stream_cut_off_anywhere_is_neither_verified_nor_unpacked() {
    let dir = tempfile::tempdir().unwrap();
    let whole = archive(dir.path());
    let target = dir.path().join("out");
    let before = listing(dir.path());
    for cut in (0..whole.len() - 1024).step_by(512) {
        let error = verify_stream(&whole[..cut], "x", &mut quiet()).unwrap_err();
        assert!(chain(&error).contains("cut off"), "{}", chain(&error));
        let error = unpack_stream(&whole[..cut], "x", &target, &mut quiet()).unwrap_err();
        assert!(chain(&error).contains("cut off"), "{}", chain(&error));
        assert_eq!(listing(dir.path()), before);
    }
}

#[test]
fn an_entry_whose_blobs_are_not_sent_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle.tar");
    draft(dir.path())
        .write_archive(&path, &mut quiet())
        .unwrap();
    let layout = Layout::open(&path).unwrap();
    let mut partial = Vec::new();
    let mut wanted = |blob: &bundle::oci::Descriptor| !blob.media_type.ends_with("gzip");
    bundle::stream::send(
        &layout,
        &layout.entries().unwrap(),
        &mut wanted,
        &mut partial,
        &mut quiet(),
    )
    .unwrap();
    let error = verify_stream(&partial[..], "x", &mut quiet()).unwrap_err();
    assert!(chain(&error).contains("lacks blob"), "{}", chain(&error));
    let error =
        unpack_stream(&partial[..], "x", &dir.path().join("out"), &mut quiet()).unwrap_err();
    assert!(chain(&error).contains("lacks blob"), "{}", chain(&error));
    assert!(!dir.path().join("out").exists());
}
