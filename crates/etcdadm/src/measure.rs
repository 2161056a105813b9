//! The change "see how fast the disk is": etcd is as fast as its disk makes what is written safe.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::{Check, Verdict};
use host::Host;
use serde::Serialize;

use crate::Error;

/// As large as what etcd writes.
const SIZE: usize = 2300;
/// As often as tells what 99 of 100 take.
const TIMES: usize = 100;
/// And as often as tells that a disk is fast: a slow one shows itself in these, or is not slow often enough to matter.
const FIRST: usize = 20;
/// A disk that has not done so many by then has told enough.
const LIMIT: Duration = Duration::from_secs(5);
/// What etcd advises: 99 of 100 writes within it.
const ADVISED: Duration = Duration::from_millis(10);
/// A heartbeat: where every other write takes longer, members lose their leader over writing.
const TOO_SLOW: Duration = Duration::from_millis(100);
/// The check's name.
pub(crate) const NAME: &str = "disk-latency";

/// Measure a folder's disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Measure {
    /// Where data will lie.
    pub folder: PathBuf,
    /// Whether a slow disk is refused.
    pub refuses: bool,
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.folder.display();
        write!(f, "measure how long the disk of {folder} takes to write")
    }
}

impl Measure {
    /// Makes the change.
    ///
    /// # Errors
    /// [`Error::Preflight`] where the disk is too slow for a member.
    pub(crate) fn apply(&self, host: &dyn Host, note: &mut dyn FnMut(&str)) -> Result<(), Error> {
        let root = host.root();
        let below = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
        let there = self
            .folder
            .ancestors()
            .map(below)
            .find(|path| path.is_dir());
        let folder = there.unwrap_or_else(|| root.to_owned());
        let took = host::write_latency(&folder, SIZE, is_told, LIMIT)?;
        let Some(message) = judge(&self.folder, &took) else {
            return Ok(());
        };
        // A few slow ones may be somebody else's work at this moment.
        if !self.refuses || median(&took) < TOO_SLOW {
            note(&message);
            return Ok(());
        }
        Err(Error::Preflight(vec![Check {
            name: NAME.to_owned(),
            verdict: Verdict::Failed,
            message,
            hint: Some(
                "choose a folder on a faster disk with --data-dir, one that nothing else writes to"
                    .to_owned(),
            ),
        }]))
    }
}

/// Whether so many writes say enough.
fn is_told(took: &[Duration]) -> bool {
    let is_fast = || took.iter().all(|took| *took <= ADVISED);
    took.len() >= TIMES || took.len() == FIRST && is_fast()
}

/// What half of them took at most.
fn median(took: &[Duration]) -> Duration {
    took.get(took.len() / 2).copied().unwrap_or(TOO_SLOW)
}

/// The time within which 99 of 100 were done; of fewer, the longest.
fn at_99(took: &[Duration]) -> Duration {
    let at = (took.len() * 99).div_ceil(100).saturating_sub(1);
    took.get(at).copied().unwrap_or(TOO_SLOW)
}

/// What is to be said of a disk that is slower than advised.
fn judge(folder: &Path, took: &[Duration]) -> Option<String> {
    let worst = at_99(took);
    (worst > ADVISED).then(|| {
        format!(
            "the disk of {} takes {} ms to write (99 of 100 times at most); etcd advises {} ms",
            folder.display(),
            worst.as_millis(),
            ADVISED.as_millis()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_write_asks_for_more_of_them() {
        let fast = vec![Duration::from_millis(2); TIMES];
        assert!(is_told(&fast[..FIRST]) && !is_told(&fast[1..FIRST]));
        let mut slow = fast;
        slow[0] = ADVISED * 2;
        assert!(!is_told(&slow[..FIRST]) && !is_told(&slow[..TIMES - 1]) && is_told(&slow));
    }

    #[test]
    fn one_of_a_hundred_may_be_slow() {
        let folder = Path::new("/var/lib/etcd");
        let mut took = vec![Duration::from_millis(2); 99];
        took.push(Duration::from_millis(500));
        assert_eq!(judge(folder, &took), None);
        took[98] = Duration::from_millis(30);
        insta::assert_snapshot!(judge(folder, &took).unwrap(), @"the disk of /var/lib/etcd takes 30 ms to write (99 of 100 times at most); etcd advises 10 ms");
        assert!(median(&took) < TOO_SLOW);
        assert_eq!((at_99(&[]), median(&[])), (TOO_SLOW, TOO_SLOW));
        assert_eq!(at_99(&took[..7]), Duration::from_millis(2));
    }
}
