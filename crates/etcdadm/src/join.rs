//! `etcdadm join`: this host made a member of a cluster that exists.
//!
//! Everything that can fail without touching the cluster comes before the membership changes; from then on each step is
//! one that a second run recognises and goes on from.

use std::path::Path;

use cli::Context;

use crate::arguments::{JoinArgs, JoinPhase};
use crate::phases::{
    AddLearner, AwaitHealth, Begin, CheckCluster, CheckHost, FetchRelease, ImportImage,
    InstallBinaries, IssueCertificates, MeasureDisk, PromoteMember, RecordMember, StartMember,
    WriteConfiguration, WriteEtcdctl,
};
use crate::verbs::{
    AnyPhase, Walk, configure, known_as, print_made, say_what_is_not_measured, walked,
};
use crate::{Configuration, Error};

/// The phases, in order.
pub(crate) fn phases(configuration: &Configuration) -> Vec<AnyPhase<'_>> {
    let begin = Begin::Join;
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
        Box::new(WriteEtcdctl(configuration)),
        Box::new(CheckCluster(configuration)),
        Box::new(AddLearner(configuration)),
        Box::new(WriteConfiguration {
            configuration,
            begin,
        }),
        Box::new(StartMember {
            configuration,
            begin,
        }),
        Box::new(PromoteMember(configuration)),
        Box::new(AwaitHealth(configuration)),
    ]
}

pub(crate) fn run(context: &mut Context, root: &Path, args: &JoinArgs) -> Result<(), cli::Error> {
    let (member, endpoints, only) = match &args.phase {
        Some(JoinPhase::Phase {
            names,
            endpoints,
            member,
        }) => (member, endpoints, names.as_slice()),
        None => (&args.member, &args.endpoints, [].as_slice()),
    };
    let configuration = configure(root, member, endpoints, &args.expected_members)?;
    if configuration.endpoints.is_empty() {
        return Err(cli::Error::from(Error::Configuration(
            "no member to join is named".to_owned(),
        ))
        .hint("name one: `etcdadm join https://ADDRESS:2379`"));
    }
    say_what_is_not_measured(context, member.dry_run);
    let (only, skip) = (known_as(only), known_as(&member.skip_phases));
    let walk = Walk {
        goal: "etcdadm join",
        dry_run: member.dry_run,
        only: &only,
        skip: &skip,
    };
    let summary = walked(context, root, &configuration, walk, &phases(&configuration))?;
    print_made(context, root, &configuration, walk, &summary)
}
