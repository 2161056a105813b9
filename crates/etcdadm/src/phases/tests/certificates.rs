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
    // A member that was led to another authority is not led back unasked.
    world.data();
    let rotated = Authority::generate("etcd-next", now()).unwrap();
    world.put("/etc/etcd/pki/ca.crt", 0o644, rotated.pair().certificate);
    let error = world.init(&with(given.clone())).unwrap_err();
    assert!(
        error.contains("of the authority etcd, and this host's member trusts etcd-next"),
        "{error}"
    );

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

#[test]
fn an_authority_elsewhere_signs_and_no_key_of_one_comes_here() {
    let mut world = World::new();
    let configuration = world.configure(EtcdConfiguration::default());
    let csr = |world: &mut World| {
        let phase = crate::phases::RequestCertificates(&configuration);
        world.walk(&[Box::new(phase)])
    };
    let asked = csr(&mut world).unwrap();
    assert_eq!(asked.matches(".csr").count(), 4, "{asked}");
    assert_eq!(csr(&mut world).unwrap(), "");
    insta::assert_snapshot!(world.init(&configuration).unwrap_err(), @"phase issue-certificates stopped before it changed anything more: /etc/etcd/pki/server.csr asks for a certificate that was not installed yet");

    let authority = Authority::generate("elsewhere", now()).unwrap();
    let mut brought = BTreeMap::from([(
        "ca.crt".to_owned(),
        authority.pair().certificate.into_bytes(),
    )]);
    for leaf in LEAVES {
        let name = |end: &str| format!("{}.{end}", leaf.file_stem());
        let path = Path::new("/etc/etcd/pki").join(name("key"));
        let key = PrivateKey::from_pem(&world.host.read(&path, 1 << 20).unwrap().unwrap()).unwrap();
        let text = authority.issue_for(&profile(leaf, &configuration.identity()), &key, now());
        brought.insert(name("crt"), text.unwrap().into_bytes());
    }
    let install = |world: &mut World, brought: &BTreeMap<String, Vec<u8>>| {
        let phases = crate::certs::install(&configuration, brought.clone());
        world.walk(&phases)
    };
    let mut without = brought.clone();
    without.remove("peer.crt");
    insta::assert_snapshot!(install(&mut world, &without).unwrap_err(), @"phase install-certificates stopped before it changed anything more: the given peer.crt or its key is missing");
    insta::assert_snapshot!(install(&mut world, &brought).unwrap(), @"
    install-certificates: write /etc/etcd/pki/ca.crt (0644)
    install-certificates: write /etc/etcd/pki/apiserver-etcd-client.crt (0644)
    install-certificates: write /etc/etcd/pki/etcdctl-etcd-client.crt (0644)
    install-certificates: write /etc/etcd/pki/peer.crt (0644)
    install-certificates: write /etc/etcd/pki/server.crt (0644)
    install-certificates: remove /etc/etcd/pki/server.csr
    install-certificates: remove /etc/etcd/pki/peer.csr
    install-certificates: remove /etc/etcd/pki/etcdctl-etcd-client.csr
    install-certificates: remove /etc/etcd/pki/apiserver-etcd-client.csr
    ");
    assert_eq!(install(&mut world, &brought).unwrap(), "");
    let begun = world.init(&configuration).unwrap();
    assert!(!begun.contains("issue-certificates"), "{begun}");

    // A member that trusts one authority is not handed another's.
    world.data();
    let other = Authority::generate("other", now()).unwrap();
    let others = BTreeMap::from([("ca.crt".to_owned(), other.pair().certificate.into_bytes())]);
    insta::assert_snapshot!(install(&mut world, &others).unwrap_err(), @"phase install-certificates stopped before it changed anything more: what was brought is of the authority other, and this host's member trusts elsewhere");
}
