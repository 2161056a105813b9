//! Capsules written, read, and broken.

use super::*;

/// Three pages and a digest, as etcd sends them.
pub(crate) fn snapshot() -> Vec<u8> {
    let mut bytes = vec![7; 3 * 4096];
    bytes[MAGIC.0..MAGIC.0 + 4].copy_from_slice(&MAGIC.1);
    let digest = Sha256::digest(&bytes);
    bytes.extend_from_slice(&digest);
    bytes
}

fn metadata(checked: &Checked) -> Metadata {
    Metadata {
        api_version: api::API_VERSION.to_owned(),
        kind: "EtcdSnapshot".to_owned(),
        taken_at: "2026-11-23T12:00:00Z".to_owned(),
        cluster_id: "00000000000000c1".to_owned(),
        member: "h1".to_owned(),
        etcd_version: "3.7.3".to_owned(),
        storage_version: "3.7.0".to_owned(),
        members: Vec::new(),
        hash: KvHash {
            hash: 1,
            revision: 5,
            compact_revision: 2,
        },
        keys: 3,
        size: checked.size,
        sha256: checked.sha256.clone(),
    }
}

fn written(bytes: &[u8], raw: bool) -> Result<Vec<u8>, CapsuleError> {
    let mut writer = Writer::new(Vec::new(), raw, 0);
    writer.begin(bytes.len() as u64).unwrap();
    for chunk in bytes.chunks(100) {
        writer.write(chunk).unwrap();
    }
    writer.finish(metadata).map(|(capsule, _)| capsule)
}

/// A whole one.
pub(crate) fn capsule() -> Vec<u8> {
    written(&snapshot(), false).unwrap()
}

fn read_all(mut bytes: &[u8]) -> Result<(Vec<u8>, Option<Metadata>), String> {
    let mut out = Vec::new();
    let (_, metadata) = read(&mut bytes, &mut out).map_err(|e| e.to_string())?;
    Ok((out, metadata))
}

#[test]
fn what_is_written_is_read_and_tar_reads_it_too() {
    let bytes = snapshot();
    let capsule = written(&bytes, false).unwrap();
    let (out, metadata) = read_all(&capsule).unwrap();
    assert_eq!(out, bytes);
    assert_eq!(metadata.unwrap().member, "h1");
    let names: Vec<String> = tar::Archive::new(capsule.as_slice())
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect();
    assert_eq!(names, [SNAPSHOT, METADATA]);
    let (digest, seen) = peek(&mut io::Cursor::new(&capsule)).unwrap();
    assert_eq!(seen.unwrap().etcd_version, "3.7.3");
    let plain = peek(&mut io::Cursor::new(&bytes)).unwrap();
    assert_eq!(plain, (digest, None));

    let raw = written(&bytes, true).unwrap();
    assert_eq!(raw, bytes);
    assert_eq!(read_all(&raw).unwrap(), (bytes, None));
}

#[test]
fn every_kind_of_damage_is_told() {
    let bytes = snapshot();
    let capsule = written(&bytes, false).unwrap();
    let mut said = String::new();
    let mut take = |what: &str, bytes: &[u8]| {
        let error = read_all(bytes).unwrap_err();
        said += &format!("{what}: {}\n", error.replace(char::is_numeric, "N"));
    };
    take("empty", b"");
    take("text", &[b'x'; 2000]);
    take("capsule cut in the snapshot", &capsule[..9000]);
    take("capsule cut after it", &capsule[..512 + bytes.len()]);
    let mut flipped = capsule.clone();
    flipped[5000] ^= 1;
    let error = read_all(&flipped).unwrap_err();
    assert!(
        error.starts_with("the snapshot is damaged: its bytes have the SHA-256 "),
        "{error}"
    );
    take("raw cut", &bytes[..9000]);
    take("raw without its digest", &bytes[..3 * 4096]);
    let mut flipped = bytes.clone();
    flipped[5000] ^= 1;
    assert!(
        read_all(&flipped)
            .unwrap_err()
            .starts_with("the snapshot is damaged")
    );
    insta::assert_snapshot!(said, @"
    empty: this is neither a capsule nor a snapshot of etcd: it is too short
    text: this is neither a capsule nor a snapshot of etcd: it begins otherwise
    capsule cut in the snapshot: the snapshot is cut short: NNNN of NNNNN bytes are there
    capsule cut after it: the capsule's capsule.json is not there: the capsule is cut short
    raw cut: this is neither a capsule nor a snapshot of etcd: it is cut short, or has no digest at its end, as a database file copied from a data directory
    raw without its digest: this is neither a capsule nor a snapshot of etcd: it is cut short, or has no digest at its end, as a database file copied from a data directory
    ");
}

#[test]
fn metadata_of_another_snapshot_is_refused() {
    let bytes = snapshot();
    let mut writer = Writer::new(Vec::new(), false, 0);
    writer.begin(bytes.len() as u64).unwrap();
    writer.write(&bytes).unwrap();
    let other = |checked: &Checked| Metadata {
        sha256: "0".repeat(64),
        ..metadata(checked)
    };
    let (capsule, _) = writer.finish(other).unwrap();
    assert_eq!(
        read_all(&capsule).unwrap_err(),
        "the capsule's capsule.json is of another snapshot"
    );
}

#[test]
fn what_etcd_sent_wrongly_is_not_kept() {
    let mut bytes = snapshot();
    bytes[77] ^= 1;
    assert!(matches!(
        written(&bytes, false),
        Err(CapsuleError::Damaged { .. })
    ));
    let mut writer = Writer::new(Vec::new(), false, 0);
    writer.begin(1).unwrap();
    writer.write(&snapshot()).unwrap();
    assert!(matches!(
        writer.finish(metadata),
        Err(CapsuleError::Size { .. })
    ));
}
