//! The real thing: gRPC with mutual TLS, one connection and one single-threaded runtime a call.
//!
//! Every call is cut off after a limit of ours, since the library's own timeouts do not bound all of them. A member list
//! is preceded by a linearizable read on the same member, because the library asks for the list without that guarantee.

use std::cell::RefCell;
use std::future::Future;
use std::time::{Duration, Instant};

use etcd_client::{
    AlarmAction, AlarmOptions, AlarmType, Certificate, CompactionOptions, ConnectOptions,
    GetOptions, Identity, MemberAddOptions, TlsOptions,
};
use sha2::{Digest as _, Sha256};

use crate::error::Code;
use crate::retry::{ADDED, STARTED, Wait, not_known_yet, retry};
use crate::{
    Alarm, AlarmKind, Change, Cluster, Credentials, Error, Keys, KvHash, Member, MemberStatus,
    Membership, Observe, Piece, Probe, Waits,
};

/// How long to wait for a TCP connection and the TLS handshake.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// How long one call may take: etcd itself gives a request up after 5 to 7 s.
const CALL_LIMIT: Duration = Duration::from_secs(8);

/// How long a call may take that goes through all of a large database.
const LONG_LIMIT: Duration = Duration::from_secs(300);
/// How long a snapshot may take in all.
const SNAPSHOT_LIMIT: Duration = Duration::from_secs(3600);
/// Keys that are read at a time.
const PAGE: i64 = 2000;
/// How large an answer with so many keys may be.
const PAGE_LIMIT: usize = 32 << 20;

/// Talks to real members.
#[derive(Debug, Default, Clone)]
pub struct Client {
    /// Who answered last, and is asked first the next time: one that is off costs its timeout once.
    answered: RefCell<Option<String>>,
}

impl Client {
    /// Runs `call` on a connection to `endpoint`.
    fn call<T, F>(
        &self,
        endpoint: &str,
        credentials: &Credentials,
        name: &'static str,
        call: impl FnOnce(etcd_client::Client) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        self.call_within(CALL_LIMIT, endpoint, credentials, name, call)
    }

    /// The same, for calls that may take another time.
    fn call_within<T, F>(
        &self,
        limit: Duration,
        endpoint: &str,
        credentials: &Credentials,
        name: &'static str,
        call: impl FnOnce(etcd_client::Client) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::Unusable(format!("no runtime for the etcd client: {e}")))?;
        let tls = TlsOptions::new()
            .ca_certificate(Certificate::from_pem(&credentials.ca))
            .identity(Identity::from_pem(
                &credentials.certificate,
                credentials.key.expose(),
            ));
        let options = ConnectOptions::new()
            .with_tls(tls)
            .with_connect_timeout(CONNECT_LIMIT);
        let work = async {
            let client = etcd_client::Client::connect([endpoint], Some(options)).await?;
            call(client).await
        };
        // The library's own timeout is not set: it would come at the same moment, and look like an answer.
        let bounded = runtime.block_on(async { tokio::time::timeout(limit, work).await });
        // A connection task that hangs must not keep us: it is dropped with the runtime, without waiting for it.
        runtime.shutdown_background();
        match bounded {
            Ok(result) => result.map_err(|e| translate(endpoint, name, &e)),
            Err(_) => Err(Error::Timeout {
                endpoint: endpoint.to_owned(),
                call: name,
                limit,
            }),
        }
    }

    /// Asks one endpoint after the other until one gives an answer that does not depend on the endpoint. If none does,
    /// the most telling trouble is told: a certificate that is refused comes before a host that is off.
    fn first<T>(
        &self,
        endpoints: &[String],
        mut ask: impl FnMut(&str) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let last = self.answered.borrow().clone();
        let last = last.filter(|endpoint| endpoints.contains(endpoint));
        let others = endpoints
            .iter()
            .filter(|endpoint| last.as_ref() != Some(endpoint));
        let mut trouble = Error::NoEndpoint;
        for endpoint in last.iter().chain(others) {
            let error = match ask(endpoint) {
                Err(error) if error.is_of_the_endpoint() => error,
                answer => {
                    *self.answered.borrow_mut() = Some(endpoint.clone());
                    return answer;
                }
            };
            if trouble == Error::NoEndpoint || trouble.is_passing() && !error.is_passing() {
                trouble = error;
            }
        }
        Err(trouble)
    }
}

