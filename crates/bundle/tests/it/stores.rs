//! The store of a host: filled by streams, looked up, exported.

use std::path::Path;

use bundle::store::Origin;
use bundle::{Entry, Layout, Store, stream};
use host::{Inspect, Local};

use crate::support::{archive, chain, draft, listing, quiet};

fn blobs(entries: &[Entry]) -> Vec<bundle::oci::Descriptor> {
    entries
        .iter()
        .flat_map(|entry| entry.blobs().into_iter().cloned())
        .collect()
}

#[test]
fn only_what_is_missing_is_sent_and_the_index_lists_what_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle.tar");
    draft(dir.path())
        .write_archive(&path, &mut quiet())
        .unwrap();
    let layout = Layout::open(&path).unwrap();
    let entries = layout.entries().unwrap();

    let root = dir.path().join("host");
    std::fs::create_dir(&root).unwrap();
    let (store, local) = (Store::new(&root), Local::new(&root));
    assert!(store.entries(&local).unwrap().is_empty());
    assert!(store.layout().unwrap().is_none());
    assert_eq!(
        store.component(&local, "etcd", "v3.7.3", "amd64").unwrap(),
        None
    );

    // The first stream brings pause, and of CoreDNS all but the layers.
    let coredns = entries[1].clone();
    let missing = store.missing(&local, &blobs(&entries)).unwrap();
    let mut bytes = Vec::new();
    let wanted = |blob: &bundle::oci::Descriptor| {
        !blob.media_type.contains("layer") || blob.media_type.ends_with("tar")
    };
    stream::send(
        &layout,
        &entries[1..],
        &mut |blob| wanted(blob),
        &mut bytes,
        &mut quiet(),
    )
    .unwrap();
    let received = store.receive(&bytes[..], &mut quiet()).unwrap();
    assert_eq!(received.entries, ["image registry.k8s.io/pause:3.10.2"]);
    assert_eq!(received.incomplete, [(coredns.describe(), 1)]);
    assert!(
        store
            .image(&local, "registry.k8s.io/pause:3.10.2", "amd64")
            .unwrap()
            .is_some()
    );
    assert!(
        store
            .image(&local, "registry.k8s.io/coredns/coredns:v1.14.6", "amd64")
            .unwrap()
            .is_none()
    );

    // The second brings just what is missing.
    let now: Vec<_> = store
        .missing(&local, &blobs(&entries))
        .unwrap()
        .iter()
        .map(|blob| blob.digest)
        .collect();
    assert!(now.len() < missing.len());
    let mut bytes = Vec::new();
    stream::send(
        &layout,
        &entries,
        &mut |blob| now.contains(&blob.digest),
        &mut bytes,
        &mut quiet(),
    )
    .unwrap();
    let received = store.receive(&bytes[..], &mut quiet()).unwrap();
    assert_eq!(received.blobs, now.len());
    assert_eq!(received.entries.len(), 3);
    assert_eq!(received.incomplete, []);
    assert_eq!(store.entries(&local).unwrap(), entries);
    assert!(store.missing(&local, &blobs(&entries)).unwrap().is_empty());

    let etcd = store
        .component(&local, "etcd", "3.7.3", "amd64")
        .unwrap()
        .unwrap();
    assert_eq!(etcd.origin, Origin::Store);
    assert_eq!(
        local.digest(&etcd.files[0].path).unwrap(),
        Some(etcd.files[0].digest)
    );
    assert!(
        etcd.files[0]
            .path
            .starts_with("/var/cache/klusterkit/blobs/sha256")
    );

    // A third brings nothing.
    let before = listing(&root);
    let received = store
        .receive(&archive(dir.path())[..], &mut quiet())
        .unwrap();
    assert_eq!((received.blobs, received.bytes), (0, 0));
    assert_eq!(listing(&root), before);
}

#[test]
fn images_are_exported_as_a_layout_of_just_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    store
        .receive(&archive(dir.path())[..], &mut quiet())
        .unwrap();
    let mut bytes = Vec::new();
    store
        .export(
            &["registry.k8s.io/pause:3.10.2"],
            "amd64",
            &mut bytes,
            &mut quiet(),
        )
        .unwrap();
    let path = dir.path().join("export.tar");
    std::fs::write(&path, &bytes).unwrap();
    let export = Layout::open(&path).unwrap();
    assert_eq!(export.entries().unwrap().len(), 1);
    assert_eq!(
        export.index().manifests[0].annotations["io.containerd.image.name"],
        "registry.k8s.io/pause:3.10.2"
    );
    assert_eq!(export.blob_digests().unwrap().len(), 3);
    let error = store
        .export(&["quay.io/x:1"], "amd64", &mut Vec::new(), &mut quiet())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the store /var/cache/klusterkit has no image quay.io/x:1 for amd64"
    );
    store
        .export(
            &["registry.k8s.io/pause:3.10.2"],
            "arm64",
            &mut Vec::new(),
            &mut quiet(),
        )
        .unwrap_err();
}

