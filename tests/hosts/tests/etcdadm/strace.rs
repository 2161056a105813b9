//! Runs that are disturbed at an exact call: strace sends a signal, or lets the call fail, when the program makes its Nth of
//! a kind.

use std::time::Duration;

use hosts::ETCDADM;
use lab::{Host, Run, wait_until};
use serde_json::Value;

/// Where strace writes: nothing that a listing shows.
pub(crate) const TRACE: &str = "/run/trace";
pub(crate) const JOURNAL: &str = "/var/lib/etcdadm/journal";
/// What etcdadm calls before each change, when it stands in the journal, and for nothing else.
pub(crate) const SYNC: &str = "fdatasync";

/// `etcdadm` with these words under strace, which is told how.
pub(crate) fn traced<'a>(
    host: &Host,
    how: &[&str],
    words: impl IntoIterator<Item = &'a str>,
) -> Run {
    let how = ["strace", "-o", TRACE].iter().chain(how).copied();
    let how = how.chain([ETCDADM]).map(str::to_owned);
    let all: Vec<String> = how.chain(words.into_iter().map(str::to_owned)).collect();
    host.exec(all.iter().map(String::as_str))
        .timeout(Duration::from_secs(300))
}

/// `etcdadm` with these words, to whose `nth` call this is done (`signal=SIGKILL`, `error=EIO`).
pub(crate) fn disturbed<'a>(
    host: &Host,
    call: &str,
    nth: usize,
    what: &str,
    words: impl IntoIterator<Item = &'a str>,
) -> Run {
    let trace = format!("trace={call}");
    let inject = format!("inject={call}:{what}:when={nth}");
    traced(host, &["-e", &trace, "-e", &inject], words)
}

/// Waits until a signal has stopped it; whether it has, and not come to its end before. Any traced call stops it for a moment;
/// this is the stop that lasts.
pub(crate) fn is_stopped(host: &Host, what: &str) -> bool {
    let mut stopped = false;
    wait_until(
        &format!("etcdadm to be stopped at {what}"),
        Duration::from_secs(60),
        || {
            let trace = host.read(TRACE).unwrap_or_default();
            stopped = trace.contains("--- stopped by SIGSTOP ---");
            Ok(stopped || trace.contains("+++ exited with"))
        },
    )
    .unwrap();
    stopped
}

/// The journal's lines, in words that are the same each time.
pub(crate) fn journal(host: &Host) -> Vec<String> {
    let text = host.read(JOURNAL).unwrap();
    let line = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        match line["entry"].as_str() {
            Some("change") => {
                let words = line["words"].as_str().unwrap_or_default();
                let words = words.split(" (").next().unwrap_or_default();
                format!("[{}] {words}", line["phase"].as_str().unwrap_or_default())
            }
            entry => entry.unwrap_or_default().to_owned(),
        }
    };
    text.lines().map(line).collect()
}
