//! Certificates: handed in, and finished from any half.

use super::*;

#[test]
fn given_certificates_are_verified_and_need_no_authority_key() {
    let mut world = World::new();
    let authority = Authority::generate("etcd", now()).unwrap();
    let configuration = world.configure(EtcdConfiguration::default());
    let mut given = BTreeMap::from([(
        "ca.crt".to_owned(),
        Secret::new(authority.pair().certificate),
    )]);
    for leaf in LEAVES {
        let pair = authority
            .issue(&profile(leaf, &configuration.identity()), now())
            .unwrap();
        given.insert(
            format!("{}.crt", leaf.file_stem()),
            Secret::new(pair.certificate),
        );
        given.insert(
            format!("{}.key", leaf.file_stem()),
            Secret::new(String::from_utf8(pair.key.expose().to_vec()).unwrap()),
        );
    }
    let with = |given: BTreeMap<String, Secret>| Configuration {
        given,
        ..configuration.clone()
    };
    let changes = world.init(&with(given.clone())).unwrap();
    assert!(!changes.contains("ca.key"), "{changes}");
    assert_eq!(world.init(&with(given.clone())).unwrap(), "");
    // Later runs need not be handed them again.
    assert_eq!(world.init(&configuration).unwrap(), "");

    let fault = |change: &dyn Fn(&mut BTreeMap<String, Secret>)| {
        let mut given = given.clone();
        change(&mut given);
        World::new().init(&with(given)).unwrap_err()
    };
    insta::assert_snapshot!(fault(&|given| drop(given.remove("peer.key"))), @"phase issue-certificates stopped before it changed anything more: the given peer.crt or its key is missing");
    insta::assert_snapshot!(fault(&|given| drop(given.remove("ca.crt"))), @"phase issue-certificates stopped before it changed anything more: the given ca.crt is missing");
    insta::assert_snapshot!(fault(&|given| drop(given.insert("peer.key".into(), given["server.key"].clone()))), @"phase issue-certificates stopped before it changed anything more: the given peer.crt does not belong to its key");
    let other = Authority::generate("other", now())
        .unwrap()
        .pair()
        .certificate;
    insta::assert_snapshot!(fault(&|given| drop(given.insert("ca.crt".into(), Secret::new(other.clone())))), @"phase issue-certificates stopped before it changed anything more: the given server.crt is signed by CN=etcd, which is not the authority here");
}

#[test]
fn certificates_are_finished_from_any_half() {
    let mut world = World::new();
    let configuration = world.configure(EtcdConfiguration::default());
    // The authority's key was written, its certificate was not; so with a leaf.
    let (ca_key, peer_key) = (
        PrivateKey::generate().unwrap(),
        PrivateKey::generate().unwrap(),
    );
    world.put("/etc/etcd/pki/ca.key", 0o600, ca_key.pem().expose());
    world.put("/etc/etcd/pki/peer.key", 0o600, peer_key.pem().expose());
    let changes = world.init(&configuration).unwrap();
    assert!(
        !changes.contains("ca.key")
            && !changes.contains("peer.key")
            && changes.contains("peer.crt"),
        "{changes}"
    );
    // A certificate that is there without its key, and an authority whose key is elsewhere.
    world
        .host
        .apply(&HostChange::Remove {
            path: "/etc/etcd/pki/server.key".into(),
        })
        .unwrap();
    world
        .host
        .apply(&HostChange::Remove {
            path: "/etc/etcd/pki/ca.key".into(),
        })
        .unwrap();
    insta::assert_snapshot!(world.init(&configuration).unwrap_err(), @"phase issue-certificates stopped before it changed anything more: server.crt in /etc/etcd/pki or its key is missing, and the authority's key to make a new one is not there");
}
