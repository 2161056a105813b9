//! Backups opened: whole ones, and those that somebody else put together.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use capsule::Checked;
use capsule::backup::Writer;
use state::{AuthorityCertificates, HandedOn, Open};

use super::opened::Opened;
use super::*;

const CLUSTER: &str = "\
apiVersion: klusterkit.dev/v1alpha1
kind: ClusterConfiguration
metadata: {name: prod}
kubernetes: {version: v1.37.2}
etcd: {version: v3.7.3}
controlPlaneEndpoint: 10.77.0.100
machines:
  - {address: 10.77.0.11, roles: [master]}
";

fn key(folder: &Path, name: &str) -> Identity {
    let path = folder.join(name);
    let mut command = host::process::command("ssh-keygen");
    command
        .args(["-q", "-N", "", "-t", "ed25519", "-f"])
        .arg(&path);
    host::process::run_ok(command, b"", Duration::from_secs(60)).unwrap();
    Identity::new(path, None, Arc::new(|_: &Path| None))
}

fn secret() -> api::Secret {
    api::Secret::new("a key")
}

/// A cluster's state in this folder, of `identity`, sealed for `others`, too.
fn state(folder: &Path, name: &str, identity: &Identity, others: &[Recipient]) -> (State, Secrets) {
    let documents = api::Documents::parse(CLUSTER).unwrap();
    let encrypting = HandedOn {
        applies_to: None,
        document: serde_json::json!({"apiServer": {"extraArgs": [
            {"name": "encryption-provider-config", "value": "/etc/enc.yaml"}]}}),
    };
    let state = State::new(
        documents.cluster.unwrap(),
        vec![encrypting],
        AuthorityCertificates::default(),
    );
    let secrets = Secrets {
        kubernetes_key: secret(),
        front_proxy_key: secret(),
        etcd_key: secret(),
        service_account_key: secret(),
        admin_kubeconfig: None,
        signing_key: api::Secret::default(),
    };
    let path = folder.join(name);
    Open::create(&path, "test", state, secrets, identity, others).unwrap();
    state::unseal(&path, identity).unwrap()
}

/// etcd's data, as etcdadm prints it.
fn snapshot() -> Vec<u8> {
    let mut bytes = vec![7; 3 * 4096];
    bytes[16..20].copy_from_slice(&0xED0C_DAED_u32.to_le_bytes());
    let digest = Digest::of(&bytes);
    bytes.extend_from_slice(digest.as_bytes());
    let mut writer = capsule::Writer::new(Vec::new(), false, 1);
    writer.begin(bytes.len() as u64).unwrap();
    writer.write(&bytes).unwrap();
    let metadata = |checked: &Checked| Metadata {
        api_version: api::API_VERSION.to_owned(),
        kind: "EtcdSnapshot".to_owned(),
        taken_at: "2026-11-23T12:00:00Z".to_owned(),
        cluster_id: "00000000000000c1".to_owned(),
        member: "h1".to_owned(),
        etcd_version: "3.7.3".to_owned(),
        storage_version: "3.7.0".to_owned(),
        members: Vec::new(),
        hash: api::KvHash {
            hash: 1,
            revision: 5,
            compact_revision: 2,
        },
        keys: 3,
        size: checked.size,
        sha256: checked.sha256.clone(),
    };
    writer.finish(metadata).unwrap().0
}

/// A backup of the state with this name, its index signed with `secrets`.
fn backup(folder: &Path, name: &str, known: &State, secrets: &Secrets, files: &api::HostFiles) {
    let path = folder.join(format!("{name}.backup"));
    let recipients: Vec<Recipient> = known
        .vouching
        .recipients
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
    let pending = Pending::new(&path, 0o600).unwrap();
    let sealing = state::sealing(&path, &recipients, pending).unwrap();
    let mut writer = Writer::new(sealing, 1);
    writer.write_all(&snapshot()).unwrap();
    writer.end_snapshot().unwrap();
    let text = std::fs::read(folder.join(name)).unwrap();
    writer.add(STATE, &text).unwrap();
    let mut part = Vec::new();
    files::write(files, &[], 1, &mut part).unwrap();
    let part_name = part_of("10.77.0.11");
    writer.add(&part_name, &part).unwrap();
    let mut index = Index {
        api_version: api::API_VERSION.to_owned(),
        kind: "Backup".to_owned(),
        cluster: "prod".to_owned(),
        cluster_id: known.cluster_id.clone(),
        generation: known.generation,
        taken_at: now(),
        snapshot: Part {
            name: String::new(),
            size: 0,
            sha256: String::new(),
        },
        parts: Vec::new(),
        hosts: vec![HostOf {
            address: "10.77.0.11".to_owned(),
            part: part_name,
            files: files.clone(),
        }],
        not_reached: Vec::new(),
    };
    let signed = writer.index(&mut index).unwrap();
    let signature = state::sign_beside(&path, secrets, NAMESPACE, &signed).unwrap();
    let sealing = writer.finish(&signature).unwrap();
    sealing.finish().unwrap().commit().unwrap();
}

