//! The real programs that the hosts run: etcd, Kubernetes, containerd and the
//! rest, built from pinned sources and laid out the way upstream publishes them.
//!
//! The whole-host tests and the demo are only worth something with the real
//! programs, and must not hang on release files being reachable. So every part
//! is a small Go module under `modules/` that pins its sources by `go.sum`; a
//! module proxy is all it takes. What is built lies in a cache outside the
//! repository, under a name that contains the digest of the whole recipe:
//! change a flag, a version or the compiler, and it is another entry.
//!
//! - [`catalog`] lists the parts as data, [`mod@ensure`] builds those that are
//!   missing from the cache and says where each lies.
//! - [`mirror`] lays them out as upstream's download sites do, with archives and
//!   digest files of the same names and shapes, and [`serve`] serves such a tree
//!   over HTTP, with faults on demand.
//! - [`registry`] configures the real OCI registry.
//! - [`images`] prepares layers and configurations of the container images on
//!   top of the shared root that [`debian`] makes.
//!
//! Deliberately absent: starting anything on a host (the lab does that), and
//! any signature. A built part is what upstream's source says, not upstream's
//! file: digests differ from the published ones.
#![expect(
    clippy::disallowed_methods,
    reason = "parts are built on the machine of whoever runs the tests; no host is changed, so there is nothing to plan or to journal"
)]

pub mod archive;
pub mod catalog;
pub mod debian;
pub mod ensure;
pub mod files;
pub mod images;
pub mod mirror;
pub mod recipe;
pub mod registry;
pub mod serve;
pub mod toolchain;
pub mod unzip;

pub use catalog::{Part, Versions};
pub use ensure::{Built, Workshop, ensure};
