//! `etcdadm status`: all members, each asked itself; how far the cluster is from trouble.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use cli::Context;
use etcd::{Alarm, Client, Credentials, Member, MemberStatus, Membership, Observe};
use host::Local;
use pki::Certificate;
use serde::Serialize;

use crate::arguments::StatusArgs;
use crate::schedule::{self, Backups};
use crate::survey::{Quorum, Reach, Seen};
use crate::verbs::{reach, recorded};
use crate::{Configuration, Error};

/// Days that a certificate may have left without a word.
const CERTIFICATE_DAYS: i64 = 30;
/// Share of the quota, in percent, from which on it is told.
const QUOTA_PERCENT: i64 = 80;
/// Entries that a member may be behind the leader: more than what is under way in a busy cluster.
const LAG: u64 = 1000;

/// The cluster as its members tell it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ClusterStatus {
    cluster_id: String,
    healthy: bool,
    voters: usize,
    serving_voters: usize,
    /// How many more voters may fail before nothing can be written.
    spare_voters: i64,
    alarms: Vec<Alarm>,
    /// What is not right, or will soon not be.
    warnings: Vec<String>,
    members: Vec<MemberLine>,
    /// Backups by the clock, as this host knows of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    backups: Option<Backups>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MemberLine {
    #[serde(flatten)]
    member: Member,
    healthy: bool,
    leader: bool,
    /// Raft entries between the leader's log and what this member has applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    behind: Option<u64>,
    /// Days that the certificate which it shows stays valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_days_left: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<MemberStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(crate) fn run(context: &mut Context, root: &Path, args: &StatusArgs) -> Result<(), cli::Error> {
    let configuration = recorded(root)?;
    let reach = reach(&configuration, &args.reach)?;
    loop {
        let shown = show(context, root, &configuration, &reach);
        let Some(seconds) = args.watch else {
            return shown;
        };
        if let Err(error) = shown {
            context.progress.note(&error.to_string());
        }
        std::thread::sleep(Duration::from_secs(seconds));
    }
}

fn show(
    context: &Context,
    root: &Path,
    configuration: &Configuration,
    reach: &Reach<'_>,
) -> Result<(), cli::Error> {
    let (seen, now) = (Local::new(root), SystemTime::now());
    let credentials = crate::machine::credentials(&seen, configuration.certs_dir())?;
    let mut status = ask(reach, &credentials, now)?;
    status.backups = schedule::health(&seen, now)?;
    let told = status.backups.as_ref();
    let missed = told.and_then(|backups| Some((backups.warning()?, backups.healthy)));
    let members_healthy = status.healthy;
    if let Some((warning, healthy)) = &missed {
        status.warnings.push(warning.clone());
        status.healthy &= healthy;
    }
    context.print(&status, |status| text(status, &configuration.name))?;
    if status.healthy {
        return Ok(());
    }
    if let (true, Some((warning, _))) = (members_healthy, missed) {
        return Err(Error::Sick(warning).into());
    }
    let sick = status.members.iter().filter(|line| !line.healthy);
    let sick: Vec<String> = sick.map(|line| line.member.to_string()).collect();
    Err(Error::Sick(format!("not healthy: {}", sick.join(", "))).into())
}

