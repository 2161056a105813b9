//! Images: found at a place, their blobs fetched, their manifests added as they are.
//!
//! The three are steps of their own, so that the manifests of many images are asked for side by side, and a blob that several
//! have is fetched once.

use std::path::PathBuf;
use std::sync::Arc;

use host::Digest;

use super::registry::{FetchedManifest, Reference, Registry, parse_manifest};
use super::{FetchError, Fetcher, Place, hash};
use crate::contents::{Entry, Image};
use crate::layout::Layout;
use crate::oci::{Descriptor, Platform};
use crate::{Draft, Progress, ProgressFn};

/// An image whose manifest is at hand.
#[expect(
    clippy::large_enum_variant,
    reason = "there are a dozen of them, nearly all of the larger kind"
)]
pub(crate) enum FoundImage {
    /// In a layout, with its blobs.
    Layout(Arc<Layout>, Box<Image>),
    /// In a registry; the blobs are to be fetched.
    Registry {
        reference: String,
        arch: String,
        registry: Arc<Registry>,
        repository: String,
        manifest: FetchedManifest,
        blobs: Vec<Descriptor>,
    },
}

impl FoundImage {
    /// The blobs that are to be fetched.
    pub(crate) fn blobs(&self) -> &[Descriptor] {
        match self {
            FoundImage::Layout(..) => &[],
            FoundImage::Registry { blobs, .. } => blobs,
        }
    }
}

impl Fetcher {
    /// Fetches the image `reference` for linux on `arch` and adds it to `draft`. With `pin`, its manifest has that
    /// digest or it is an error.
    ///
    /// # Errors
    /// When it cannot be fetched, or is not what was pinned.
    pub fn image(
        &self,
        reference: &str,
        arch: &str,
        pin: Option<Digest>,
        draft: &mut Draft,
        progress: ProgressFn<'_>,
    ) -> Result<Entry, FetchError> {
        let found = self.find_image(reference, arch, pin, progress)?;
        for blob in found.blobs() {
            self.image_blob(&found, blob, progress)?;
        }
        self.add_image(found, draft)
    }

    /// Looks for an image, and checks its manifest against `pin`.
    pub(crate) fn find_image(
        &self,
        reference: &str,
        arch: &str,
        pin: Option<Digest>,
        progress: ProgressFn<'_>,
    ) -> Result<FoundImage, FetchError> {
        progress(Progress::Step {
            what: &format!("fetch {reference}"),
            bytes: None,
        });
        let parsed: Reference = reference.parse()?;
        let mut mirrored = false;
        for place in &self.places {
            match place {
                Place::ImagesIn(layout) => {
                    mirrored = true;
                    if let Some(image) = layout.image(reference, arch)? {
                        pinned(reference, arch, pin, image.manifest.digest)?;
                        return Ok(FoundImage::Layout(layout.clone(), Box::new(image)));
                    }
                }
                Place::ImagesAt {
                    upstream,
                    registry,
                    prefix,
                } => {
                    let repository = match upstream {
                        Some(upstream) if *upstream != parsed.host => continue,
                        Some(_) => format!("{prefix}{}", parsed.repository),
                        None => format!("{prefix}{}/{}", parsed.host, parsed.repository),
                    };
                    mirrored = true;
                    match registry.manifest(&repository, &parsed.tag, arch) {
                        Err(error) if error.is_not_found() => {}
                        other => {
                            return found(registry, repository, other?, reference, arch, pin);
                        }
                    }
                }
                _ => {}
            }
        }
        if mirrored {
            return Err(FetchError::NotMirrored {
                address: reference.to_owned(),
            });
        }
        let registry = self.upstream_registry(&parsed.host);
        let manifest = registry.manifest(&parsed.repository, &parsed.tag, arch)?;
        found(&registry, parsed.repository, manifest, reference, arch, pin)
    }

    fn upstream_registry(&self, host: &str) -> Arc<Registry> {
        let mut registries = self
            .registries
            .lock()
            .expect("no holder of this lock panics");
        let new = || {
            Arc::new(Registry::new(
                self.upstream.clone(),
                &format!("https://{host}"),
            ))
        };
        registries
            .entry(host.to_owned())
            .or_insert_with(new)
            .clone()
    }

    /// Fetches one of [`FoundImage::blobs`], unless it waits from an earlier run.
    pub(crate) fn image_blob(
        &self,
        found: &FoundImage,
        blob: &Descriptor,
        progress: ProgressFn<'_>,
    ) -> Result<(), FetchError> {
        let FoundImage::Registry {
            registry,
            repository,
            ..
        } = found
        else {
            return Ok(());
        };
        let target = self.blob_path(&blob.digest);
        if target.is_file() && hash(&target)?.0 == blob.digest {
            return Ok(());
        }
        Ok(registry.blob(repository, blob, &target, progress)?)
    }

    /// Adds an image whose blobs have been fetched.
    pub(crate) fn add_image(
        &self,
        found: FoundImage,
        draft: &mut Draft,
    ) -> Result<Entry, FetchError> {
        match found {
            FoundImage::Layout(layout, image) => {
                let entry = Entry::Image(*image);
                draft.add_entry(&layout, &entry).map_err(Box::new)?;
                Ok(entry)
            }
            FoundImage::Registry {
                reference,
                arch,
                manifest,
                ..
            } => {
                let mut descriptor = manifest.descriptor;
                descriptor
                    .platform
                    .get_or_insert_with(|| Platform::linux(&arch));
                let path = |digest: &Digest| self.blob_path(digest);
                let added = draft.add_manifest(&reference, &descriptor, manifest.bytes, &path);
                Ok(added.map_err(Box::new)?)
            }
        }
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.work.join("blobs").join(digest.to_string())
    }
}

fn found(
    registry: &Arc<Registry>,
    repository: String,
    manifest: FetchedManifest,
    reference: &str,
    arch: &str,
    pin: Option<Digest>,
) -> Result<FoundImage, FetchError> {
    pinned(reference, arch, pin, manifest.descriptor.digest)?;
    let parsed = parse_manifest(&manifest, reference)?;
    let mut blobs = vec![parsed.config];
    blobs.extend(parsed.layers);
    Ok(FoundImage::Registry {
        reference: reference.to_owned(),
        arch: arch.to_owned(),
        registry: registry.clone(),
        repository,
        manifest,
        blobs,
    })
}

fn pinned(
    reference: &str,
    arch: &str,
    pin: Option<Digest>,
    actual: Digest,
) -> Result<(), FetchError> {
    match pin {
        Some(expected) if expected != actual => Err(FetchError::Pin {
            reference: reference.to_owned(),
            arch: arch.to_owned(),
            expected,
            actual,
        }),
        _ => Ok(()),
    }
}
