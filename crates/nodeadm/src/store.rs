//! `nodeadm store`: which blobs the host's store lacks, and a stream of them taken in. Whoever fills stores from afar
//! sends nothing twice by these two.

use std::path::Path;

use bundle::Store;
use bundle::oci::Descriptor;
use cli::{Context, Kind, ResultExt};
use host::{Digest, Local};

use crate::Error;

/// `nodeadm store missing`: reads descriptors as a JSON list from standard input, prints the digests of those that are not
/// there.
///
/// # Errors
/// When the input is no such list, or the store cannot be read.
pub(crate) fn missing(context: &mut Context, root: &Path) -> Result<(), cli::Error> {
    let text = cli::read_input("-")?;
    let wanted: Vec<Descriptor> = serde_json::from_str(&text).kind(Kind::Usage)?;
    let store = Store::new(root);
    let missing = store
        .missing(&Local::new(root), &wanted)
        .map_err(Error::from)?;
    let digests: Vec<Digest> = missing.into_iter().map(|blob| blob.digest).collect();
    context.print(&digests, |digests| {
        digests
            .iter()
            .map(|digest| format!("{}\n", digest.to_oci()))
            .collect()
    })
}

/// `nodeadm store receive`: takes in a layout's tar, or part of one, from standard input; every blob is checked while it is
/// written.
///
/// # Errors
/// When the stream is broken or holds what it must not; whole blobs that came before stay.
pub(crate) fn receive(context: &mut Context, root: &Path) -> Result<(), cli::Error> {
    let store = Store::new(root);
    let received = store
        .receive(std::io::stdin().lock(), &mut |_| {})
        .map_err(Error::from)?;
    context.print(&received, |received| {
        let mut text = format!("{} blobs, {} bytes\n", received.blobs, received.bytes);
        for entry in &received.entries {
            text.push_str(&format!("complete: {entry}\n"));
        }
        for (entry, lacking) in &received.incomplete {
            text.push_str(&format!("incomplete: {entry} lacks {lacking} blobs\n"));
        }
        text
    })
}
