//! A new authority in three steps: the order of things, who is waited for, and that a step taken twice is taken once.

use etcd::Probe;
use pki::Certificate;

use super::upgrade::{three, url};
use super::*;
use crate::authorities::Step;
use crate::survey::Reach;

const PKI: &str = "/etc/etcd/pki";

fn read(world: &World, name: &str) -> Vec<u8> {
    let path = Path::new(PKI).join(name);
    world.host.read(&path, 1 << 20).unwrap().unwrap()
}

fn authorities(world: &World, name: &str) -> Vec<Certificate> {
    Certificate::parse_all(&read(world, name)).unwrap()
}

/// This host's member runs with what is in its files.
fn restarted(world: &World) {
    let accepts: Vec<_> = authorities(world, "ca.crt")
        .iter()
        .map(Certificate::subject_der)
        .collect();
    for (urls, file) in [
        (
            ["https://127.0.0.1:2379", "https://10.77.0.11:2379"],
            "server.crt",
        ),
        (["https://10.77.0.11:2380"; 2], "peer.crt"),
    ] {
        let certificate = Certificate::parse(&read(world, file)).unwrap();
        for url in urls {
            let probe = Probe {
                certificate: certificate.der().to_vec(),
                accepts: accepts.clone(),
                clock_ahead: None,
            };
            world.etcd.set_probe(url, Ok(probe));
        }
    }
}

/// The member on another host accepts these authorities, and shows a certificate of this one.
fn other(world: &World, id: u64, accepts: &[Certificate], of: &Authority) {
    let identity = pki::etcd::Identity {
        name: format!("h{id}"),
        addresses: vec![],
        extra_server_sans: vec![],
    };
    let pair = of.issue(&profile(LEAVES[1], &identity), now()).unwrap();
    let certificate = Certificate::parse(pair.certificate.as_bytes()).unwrap();
    for url in [url(id), url(id).replace("2379", "2380")] {
        let probe = Probe {
            certificate: certificate.der().to_vec(),
            accepts: accepts.iter().map(Certificate::subject_der).collect(),
            clock_ahead: None,
        };
        world.etcd.set_probe(&url, Ok(probe));
    }
}

fn authority(world: &World, folder: &str) -> Authority {
    let of = |name: &str| read(world, &format!("{folder}{name}"));
    Authority::from_pem(&of("ca.crt"), &of("ca.key")).unwrap()
}

fn take(world: &mut World, step: Step) -> Result<String, String> {
    let configuration = configuration(world);
    let reach = Reach {
        configuration: &configuration,
        endpoints: vec![url(2)],
    };
    world
        .walk(&crate::rotate::phases(&reach, step, false))
        .map_err(|error| error.replace(" stopped before it changed anything more", ""))
}

fn configuration(world: &World) -> Configuration {
    world.configure(Record::read(&world.host).unwrap().unwrap().configuration)
}

/// Three members of one authority.
fn begin() -> (World, Authority) {
    let world = three("3.7.3");
    let old = authority(&world, "");
    restarted(&world);
    for id in [2, 3] {
        other(&world, id, &authorities(&world, "ca.crt"), &old);
    }
    (world, old)
}

