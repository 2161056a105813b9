//! The state file: sealed, signed, never half-written.

use std::sync::Arc;
use std::time::Duration;

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
  - {address: 10.77.0.14, roles: [node], labels: {disk: ssd}}
";

fn state() -> State {
    let documents = api::Documents::parse(CLUSTER).unwrap();
    State::new(
        documents.cluster.unwrap(),
        Vec::new(),
        crate::AuthorityCertificates::default(),
    )
}

fn secrets() -> Secrets {
    Secrets {
        kubernetes_key: api::Secret::new("kubernetes-private"),
        front_proxy_key: api::Secret::new("front-private"),
        etcd_key: api::Secret::new("etcd-private"),
        service_account_key: api::Secret::new("sa-private"),
        admin_kubeconfig: None,
        signing_key: api::Secret::default(),
    }
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("cctl-state.yaml")
    }

    fn key(&self, name: &str, kind: &[&str], passphrase: &str) -> Identity {
        let path = self.0.path().join(name);
        let mut command = host::process::command("ssh-keygen");
        command
            .args(["-q", "-N", passphrase, "-C", name, "-t"])
            .args(kind)
            .arg("-f")
            .arg(&path);
        host::process::run_ok(command, b"", Duration::from_secs(60)).unwrap();
        let answer = passphrase.to_owned();
        Identity::new(
            path,
            None,
            Arc::new(move |_| Some(answer.clone()).filter(|a| !a.is_empty())),
        )
    }
}

#[test]
fn what_was_saved_is_opened_again_and_shows_no_secret() {
    let place = Place::new();
    for (name, kind, passphrase) in [
        ("ed25519", &["ed25519"][..], ""),
        ("protected", &["ed25519"][..], "open sesame"),
        ("rsa", &["rsa", "-b", "2048"][..], ""),
    ] {
        let key = place.key(name, kind, passphrase);
        let path = place.0.path().join(format!("{name}.yaml"));
        let mut open = Open::create(&path, "test", state(), secrets(), &key, &[]).unwrap();
        open.state
            .machine_mut("10.77.0.11")
            .unwrap()
            .status
            .last_step = "etcdadm init".into();
        open.secrets.admin_kubeconfig = Some(api::Secret::new("kubeconfig-private"));
        open.save().unwrap();
        drop(open);

        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            !text.contains("private"),
            "{name}: a secret stands in the file"
        );
        assert_eq!(read(&path).unwrap().generation, 2);
        let again = Open::open(&path, "test", &key).unwrap();
        assert_eq!(
            again.secrets.admin_kubeconfig.as_ref().unwrap().reveal(),
            "kubeconfig-private"
        );
        assert_eq!(
            again.state.machine("10.77.0.11").unwrap().status.last_step,
            "etcdadm init"
        );
    }
}

#[test]
fn who_is_left_out_opens_no_later_generation_and_signs_none() {
    let place = Place::new();
    let (first, second) = (
        place.key("a", &["ed25519"], ""),
        place.key("b", &["ed25519"], ""),
    );
    let path = place.path();
    let others = [second.recipient().unwrap()];
    let ours = first.recipient().unwrap();
    let mut open = Open::create(&path, "test", state(), secrets(), &first, &[]).unwrap();
    let signing_key = open.state.vouching.signing_key.clone();

    let both = [ours.clone(), others[0].clone()];
    open.seal_for(&both, &first).unwrap();
    open.save().unwrap();
    assert_eq!(open.state.vouching.signing_key, signing_key);
    assert_eq!(open.state.generation, 2);
    unseal(&path, &second).unwrap();

    // Nobody locks himself out.
    open.seal_for(&others, &first).unwrap_err();
    open.seal_for(&[ours], &first).unwrap();
    open.save().unwrap();
    drop(open);
    let error = unseal(&path, &second).unwrap_err();
    assert!(matches!(error, Error::NotForUs { .. }), "{error}");
    let (state, _) = unseal(&path, &first).unwrap();
    assert_ne!(state.vouching.signing_key, signing_key);

    // Another admin's word goes in the place of the first one's.
    let mut open = Open::open(&path, "test", &first).unwrap();
    open.seal_for(&both, &first).unwrap();
    open.save().unwrap();
    drop(open);
    let mut open = Open::open(&path, "test", &second).unwrap();
    open.seal_for(&others, &second).unwrap();
    open.save().unwrap();
    let signer = read(&path).unwrap().vouching.signer.unwrap();
    assert!(second.is(&signer).unwrap());
}