#[test]
fn a_stream_cut_off_anywhere_leaves_a_sound_store_that_a_second_try_completes() {
    let dir = tempfile::tempdir().unwrap();
    let whole = archive(dir.path());
    for cut in (0..whole.len() - 1024).step_by(512) {
        let root = tempfile::tempdir_in(dir.path()).unwrap();
        let (store, local) = (Store::new(root.path()), Local::new(root.path()));
        let error = store.receive(&whole[..cut], &mut quiet()).unwrap_err();
        assert!(chain(&error).contains("cut off"), "{}", chain(&error));
        sound(&store, root.path());
        assert!(
            store.entries(&local).unwrap().is_empty(),
            "listed after {cut} bytes"
        );
        store.receive(&whole[..], &mut quiet()).unwrap();
        assert_eq!(store.entries(&local).unwrap().len(), 3);
        sound(&store, root.path());
    }
}

/// Every file with a blob's name is that blob, and nothing temporary is left.
fn sound(store: &Store, root: &Path) {
    let local = Local::new(root);
    let blobs = store.path().join("blobs/sha256");
    for name in local.list(&blobs).unwrap().unwrap_or_default() {
        assert_eq!(
            local
                .digest(&blobs.join(&name))
                .unwrap()
                .unwrap()
                .to_string(),
            name
        );
    }
}

#[test]
fn what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    let blobs = dir.path().join("var/cache/klusterkit/blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let temporary = |process: u32, number: u32| {
        let path = blobs.join(format!(
            ".{}.{process}-{number}.tmp",
            host::Digest::of(b"x")
        ));
        (std::fs::File::create(&path).unwrap(), path)
    };
    // Beyond the largest number that Linux gives a process; then a number that has come to be another's.
    let (_, of_the_dead) = temporary(4_194_305, 0);
    let (_, of_another) = temporary(std::process::id(), 1_000_000);
    let (open, of_the_living) = temporary(std::process::id(), 1_000_001);
    store
        .receive(&archive(dir.path())[..], &mut quiet())
        .unwrap();
    assert_eq!(
        [&of_the_dead, &of_another, &of_the_living].map(|path| path.exists()),
        [false, false, true]
    );
    drop(open);
    store
        .receive(&archive(dir.path())[..], &mut quiet())
        .unwrap();
    assert!(!of_the_living.exists());
}

#[test]
fn a_damaged_manifest_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (store, local) = (Store::new(dir.path()), Local::new(dir.path()));
    store
        .receive(&archive(dir.path())[..], &mut quiet())
        .unwrap();
    let manifest = store.entries(&local).unwrap()[0].manifest().clone();
    let path = dir.path().join(format!(
        "var/cache/klusterkit/blobs/sha256/{}",
        manifest.digest
    ));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let error = store.entries(&local).unwrap_err();
    assert!(error.to_string().contains("is damaged"), "{error}");
}

#[test]
fn two_streams_at_once_both_arrive() {
    let dir = tempfile::tempdir().unwrap();
    let whole = archive(dir.path());
    let store = Store::new(dir.path());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| store.receive(&whole[..], &mut quiet()).unwrap());
        }
    });
    assert_eq!(store.entries(&Local::new(dir.path())).unwrap().len(), 3);
    sound(&store, dir.path());
}

#[test]
fn a_damaged_blob_is_missing_and_sent_again_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (store, local) = (Store::new(dir.path()), Local::new(dir.path()));
    let whole = archive(dir.path());
    store.receive(&whole[..], &mut quiet()).unwrap();
    let entries = store.entries(&local).unwrap();
    for blob in blobs(&entries) {
        let path = dir
            .path()
            .join(format!("var/cache/klusterkit/blobs/sha256/{}", blob.digest));
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[0] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let missing = store.missing(&local, [&blob]).unwrap();
        assert_eq!(missing, store.missing_or_damaged(&local, [&blob]).unwrap());
        assert_eq!(missing.len(), 1);
        let received = store.receive(&whole[..], &mut quiet()).unwrap();
        assert_eq!((received.blobs, received.incomplete.len()), (1, 0));
        assert_eq!(store.entries(&local).unwrap(), entries);
        sound(&store, dir.path());
    }
}

#[test]
fn a_small_file_is_read_whole_and_checked_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let (store, local) = (Store::new(dir.path()), Local::new(dir.path()));
    store
        .receive(&archive(dir.path())[..], &mut quiet())
        .unwrap();
    let file = store
        .component(&local, "etcd", "v3.7.3", "amd64")
        .unwrap()
        .unwrap()
        .files
        .remove(0);
    let bytes = store.read(&local, &file).unwrap();
    assert_eq!(host::Digest::of(&bytes), file.digest);
    let path = dir.path().join(file.path.strip_prefix("/").unwrap());
    std::fs::write(&path, vec![0; bytes.len()]).unwrap();
    assert!(
        store
            .read(&local, &file)
            .unwrap_err()
            .to_string()
            .contains("is damaged")
    );
    std::fs::remove_file(&path).unwrap();
    assert!(
        store
            .read(&local, &file)
            .unwrap_err()
            .to_string()
            .contains("lacks")
    );
}
