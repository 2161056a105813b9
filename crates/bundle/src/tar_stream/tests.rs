//! Sound archives, and those of strangers.

use super::*;

/// A tar with one file, one directory and a name too long for a plain header, built by the `tar` crate.
fn sample() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(700);
    header.set_mode(0o755);
    tar.append_data(&mut header, "bin/tool", &[7; 700][..])
        .unwrap();
    let mut dir = Header::new_gnu();
    dir.set_entry_type(EntryType::Directory);
    dir.set_size(0);
    dir.set_mode(0o755);
    tar.append_data(&mut dir, "share/", io::empty()).unwrap();
    let mut header = Header::new_gnu();
    header.set_size(3);
    header.set_mode(0o644);
    tar.append_data(&mut header, "x/".repeat(100) + "end", &b"abc"[..])
        .unwrap();
    tar.into_inner().unwrap()
}

fn walk(bytes: &[u8]) -> Result<Vec<(String, u64)>, Error> {
    let mut entries = Entries::new(bytes);
    let mut seen = Vec::new();
    while let Some(entry) = entries.next_entry()? {
        let mut content = Vec::new();
        entries
            .read_to_end(&mut content)
            .map_err(|source| Error::Read { offset: 0, source })?;
        assert_eq!(content.len() as u64, entry.size);
        seen.push((String::from_utf8(entry.name).unwrap(), entry.size));
    }
    Ok(seen)
}

#[test]
fn reads_files_directories_and_long_names() {
    let seen = walk(&sample()).unwrap();
    assert_eq!(seen[0], ("bin/tool".into(), 700));
    assert_eq!(seen[1], ("share/".into(), 0));
    assert_eq!(seen[2], ("x/".repeat(100) + "end", 3));
    assert_eq!(seen.len(), 3);
}

#[test]
fn every_truncation_is_an_error() {
    let whole = sample();
    // The two zero blocks at the end may be followed by padding, so that only the padding may go.
    let needed = whole.len();
    for cut in (0..needed).step_by(64).chain([needed - 1]) {
        walk(&whole[..cut]).expect_err(&format!("accepted after {cut} of {needed} bytes"));
    }
    walk(&whole).unwrap();
}

#[test]
fn content_left_unread_is_skipped() {
    let whole = sample();
    let mut entries = Entries::new(&whole[..]);
    let mut names = 0;
    while entries.next_entry().unwrap().is_some() {
        names += 1;
    }
    assert_eq!(names, 3);
}

#[test]
fn trailing_data_is_refused_and_padding_is_not() {
    let mut padded = sample();
    padded.extend_from_slice(&[0; 9000]);
    walk(&padded).unwrap();
    padded.push(1);
    assert!(matches!(walk(&padded), Err(Error::TrailingData)));
}

#[test]
fn a_flipped_bit_in_a_header_is_refused() {
    let mut bytes = sample();
    bytes[124] ^= 1;
    assert!(matches!(walk(&bytes), Err(Error::BadHeader { offset: 0 })));
}

fn one(kind: EntryType, name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_path(name).unwrap();
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

#[test]
fn pax_headers_are_bounded_and_may_not_move_an_entrys_end() {
    let size = one(EntryType::XHeader, "pax", b"12 size=999\n");
    assert!(matches!(
        walk(&size),
        Err(Error::Unsupported {
            what: "a pax size record",
            ..
        })
    ));
    let sparse = one(EntryType::XHeader, "pax", b"22 GNU.sparse.major=1\n");
    assert!(matches!(
        walk(&sparse),
        Err(Error::Unsupported {
            what: "a sparse file",
            ..
        })
    ));
    let torn = one(EntryType::XHeader, "pax", b"99 path=a\n");
    assert!(matches!(walk(&torn), Err(Error::BadHeader { .. })));
    let mut huge = Header::new_ustar();
    huge.set_entry_type(EntryType::XHeader);
    huge.set_size(1 << 40);
    huge.set_cksum();
    assert!(matches!(
        walk(huge.as_bytes()),
        Err(Error::ExtensionTooLarge { .. })
    ));
    let mut named = one(EntryType::XHeader, "pax", b"13 path=long\n");
    named.extend(one(EntryType::Regular, "short", b"x"));
    named.extend([0; 1024]);
    assert_eq!(walk(&named).unwrap(), [("long".to_string(), 1)]);
}

#[test]
fn a_size_near_the_largest_number_is_an_error_not_a_panic() {
    let mut header = Header::new_gnu();
    header.set_size(u64::MAX);
    header.set_path("big").unwrap();
    header.set_mode(0o644);
    header.set_cksum();
    let mut entries = Entries::new(&header.as_bytes()[..]);
    entries.next_entry().unwrap().unwrap();
    assert!(entries.next_entry().is_err());
}

#[test]
fn links_and_devices_are_named() {
    for (kind, expected) in [
        (EntryType::Symlink, Kind::Symlink),
        (EntryType::Link, Kind::Hardlink),
        (EntryType::Char, Kind::Special),
        (EntryType::Fifo, Kind::Special),
    ] {
        let bytes = one(kind, "evil", b"");
        let entry = Entries::new(&bytes[..]).next_entry().unwrap().unwrap();
        assert_eq!(entry.kind, expected);
    }
}
