//! The start of a pod, and its end.
//!
//! The kubelet is told by a file and answers nobody, so what comes of it is seen from the processes, and that the member is
//! ready from its answer over TLS: etcd accepts no request before it has joined its cluster.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use etcd::Observe;
use host::{Host, Inspect, poll_until};

use super::{POLL, Start, telling, was_told_wrong};
use crate::Error;
use crate::pod::{self, Pod};
use crate::runs::Runs;

/// How long the kubelet may take to start a container: it looks into its folder every 20 s if it is not told of a change.
const APPEARS: Duration = Duration::from_secs(120);
/// How long it may take to end one: its grace, and the same.
const ENDS: Duration = Duration::from_secs(150);
const NOT_ENDED: &str = "was not ended by the kubelet";
/// For so long no process may come any more after a pod was taken out that had none just then.
const QUIET: Duration = Duration::from_secs(3);

/// Puts the pod into the kubelet's folder, unless the very same is there and runs, and waits until the member answers.
pub(super) fn start(
    start: &Start,
    pod: &Pod,
    host: &mut dyn Host,
    (etcd, certs_dir): (&dyn Observe, &Path),
    note: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    let place = pod::place(host)?;
    let old = pod.process(host)?;
    let there = host.read_text(&place)?;
    let goes_on = !start.restart
        && old.is_some()
        && there
            .is_some_and(|there| pod::manifest(host, "").is_ok_and(|new| pod::same(&there, &new)));
    if host.is_dry_run() {
        put(host, &place)?;
        return forget(host, old);
    }
    let credentials = crate::machine::credentials(host, certs_dir)?;
    if pod::kubelet(host)?.is_none() {
        return Err(Error::NoKubelet);
    }
    let before: BTreeSet<PathBuf> = match goes_on {
        true => BTreeSet::new(),
        false => pod::logs(host)?.into_iter().collect(),
    };
    let mut watch = Watch {
        old: old.filter(|_| !goes_on),
        group: old.and_then(|pid| pod::group(host, pid)),
        seen: old.filter(|_| goes_on),
        since: Instant::now(),
    };
    if !goes_on {
        put(host, &place)?;
    }
    let (begun, mut told) = (Instant::now(), false);
    loop {
        let now = pod.process(host)?;
        match (now, watch.seen) {
            // The one that is to end.
            (Some(pid), None) if watch.old == Some(pid) => {
                if begun.elapsed() > ENDS {
                    return Err(not(pod, NOT_ENDED, pod::complaints(host)));
                }
                watch.since = Instant::now();
            }
            (Some(pid), None) => {
                watch.seen = Some(pid);
                watch.since = Instant::now();
            }
            (Some(pid), Some(seen)) if pid == seen => {
                if pod.answers(etcd, &credentials) && pod.process(host)? == Some(pid) {
                    return Ok(());
                }
            }
            (_, Some(_)) => return failed(host, pod, &before),
            (None, None) => {
                if watch.may_be_told_again(host)? {
                    put(host, &place)?;
                }
                if new_log(host, &before)?.is_some_and(|(restarted, _)| restarted > 0) {
                    return failed(host, pod, &before);
                }
                if watch.since.elapsed() > APPEARS {
                    let what = "was not started by the kubelet";
                    return Err(not(pod, what, pod::complaints(host)));
                }
            }
        }
        if watch.seen.is_some() && watch.since.elapsed() > start.limit {
            let log = telling(&new_log(host, &before)?.unwrap_or_default().1);
            if start.first {
                end(pod, host)?;
                return Err(Error::NeverReady {
                    unit: name(pod),
                    seconds: start.limit.as_secs(),
                    log,
                });
            }
            return Err(not(pod, "not ready in time", log));
        }
        if !told && watch.seen.is_some() && watch.since.elapsed() > Duration::from_secs(60) {
            let (name, seconds) = (name(pod), start.limit.as_secs());
            note(&format!(
                "{name} is still not ready, waiting (at most {seconds} s)"
            ));
            told = true;
        }
        std::thread::sleep(POLL);
    }
}

