//! `cctl bundle`: what crate `bundle` does, on the command line.

mod create;
mod meter;

use cli::{Context, Kind, ResultExt};

use crate::Error;
use crate::arguments::Bundle;
pub(crate) use create::{hints, kind};
use meter::Meter;

pub(crate) fn run(context: &mut Context, verb: &Bundle) -> Result<(), cli::Error> {
    match verb {
        Bundle::Create(args) => create::run(context, args),
        Bundle::Versions { kubernetes_version } => create::versions(context, *kubernetes_version),
        Bundle::Inspect { bundle } => {
            let layout = bundle::Layout::open(bundle).map_err(Error::from)?;
            let inspection = bundle::inspect::inspect(&layout).map_err(Error::from)?;
            context.print(&inspection, text)
        }
        Bundle::Verify { bundle } => {
            let layout = bundle::Layout::open(bundle).map_err(Error::from)?;
            let mut meter = Meter::new(&mut context.progress);
            let verified = bundle::verify::verify(&layout, &mut |told| meter.take(told));
            drop(meter);
            let verified = verified.map_err(Error::from)?;
            context.print(&verified, |_| {
                format!("{}: every digest is right\n", bundle.display())
            })
        }
        Bundle::Unpack { bundle, folder } => {
            let layout = bundle::Layout::open(bundle).map_err(Error::from)?;
            let mut meter = Meter::new(&mut context.progress);
            let unpacked = bundle::unpack::unpack(&layout, folder, &mut |told| meter.take(told));
            drop(meter);
            unpacked.kind(Kind::Failed)?;
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
