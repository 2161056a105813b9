//! How far a bundle's bytes have come: a line a step, and between them a line that is replaced on a terminal, or one now and
//! then where there is none.

use std::time::{Duration, Instant};

use bundle::Progress;

/// How often the line on a terminal changes.
const FLICKER: Duration = Duration::from_millis(150);
/// How often something is said where nothing can be replaced.
const PATIENCE: Duration = Duration::from_secs(10);

/// Takes what crate `bundle` tells of its work.
pub(crate) struct Meter<'a> {
    progress: &'a mut cli::Progress,
    /// Bytes done since the last step whose size was known.
    done: u64,
    /// Bytes of that step.
    of: Option<u64>,
    said: Instant,
}

impl<'a> Meter<'a> {
    /// Shows by way of `progress`.
    pub(crate) fn new(progress: &'a mut cli::Progress) -> Self {
        Self {
            progress,
            done: 0,
            of: None,
            said: Instant::now(),
        }
    }

    /// Takes one thing told.
    pub(crate) fn take(&mut self, told: Progress<'_>) {
        match told {
            Progress::Step { what, bytes } => {
                // Fetching is many steps of unknown size, counted together.
                if bytes.is_some() || self.of.is_some() {
                    (self.done, self.of) = (0, bytes);
                }
                self.progress.note(what);
                self.said = Instant::now();
            }
            Progress::Bytes(bytes) => {
                self.done += bytes;
                let live = self.progress.is_live();
                if self.said.elapsed() >= if live { FLICKER } else { PATIENCE } {
                    let line = format!("… {}", so_far(self.done, self.of));
                    if live {
                        self.progress.live(&line);
                    } else {
                        self.progress.note(&line);
                    }
                    self.said = Instant::now();
                }
            }
        }
    }
}

impl Drop for Meter<'_> {
    fn drop(&mut self) {
        self.progress.end_live();
    }
}

fn so_far(done: u64, of: Option<u64>) -> String {
    match of {
        Some(of) => format!("{} of {}", megabytes(done), megabytes(of)),
        None => megabytes(done),
    }
}

/// A size for people.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_for_people() {
        assert_eq!(so_far(123_456_789, None), "123.4 MB");
        assert_eq!(so_far(0, Some(99_999)), "0.0 MB of 0.0 MB");
        assert_eq!(so_far(1_950_000, Some(2_000_000)), "1.9 MB of 2.0 MB");
    }
}
