//! Each verdict, reached.

use std::time::{Duration, SystemTime};

use super::{Verdict, check};
use crate::etcd::{Identity, Leaf, profile};
use crate::{Authority, Pair, Profile, San};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn wanted(extra: &[&str]) -> Profile {
    let extra_server_sans = extra.iter().map(|s| San::parse(s).unwrap()).collect();
    profile(
        Leaf::Server,
        &Identity {
            name: "n1".into(),
            addresses: vec![San::parse("10.0.0.1").unwrap()],
            extra_server_sans,
        },
    )
}

fn judge(pair: &Pair, wanted: &Profile, ca: &Authority, now: SystemTime) -> Verdict {
    check(
        Some(pair.certificate.as_bytes()),
        Some(pair.key.expose()),
        wanted,
        std::slice::from_ref(ca.certificate()),
        now,
    )
}

#[test]
fn each_fault_is_named() {
    let now = SystemTime::now();
    let (ca, other) = (
        Authority::generate("etcd", now).unwrap(),
        Authority::generate("etcd", now).unwrap(),
    );
    let pair = ca.issue(&wanted(&[]), now).unwrap();

    assert_eq!(
        judge(&pair, &wanted(&[]), &ca, now),
        Verdict::Right { days_left: 364 }
    );
    assert!(judge(&pair, &wanted(&[]), &ca, now).is_right());
    assert_eq!(
        judge(&pair, &wanted(&[]), &other, now),
        Verdict::WrongCa {
            issuer: "CN=etcd".into()
        }
    );
    assert_eq!(
        judge(&pair, &wanted(&[]), &ca, now + 400 * DAY),
        Verdict::Expired { days_left: -35 }
    );
    assert!(
        matches!(judge(&pair, &wanted(&[]), &ca, now - DAY), Verdict::Expired { days_left } if days_left > 0)
    );
    assert_eq!(
        judge(&pair, &wanted(&["lb.example"]), &ca, now),
        Verdict::SanDrift {
            missing: vec![San::parse("lb.example").unwrap()]
        }
    );
    let more = ca.issue(&wanted(&["lb.example"]), now).unwrap();
    assert!(
        judge(&more, &wanted(&[]), &ca, now).is_right(),
        "more names than wanted are no fault"
    );

    let swapped = Pair {
        certificate: pair.certificate.clone(),
        key: more.key.clone(),
    };
    assert_eq!(
        judge(&swapped, &wanted(&[]), &ca, now),
        Verdict::KeyMismatch
    );
    let renamed = Profile {
        common_name: "n2".into(),
        ..wanted(&[])
    };
    assert_eq!(
        judge(&pair, &renamed, &ca, now),
        Verdict::OtherSubject {
            common_name: "n1".into()
        }
    );
    assert_eq!(
        check(None, Some(b""), &wanted(&[]), &[], now),
        Verdict::Missing
    );
    let garbage = Pair {
        certificate: "no".into(),
        ..pair.clone()
    };
    assert_eq!(
        judge(&garbage, &wanted(&[]), &ca, now),
        Verdict::Unreadable("no certificate in the text".into())
    );
}

#[test]
fn any_authority_of_a_bundle_will_do() {
    let now = SystemTime::now();
    let (old, new) = (
        Authority::generate("old", now).unwrap(),
        Authority::generate("new", now).unwrap(),
    );
    let pair = old.issue(&wanted(&[]), now).unwrap();
    let bundle = new.pair().certificate + &old.pair().certificate;
    let trusted = crate::Certificate::parse_all(bundle.as_bytes()).unwrap();
    assert!(
        check(
            Some(pair.certificate.as_bytes()),
            Some(pair.key.expose()),
            &wanted(&[]),
            &trusted,
            now
        )
        .is_right()
    );
}
