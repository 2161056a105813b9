//! Waiting for what etcd needs time for: tried again until it succeeds, fails for good, or the time is over.

use std::time::{Duration, Instant};

use crate::{Change, Error, Member, Waits};

/// How long a cluster may stay unhealthy: etcd measures health over 5 s.
const UNHEALTHY_LIMIT: Duration = Duration::from_secs(30);

/// What is waited for in other members.
#[derive(Clone, Copy)]
pub(crate) struct Wait {
    pub(crate) what: &'static str,
    pub(crate) done: fn(Option<&Member>) -> bool,
}

pub(crate) const ADDED: Wait = Wait {
    what: "added, too",
    done: |member| member.is_some(),
};
pub(crate) const STARTED: Wait = Wait {
    what: "started first",
    done: |member| member.is_none_or(Member::started),
};

/// A change of the membership reaches one member after the other.
pub(crate) fn not_known_yet() -> Error {
    Error::EtcdTimeout("the member is not known everywhere yet".to_owned())
}

/// Tries until it succeeds, fails for good, or the time is over; tells each new reason once.
pub(crate) fn retry(
    change: &Change,
    waits: Waits,
    note: &mut dyn FnMut(&str),
    mut attempt: impl FnMut() -> Result<(), Error>,
) -> Result<(), Error> {
    let begun = Instant::now();
    let mut unhealthy_since = None;
    let mut told = String::new();
    loop {
        let error = match attempt() {
            Ok(()) => return Ok(()),
            Err(error) if !error.is_passing() => return Err(error),
            Err(error) => error,
        };
        // Health comes back within seconds, or not before somebody does something about it.
        let (since, limit) = if error == Error::Unhealthy {
            (
                *unhealthy_since.get_or_insert_with(Instant::now),
                waits.limit.min(UNHEALTHY_LIMIT),
            )
        } else {
            unhealthy_since = None;
            (begun, waits.limit)
        };
        let reason = error.to_string();
        if reason != told {
            note(&format!(
                "waiting (at most {} s): {reason}",
                limit.as_secs()
            ));
            told = reason;
        }
        let left = limit.saturating_sub(since.elapsed());
        if left.is_zero() {
            return Err(Error::Deadline {
                what: change.to_string(),
                limit,
                last: Box::new(error),
            });
        }
        std::thread::sleep(waits.poll.min(left));
    }
}
