//! Keys as OpenSSL writes them. These tests need the `openssl` program.

use std::process::Command;

use super::{KeyError, PrivateKey};

#[expect(
    clippy::disallowed_methods,
    reason = "a test asks OpenSSL for keys in its own forms"
)]
fn openssl(arguments: &[&str]) -> Vec<u8> {
    let out = Command::new("openssl")
        .args(arguments)
        .output()
        .expect("this test needs the openssl program");
    assert!(
        out.status.success(),
        "openssl {arguments:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    out.stdout
}

#[track_caller]
fn reads(text: &[u8], label: &str) {
    assert!(
        String::from_utf8_lossy(text).contains(label),
        "openssl wrote no {label}"
    );
    let key = PrivateKey::from_pem(text).unwrap();
    assert_eq!(key.pem().expose(), text, "the text is kept as it was read");
}

#[test]
fn every_form_that_older_tools_write_is_read() {
    reads(
        &openssl(&["genrsa", "-traditional", "2048"]),
        "BEGIN RSA PRIVATE KEY",
    );
    reads(&openssl(&["genrsa", "2048"]), "BEGIN PRIVATE KEY");
    reads(
        &openssl(&["ecparam", "-genkey", "-name", "prime256v1"]),
        "BEGIN EC PARAMETERS",
    );
    reads(
        &openssl(&["ecparam", "-genkey", "-noout", "-name", "prime256v1"]),
        "BEGIN EC PRIVATE KEY",
    );
    reads(
        &openssl(&["ecparam", "-genkey", "-noout", "-name", "secp384r1"]),
        "BEGIN EC PRIVATE KEY",
    );
    reads(
        &openssl(&[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ]),
        "BEGIN PRIVATE KEY",
    );
}

#[test]
fn what_cannot_be_used_is_refused() {
    let curve = openssl(&["ecparam", "-genkey", "-noout", "-name", "secp521r1"]);
    assert!(matches!(PrivateKey::from_pem(&curve), Err(KeyError::Curve)));
    let encrypted = openssl(&["genrsa", "-aes128", "-passout", "pass:x", "2048"]);
    assert!(matches!(
        PrivateKey::from_pem(&encrypted),
        Err(KeyError::Encrypted)
    ));
    let encrypted = openssl(&[
        "genrsa",
        "-traditional",
        "-aes128",
        "-passout",
        "pass:x",
        "2048",
    ]);
    assert!(matches!(
        PrivateKey::from_pem(&encrypted),
        Err(KeyError::Encrypted | KeyError::Pem(_))
    ));
    assert!(matches!(PrivateKey::from_pem(b""), Err(KeyError::Missing)));
    let empty_sec1 = b"-----BEGIN EC PRIVATE KEY-----\nMAA=\n-----END EC PRIVATE KEY-----\n";
    assert!(matches!(
        PrivateKey::from_pem(empty_sec1),
        Err(KeyError::Unusable(_))
    ));
}

#[test]
fn a_new_key_reads_back_as_the_same_key() {
    let key = PrivateKey::generate().unwrap();
    let again = PrivateKey::from_pem(key.pem().expose()).unwrap();
    assert_eq!(key.public_der(), again.public_der());
    assert!(key.public_pem().starts_with("-----BEGIN PUBLIC KEY-----"));
    assert!(!format!("{key:?}").contains("BEGIN"));
}
