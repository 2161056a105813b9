//! What is issued, by its parsed fields and in OpenSSL's eyes. These tests need the `openssl` program.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::{Authority, AuthorityError};
use crate::etcd::{Identity, LEAVES, Leaf, profile};
use crate::{Certificate, Pair, San, Usage};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn identity() -> Identity {
    Identity {
        name: "node1".into(),
        addresses: vec![San::parse("10.0.0.1").unwrap()],
        extra_server_sans: vec![San::parse("etcd.example").unwrap()],
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test writes files for OpenSSL and runs it"
)]
fn openssl_in(folder: &Path, files: &[(&str, &[u8])], arguments: &[&str]) -> (bool, String) {
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    let out = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("this test needs the openssl program");
    (
        out.status.success(),
        String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned(),
    )
}

#[test]
fn an_authority_says_so() {
    let now = SystemTime::now();
    let ca = Authority::generate("etcd", now).unwrap();
    let certificate = ca.certificate();
    assert!(certificate.is_ca);
    assert_eq!(certificate.common_name, "etcd");
    assert!(certificate.signed_by(certificate));
    assert!(certificate.subject_key_id.is_some());
    assert_eq!(
        certificate.days_left(now),
        3649,
        "ten years, less the fraction of a second that certificates do not count"
    );
    let before = now.duration_since(certificate.not_before).unwrap();
    assert!(
        before >= Duration::from_secs(300) && before < Duration::from_secs(302),
        "{before:?}"
    );
}

#[test]
fn etcd_leaves_have_their_fields() {
    let now = SystemTime::now();
    let ca = Authority::generate("etcd", now).unwrap();
    let mut seen = String::new();
    for leaf in LEAVES {
        let pair = ca.issue(&profile(leaf, &identity()), now).unwrap();
        let certificate = Certificate::parse(pair.certificate.as_bytes()).unwrap();
        assert!(certificate.signed_by(ca.certificate()));
        assert!(!certificate.is_ca);
        assert_eq!(
            certificate.authority_key_id,
            ca.certificate().subject_key_id
        );
        assert!(certificate.subject_key_id.is_some());
        assert_eq!(certificate.days_left(now), 364);
        let sans: Vec<String> = certificate.sans.iter().map(San::to_string).collect();
        seen += &format!(
            "{}: CN={} O={:?} {:?} {}\n",
            leaf.file_stem(),
            certificate.common_name,
            certificate.organizations,
            certificate.usage.unwrap(),
            sans.join(",")
        );
    }
    insta::assert_snapshot!(seen, @r#"
    server: CN=node1 O=[] Both node1,10.0.0.1,localhost,127.0.0.1,::1,etcd.example
    peer: CN=node1 O=[] Both node1,10.0.0.1
    etcdctl-etcd-client: CN=node1-etcdctl O=["system:masters"] Client 
    apiserver-etcd-client: CN=node1-kube-apiserver-etcd-client O=["system:masters"] Client 
    "#);
}

#[test]
fn openssl_accepts_what_is_issued() {
    let now = SystemTime::now();
    let folder = tempfile::tempdir().unwrap();
    let ca = Authority::generate("etcd", now).unwrap();
    let leaf = ca.issue(&profile(Leaf::Server, &identity()), now).unwrap();
    let pem = ca.pair();
    let files: &[(&str, &[u8])] = &[
        ("ca.crt", pem.certificate.as_bytes()),
        ("leaf.crt", leaf.certificate.as_bytes()),
    ];
    for purpose in ["sslserver", "sslclient"] {
        let arguments = [
            "verify",
            "-x509_strict",
            "-purpose",
            purpose,
            "-verify_ip",
            "10.0.0.1",
            "-CAfile",
            "ca.crt",
            "leaf.crt",
        ];
        let (accepted, said) = openssl_in(folder.path(), files, &arguments);
        assert!(accepted, "{purpose}: {said}");
    }
    let (accepted, said) = openssl_in(
        folder.path(),
        files,
        &[
            "verify",
            "-verify_ip",
            "10.0.0.2",
            "-CAfile",
            "ca.crt",
            "leaf.crt",
        ],
    );
    assert!(!accepted && said.contains("IP address mismatch"), "{said}");
}

#[test]
fn an_rsa_authority_of_an_older_tool_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let (ok, said) = openssl_in(
        folder.path(),
        &[],
        &["genrsa", "-traditional", "-out", "ca.key", "2048"],
    );
    assert!(ok, "{said}");
    let arguments = [
        "req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=etcd", "-days", "100", "-out",
        "ca.crt",
    ];
    let (ok, said) = openssl_in(folder.path(), &[], &arguments);
    assert!(ok, "{said}");
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let ca = Authority::from_pem(&read("ca.crt"), &read("ca.key")).unwrap();
    assert_eq!(
        ca.pair().key.expose(),
        read("ca.key"),
        "an old key is never rewritten"
    );

    let now = SystemTime::now();
    let leaf = ca.issue(&profile(Leaf::Peer, &identity()), now).unwrap();
    let (accepted, said) = openssl_in(
        folder.path(),
        &[("leaf.crt", leaf.certificate.as_bytes())],
        &["verify", "-CAfile", "ca.crt", "leaf.crt"],
    );
    assert!(accepted, "{said}");
    let days = Certificate::parse(leaf.certificate.as_bytes())
        .unwrap()
        .days_left(now);
    assert!(
        (98..=100).contains(&days),
        "a leaf does not outlive its authority: {days}"
    );
}

