//! `etcdadm join`: this host made a member of a cluster that exists.
//!
//! Everything that can fail without touching the cluster comes before the membership changes; from then on each step is
//! one that a second run recognises and goes on from.

use std::path::Path;

use cli::Context;
use host::{Local, Phase};

use crate::arguments::{JoinArgs, JoinPhase};
use crate::phases::{
    AddLearner, AwaitHealth, Begin, CheckCluster, CheckHost, FetchRelease, InstallBinaries,
    IssueCertificates, MeasureDisk, PromoteMember, RecordMember, StartMember, WriteConfiguration,
    WriteEtcdctl,
};
use crate::verbs::{
    configure, member_result, print_member, say_what_is_not_measured, tool, with_machine,
};
use crate::{Configuration, Error, Machine};

/// The phases, in order.
pub(crate) fn phases<'a>(configuration: &Configuration) -> Vec<Box<dyn Phase<Machine<'a>> + '_>> {
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
    let summary = with_machine(
        context,
        root,
        &configuration,
        member.dry_run,
        |context, machine| {
            let phases = phases(&configuration);
            let phases: Vec<_> = phases.iter().map(AsRef::as_ref).collect();
            let chosen = cli::select(
                &phases,
                &crate::verbs::known_as(only),
                &crate::verbs::known_as(&member.skip_phases),
            )?;
            context.walk(
                &tool(root),
                "etcdadm join",
                member.dry_run,
                machine,
                &chosen,
            )
        },
    )?;
    if member.dry_run || !only.is_empty() {
        return crate::verbs::print_changes(context, &summary);
    }
    print_member(
        context,
        &member_result(&Local::new(root), &configuration, summary.changes.len())?,
    )
}
