//! `etcdadm init`: a cluster begun with this host as its first member.

use std::path::Path;

use cli::Context;
use host::{Local, Phase};

use crate::arguments::{InitArgs, InitPhase};
use crate::phases::{
    AwaitHealth, Begin, CheckHost, FetchRelease, InstallBinaries, IssueCertificates, MeasureDisk,
    RecordMember, SetUnreadyAside, StartMember, WriteConfiguration, WriteEtcdctl,
};
use crate::verbs::{
    configure, member_result, print_member, say_what_is_not_measured, tool, with_machine,
};
use crate::{Configuration, Machine};

/// The phases, in order.
pub(crate) fn phases<'a>(configuration: &Configuration) -> Vec<Box<dyn Phase<Machine<'a>> + '_>> {
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
                "etcdadm init",
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
