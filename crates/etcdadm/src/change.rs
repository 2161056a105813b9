//! `etcdadm config`: what a member is configured by, how another document differs from it, and that one put into force.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use api::EtcdConfiguration;
use cli::Context;
use host::{Inspect, Local};
use serde::Serialize;
use serde_json::Value;

use crate::Error;
use crate::arguments::{ApplyArgs, ConfigVerb};
use crate::phases::{
    AwaitHealth, Begin, CheckChange, ImportImage, MoveMember, RecordMember, RenewCertificates,
    RestartOutdated, WriteConfiguration, WriteEtcdctl, running_urls,
};
use crate::survey::Reach;
use crate::verbs::{AnyPhase, Walk, configure, print_made, reach, recorded, walked};

/// The phases of `config apply`, in order.
pub(crate) fn phases<'c>(
    reach: &Reach<'c>,
    from: &'c EtcdConfiguration,
    interrupt: bool,
) -> Vec<AnyPhase<'c>> {
    let configuration = reach.configuration;
    // How it began is in its data.
    let begin = Begin::Join;
    vec![
        Box::new(CheckChange {
            reach: reach.clone(),
            from,
            interrupt,
        }),
        Box::new(RenewCertificates::new(configuration, Some(0))),
        Box::new(ImportImage(configuration)),
        Box::new(MoveMember(reach.clone())),
        Box::new(RecordMember {
            configuration,
            begin,
        }),
        Box::new(WriteConfiguration {
            configuration,
            begin,
        }),
        Box::new(WriteEtcdctl(configuration)),
        Box::new(RestartOutdated(reach.clone())),
        Box::new(AwaitHealth(configuration)),
    ]
}

pub(crate) fn run(context: &mut Context, root: &Path, verb: &ConfigVerb) -> Result<(), cli::Error> {
    match verb {
        ConfigVerb::Print(args) => {
            let configuration = configure(root, args, &[], &[])?;
            context.print(&configuration.document, api::yaml::to_string)
        }
        ConfigVerb::Diff(args) => {
            let from = recorded(root)?.document;
            let to = configure(root, args, &[], &[])?.document;
            let differences = differences(&from, &to);
            context.print(&differences, |all| text(all))
        }
        ConfigVerb::Apply(args) => apply(context, root, args),
    }
}

fn apply(context: &mut Context, root: &Path, args: &ApplyArgs) -> Result<(), cli::Error> {
    let from = recorded(root)?.document;
    let configuration = configure(root, &args.member, &[], &[])?;
    let seen = Local::new(root);
    let mut reach = reach(&configuration, &args.reach)?;
    // Where it answers now, which may not be where it is going to.
    reach.endpoints.extend(running_urls(&seen, &configuration)?);
    let walk = Walk::all("etcdadm config apply", args.member.dry_run);
    let phases = phases(&reach, &from, args.interrupt);
    let summary = walked(context, root, &configuration, walk, &phases)?;
    print_made(context, root, &configuration, walk, &summary)
}

/// A field that differs.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Difference {
    /// As `extraEnvironment.ETCD_QUOTA_BACKEND_BYTES`.
    field: String,
    /// What is recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Value>,
    /// What the document says.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Value>,
}

fn differences(from: &EtcdConfiguration, to: &EtcdConfiguration) -> Vec<Difference> {
    let flat = |document: &EtcdConfiguration| {
        let mut all = BTreeMap::new();
        let value = serde_json::to_value(document).unwrap_or_default();
        flatten("", &value, &mut all);
        all
    };
    let (mut from, mut to) = (flat(from), flat(to));
    // Whom to join, and what may be ignored, is said anew with each run.
    let lasting = |field: &String| {
        let passing = ["endpoints", "expectedMembers", "ignorePreflightErrors"];
        !passing.iter().any(|name| field.starts_with(name))
    };
    let fields: BTreeSet<String> = from.keys().chain(to.keys()).cloned().collect();
    fields
        .into_iter()
        .filter(lasting)
        .map(|field| Difference {
            from: from.remove(&field),
            to: to.remove(&field),
            field,
        })
        .filter(|difference| difference.from != difference.to)
        .collect()
}

fn flatten(at: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let between = if at.is_empty() { "" } else { "." };
                flatten(&format!("{at}{between}{name}"), value, into);
            }
        }
        _ => {
            into.insert(at.to_owned(), value.clone());
        }
    }
}

fn text(all: &[Difference]) -> String {
    if all.is_empty() {
        return "no differences\n".to_owned();
    }
    let mut out = String::new();
    for difference in all {
        for (sign, value) in [('-', &difference.from), ('+', &difference.to)] {
            if let Some(value) = value {
                let _ = writeln!(out, "{sign} {}: {value}", difference.field);
            }
        }
    }
    out
}

/// The variables that the running member has; none where it does not run.
pub(crate) fn running_variables(
    seen: &dyn Inspect,
    pid: u32,
) -> Result<Vec<(String, String)>, Error> {
    let path = std::path::PathBuf::from(format!("/proc/{pid}/environ"));
    let bytes = seen.read(&path, 1 << 20)?.unwrap_or_default();
    Ok(bytes
        .split(|b| *b == 0)
        .filter_map(|entry| std::str::from_utf8(entry).ok()?.split_once('='))
        .filter(|(key, _)| key.starts_with("ETCD_"))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_told_field_by_field() {
        let from = EtcdConfiguration {
            extra_environment: BTreeMap::from([("ETCD_SNAPSHOT_COUNT".into(), "5000".into())]),
            ..EtcdConfiguration::default()
        };
        let to = EtcdConfiguration {
            client_port: 3379,
            endpoints: vec!["https://10.0.0.1:2379".into()],
            extra_environment: BTreeMap::from([(
                "ETCD_QUOTA_BACKEND_BYTES".into(),
                "8589934592".into(),
            )]),
            ..EtcdConfiguration::default()
        };
        insta::assert_snapshot!(text(&differences(&from, &to)), @r#"
        - clientPort: 2379
        + clientPort: 3379
        + extraEnvironment.ETCD_QUOTA_BACKEND_BYTES: "8589934592"
        - extraEnvironment.ETCD_SNAPSHOT_COUNT: "5000"
        "#);
        assert_eq!(text(&differences(&to, &to)), "no differences\n");
    }
}
