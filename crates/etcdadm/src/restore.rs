//! `etcdadm restore`: a new cluster out of a snapshot, with this host as its first member; others join it.
//!
//! The snapshot is proven before anything is touched, and what takes the place of the data is the very directory that was
//! proven. Revisions go on above all that any client can have seen, and the old ones are marked compacted: a watcher that
//! stayed up is told to look again, instead of waiting for ever for a revision that it has seen already. The new cluster
//! has an id and a token of its own, so members of the old one cannot come back into it.

use std::path::Path;

use cli::Context;

use crate::arguments::RestoreArgs;
use crate::configuration::DEFAULT_VERSION;
use crate::phases::{
    AwaitHealth, Begin, CheckHost, CheckServed, FetchRelease, ImportImage, InstallBinaries,
    IssueCertificates, MeasureDisk, PutInPlace, RecordMember, RestoreData, StartMember, Wanted,
    WriteConfiguration, WriteEtcdctl,
};
use crate::verbs::{AnyPhase, Walk, configure, print_made, say_what_is_not_measured, walked};
use crate::{Error, snapshot};

/// The phases, in order.
pub(crate) fn phases<'c>(wanted: &Wanted<'c>, force: bool) -> Vec<AnyPhase<'c>> {
    let (configuration, begin) = (wanted.configuration, Begin::Restore);
    vec![
        Box::new(CheckServed {
            wanted: wanted.clone(),
            force,
        }),
        Box::new(CheckHost {
            configuration,
            begin,
        }),
        Box::new(MeasureDisk::new(configuration)),
        Box::new(RecordMember {
            configuration,
            begin,
        }),
        Box::new(FetchRelease(configuration)),
        Box::new(InstallBinaries::new(configuration)),
        Box::new(ImportImage(configuration)),
        Box::new(IssueCertificates {
            configuration,
            begin,
        }),
        Box::new(RestoreData(wanted.clone())),
        Box::new(PutInPlace(wanted.clone())),
        Box::new(WriteConfiguration {
            configuration,
            begin,
        }),
        Box::new(WriteEtcdctl(configuration)),
        Box::new(StartMember {
            configuration,
            begin,
        }),
        Box::new(AwaitHealth(configuration)),
    ]
}

pub(crate) fn run(
    context: &mut Context,
    root: &Path,
    args: &RestoreArgs,
) -> Result<(), cli::Error> {
    let file = std::path::absolute(&args.file).map_err(|e| {
        Error::Configuration(format!("{} cannot be used: {e}", args.file.display()))
    })?;
    let (sha256, metadata) = capsule::peek(&mut snapshot::open(&file)?).map_err(Error::from)?;
    let named = args.member.version.or(args.etcd_version);
    let of = snapshot::release(metadata.as_ref(), named)?;
    // A later patch of the same minor release is as good, and more likely to be here.
    let same = (of.major, of.minor) == (DEFAULT_VERSION.major, DEFAULT_VERSION.minor);
    let mut member = args.member.clone();
    member.version = Some(match named {
        Some(version) => version,
        None if same => DEFAULT_VERSION,
        None => of,
    });
    let configuration = configure(root, &member, &[], &[])?;
    let wanted = Wanted {
        configuration: &configuration,
        snapshot: file,
        sha256,
        bump: !args.keep_revision,
    };
    say_what_is_not_measured(context, member.dry_run);
    let walk = Walk {
        skip: &member.skip_phases,
        ..Walk::all("etcdadm restore", member.dry_run)
    };
    let phases = phases(&wanted, args.force);
    let summary = walked(context, root, &configuration, walk, &phases)?;
    if summary.changes.is_empty() && !walk.dry_run {
        context
            .progress
            .note("this member was restored from this very snapshot already; to do it once more, `etcdadm reset` first");
    }
    print_made(context, root, &configuration, walk, &summary)
}