#[test]
fn only_who_has_the_state_s_keys_makes_a_backup_that_is_believed() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let (ours, other) = (key(folder, "a"), key(folder, "b"));
    let others = [ours.recipient().unwrap()];
    let (known, secrets) = state(folder, "ours", &ours, &[]);
    let (theirs, their_secrets) = state(folder, "theirs", &other, &others);
    let mut files = api::HostFiles::new("h1");
    files.encryption.push("/etc/enc.yaml".into());
    let open = |name: &str, signers: &[String], known: Option<&State>| {
        let path = folder.join(format!("{name}.backup"));
        Opened::read(&path, ours.clone(), signers, known).map_err(|error| error.to_string())
    };

    backup(folder, "ours", &known, &secrets, &files);
    let opened = open("ours", &[], None).unwrap();
    assert_eq!(opened.state, known);
    assert_eq!(opened.lacks(), [""; 0]);
    assert_eq!(opened.snapshot.files.len(), 1);
    let mut capsule = Vec::new();
    io::copy(&mut opened.snapshot.bytes().unwrap(), &mut capsule).unwrap();
    assert_eq!(capsule, snapshot());
    assert_eq!(Digest::of(&capsule), opened.snapshot.digest);

    // The state is ours, and what is beside it is not.
    backup(folder, "ours", &known, &their_secrets, &files);
    let error = open("ours", &[], Some(&known)).unwrap_err();
    assert!(error.contains("somebody else put it together"), "{error}");

    // Whole, and sealed for us, by somebody whom nobody named.
    backup(folder, "theirs", &theirs, &their_secrets, &files);
    let error = open("theirs", &[], Some(&known)).unwrap_err();
    assert!(error.contains("is vouched for by"), "{error}");
    let signer = theirs.vouching.signer.clone().unwrap();
    assert!(open("theirs", &[signer], None).is_ok());
    assert!(open("theirs", &[], Some(&theirs)).is_ok());
}

#[test]
fn a_backup_without_the_key_to_the_secrets_says_so() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let ours = key(folder, "a");
    let (known, secrets) = state(folder, "ours", &ours, &[]);
    let mut files = api::HostFiles::new("h1");
    let lacks = |files: &api::HostFiles| {
        backup(folder, "ours", &known, &secrets, files);
        let path = folder.join("ours.backup");
        Opened::read(&path, ours.clone(), &[], None)
            .unwrap()
            .lacks()
            .join("\n")
    };
    insta::assert_snapshot!(lacks(&files), @"the cluster's documents name an EncryptionConfiguration, and none is in it");
    files.left_out.push(api::LeftOut {
        path: "/etc/enc.yaml".to_owned(),
        why: "--encryption-provider-config of kube-apiserver".to_owned(),
        what: "it is not there".to_owned(),
    });
    insta::assert_snapshot!(lacks(&files), @"h1: the EncryptionConfiguration /etc/enc.yaml is not in it: it is not there");
}

#[test]
fn what_api_servers_were_told_by_hand_is_no_part_of_the_cluster() {
    let host = |encryption: &[&str]| {
        let mut files = api::HostFiles::new("h1");
        files.encryption = encryption.iter().map(PathBuf::from).collect();
        HostOf {
            address: "10.77.0.11".to_owned(),
            part: part_of("10.77.0.11"),
            files,
        }
    };
    let encrypted = [host(&[]), host(&["/etc/enc.yaml"])];
    let told = untold(&encrypted, &[]).unwrap();
    insta::assert_snapshot!(told, @"no document of the cluster's tells the API servers of /etc/enc.yaml: begun anew, they could read no Secret");
    let document = HandedOn {
        applies_to: None,
        document: serde_json::json!({"apiServer": {"extraArgs": [
            {"name": "encryption-provider-config", "value": "/etc/enc.yaml"}]}}),
    };
    assert_eq!(untold(&encrypted, &[document]), None);
    assert_eq!(untold(&[host(&[])], &[]), None);
}
