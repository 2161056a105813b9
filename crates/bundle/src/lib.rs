//! Bundles and stores: OCI image layouts, checked while they are read.
//!
//! # Purpose
//! All that a cluster needs is one OCI image layout, as a folder or as one tar: images, and a component (an artifact
//! manifest with upstream's files) for everything else. On the admin's machine it is the bundle, on a host the store.
//! This crate makes, reads, checks, sends and receives them, and installs files out of them.
//!
//! # What it deliberately does not do
//! It talks to no terminal and reads no environment, nor does it decide which host needs what. Nothing is ever unpacked
//! before it is verified, and nothing is held in memory but documents of at most 4 MiB.
//!
//! # Where to enter
//! [`Draft`] makes a layout, [`Layout`] reads one, [`stream`] sends one, [`Store`] keeps one on a host, [`Install`] puts
//! files from it in their places, [`import()`] hands its images to containerd, [`create::create`] makes a whole bundle from a file of versions.
//!
//! ```no_run
//! use bundle::oci::{Execution, Platform};
//! use bundle::{ComponentSpec, Draft, ImageSpec, LayerSource};
//!
//! # fn main() -> Result<(), bundle::DraftError> {
//! let mut draft = Draft::new();
//! draft.add_image(&ImageSpec {
//!     reference: "registry.k8s.io/pause:3.10.2".into(),
//!     platform: Platform::linux("amd64"),
//!     config: Execution { entrypoint: vec!["/pause".into()], ..Execution::default() },
//!     layers: vec![LayerSource::TarGz("layer.tar.gz".into())],
//! })?;
//! draft.add_component(&ComponentSpec {
//!     name: "runc".into(),
//!     version: "v1.5.2".into(),
//!     platform: Platform::linux("amd64"),
//!     files: vec![("runc.amd64".into(), "build/runc".into())],
//! })?;
//! draft.write_archive("bundle.tar".as_ref(), &mut |_| {})?;
//! # Ok(())
//! # }
//! ```

pub mod contents;
pub mod create;
pub mod draft;
pub mod fetch;
mod folder;
mod import;
pub mod inspect;
pub mod install;
mod layer;
pub mod layout;
mod member;
pub mod oci;
mod old_cache;
pub mod receipt;
pub mod store;
pub mod stream;
pub mod tar_stream;
pub mod unpack;
pub mod verify;
mod verifying_reader;
pub mod versions;

pub use contents::{ANY_ARCH, Component, ComponentFile, Entry, Image};
pub use draft::{ComponentSpec, Draft, DraftError, ImageSpec, LayerSource};
pub use import::{ImportError, import};
pub use install::{Install, InstallError, InstallFile, InstallFolder};
pub use layer::LayerBuilder;
pub use layout::{Layout, LayoutError};
pub use member::MemberError;
pub use receipt::{Receipt, ReceiptFile};
pub use store::{Received, STORE, Store, StoreError, StoredComponent, StoredFile};
pub use verifying_reader::{Mismatch, VerifyingReader};

/// What long work tells while it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// A step begins, which is to move about so many bytes.
    Step {
        /// In words, as `fetch etcd-v3.7.3-linux-amd64.tar.gz`.
        what: &'a str,
        /// How many bytes it will move, where that is known.
        bytes: Option<u64>,
    },
    /// So many more bytes are done.
    Bytes(u64),
}

/// Takes [`Progress`].
pub type ProgressFn<'a> = &'a mut dyn FnMut(Progress<'_>);
