//! Somebody who asks an address the whole time, and remembers when it answered.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lab::{Lab, wait_until};

use crate::Error;

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(10);
/// How long an answer may take.
const ANSWER: &str = "0.25";
/// It is over when it has answered without a break for as long.
const CALM: Duration = Duration::from_secs(2);

/// A time without answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    /// From the last answer before it to the first one after it.
    pub longest: Duration,
    /// Questions that were not answered in all.
    pub unanswered: usize,
}

#[derive(Debug, Default)]
struct Heard {
    answers: Vec<Instant>,
    unanswered: usize,
    last_failure: Option<Instant>,
}

/// Asks the API behind `address` whether it lives, without a break, while `blow` is struck and until it has answered for two
/// seconds in a row after it: how long it was silent.
///
/// # Errors
/// It did not answer before, the blow failed, or it is not back within a minute.
pub fn silence(
    lab: &Lab,
    address: &str,
    blow: impl FnOnce() -> Result<(), lab::Error>,
) -> Result<Silence, Error> {
    let url = format!("https://{address}:6443/livez");
    let (heard, over) = (Mutex::new(Heard::default()), AtomicBool::new(false));
    let look = |seen: &mut dyn FnMut(&mut Heard)| {
        seen(
            &mut heard
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        );
    };
    let ask = || -> Result<(), Error> {
        while !over.load(Ordering::SeqCst) {
            // The certificate is checked by everything else here; this one asks only who is there.
            let words = [
                "curl",
                "--silent",
                "--fail",
                "--insecure",
                "--output",
                "/dev/null",
            ];
            let limit = ["--max-time", ANSWER, &url];
            let answered = lab.run(words).args(limit).output()?.success();
            let now = Instant::now();
            look(&mut |heard| {
                if answered {
                    heard.answers.push(now);
                } else {
                    heard.unanswered += 1;
                    heard.last_failure = Some(now);
                }
            });
            std::thread::sleep(PAUSE);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let asking = scope.spawn(ask);
        let work = || -> Result<(), Error> {
            let count = || {
                let mut count = 0;
                look(&mut |heard| count = heard.answers.len());
                count
            };
            wait_until("the API to answer", Duration::from_secs(30), || {
                Ok(count() > 0)
            })?;
            blow()?;
            let struck = Instant::now();
            wait_until("the API to answer again", Duration::from_secs(60), || {
                let mut calm = false;
                look(&mut |heard| {
                    let since = heard.last_failure.unwrap_or(struck).max(struck);
                    let last = heard.answers.last().copied().unwrap_or(since);
                    calm = last > since + CALM;
                });
                Ok(calm)
            })?;
            Ok(())
        };
        let worked = work();
        over.store(true, Ordering::SeqCst);
        let asked = asking
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        worked.and(asked)
    })?;
    let heard = heard
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let gaps = heard.answers.windows(2).map(|pair| pair[1] - pair[0]);
    Ok(Silence {
        longest: gaps.max().unwrap_or_default(),
        unanswered: heard.unanswered,
    })
}
