//! What tells this host from others. Whether two hosts have the same is seen by `cctl`, which compares their facts; here
//! are the values that are known to be nobody's.

use std::path::Path;

use host::Inspect;

use super::{Outcome, bad, fine, noted, text};
use crate::Error;
use crate::settings::Settings;

/// What tools leave behind that make a machine id of nothing: the digest of an empty text.
const OF_NOTHING: &str = "d41d8cd98f00b204e9800998ecf8427e";

pub(super) fn machine_id(seen: &dyn Inspect, _: &Settings) -> Result<Outcome, Error> {
    const HINT: &str = "remove /etc/machine-id and run `systemd-machine-id-setup`";
    let id = text(seen, "/etc/machine-id")?;
    if id.is_empty() || id == "uninitialized" {
        return bad("/etc/machine-id has no machine id", HINT);
    }
    let all_the_same = id.bytes().all(|byte| id.as_bytes().first() == Some(&byte));
    if id == OF_NOTHING || all_the_same {
        return bad("/etc/machine-id is one that many hosts have", HINT);
    }
    if id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return fine("there");
    }
    bad("/etc/machine-id is no machine id", HINT)
}

/// Set by makers of mainboards who did not care.
const COMMON: [&str; 2] = [
    "03000200-0400-0500-0006-000700080009",
    "12345678-1234-5678-90ab-cddeefaabbcc",
];

pub(super) fn product_uuid(seen: &dyn Inspect, _: &Settings) -> Result<Outcome, Error> {
    let uuid = text(seen, "/sys/class/dmi/id/product_uuid")?.to_lowercase();
    if uuid.is_empty() {
        return fine("none");
    }
    let digits: Vec<char> = uuid.chars().filter(|c| *c != '-').collect();
    let all_the_same = digits.iter().all(|digit| digits.first() == Some(digit));
    if all_the_same || COMMON.contains(&uuid.as_str()) {
        return noted(
            format!("{uuid}, which many machines have"),
            "what tells machines apart by it will not tell this one",
        );
    }
    fine(uuid)
}

pub(super) fn mac(seen: &dyn Inspect, settings: &Settings) -> Result<Outcome, Error> {
    if settings.interface.is_empty() {
        // The check of the address tells.
        return fine("no interface to be looked at");
    }
    let folder = Path::new("/sys/class/net").join(&settings.interface);
    let mac = seen
        .read_text(&folder.join("address"))?
        .unwrap_or_default()
        .trim()
        .to_lowercase();
    if mac.is_empty() {
        return fine(format!("{} has none", settings.interface));
    }
    // The lowest bit of the first byte marks an address of many.
    let first = mac
        .split(':')
        .next()
        .and_then(|byte| u8::from_str_radix(byte, 16).ok());
    let zero = mac.bytes().all(|byte| matches!(byte, b'0' | b':'));
    if zero || first.is_none_or(|first| first & 1 == 1) {
        return bad(
            format!("{} has {mac}, which is no host's own", settings.interface),
            "give the interface a MAC address of its own",
        );
    }
    fine(format!("{mac} on {}", settings.interface))
}

pub(super) fn hostname(_: &dyn Inspect, settings: &Settings) -> Result<Outcome, Error> {
    let name = &settings.name;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    // As a label's value a name may not be longer, though as a name it may.
    let valid = name.len() <= 63
        && name.chars().all(plain)
        && name
            .split('.')
            .all(|part| edge(part.chars().next()) && edge(part.chars().last()));
    if !valid {
        return bad(
            format!("{name:?} is no name for a Node: lower-case letters, digits, `-`"),
            "say metadata.name or --name",
        );
    }
    if name == "localhost" || name.starts_with("localhost.") {
        return bad(
            format!("{name:?} is every host's name"),
            "say metadata.name or --name",
        );
    }
    fine(name.clone())
}