#[test]
fn only_recipients_open_it() {
    let place = Place::new();
    let (first, second, stranger) = (
        place.key("a", &["ed25519"], ""),
        place.key("b", &["ed25519"], ""),
        place.key("c", &["ed25519"], ""),
    );
    drop(
        Open::create(
            &place.path(),
            "test",
            state(),
            secrets(),
            &first,
            &[second.recipient().unwrap()],
        )
        .unwrap(),
    );
    Open::open(&place.path(), "test", &second).unwrap();
    let error = Open::open(&place.path(), "test", &stranger).unwrap_err();
    assert!(matches!(error, Error::NotForUs { .. }), "{error}");
}

#[test]
fn a_key_that_could_not_open_it_again_makes_no_cluster() {
    let place = Place::new();
    let ecdsa = place.key("ecdsa", &["ecdsa"], "");
    let error = Open::create(&place.path(), "test", state(), secrets(), &ecdsa, &[]).unwrap_err();
    assert!(matches!(error, Error::Key { .. }), "{error}");
    assert!(!place.path().exists());
}

#[test]
fn an_age_identity_opens_what_nobody_vouches_for() {
    let place = Place::new();
    let path = place.0.path().join("age.txt");
    let identity = age::x25519::Identity::generate().to_string();
    let age = format!(
        "# created by age-keygen\n{}\n",
        age::secrecy::ExposeSecret::expose_secret(&identity)
    );
    host::write_atomically(&path, 0o600, age.as_bytes()).unwrap();
    let key = Identity::new(path, None, Arc::new(|_| None));
    let open = Open::create(&place.path(), "test", state(), secrets(), &key, &[]).unwrap();
    assert_eq!(open.state.vouching.signer, None);
    drop(open);
    Open::open(&place.path(), "test", &key).unwrap();
}

#[test]
fn every_change_by_somebody_else_is_seen() {
    let place = Place::new();
    let key = place.key("a", &["ed25519"], "");
    drop(Open::create(&place.path(), "test", state(), secrets(), &key, &[]).unwrap());
    let text = std::fs::read_to_string(place.path()).unwrap();
    let changed = [
        text.replace("10.77.0.14", "10.77.0.99"),
        text.replace("generation: 1", "generation: 2"),
        text.replace("kind: Cluster\n", "kind: Cluster \n"),
        text.replacen("signature: |", "# note\nsignature: |", 1),
        format!("# note\n{text}"),
    ];
    for changed in changed {
        assert_ne!(changed, text);
        assert!(
            matches!(parse(&place.path(), &changed), Err(Error::Signature { .. })),
            "{changed}"
        );
    }
    let cut = &text[..text.len() / 2];
    assert!(parse(&place.path(), cut).is_err());
    assert!(matches!(
        parse(&place.path(), "schemaVersion: 2\nclusterList: []\n"),
        Err(Error::Schema { found: 2, .. })
    ));
    assert!(matches!(
        parse(&place.path(), "clusterList: []\n"),
        Err(Error::Schema { found: 0, .. })
    ));
}

#[test]
fn a_forged_signing_key_lacks_the_admins_word() {
    let place = Place::new();
    let key = place.key("a", &["ed25519"], "");
    let mut open = Open::create(&place.path(), "test", state(), secrets(), &key, &[]).unwrap();
    // Somebody without the admin's key makes a signing key of his own and seals it for the admin.
    open.signing_key = SigningKey::generate().unwrap();
    open.state.vouching.signing_key = open.signing_key.public();
    let body = api::yaml::to_string(&open.state);
    let signature: String = open
        .signing_key
        .sign(body.as_bytes())
        .lines()
        .map(|l| format!("  {l}\n"))
        .collect();
    let forged = format!("{}{MARKER}{signature}", body.trim_end());
    assert!(matches!(
        parse(&place.path(), &forged),
        Err(Error::Voucher { .. })
    ));
}

