//! `etcdadm status`: all members, each asked itself.

use std::fmt::Write as _;
use std::path::Path;

use cli::Context;
use etcd::{Client, Member, MemberStatus, Observe};
use host::Local;
use serde::Serialize;

use crate::Error;
use crate::verbs::recorded;

/// The cluster as its members tell it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ClusterStatus {
    cluster_id: String,
    healthy: bool,
    /// How many more voters may fail before nothing can be written.
    spare_voters: i64,
    members: Vec<MemberLine>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MemberLine {
    #[serde(flatten)]
    member: Member,
    healthy: bool,
    leader: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<MemberStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(crate) fn run(context: &mut Context, root: &Path) -> Result<(), cli::Error> {
    let configuration = recorded(root)?;
    let credentials = crate::machine::credentials(&Local::new(root), configuration.certs_dir())?;
    let mut ask = vec![configuration.local_url()];
    ask.extend(configuration.endpoints.iter().cloned());
    let list = Client::default()
        .members(&ask, &credentials)
        .map_err(Error::from)?;
    let lines: Vec<MemberLine> = std::thread::scope(|scope| {
        // All at once: one that is down costs its timeout once, not once a member.
        let threads: Vec<_> = list
            .members
            .iter()
            .map(|member| scope.spawn(|| line(member, &credentials)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("asking a member does not panic"))
            .collect()
    });
    let serving = lines
        .iter()
        .filter(|line| line.healthy && !line.member.learner)
        .count() as i64;
    let status = ClusterStatus {
        cluster_id: etcd::hex_id(list.cluster_id),
        healthy: lines.iter().all(|line| line.healthy),
        spare_voters: serving - (list.voters() as i64 / 2 + 1),
        members: lines,
    };
    context.print(&status, text)?;
    if status.healthy {
        return Ok(());
    }
    let sick: Vec<String> = status
        .members
        .iter()
        .filter(|line| !line.healthy)
        .map(|line| line.member.to_string())
        .collect();
    Err(Error::Sick(format!("not healthy: {}", sick.join(", "))).into())
}

fn line(member: &Member, credentials: &etcd::Credentials) -> MemberLine {
    let looked = match member.client_urls.first() {
        None => Err("never started".to_owned()),
        Some(url) => Client::default()
            .status(url, credentials)
            .and_then(|status| match Client::default().healthy(url, credentials) {
                Ok(()) | Err(etcd::Error::Learner { .. }) => Ok(status),
                Err(error) => Err(error),
            })
            .map_err(|error| error.to_string()),
    };
    let (status, error) = match looked {
        Ok(status) => (Some(status), None),
        Err(error) => (None, Some(error)),
    };
    let alarms = status
        .as_ref()
        .is_some_and(|status| !status.errors.is_empty());
    MemberLine {
        healthy: error.is_none() && !alarms,
        leader: status
            .as_ref()
            .is_some_and(|status| status.leader == member.id),
        member: member.clone(),
        status,
        error,
    }
}

fn text(status: &ClusterStatus) -> String {
    let mut out = format!("cluster {}\n", status.cluster_id);
    for line in &status.members {
        let role = match (line.leader, line.member.learner) {
            (true, _) => "leader",
            (_, true) => "learner",
            _ => "voter",
        };
        let health = if line.healthy {
            "healthy"
        } else {
            "NOT HEALTHY"
        };
        let _ = write!(
            out,
            "  {} {} {role} {health}",
            line.member.name,
            etcd::hex_id(line.member.id)
        );
        if let Some(s) = &line.status {
            let _ = write!(
                out,
                ", v{}, {} kB ({} in use), index {}",
                s.version,
                s.db_size / 1000,
                s.db_in_use / 1000,
                s.raft_applied
            );
            for complaint in &s.errors {
                let _ = write!(out, ", {complaint}");
            }
        }
        if let Some(error) = &line.error {
            let _ = write!(out, ": {error}");
        }
        out.push('\n');
    }
    let _ = match status.spare_voters {
        n if n < 0 => writeln!(out, "too few voters serve: nothing can be written"),
        0 => writeln!(out, "no further failure is survivable"),
        1 => writeln!(out, "one more failure is survivable"),
        n => writeln!(out, "{n} more failures are survivable"),
    };
    out
}
