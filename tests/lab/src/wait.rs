//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

use crate::error::Error;

/// Asks again and again until the answer is yes; `what` says in the error what did not come about.
///
/// The question is asked at least once, and once more after the limit has passed. Its own errors end the wait: a question
/// that may fail for a while has to answer `Ok(false)` then.
///
/// # Errors
/// [`Error::Deadline`] after `limit`; what the question returned otherwise.
pub fn wait_until(
    what: &str,
    limit: Duration,
    mut question: impl FnMut() -> Result<bool, Error>,
) -> Result<(), Error> {
    let limit = limit * patience();
    let start = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        let (last, asked) = (start.elapsed() >= limit, Instant::now());
        if question()? {
            return Ok(());
        }
        if last {
            return Err(Error::Deadline {
                what: what.to_owned(),
                limit,
            });
        }
        // A question that costs something takes that from who is to answer it.
        let dear = (asked.elapsed() * 2).min(Duration::from_secs(1));
        std::thread::sleep(pause.max(dear));
        pause = (pause * 3 / 2).min(Duration::from_millis(50));
    }
}

/// How many times longer all waits may take, by `LAB_PATIENCE`: a machine that is emulated in software is that much slower.
pub(crate) fn patience() -> u32 {
    let said = std::env::var("LAB_PATIENCE").ok();
    said.and_then(|times| times.parse().ok())
        .unwrap_or(1)
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_until_yes_and_names_what_never_came() {
        let mut left = 3;
        wait_until("three", Duration::from_secs(5), || {
            left -= 1;
            Ok(left == 0)
        })
        .unwrap();
        let error = wait_until("the moon", Duration::from_millis(5), || Ok(false)).unwrap_err();
        assert_eq!(error.to_string(), "not within 5ms: the moon");
    }
}