fn translate(endpoint: &str, call: &'static str, error: &etcd_client::Error) -> Error {
    match error {
        etcd_client::Error::GRpcStatus(status) => {
            let code = match status.code() as i32 {
                1 => Code::Cancelled,
                2 => Code::Unknown,
                14 => Code::Unavailable,
                _ => Code::Other,
            };
            // What the transport has to say stands in the chain of causes, not in the message.
            let mut message = status.message().to_owned();
            let mut cause = std::error::Error::source(status);
            while let Some(e) = cause {
                let text = e.to_string();
                if !message.contains(&text) {
                    message = format!("{message}: {text}");
                }
                cause = e.source();
            }
            Error::of_status(endpoint, call, code, &message)
        }
        etcd_client::Error::TransportError(e) => {
            let mut detail = e.to_string();
            let mut cause = std::error::Error::source(e);
            while let Some(e) = cause {
                detail = format!("{detail}: {e}");
                cause = e.source();
            }
            Error::of_status(endpoint, call, Code::Unavailable, &detail)
        }
        other => Error::Unusable(format!("{endpoint}: {other}")),
    }
}

impl Observe for Client {
    fn members(
        &self,
        endpoints: &[String],
        credentials: &Credentials,
    ) -> Result<Membership, Error> {
        self.first(endpoints, |endpoint| {
            self.call(
                endpoint,
                credentials,
                "member list",
                |mut client| async move {
                    client.get("health", None).await?;
                    let list = client.member_list().await?;
                    Ok(membership(
                        list.header()
                            .map_or(0, etcd_client::ResponseHeader::cluster_id),
                        list.members(),
                    ))
                },
            )
        })
    }

    fn remembered(
        &self,
        endpoints: &[String],
        credentials: &Credentials,
    ) -> Result<Membership, Error> {
        self.first(endpoints, |endpoint| {
            self.call(endpoint, credentials, "member list", |mut c| async move {
                let list = c.member_list().await?;
                let header = list.header();
                let cluster_id = header.map_or(0, etcd_client::ResponseHeader::cluster_id);
                Ok(membership(cluster_id, list.members()))
            })
        })
    }

    fn status(&self, endpoint: &str, credentials: &Credentials) -> Result<MemberStatus, Error> {
        self.call(endpoint, credentials, "status", |mut client| async move {
            let status = client.status().await?;
            let header = status.header();
            Ok(MemberStatus {
                id: header.map_or(0, etcd_client::ResponseHeader::member_id),
                cluster_id: header.map_or(0, etcd_client::ResponseHeader::cluster_id),
                leader: status.leader(),
                learner: status.is_learner(),
                version: status.version().to_owned(),
                storage_version: status.storage_version().to_owned(),
                db_size: status.db_size(),
                db_in_use: status.raft_used_db_size(),
                db_quota: status.db_size_quota(),
                raft_term: status.raft_term(),
                raft_index: status.raft_index(),
                raft_applied: status.raft_applied_index(),
                revision: header.map_or(0, etcd_client::ResponseHeader::revision),
                downgrade_to: status
                    .downgrade_info()
                    .filter(|info| info.enabled())
                    .map(|info| info.target_version().to_owned())
                    .unwrap_or_default(),
                errors: status.errors().to_vec(),
            })
        })
    }

    fn healthy(&self, endpoint: &str, credentials: &Credentials) -> Result<(), Error> {
        self.call(endpoint, credentials, "read", |mut client| async move {
            client.get("health", None).await.map(drop)
        })
    }

    fn probe(&self, endpoint: &str, credentials: &Credentials) -> Result<Probe, Error> {
        crate::probe::probe(endpoint, credentials)
    }

    fn alarms(&self, endpoints: &[String], credentials: &Credentials) -> Result<Vec<Alarm>, Error> {
        self.first(endpoints, |endpoint| {
            self.call(endpoint, credentials, "alarm list", |mut c| async move {
                let told = c.alarm(AlarmAction::Get, AlarmType::None, None).await?;
                let alarm = |alarm: &etcd_client::AlarmMember| {
                    let kind = match alarm.alarm() {
                        AlarmType::None => return None,
                        AlarmType::Nospace => AlarmKind::NoSpace,
                        AlarmType::Corrupt => AlarmKind::Corrupt,
                    };
                    let member = alarm.member_id();
                    Some(Alarm { member, kind })
                };
                Ok(told.alarms().iter().filter_map(alarm).collect())
            })
        })
    }

