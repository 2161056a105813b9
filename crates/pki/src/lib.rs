//! Authorities, leaf certificates and keys: what etcd and Kubernetes trust each other by.
//!
//! Everything here is bytes in, bytes out. The crate reads no file, looks at no clock and opens no connection: callers hand
//! in PEM text and the time, and write what they get. It makes P-256 keys only, but reads and keeps using whatever is on a
//! host already: RSA and other curves, in PKCS#8, PKCS#1 or SEC1 form. A key that was read is written back as it was read.
//!
//! It does not do revocation or anything about TLS connections, and signs no requests: it makes them.
//!
//! Start at [`Authority`], which issues what a [`Profile`] describes; [`etcd`] and [`kubernetes`] hold the profiles that the
//! tools use. [`check`] says whether a pair that exists already will do.

mod authority;
mod certificate;
pub mod etcd;
mod key;
pub mod kubernetes;
mod profile;
mod request;
mod secret;
mod verdict;

pub use authority::{Authority, AuthorityError, CA_VALIDITY};
pub use certificate::{Certificate, CertificateError};
pub use key::{KeyError, PrivateKey};
pub use profile::{LEAF_VALIDITY, Profile, San, SanError, Usage};
pub use request::{asks_for, request};
pub use secret::Secret;
pub use verdict::{Verdict, check};

/// A certificate and its private key, both as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The private key that belongs to it.
    pub key: Secret,
}
