//! `etcdadm certs`: this host's certificates, looked at and renewed, or asked for elsewhere and installed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::SystemTime;

use cli::Context;
use host::{Inspect, Local};
use pki::Certificate;
use pki::etcd::{LEAVES, required};
use serde::Serialize;

use crate::arguments::CertsVerb;
use crate::phases::{
    InstallCertificates, RenewCertificates, RequestCertificates, ServeCertificates, words,
};
use crate::verbs::{AnyPhase, configure, recorded, walk};
use crate::{Configuration, Error, rotate};

/// What is there.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Certificates {
    right: bool,
    certificates: Vec<Line>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    name: String,
    right: bool,
    /// In words: `is right for 300 days`.
    finding: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    days_left: Option<i64>,
}

pub(crate) fn run(context: &mut Context, root: &Path, verb: &CertsVerb) -> Result<(), cli::Error> {
    match verb {
        CertsVerb::RotateCa { what } => rotate::run(context, root, &recorded(root)?, what),
        CertsVerb::Check { days } => check(context, root, &recorded(root)?, *days),
        CertsVerb::Renew { all, days, dry_run } => {
            let configuration = recorded(root)?;
            let within = if *all { None } else { Some(*days) };
            let phases = phases(&configuration, within);
            let goal = "etcdadm certs renew";
            walk(context, root, &configuration, goal, *dry_run, &phases)
        }
        CertsVerb::Csr(member) => {
            let configuration = configure(root, member, &[], &[])?;
            let phases: [AnyPhase<'_>; 1] = [Box::new(RequestCertificates(&configuration))];
            let goal = "etcdadm certs csr";
            walk(context, root, &configuration, goal, member.dry_run, &phases)
        }
        CertsVerb::Install { folder, member } => {
            let configuration = configure(root, member, &[], &[])?;
            let phases = install(&configuration, bring(folder)?);
            let goal = "etcdadm certs install";
            walk(context, root, &configuration, goal, member.dry_run, &phases)
        }
    }
}

/// The phases of `certs install`, in order.
pub(crate) fn install(
    configuration: &Configuration,
    brought: BTreeMap<String, Vec<u8>>,
) -> Vec<AnyPhase<'_>> {
    vec![
        Box::new(InstallCertificates {
            configuration,
            brought,
        }),
        Box::new(ServeCertificates(configuration)),
    ]
}

/// The certificates in a folder that the admin names.
fn bring(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    let folder = std::path::absolute(folder)
        .map_err(|e| Error::Configuration(format!("{} cannot be used: {e}", folder.display())))?;
    let (seen, mut brought) = (Local::new("/"), BTreeMap::new());
    let stems = LEAVES.iter().map(|leaf| leaf.file_stem());
    for stem in stems.chain(["ca"]) {
        let name = format!("{stem}.crt");
        if let Some(text) = seen.read(&folder.join(&name), 1 << 20)? {
            brought.insert(name, text);
        }
    }
    if brought.is_empty() {
        return Err(Error::Configuration(format!(
            "{} holds none of ca.crt, server.crt, peer.crt, etcdctl-etcd-client.crt, apiserver-etcd-client.crt",
            folder.display()
        )));
    }
    Ok(brought)
}

/// The phases of `certs renew`, in order.
pub(crate) fn phases(configuration: &Configuration, within: Option<i64>) -> Vec<AnyPhase<'_>> {
    vec![
        Box::new(RenewCertificates::new(configuration, within)),
        Box::new(ServeCertificates(configuration)),
    ]
}

fn check(
    context: &Context,
    root: &Path,
    configuration: &Configuration,
    days: i64,
) -> Result<(), cli::Error> {
    let found = look(&Local::new(root), configuration, days, SystemTime::now())?;
    context.print(&found, |found| {
        found
            .certificates
            .iter()
            .fold(String::new(), |mut text, line| {
                let mark = if line.right { "" } else { "NOT RIGHT: " };
                let _ = writeln!(text, "{mark}{}.crt {}", line.name, line.finding);
                text
            })
    })?;
    if found.right {
        return Ok(());
    }
    let bad = found.certificates.iter().filter(|line| !line.right);
    let bad: Vec<&str> = bad.map(|line| line.name.as_str()).collect();
    Err(
        cli::Error::from(Error::Sick(format!("not right: {}", bad.join(", ")))).hint(
            "run `etcdadm certs renew`; an authority is replaced by `etcdadm certs rotate-ca`",
        ),
    )
}

fn look(
    seen: &dyn Inspect,
    configuration: &Configuration,
    days: i64,
    now: SystemTime,
) -> Result<Certificates, Error> {
    let read = |name: String| seen.read(&configuration.certs_dir().join(name), 1 << 20);
    let path = configuration.certs_dir().join("ca.crt");
    let authority = read("ca.crt".to_owned())?.ok_or(Error::NoAuthority { path: path.clone() })?;
    let trusted =
        Certificate::parse_all(&authority).map_err(|source| Error::Certificate { path, source })?;
    let mut certificates: Vec<Line> = trusted
        .iter()
        .map(|authority| {
            let left = authority.days_left(now);
            Line {
                name: "ca".to_owned(),
                right: left >= days,
                finding: if left < 0 {
                    format!("expired {} days ago", -left)
                } else {
                    format!("is right for {left} days")
                },
                days_left: Some(left),
            }
        })
        .collect();
    let identity = configuration.identity();
    for leaf in LEAVES {
        let stem = leaf.file_stem();
        let (certificate, key) = (read(format!("{stem}.crt"))?, read(format!("{stem}.key"))?);
        let wanted = required(leaf, &identity);
        let verdict = pki::check(
            certificate.as_deref(),
            key.as_deref(),
            &wanted,
            &trusted,
            now,
        );
        let days_left = certificate
            .and_then(|text| Certificate::parse(&text).ok())
            .map(|certificate| certificate.days_left(now));
        certificates.push(Line {
            name: stem.to_owned(),
            right: verdict.is_right() && days_left.is_some_and(|left| left >= days),
            finding: words(&verdict),
            days_left,
        });
    }
    Ok(Certificates {
        right: certificates.iter().all(|line| line.right),
        certificates,
    })
}