    fn compacted(
        &self,
        endpoints: &[String],
        credentials: &Credentials,
        revision: i64,
    ) -> Result<bool, Error> {
        if revision <= 1 {
            return Ok(true);
        }
        let read = self.first(endpoints, |endpoint| {
            self.call(endpoint, credentials, "read", |mut c| async move {
                let options = GetOptions::new()
                    .with_revision(revision - 1)
                    .with_count_only();
                c.get("health", Some(options)).await.map(drop)
            })
        });
        match read {
            Ok(()) => Ok(false),
            Err(Error::Compacted) => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn hash(
        &self,
        endpoint: &str,
        credentials: &Credentials,
        revision: i64,
    ) -> Result<KvHash, Error> {
        let limit = LONG_LIMIT;
        self.call_within(limit, endpoint, credentials, "hash", |mut c| async move {
            let answer = c.hash_kv(revision).await?;
            let current = answer.header().map_or(0, |header| header.revision());
            Ok(KvHash {
                hash: answer.hash(),
                // Before 3.6 a member does not say up to where it hashed.
                revision: match (answer.hash_revision(), revision) {
                    (0, 0) => current,
                    (0, asked) => asked,
                    (told, _) => told,
                },
                compact_revision: answer.compact_version(),
            })
        })
    }

    fn count(
        &self,
        endpoint: &str,
        credentials: &Credentials,
        revision: i64,
    ) -> Result<u64, Error> {
        let limit = LONG_LIMIT;
        self.call_within(limit, endpoint, credentials, "count", |mut c| async move {
            let options = GetOptions::new()
                .with_range([0])
                .with_revision(revision)
                .with_count_only();
            let answer = c.get([0], Some(options)).await?;
            Ok(answer.count().max(0).cast_unsigned())
        })
    }

    fn keys(&self, endpoint: &str, credentials: &Credentials) -> Result<Keys, Error> {
        let limit = LONG_LIMIT;
        self.call_within(limit, endpoint, credentials, "read", |c| async move {
            let mut kv = c.kv_client().max_decoding_message_size(PAGE_LIMIT);
            let (mut count, mut digest, mut revision) = (0, Sha256::new(), 0);
            let mut from = vec![0];
            loop {
                let mut options = GetOptions::new()
                    .with_range([0])
                    .with_keys_only()
                    .with_limit(PAGE);
                // All pages are of one moment, and no page is waited for by others.
                if revision > 0 {
                    options = options.with_revision(revision).with_serializable();
                }
                let page = kv.get(from, Some(options)).await?;
                if revision == 0 {
                    revision = page.header().map_or(0, |header| header.revision());
                }
                for pair in page.kvs() {
                    digest.update((pair.key().len() as u64).to_be_bytes());
                    digest.update(pair.key());
                    for number in [
                        pair.create_revision(),
                        pair.mod_revision(),
                        pair.version(),
                        pair.lease(),
                    ] {
                        digest.update(number.to_be_bytes());
                    }
                    count += 1;
                }
                match page.kvs().last() {
                    // The smallest key after the last one.
                    Some(last) if page.more() => {
                        from = last.key().to_vec();
                        from.push(0);
                    }
                    _ => break,
                }
            }
            let digest = digest.finalize();
            Ok(Keys {
                count,
                revision,
                digest: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            })
        })
    }

    fn snapshot(
        &self,
        endpoint: &str,
        credentials: &Credentials,
        to: &mut dyn FnMut(Piece<'_>) -> std::io::Result<()>,
    ) -> Result<(), Error> {
        let sink = || Error::Sink {
            endpoint: endpoint.to_owned(),
        };
        let limit = SNAPSHOT_LIMIT;
        let work = |mut c: etcd_client::Client| async move {
            let mut stream = c.snapshot().await?;
            let mut begun = false;
            loop {
                // The library's own timeouts do not bound a stream.
                let Ok(message) = tokio::time::timeout(CALL_LIMIT, stream.message()).await else {
                    return Ok(Err(Error::Timeout {
                        endpoint: endpoint.to_owned(),
                        call: "snapshot",
                        limit: CALL_LIMIT,
                    }));
                };
                let Some(message) = message? else {
                    return Ok(Ok(()));
                };
                if !begun {
                    begun = true;
                    // What remains leaves out this piece and the digest at the end.
                    let size = message.blob().len() as u64 + message.remaining_bytes() + 32;
                    if to(Piece::Size(size)).is_err() {
                        return Ok(Err(sink()));
                    }
                }
                if to(Piece::Bytes(message.blob())).is_err() {
                    return Ok(Err(sink()));
                }
            }
        };
        self.call_within(limit, endpoint, credentials, "snapshot", work)?
    }

    fn reaches(&self, url: &str) -> Result<(), Error> {
        crate::probe::connect(url).map(drop)
    }
}

fn membership(cluster_id: u64, members: &[etcd_client::Member]) -> Membership {
    let member = |m: &etcd_client::Member| Member {
        id: m.id(),
        name: m.name().to_owned(),
        peer_urls: m.peer_urls().to_vec(),
        client_urls: m.client_urls().to_vec(),
        learner: m.is_learner(),
    };
    Membership {
        cluster_id,
        members: members.iter().map(member).collect(),
    }
}

impl Cluster for Client {
    fn apply(
        &mut self,
        change: &Change,
        credentials: &Credentials,
        note: &mut dyn FnMut(&str),
    ) -> Result<(), Error> {
        match change {
            Change::AddLearner {
                via,
                peer_url,
                beside,
                patience,
                waits,
                ..
            } => {
                self.add_learner(via, peer_url, credentials, *waits, &mut *note, change)?;
                self.await_others(via, beside, *patience, credentials, note, ADDED);
                Ok(())
            }
            Change::Promote { via, id, waits, .. } => retry(change, *waits, note, || {
                let asked = self.first(via, |endpoint| {
                    self.call(
                        endpoint,
                        credentials,
                        "member promote",
                        |mut c| async move { c.member_promote(*id).await.map(drop) },
                    )
                });
                match asked {
                    Err(Error::AlreadyVoter) => Ok(()),
                    Err(Error::MemberNotFound) => Err(not_known_yet()),
                    other => other,
                }
            }),
            Change::Remove { via, id, waits, .. } => retry(change, *waits, note, || {
                let asked = self.first(via, |endpoint| {
                    self.call(endpoint, credentials, "member remove", |mut c| async move {
                        c.member_remove(*id).await.map(drop)
                    })
                });
                match asked {
                    // Gone already (a try that timed out may have been committed), or just added elsewhere.
                    Err(Error::MemberNotFound) => {
                        let list = self.members(via, credentials)?;
                        let there = list.members.iter().any(|member| member.id == *id);
                        if there { Err(not_known_yet()) } else { Ok(()) }
                    }
                    other => other,
                }
            }),
            Change::MoveMember {
                via,
                id,
                peer_url,
                waits,
                ..
            } => retry(change, *waits, note, || {
                self.first(via, |endpoint| {
                    self.call(endpoint, credentials, "member update", |mut c| async move {
                        c.member_update(*id, [peer_url.clone()]).await.map(drop)
                    })
                })
            }),
            Change::MoveLeader { via, to, waits, .. } => retry(change, *waits, note, || {
                let asked = self.first(via, |endpoint| {
                    self.call(endpoint, credentials, "leader change", |mut c| async move {
                        c.move_leader(*to).await.map(drop)
                    })
                });
                match asked {
                    // It has none to hand over any more; who leads now, the next look tells.
                    Err(Error::NotLeader { .. }) => Ok(()),
                    other => other,
                }
            }),
            Change::Defragment {
                endpoint, limit, ..
            } => self.call_within(
                *limit,
                endpoint,
                credentials,
                "defragment",
                |mut c| async move { c.defragment().await.map(drop) },
            ),
            Change::Compact {
                via,
                revision,
                limit,
            } => {
                let asked = self.first(via, |endpoint| {
                    self.call_within(
                        *limit,
                        endpoint,
                        credentials,
                        "compact",
                        |mut c| async move {
                            let options = CompactionOptions::new().with_physical();
                            c.compact(*revision, Some(options)).await.map(drop)
                        },
                    )
                });
                match asked {
                    Err(Error::Compacted) => Ok(()),
                    other => other,
                }
            }
            Change::Disarm { via, alarm, .. } => self.first(via, |endpoint| {
                self.call(endpoint, credentials, "alarm disarm", |mut c| async move {
                    let kind = match alarm.kind {
                        AlarmKind::NoSpace => AlarmType::Nospace,
                        AlarmKind::Corrupt => AlarmType::Corrupt,
                    };
                    let mut options = AlarmOptions::new();
                    options.with_member(alarm.member);
                    c.alarm(AlarmAction::Deactivate, kind, Some(options))
                        .await
                        .map(drop)
                })
            }),
            Change::Downgrade { via, target, waits } => {
                self.downgrade(via, target, credentials, *waits, note, change)
            }
            Change::AwaitStarted {
                via,
                peer_urls,
                patience,
            } => {
                self.await_others(via, peer_urls, *patience, credentials, note, STARTED);
                Ok(())
            }
            Change::AwaitHealthy { endpoint, waits } => {
                retry(change, *waits, note, || {
                    match self.healthy(endpoint, credentials) {
                        // A learner that answers so is as healthy as it can be.
                        Err(Error::Learner { .. }) => Ok(()),
                        other => other,
                    }
                })
            }
            Change::AwaitCluster { endpoints, waits } => retry(change, *waits, note, || {
                self.members(endpoints, credentials).map(drop)
            }),
        }
    }
}

impl Client {
    fn downgrade(
        &self,
        via: &[String],
        target: &str,
        credentials: &Credentials,
        waits: Waits,
        note: &mut dyn FnMut(&str),
        change: &Change,
    ) -> Result<(), Error> {
        let minor = |version: &str| version.splitn(3, '.').take(2).map(str::to_owned).collect();
        let wanted: Vec<String> = minor(target);
        retry(change, waits, note, || {
            for endpoint in via {
                let status = self.status(endpoint, credentials)?;
                if minor(&status.version) == wanted || minor(&status.storage_version) == wanted {
                    continue;
                }
                if minor(&status.downgrade_to) != wanted {
                    self.call(endpoint, credentials, "downgrade", |c| async move {
                        let options = etcd_client::DowngradeOptions::Enable(target.to_owned());
                        c.maintenance_client().downgrade(options).await.map(drop)
                    })?;
                }
                return Err(Error::EtcdTimeout(format!(
                    "the data of {endpoint} is still as {} writes it",
                    status.storage_version
                )));
            }
            Ok(())
        })
    }

    fn add_learner(
        &self,
        via: &[String],
        peer_url: &str,
        credentials: &Credentials,
        waits: Waits,
        note: &mut dyn FnMut(&str),
        change: &Change,
    ) -> Result<(), Error> {
        retry(change, waits, note, || {
            let asked = self.first(via, |endpoint| {
                self.call(
                    endpoint,
                    credentials,
                    "member add",
                    |mut client| async move {
                        let options = MemberAddOptions::new().with_is_learner();
                        client.member_add([peer_url], Some(options)).await.map(drop)
                    },
                )
            });
            match asked {
                // Ours, if an earlier try timed out and was committed all the same; whose it is, the next look tells.
                Err(Error::PeerUrlExists) => Ok(()),
                other => other,
            }
        })
    }

    /// Waits for other members to be as they should; when they are not in time, all goes on, only slower.
    fn await_others(
        &self,
        via: &[String],
        others: &[String],
        patience: Duration,
        credentials: &Credentials,
        note: &mut dyn FnMut(&str),
        wait: Wait,
    ) {
        let deadline = Instant::now() + patience;
        let mut told = false;
        while !others.is_empty() {
            let missing: Vec<&str> = match self.members(via, credentials) {
                Ok(list) => others
                    .iter()
                    .filter(|url| !(wait.done)(list.at_peer_url(url)))
                    .map(String::as_str)
                    .collect(),
                Err(_) => others.iter().map(String::as_str).collect(),
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if missing.is_empty() {
                return;
            }
            let names = missing.join(", ");
            if left.is_zero() {
                note(&format!("going on without {names}"));
                return;
            }
            if !told {
                note(&format!(
                    "waiting for {names} to be {} (at most {} s)",
                    wait.what,
                    patience.as_secs()
                ));
                told = true;
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }
}
