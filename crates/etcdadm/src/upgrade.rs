//! `etcdadm upgrade` and `downgrade`: another release of etcd as this host's member, in place, while the others serve.
//!
//! Run on one host after the other: each run refuses unless all others are well. Going back, the cluster is told first:
//! its members then write only what the earlier release can read.

use std::path::Path;

use cli::Context;
use host::Local;

use crate::arguments::UpgradeArgs;
use crate::configuration::is_exact;
use crate::phases::{
    AwaitHealth, Begin, CheckDowngrade, CheckUpgrade, EnableDowngrade, FetchRelease, ImportImage,
    InstallBinaries, RecordMember, SaveSnapshot, SnapshotLog, UpgradeMember, WriteConfiguration,
    WriteEtcdctl,
};
use crate::survey::Reach;
use crate::verbs::{AnyPhase, Walk, print_made, reach, recorded, walked};
use crate::{Configuration, Error, paths};

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To a later release.
    Up,
    /// To an earlier one.
    Down,
}

/// The phases, in order.
pub(crate) fn phases<'c>(reach: &Reach<'c>, interrupt: bool, way: Way) -> Vec<AnyPhase<'c>> {
    let configuration = reach.configuration;
    // How it began is in its data.
    let begin = Begin::Join;
    let before = format!("{}/before-{}.capsule", paths::FOLDER, configuration.version);
    let (up, down) = (
        CheckUpgrade {
            reach: reach.clone(),
            interrupt,
        },
        CheckDowngrade {
            reach: reach.clone(),
            interrupt,
        },
    );
    let mut phases: Vec<AnyPhase<'c>> = match way {
        Way::Up => vec![Box::new(up)],
        Way::Down => vec![Box::new(down)],
    };
    phases.push(Box::new(SaveSnapshot::once(reach.clone(), before.into())));
    phases.push(Box::new(FetchRelease(configuration)));
    phases.push(Box::new(ImportImage(configuration)));
    match way {
        Way::Up => phases.push(Box::new(SnapshotLog::new(reach.clone()))),
        Way::Down => phases.push(Box::new(EnableDowngrade(reach.clone()))),
    }
    let rest: Vec<AnyPhase<'c>> = vec![
        Box::new(RecordMember {
            configuration,
            begin,
        }),
        Box::new(InstallBinaries::over(configuration)),
        Box::new(WriteConfiguration {
            configuration,
            begin,
        }),
        Box::new(WriteEtcdctl(configuration)),
        Box::new(UpgradeMember::new(reach.clone())),
        Box::new(AwaitHealth(configuration)),
    ];
    phases.extend(rest);
    phases
}

/// The image that goes with the release. One with a tag is of the release that is left.
fn image(configured: Option<String>, args: &UpgradeArgs) -> Result<Option<String>, Error> {
    match (&args.image, configured) {
        (Some(image), _) => Ok(Some(image.clone())),
        (None, Some(image)) if is_exact(&image) => Err(Error::ExactImage {
            image,
            version: args.version,
        }),
        (None, configured) => Ok(configured),
    }
}

pub(crate) fn run(
    context: &mut Context,
    root: &Path,
    args: &UpgradeArgs,
    way: Way,
) -> Result<(), cli::Error> {
    let mut document = recorded(root)?.document;
    document.version = Some(args.version);
    document.image = image(document.image, args)?;
    document.release_url = args.release_url.clone().or(document.release_url);
    let seen = Local::new(root);
    let configuration = Configuration::resolve(document, Default::default(), &seen, String::new())?;
    let reach = reach(&configuration, &args.change.reach)?;
    let phases = phases(&reach, args.interrupt, way);
    let goal = match way {
        Way::Up => "etcdadm upgrade",
        Way::Down => "etcdadm downgrade",
    };
    let walk = Walk::all(goal, args.change.dry_run);
    let summary = walked(context, root, &configuration, walk, &phases)?;
    print_made(context, root, &configuration, walk, &summary)
}