/// What is seen of a start.
struct Watch {
    /// The process that is to end.
    old: Option<u32>,
    /// The control group of its pod.
    group: Option<PathBuf>,
    /// The process that came.
    seen: Option<u32>,
    /// When the old one was seen last, then when the new one was seen first.
    since: Instant,
}

impl Watch {
    /// A pod that comes while the kubelet still has the one before it is looked at again only 10 to 15 seconds later.
    /// Another one is looked at at once, and now that one is over. So there is a pod in the folder all the while: a host
    /// that loses power in between has its member again at boot.
    fn may_be_told_again(&mut self, host: &dyn Inspect) -> Result<bool, Error> {
        let Some(group) = self.group.clone().filter(|_| self.old.is_some()) else {
            return Ok(false);
        };
        let over = host.stat(&group)?.is_none();
        if over {
            self.group = None;
        }
        Ok(over)
    }
}

fn put(host: &mut dyn Host, place: &Path) -> Result<(), Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let content = pod::manifest(host, &now.unwrap_or_default().as_nanos().to_string())?;
    Ok(host.apply(&host::Change::private_file(place, content))?)
}

/// In a dry run a process ends by being forgotten.
fn forget(host: &mut dyn Host, process: Option<u32>) -> Result<(), Error> {
    let Some(pid) = process.filter(|_| host.is_dry_run()) else {
        return Ok(());
    };
    let path = PathBuf::from(format!("/proc/{pid}"));
    Ok(host.apply(&host::Change::RemoveTree { path })?)
}

/// How often etcd was started anew in the pod that came, and what it said last.
fn new_log(
    host: &dyn Inspect,
    before: &BTreeSet<PathBuf>,
) -> Result<Option<(usize, String)>, Error> {
    let logs = pod::logs(host)?;
    let new = logs.iter().find(|path| !before.contains(*path));
    new.map(|path| pod::last_log(host, path)).transpose()
}

/// It would be started over and over with what it cannot use. The failure itself is what there is to tell.
fn failed(host: &mut dyn Host, pod: &Pod, before: &BTreeSet<PathBuf>) -> Result<(), Error> {
    let log = new_log(host, before)?.unwrap_or_default().1;
    end(pod, host)?;
    if was_told_wrong(&log) {
        return Ok(());
    }
    Err(not(pod, "ended", telling(&log)))
}

fn not(pod: &Pod, what: &'static str, log: String) -> Error {
    let unit = name(pod);
    Error::Start { unit, what, log }
}

fn name(pod: &Pod) -> String {
    Runs::Pod(pod.clone()).name().to_owned()
}

/// Takes the pod out of the kubelet's folder and waits until its process has ended.
pub(crate) fn end(pod: &Pod, host: &mut dyn Host) -> Result<(), Error> {
    let (path, old) = (pod::place(host)?, pod.process(host)?);
    let group = old.and_then(|pid| pod::group(host, pid));
    if old.is_some() && !host.is_dry_run() && pod::kubelet(host)?.is_none() {
        return Err(Error::NoKubelet);
    }
    host.apply(&host::Change::Remove { path })?;
    if host.is_dry_run() {
        return forget(host, old);
    }
    // The kubelet, which tells nobody, may be about to start a container. Where one ran, the end of its pod's control group
    // says that it has done with it.
    let mut last = Instant::now();
    let ended = poll_until(ENDS, POLL, || {
        let runs = pod.process(host)?.is_some();
        let kept = match &group {
            Some(group) => host.stat(group)?.is_some(),
            None => last.elapsed() < QUIET,
        };
        if runs {
            last = Instant::now();
        }
        Ok::<_, Error>(if runs || kept {
            Err(String::new())
        } else {
            Ok(())
        })
    })?;
    ended.map_err(|_| not(pod, NOT_ENDED, pod::complaints(host)))
}