#[test]
fn openssh_itself_verifies_the_file() {
    let place = Place::new();
    let key = place.key("a", &["ed25519"], "");
    let open = Open::create(&place.path(), "test", state(), secrets(), &key, &[]).unwrap();
    let text = std::fs::read_to_string(place.path()).unwrap();
    let (body, signature) = text.rsplit_once(MARKER).unwrap();
    let signature: String = signature
        .lines()
        .map(|l| format!("{}\n", l.trim()))
        .collect();
    let write = |name: &str, content: &str| {
        let path = place.0.path().join(name);
        host::write_atomically(&path, 0o600, content.as_bytes()).unwrap();
        path
    };
    let signature = write("signature", &signature);
    let allowed = write(
        "allowed",
        &format!("cluster {}\n", open.state.vouching.signing_key),
    );
    let mut command = host::process::command("ssh-keygen");
    command
        .args(["-Y", "verify", "-n", GENERATION, "-I", "cluster", "-f"])
        .arg(&allowed)
        .arg("-s")
        .arg(&signature);
    host::process::run_ok(
        command,
        format!("{body}\n").as_bytes(),
        Duration::from_secs(10),
    )
    .unwrap();
}

#[test]
fn two_runs_do_not_work_on_one_state() {
    let place = Place::new();
    let key = place.key("a", &["ed25519"], "");
    let _first = Open::create(
        &place.path(),
        "cctl apply, process 7",
        state(),
        secrets(),
        &key,
        &[],
    )
    .unwrap();
    let error = Open::open(&place.path(), "cctl apply, process 8", &key).unwrap_err();
    assert!(
        matches!(error, Error::Lock(host::LockError::Held { .. })),
        "{error}"
    );
}

#[test]
fn a_machine_keeps_what_is_known_of_it() {
    let mut state = state();
    let machine = state.machine_mut("10.77.0.14").unwrap();
    machine.spec.host_keys = vec!["ssh-ed25519 AAAA".into()];
    machine.status.machine_id = "abc".into();
    let mut configuration = state.configuration().clone();
    configuration.machines.remove(0);
    state.set_configuration(configuration, Vec::new());
    assert_eq!(state.machine("10.77.0.14").unwrap().spec.host_keys.len(), 1);
    assert!(
        state.machine("10.77.0.11").is_some(),
        "something of ours may be on it"
    );
    state.forget("10.77.0.11");
    assert!(state.machine("10.77.0.11").is_none());
    assert_eq!(state.machines.len(), 1);
}

#[test]
fn a_sealed_stream_opens_for_its_recipients_and_only_whole() {
    let place = Place::new();
    let (ours, other) = (
        place.key("ours", &["ed25519"], ""),
        place.key("other", &["ed25519"], ""),
    );
    let path = place.0.path().join("backup");
    let plain: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
    let mut sealing = crate::sealing(&path, &[ours.recipient().unwrap()], Vec::new()).unwrap();
    std::io::Write::write_all(&mut sealing, &plain).unwrap();
    let sealed = sealing.finish().unwrap();
    assert!(crate::is_sealed(&sealed) && !crate::is_sealed(&plain));

    let read = |sealed: &[u8], identity: &Identity| {
        let mut found = Vec::new();
        let read = crate::opening(&path, identity, sealed)?.read_to_end(&mut found);
        Ok::<_, Error>(read.map(|_| found))
    };
    assert_eq!(read(&sealed, &ours).unwrap().unwrap(), plain);
    assert!(matches!(read(&sealed, &other), Err(Error::NotForUs { .. })));
    assert!(
        read(&sealed[..sealed.len() - 1], &ours).unwrap().is_err(),
        "cut short"
    );
    let mut flipped = sealed;
    flipped[100_000] ^= 1;
    assert!(read(&flipped, &ours).unwrap().is_err(), "one bit");
}
