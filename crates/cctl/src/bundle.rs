//! `cctl bundle`: what crate `bundle` does, on the command line.

use cli::{Context, Kind, ResultExt};

use crate::Error;
use crate::arguments::Bundle;

pub(crate) fn run(context: &mut Context, verb: &Bundle) -> Result<(), cli::Error> {
    match verb {
        Bundle::Inspect { bundle } => {
            let layout = bundle::Layout::open(bundle).map_err(Error::from)?;
            let inspection = bundle::inspect::inspect(&layout).map_err(Error::from)?;
            context.print(&inspection, text)
        }
        Bundle::Verify { bundle } => {
            let layout = bundle::Layout::open(bundle).map_err(Error::from)?;
            let verified = bundle::verify::verify(&layout, &mut |_| {}).map_err(Error::from)?;
            context.print(&verified, |_| {
                format!("{}: every digest is right\n", bundle.display())
            })
        }
        Bundle::Unpack { bundle, folder } => {
            let layout = bundle::Layout::open(bundle).map_err(Error::from)?;
            bundle::unpack::unpack(&layout, folder, &mut |_| {}).kind(Kind::Failed)?;
            context
                .progress
                .note(&format!("unpacked into {}", folder.display()));
            Ok(())
        }
    }
}

fn text(inspection: &bundle::inspect::Inspection) -> String {
    let mut text = String::new();
    for component in &inspection.components {
        text.push_str(&format!(
            "component {:<14} {:<12} {:<6} {:>12} bytes\n",
            component.name, component.version, component.architecture, component.bytes
        ));
    }
    for image in &inspection.images {
        text.push_str(&format!(
            "image     {} {:>12} bytes\n",
            image.reference, image.bytes
        ));
    }
    text.push_str(&format!(
        "{} blobs, {} bytes\n",
        inspection.blobs, inspection.bytes
    ));
    text
}