#[test]
fn unfit_authorities_are_refused() {
    let now = SystemTime::now();
    let (one, other) = (
        Authority::generate("one", now).unwrap().pair(),
        Authority::generate("other", now).unwrap().pair(),
    );
    let load = |certificate: &Pair, key: &Pair| {
        Authority::from_pem(certificate.certificate.as_bytes(), key.key.expose())
    };
    assert!(matches!(load(&one, &other), Err(AuthorityError::KeyMismatch(name)) if name == "one"));
    let leaf = Authority::generate("etcd", now)
        .unwrap()
        .issue(&profile(Leaf::Peer, &identity()), now)
        .unwrap();
    assert!(
        matches!(load(&leaf, &leaf), Err(AuthorityError::NotAnAuthority(name)) if name == "node1")
    );
    let old = Authority::generate("old", now - 4000 * DAY).unwrap();
    assert!(matches!(
        old.issue(&profile(Leaf::Peer, &identity()), now),
        Err(AuthorityError::Expired(_))
    ));
}

#[test]
fn a_member_name_that_is_no_dns_name_stays_in_the_subject() {
    let identity = Identity {
        name: "my node".into(),
        addresses: vec![San::parse("fd00::5").unwrap()],
        extra_server_sans: vec![],
    };
    let now = SystemTime::now();
    let pair = Authority::generate("etcd", now)
        .unwrap()
        .issue(&profile(Leaf::Peer, &identity), now)
        .unwrap();
    let certificate = Certificate::parse(pair.certificate.as_bytes()).unwrap();
    assert_eq!(certificate.common_name, "my node");
    assert_eq!(certificate.sans, [San::parse("fd00::5").unwrap()]);
    assert_eq!(certificate.usage, Some(Usage::Both));
}

#[test]
fn of_a_bundle_the_keys_own_certificate_signs() {
    let now = SystemTime::now();
    let [old, new] = ["etcd", "etcd-next"].map(|name| Authority::generate(name, now).unwrap());
    let bundle = format!("{}{}", old.pair().certificate, new.pair().certificate);
    for authority in [&old, &new] {
        let found = Authority::from_pem(bundle.as_bytes(), authority.pair().key.expose()).unwrap();
        assert_eq!(found.certificate(), authority.certificate());
        let leaf = found.issue(&profile(Leaf::Peer, &identity()), now).unwrap();
        let leaf = Certificate::parse(leaf.certificate.as_bytes()).unwrap();
        assert!(leaf.signed_by(authority.certificate()));
    }
    assert_ne!(
        old.certificate().subject_der(),
        new.certificate().subject_der()
    );
}

#[test]
fn a_request_asks_for_what_the_leaf_must_say() {
    let folder = tempfile::tempdir().unwrap();
    let key = crate::PrivateKey::generate().unwrap();
    let asked = crate::request(&profile(Leaf::Server, &identity()), &key).unwrap();
    let words = ["req", "-in", "server.csr", "-noout", "-verify", "-text"];
    let (right, said) = openssl_in(folder.path(), &[("server.csr", asked.as_bytes())], &words);
    assert!(right && said.contains("verify OK"), "{said}");
    for part in [
        "CN = node1",
        "DNS:node1, IP Address:10.0.0.1, DNS:localhost",
        "TLS Web Server Authentication, TLS Web Client Authentication",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    let asks = |leaf, key| crate::asks_for(asked.as_bytes(), &profile(leaf, &identity()), key);
    assert!(asks(Leaf::Server, &key));
    assert!(!asks(Leaf::Peer, &key), "it asks for more names");
    assert!(!asks(Leaf::Server, &crate::PrivateKey::generate().unwrap()));
}

#[test]
fn a_chain_that_ends_at_a_trusted_authority_is_as_good_as_one_link() {
    let now = SystemTime::now();
    let root = Authority::generate("root", now).unwrap();
    let between = Authority::generate("between", now).unwrap();
    let leaf = between
        .issue(&profile(Leaf::Server, &identity()), now)
        .unwrap();
    let verdict = |text: &str, trusted: &Authority| {
        crate::check(
            Some(text.as_bytes()),
            Some(leaf.key.expose()),
            &profile(Leaf::Server, &identity()),
            std::slice::from_ref(trusted.certificate()),
            now,
        )
    };
    let chain = format!("{}{}", leaf.certificate, between.pair().certificate);
    assert!(verdict(&leaf.certificate, &between).is_right());
    assert!(verdict(&chain, &between).is_right());
    // What signed itself leads nowhere.
    assert!(!verdict(&chain, &root).is_right());
}
