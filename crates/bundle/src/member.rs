//! The few names that a layout's tar may hold.
//!
//! `oci-layout`, `index.json`, `blobs/sha256/<64 hex>` and the folders above them, with or without `./` in front;
//! anything else, any link and any device is refused by name. No path from outside is ever joined to one of ours.

use host::Digest;

use crate::oci::MAX_DOCUMENT;
use crate::tar_stream::{Entry, Kind};

/// What an entry of a layout's tar is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Member {
    /// The file `oci-layout`.
    Marker,
    /// The file `index.json`.
    Index,
    /// A blob.
    Blob(Digest),
    /// A folder that a layout has.
    Folder,
}

/// An entry that does not belong into a layout.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// A name that no layout has, absolute paths and `..` included.
    #[error("{name:?} does not belong into an OCI layout")]
    Name {
        /// The name.
        name: String,
    },
    /// A link, a device or a folder where a file belongs.
    #[error("{name:?} is {found}, which does not belong into an OCI layout")]
    Kind {
        /// The name.
        name: String,
        /// What it is.
        found: &'static str,
    },
    /// A document beyond [`MAX_DOCUMENT`].
    #[error("{name} is too large: {size} bytes, at most {MAX_DOCUMENT} are accepted")]
    TooLarge {
        /// The name.
        name: String,
        /// Its size in bytes.
        size: u64,
    },
    /// A name that occurs twice.
    #[error("{name} is there twice")]
    Twice {
        /// The name.
        name: String,
    },
}

impl Member {
    /// Recognises an entry, or says why it does not belong here.
    pub(crate) fn of(entry: &Entry) -> Result<Member, MemberError> {
        let shown: String = String::from_utf8_lossy(&entry.name)
            .chars()
            .take(200)
            .collect();
        let plain = entry.name.strip_prefix(b"./").unwrap_or(&entry.name);
        match entry.kind {
            Kind::File => {}
            Kind::Directory => {
                return match plain {
                    b"" | b"." | b"blobs" | b"blobs/" | b"blobs/sha256" | b"blobs/sha256/" => {
                        Ok(Member::Folder)
                    }
                    _ => Err(MemberError::Name { name: shown }),
                };
            }
            kind => {
                return Err(MemberError::Kind {
                    name: shown,
                    found: kind.describe(),
                });
            }
        }
        let member = match plain {
            b"oci-layout" => Member::Marker,
            b"index.json" => Member::Index,
            _ => Member::Blob(blob_digest(plain).ok_or(MemberError::Name {
                name: shown.clone(),
            })?),
        };
        if matches!(member, Member::Marker | Member::Index) && entry.size > MAX_DOCUMENT {
            return Err(MemberError::TooLarge {
                name: shown,
                size: entry.size,
            });
        }
        Ok(member)
    }

    /// Its name in a layout.
    pub(crate) fn name(&self) -> String {
        match self {
            Member::Marker => "oci-layout".into(),
            Member::Index => "index.json".into(),
            Member::Blob(digest) => blob_name(digest),
            Member::Folder => "blobs".into(),
        }
    }
}

/// A blob's name in a layout.
pub(crate) fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{digest}")
}

/// The digest that a file name in `blobs/sha256` stands for; `None` unless it is exactly 64 lower-case digits.
pub(crate) fn digest_of_name(name: &str) -> Option<Digest> {
    let digest: Digest = name.parse().ok()?;
    (digest.to_string() == name).then_some(digest)
}

fn blob_digest(name: &[u8]) -> Option<Digest> {
    digest_of_name(std::str::from_utf8(name.strip_prefix(b"blobs/sha256/")?).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, kind: Kind) -> Result<Member, MemberError> {
        Member::of(&Entry {
            name: name.into(),
            kind,
            size: 0,
            mode: 0o644,
            offset: 0,
        })
    }

    #[test]
    fn a_layouts_names_are_known_with_and_without_a_dot() {
        let digest = Digest::of(b"x");
        for dot in ["", "./"] {
            assert_eq!(
                of(&format!("{dot}oci-layout"), Kind::File).unwrap(),
                Member::Marker
            );
            assert_eq!(
                of(&format!("{dot}index.json"), Kind::File).unwrap(),
                Member::Index
            );
            assert_eq!(
                of(&format!("{dot}blobs/sha256/{digest}"), Kind::File).unwrap(),
                Member::Blob(digest)
            );
            assert_eq!(
                of(&format!("{dot}blobs/sha256/"), Kind::Directory).unwrap(),
                Member::Folder
            );
        }
    }

    #[test]
    fn other_names_are_refused() {
        let digest = Digest::of(b"x").to_string();
        for name in [
            "/index.json",
            "../index.json",
            "././index.json",
            "blobs/../index.json",
            "blobs/sha256/../../index.json",
            "blobs//sha256/x",
            "/etc/passwd",
            "index.json/",
            "INDEX.JSON",
            "",
            &format!("blobs/sha256/{}", digest.to_uppercase()),
            &format!("blobs/sha256/{digest}0"),
            &format!("blobs/sha256/sha256:{digest}"),
            &format!("blobs/sha256//{digest}"),
            &format!("blobs/sha512/{digest}"),
        ] {
            assert!(
                matches!(of(name, Kind::File), Err(MemberError::Name { .. })),
                "{name}"
            );
        }
        assert!(matches!(
            of("blobs/sha512/", Kind::Directory),
            Err(MemberError::Name { .. })
        ));
        assert!(matches!(
            of("index.json", Kind::Directory),
            Err(MemberError::Name { .. })
        ));
    }

    #[test]
    fn links_and_devices_are_refused_under_any_name() {
        for kind in [Kind::Symlink, Kind::Hardlink, Kind::Special] {
            assert!(matches!(
                of("index.json", kind),
                Err(MemberError::Kind { .. })
            ));
        }
    }
}