fn ask(
    reach: &Reach<'_>,
    credentials: &Credentials,
    now: SystemTime,
) -> Result<ClusterStatus, Error> {
    // What a member remembers is there at once; whether a majority agrees may take as long as a call may take, so that is
    // asked meanwhile.
    let remembered = Client::default().remembered(&reach.ask(), credentials);
    let (agreed, looked) = std::thread::scope(|scope| {
        let agreed = scope.spawn(|| Client::default().members(&reach.ask(), credentials));
        let looked = remembered.as_ref().ok();
        let looked = looked.map(|list| look(list, credentials, now));
        let agreed = agreed.join().expect("asking a member does not panic");
        (agreed, looked)
    });
    let (list, looked, trouble) = match (agreed, remembered, looked) {
        (Ok(agreed), Ok(list), Some(looked)) if agreed == list => (list, looked, None),
        (Ok(agreed), ..) => {
            let looked = look(&agreed, credentials, now);
            (agreed, looked, None)
        }
        // Without a majority nothing is sure, and just then somebody wants to know.
        (Err(error), Ok(list), Some(looked)) => (list, looked, Some(error)),
        (Err(error), ..) => return Err(error.into()),
    };
    let serving: Vec<String> = looked
        .iter()
        .filter(|(seen, _)| seen.serves)
        .map(|(seen, _)| seen.url())
        .collect();
    let alarms = match Client::default().alarms(&serving, credentials) {
        Ok(alarms) => alarms,
        Err(_) if trouble.is_some() => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let mut status = judge(list.cluster_id, looked, alarms);
    if let Some(error) = trouble {
        status.healthy = false;
        let what = format!("{error}; the members are those that one of them remembers");
        status.warnings.insert(0, what);
    }
    Ok(status)
}

/// All members, asked at once: one that is down costs its timeout once, not once a member.
fn look(list: &Membership, credentials: &Credentials, now: SystemTime) -> Vec<(Seen, Option<i64>)> {
    let ask = |member| {
        let client = Client::default();
        let seen = Seen::of(&client, member, credentials);
        let days = client
            .probe(&seen.url(), credentials)
            .ok()
            .and_then(|probe| Certificate::from_der(&probe.certificate).ok())
            .map(|certificate| certificate.days_left(now));
        (seen, days)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = list
            .members
            .iter()
            .map(|member| scope.spawn(move || ask(member)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("asking a member does not panic"))
            .collect()
    })
}

fn judge(cluster_id: u64, looked: Vec<(Seen, Option<i64>)>, alarms: Vec<Alarm>) -> ClusterStatus {
    let newest = looked
        .iter()
        .filter_map(|(seen, _)| seen.status.as_ref())
        .filter(|status| status.leader == status.id)
        .map(|status| status.raft_index)
        .max();
    let voters = || looked.iter().filter(|(seen, _)| !seen.member.learner);
    let quorum = Quorum {
        voters: voters().count(),
        serving: voters().filter(|(seen, _)| seen.serves).count(),
    };
    let mut warnings = Vec::new();
    let mut members = Vec::new();
    for (seen, days) in looked {
        let alarm = alarms.iter().find(|alarm| alarm.member == seen.id());
        let name = seen.member.to_string();
        warnings.extend(alarm.map(|alarm| format!("{name} raises the alarm {}", alarm.kind)));
        let status = seen.status.as_ref();
        let behind = status
            .zip(newest)
            .map(|(status, newest)| newest.saturating_sub(status.raft_applied));
        if behind.is_some_and(|behind| behind > LAG) {
            warnings.push(format!("{name} is {} entries behind", behind.unwrap_or(0)));
        }
        match days {
            Some(days) if days < 0 => warnings.push(format!("{name}'s certificate has expired")),
            Some(days) if days < CERTIFICATE_DAYS => {
                warnings.push(format!("{name}'s certificate ends in {days} days"));
            }
            _ => {}
        }
        if let Some(status) = status
            && status.db_quota > 0
            && status.db_size * 100 >= status.db_quota * QUOTA_PERCENT
        {
            let percent = status.db_size * 100 / status.db_quota;
            warnings.push(format!(
                "{name}'s database has reached {percent}% of its quota"
            ));
        }
        if seen.member.learner {
            warnings.push(format!("{name} is a learner still"));
        }
        // Alarms are told of every member, and stand in the members' own complaints, too.
        let complains = status.is_some_and(|status| {
            let own = |text: &&String| !text.contains("NOSPACE") && !text.contains("CORRUPT");
            status.errors.iter().any(|text| own(&text))
        });
        members.push(MemberLine {
            healthy: seen.serves && alarm.is_none() && !complains && days.is_none_or(|d| d >= 0),
            leader: status.is_some_and(|status| status.leader == seen.member.id),
            behind,
            certificate_days_left: days,
            member: seen.member,
            status: seen.status,
            error: seen.error,
        });
    }
    ClusterStatus {
        cluster_id: etcd::hex_id(cluster_id),
        healthy: members.iter().all(|line| line.healthy),
        voters: quorum.voters,
        serving_voters: quorum.serving,
        spare_voters: quorum.spare(),
        alarms,
        warnings,
        members,
        backups: None,
    }
}

fn text(status: &ClusterStatus, own: &str) -> String {
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
        let id = etcd::hex_id(line.member.id);
        let _ = write!(out, "  {} {id} {role} {health}", line.member.name);
        if let Some(s) = &line.status {
            let _ = write!(out, ", v{}", s.version);
            if !s.storage_version.is_empty() {
                let _ = write!(out, " (storage {})", s.storage_version);
            }
            let (size, used) = (s.db_size / 1000, s.db_in_use / 1000);
            let _ = write!(out, ", {size} kB ({used} in use)");
            let _ = write!(out, ", revision {}", s.revision);
            if let Some(behind) = line.behind {
                let _ = write!(out, ", {behind} behind");
            }
        }
        if let Some(days) = line.certificate_days_left {
            let _ = write!(out, ", certificate {days} days");
        }
        if let Some(error) = &line.error {
            let _ = write!(out, ": {error}");
        }
        out.push('\n');
    }
    if let Some(backups) = &status.backups {
        let _ = writeln!(out, "{}", backups.line(own));
    }
    for warning in &status.warnings {
        let _ = writeln!(out, "attention: {warning}");
    }
    let quorum = Quorum {
        voters: status.voters,
        serving: status.serving_voters,
    };
    let _ = match status.spare_voters {
        n if n < 0 => writeln!(out, "nothing can be written: {quorum}"),
        0 => writeln!(out, "no further failure is survivable: {quorum}"),
        1 => writeln!(out, "one more failure is survivable: {quorum}"),
        n => writeln!(out, "{n} more failures are survivable: {quorum}"),
    };
    out
}

