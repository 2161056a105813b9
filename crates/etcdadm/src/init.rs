//! `etcdadm init`: a cluster begun with this host as its first member.

use std::path::Path;

use cli::Context;

use crate::Configuration;
use crate::arguments::{InitArgs, InitPhase};
use crate::phases::{
    AwaitHealth, Begin, CheckHost, FetchRelease, ImportImage, InstallBinaries, IssueCertificates,
    MeasureDisk, RecordMember, SetUnreadyAside, StartMember, WriteConfiguration, WriteEtcdctl,
};
use crate::verbs::{
    AnyPhase, Walk, configure, known_as, print_made, say_what_is_not_measured, walked,
};

/// The phases, in order.
pub(crate) fn phases(configuration: &Configuration) -> Vec<AnyPhase<'_>> {
    let begin = Begin::Init;
    vec![
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
        Box::new(SetUnreadyAside(configuration)),
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

pub(crate) fn run(context: &mut Context, root: &Path, args: &InitArgs) -> Result<(), cli::Error> {
    let (member, only) = match &args.phase {
        Some(InitPhase::Phase { names, member }) => (member, names.as_slice()),
        None => (&args.member, [].as_slice()),
    };
    let configuration = configure(root, member, &[], &[])?;
    say_what_is_not_measured(context, member.dry_run);
    let (only, skip) = (known_as(only), known_as(&member.skip_phases));
    let walk = Walk {
        goal: "etcdadm init",
        dry_run: member.dry_run,
        only: &only,
        skip: &skip,
    };
    let summary = walked(context, root, &configuration, walk, &phases(&configuration))?;
    print_made(context, root, &configuration, walk, &summary)
}