#[test]
fn three_steps_lead_from_one_authority_to_another() {
    let (mut world, old) = begin();
    insta::assert_snapshot!(take(&mut world, Step::Trust).unwrap(), @"
    stage-authority: make folder /etc/etcd/pki/next (0700)
    stage-authority: write /etc/etcd/pki/next/ca.key (0600)
    stage-authority: write /etc/etcd/pki/next/ca.crt (0644)
    trust-authority: write /etc/etcd/pki/ca.crt (0644)
    restart-member: hand leadership to h2 (0000000000000002)
    restart-member: restart etcd.service and wait until it is ready
    ");
    let both = authorities(&world, "ca.crt");
    let new = authority(&world, "next/");
    assert_eq!(both, [old.certificate().clone(), new.certificate().clone()]);
    restarted(&world);
    assert_eq!(take(&mut world, Step::Trust).unwrap(), "");
    // A certificate that is renewed meanwhile is the old one's still.
    assert_eq!(authority(&world, "").certificate(), old.certificate());

    other(&world, 2, &both, &old);
    let before = world.host.listing();
    insta::assert_snapshot!(take(&mut world, Step::Reissue).unwrap_err(), @"phase check-rotation: not every member is ready: h3 does not accept etcd-20261118T110640Z at https://10.77.0.13:2379");
    assert_eq!(world.host.listing(), before);
    other(&world, 3, &both, &old);
    insta::assert_snapshot!(take(&mut world, Step::Reissue).unwrap(), @"
    reissue-certificates: write /etc/etcd/pki/etcdctl-etcd-client.crt (0644)
    reissue-certificates: write /etc/etcd/pki/apiserver-etcd-client.crt (0644)
    reissue-certificates: write /etc/etcd/pki/server.crt (0644)
    reissue-certificates: write /etc/etcd/pki/peer.crt (0644)
    adopt-authority: make folder /etc/etcd/pki/previous (0700)
    adopt-authority: write /etc/etcd/pki/previous/ca.crt (0644)
    adopt-authority: write /etc/etcd/pki/previous/ca.key (0600)
    adopt-authority: write /etc/etcd/pki/ca.key (0600)
    restart-member: restart etcd.service and wait until it is ready
    ");
    restarted(&world);
    assert_eq!(take(&mut world, Step::Reissue).unwrap(), "");
    assert_eq!(authority(&world, "").certificate(), new.certificate());
    assert_eq!(authority(&world, "previous/").pair().key, old.pair().key);

    other(&world, 2, &both, &new);
    let before = world.host.listing();
    insta::assert_snapshot!(take(&mut world, Step::Finish).unwrap_err(), @"phase check-rotation: not every member is ready: h3 shows a certificate of CN=etcd at https://10.77.0.13:2379");
    assert_eq!(world.host.listing(), before);
    other(&world, 3, &both, &new);
    insta::assert_snapshot!(take(&mut world, Step::Finish).unwrap(), @"
    drop-authority: write /etc/etcd/pki/ca.crt (0644)
    restart-member: restart etcd.service and wait until it is ready
    remove-staged: remove /etc/etcd/pki/next/ca.key
    remove-staged: remove /etc/etcd/pki/next/ca.crt
    remove-staged: remove /etc/etcd/pki/next
    ");
    assert_eq!(authorities(&world, "ca.crt"), [new.certificate().clone()]);
    restarted(&world);
    assert_eq!(take(&mut world, Step::Finish).unwrap(), "");
    assert!(
        take(&mut world, Step::Reissue)
            .unwrap_err()
            .contains("next/ca.crt is not there")
    );
}

#[test]
fn an_authority_that_was_copied_here_is_the_one_and_no_second_is_made() {
    let (mut world, old) = begin();
    let new = Authority::generate("etcd-next", now()).unwrap();
    let both = [old.certificate().clone(), new.certificate().clone()];
    other(&world, 2, &both, &old);
    let before = world.host.listing();
    insta::assert_snapshot!(take(&mut world, Step::Trust).unwrap_err(), @"phase stage-authority: a new authority is on its way already: it is trusted by h2");
    assert_eq!(world.host.listing(), before);
    // As scp leaves it.
    world.put("/etc/etcd/pki/next/ca.crt", 0o644, new.pair().certificate);
    world.put("/etc/etcd/pki/next/ca.key", 0o644, new.pair().key.expose());
    insta::assert_snapshot!(take(&mut world, Step::Trust).unwrap(), @"
    stage-authority: set the mode of /etc/etcd/pki/next to 0700
    stage-authority: set the mode of /etc/etcd/pki/next/ca.key to 0600
    trust-authority: write /etc/etcd/pki/ca.crt (0644)
    restart-member: hand leadership to h2 (0000000000000002)
    restart-member: restart etcd.service and wait until it is ready
    ");
    assert_eq!(authorities(&world, "ca.crt"), both);
}

#[test]
fn what_cannot_be_the_new_authority_is_refused() {
    let mut said = String::new();
    let namesake = Authority::generate("etcd", now()).unwrap();
    let ended = Authority::generate("ended", now() - Duration::from_secs(4000 * 86400)).unwrap();
    let other = Authority::generate("other", now()).unwrap();
    for (certificate, key) in [
        (&namesake, &namesake),
        (&ended, &ended),
        (&namesake, &other),
        (&other, &ended),
    ] {
        let (mut world, _) = begin();
        world.put(
            "/etc/etcd/pki/next/ca.crt",
            0o644,
            certificate.pair().certificate,
        );
        world.put("/etc/etcd/pki/next/ca.key", 0o600, key.pair().key.expose());
        said += &format!("{}\n", take(&mut world, Step::Trust).unwrap_err());
    }
    // Without the authority's key, none is made.
    let (mut world, _) = begin();
    let path = "/etc/etcd/pki/ca.key".into();
    world.host.apply(&HostChange::Remove { path }).unwrap();
    said += &format!("{}\n", take(&mut world, Step::Trust).unwrap_err());
    // While one is off, nobody is restarted.
    let (mut world, _) = begin();
    let list = [
        member(1, "h1", 11),
        member(2, "h2", 12),
        member(3, "h3", 14),
    ];
    world.etcd.set_membership(membership(&list));
    said += &take(&mut world, Step::Trust).unwrap_err();
    insta::assert_snapshot!(said, @r#"
    phase check-rotation: /etc/etcd/pki/next/ca.crt has the subject of the authority that is there (etcd): in a handshake they could not be told apart
    phase check-rotation: /etc/etcd/pki/next/ca.crt is not valid at this time
    phase check-rotation: /etc/etcd/pki/next/ca.crt has the subject of the authority that is there (etcd): in a handshake they could not be told apart
    phase stage-authority: the authority in /etc/etcd/pki/next cannot be used: the authority's key does not belong to its certificate "other"
    phase stage-authority: /etc/etcd/pki/next/ca.crt is not there: no new authority is known on this host
    phase check-rotation: h3 (0000000000000003) does not serve: https://10.77.0.14:2379 cannot be reached: nobody is there
    "#);
}

#[test]
fn certificates_that_were_signed_elsewhere_are_taken_from_beside_the_new_authority() {
    let (mut world, old) = begin();
    let path = "/etc/etcd/pki/ca.key".into();
    world.host.apply(&HostChange::Remove { path }).unwrap();
    let new = Authority::generate("etcd-next", now()).unwrap();
    world.put("/etc/etcd/pki/next/ca.crt", 0o644, new.pair().certificate);
    take(&mut world, Step::Trust).unwrap();
    let both = [old.certificate().clone(), new.certificate().clone()];
    restarted(&world);
    for id in [2, 3] {
        other(&world, id, &both, &old);
    }
    insta::assert_snapshot!(take(&mut world, Step::Reissue).unwrap_err(), @"phase reissue-certificates: etcdctl-etcd-client.crt in /etc/etcd/pki/next is signed by CN=etcd, which is not the authority here, and the authority's key to make a new one is not there");
    let identity = configuration(&world).identity();
    for leaf in LEAVES {
        let stem = leaf.file_stem();
        let key = PrivateKey::from_pem(&read(&world, &format!("{stem}.key"))).unwrap();
        let text = new
            .issue_for(&profile(leaf, &identity), &key, now())
            .unwrap();
        world.put(format!("/etc/etcd/pki/next/{stem}.crt"), 0o644, text);
    }
    take(&mut world, Step::Reissue).unwrap();
    restarted(&world);
    for id in [2, 3] {
        other(&world, id, &both, &new);
    }
    let finished = take(&mut world, Step::Finish).unwrap();
    assert!(
        finished.ends_with("remove-staged: remove /etc/etcd/pki/next\n"),
        "{finished}"
    );
}

/// All members have taken the steps before this one.
fn before(step: Step) -> (World, Authority) {
    let (mut world, old) = begin();
    if step == Step::Trust {
        return (world, old);
    }
    take(&mut world, Step::Trust).unwrap();
    restarted(&world);
    let both = authorities(&world, "ca.crt");
    for id in [2, 3] {
        other(&world, id, &both, &old);
    }
    if step == Step::Reissue {
        return (world, old);
    }
    take(&mut world, Step::Reissue).unwrap();
    restarted(&world);
    let new = authority(&world, "next/");
    for id in [2, 3] {
        other(&world, id, &both, &new);
    }
    (world, old)
}

#[test]
fn a_step_that_was_cut_off_anywhere_is_finished_by_the_next_run() {
    let mut cuts = 0;
    for step in [Step::Trust, Step::Reissue, Step::Finish] {
        let undisturbed = take(&mut before(step).0, step).unwrap();
        for line in undisturbed.lines() {
            let words = line.split_once(": ").unwrap().1;
            // Each change by its beginning; of a restart, the start.
            let words = match words.split_once(" (") {
                _ if words.starts_with("restart") => "start etcd.service",
                Some((words, _)) => words,
                None => words,
            };
            if words.starts_with("hand leadership") {
                continue;
            }
            let (mut world, old) = before(step);
            world.host.refuse(words);
            let error = take(&mut world, step).unwrap_err();
            let cut = error.contains("refused") || error.contains("ended");
            assert!(cut, "{words}: {error}");
            world.host = world.host.allow();
            // Nobody who was trusted is distrusted by a half.
            let trusted = authorities(&world, "ca.crt");
            let shown = Certificate::parse(&read(&world, "peer.crt")).unwrap();
            assert!(trusted.iter().any(|one| shown.signed_by(one)), "{words}");
            take(&mut world, step).unwrap();
            restarted(&world);
            assert_eq!(take(&mut world, step).unwrap(), "", "{words}");
            let trusted = authorities(&world, "ca.crt").len();
            let signs = authority(&world, "");
            let is_old = signs.certificate() == old.certificate();
            let wanted = match step {
                Step::Trust => (2, true),
                Step::Reissue => (2, false),
                Step::Finish => (1, false),
            };
            assert_eq!((trusted, is_old), wanted, "{words}");
            cuts += 1;
        }
    }
    assert!(cuts > 15, "{cuts}");
}