#[cfg(test)]
mod tests {
    use etcd::AlarmKind;

    use super::*;

    fn seen(id: u64, name: &str, serves: bool) -> Seen {
        let status = MemberStatus {
            id,
            leader: 1,
            version: "3.7.3".into(),
            storage_version: "3.7.0".into(),
            db_size: 2_100_000_000,
            db_in_use: 1_000_000,
            db_quota: 2_147_483_648,
            raft_index: 9000,
            raft_applied: 9000 - 4000 * (id - 1),
            revision: 77,
            ..MemberStatus::default()
        };
        Seen {
            member: Member {
                id,
                name: name.into(),
                peer_urls: vec![],
                client_urls: vec![],
                learner: false,
            },
            serves,
            status: serves.then_some(status),
            error: (!serves).then(|| "nobody is there".into()),
        }
    }

    #[test]
    fn trouble_is_told_and_counted() {
        let looked = vec![
            (seen(1, "a", true), Some(300)),
            (seen(2, "b", true), Some(12)),
            (seen(3, "c", false), None),
        ];
        let alarms = vec![Alarm {
            member: 2,
            kind: AlarmKind::NoSpace,
        }];
        let status = judge(7, looked, alarms);
        assert!(!status.healthy);
        insta::assert_snapshot!(text(&status, "a"), @"
        cluster 0000000000000007
          a 0000000000000001 leader healthy, v3.7.3 (storage 3.7.0), 2100000 kB (1000 in use), revision 77, 0 behind, certificate 300 days
          b 0000000000000002 voter NOT HEALTHY, v3.7.3 (storage 3.7.0), 2100000 kB (1000 in use), revision 77, 4000 behind, certificate 12 days
          c 0000000000000003 voter NOT HEALTHY: nobody is there
        attention: a (0000000000000001)'s database has reached 97% of its quota
        attention: b (0000000000000002) raises the alarm no-space
        attention: b (0000000000000002) is 4000 entries behind
        attention: b (0000000000000002)'s certificate ends in 12 days
        attention: b (0000000000000002)'s database has reached 97% of its quota
        no further failure is survivable: 3 voters, of which 2 serve, and 2 are needed
        ");
    }

    #[test]
    fn a_cluster_that_is_well_says_how_far_it_is_from_trouble() {
        let mut member = seen(1, "a", true);
        if let Some(status) = &mut member.status {
            status.db_size = 1000;
        }
        let status = judge(7, vec![(member, Some(300))], Vec::new());
        assert!(status.healthy && status.warnings.is_empty());
        assert!(text(&status, "a").ends_with(
            "no further failure is survivable: 1 voter, of which 1 serves, and 1 is needed\n"
        ));
    }
}
