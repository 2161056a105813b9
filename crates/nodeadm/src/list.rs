//! `nodeadm list`: what is in this host's store.

use std::path::Path;

use bundle::{Entry, Store};
use cli::Context;
use host::Local;
use serde::Serialize;

use crate::Error;
use crate::arguments::ListArgs;

/// What is in the store.
#[derive(Debug, Serialize)]
struct Listing {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    components: Vec<String>,
    images: Vec<String>,
}

/// Runs the verb.
///
/// # Errors
/// When the store cannot be read.
pub(crate) fn run(context: &mut Context, root: &Path, args: &ListArgs) -> Result<(), cli::Error> {
    let mut listing = Listing {
        components: Vec::new(),
        images: Vec::new(),
    };
    for entry in Store::new(root)
        .entries(&Local::new(root))
        .map_err(Error::from)?
    {
        match entry {
            Entry::Component(component) if !args.images => {
                listing
                    .components
                    .push(format!("{} {}", component.name, component.version));
            }
            Entry::Component(_) => {}
            Entry::Image(image) => listing.images.push(image.reference),
        }
    }
    context.print(&listing, |listing| {
        listing
            .components
            .iter()
            .chain(&listing.images)
            .map(|line| format!("{line}\n"))
            .collect()
    })
}
