//! Sweeps: one test at many points, of which a run takes a sample or all.
//!
//! `KLUSTERKIT_SEED` chooses the sample, so that a failure can be repeated. `KLUSTERKIT_SWEEP` names the sweep that is to run
//! whole (`all`: every sweep); such a run writes down each point that it has passed and goes on after the last one when it is
//! started again, until the sweep or the program under test is another.
//!
//! The test that holds a sweep is called `sweep_` and the sweep's name (`sweep_etcdadm_join_…` for `etcdadm-join`): by that
//! `cargo xtask test --sweep NAME` finds it.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use crate::Error;

/// One sweep, as the environment asks for it.
#[derive(Debug)]
pub struct Sweep {
    name: &'static str,
    whole: bool,
    seed: u64,
    progress: PathBuf,
}

impl Sweep {
    /// The sweep called `name`; its `part` if it has several. Its progress is kept below `cache`.
    ///
    /// # Errors
    /// `KLUSTERKIT_SEED` is no number.
    pub fn from_environment(name: &'static str, part: &str, cache: &Path) -> Result<Self, Error> {
        let seed = match std::env::var("KLUSTERKIT_SEED") {
            Ok(text) => text.parse().map_err(|_| Error::Seed(text))?,
            Err(_) => u64::from(std::process::id()),
        };
        let wanted = std::env::var("KLUSTERKIT_SWEEP").unwrap_or_default();
        Ok(Self {
            name,
            whole: wanted == "all" || wanted == name,
            seed,
            progress: cache.join("sweeps").join(format!("{name}.{part}")),
        })
    }

    /// Whether all points are to be run.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// What chooses the sample.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Runs the test at all `points`, or at `sample` of them, as [`Sweep::run_at_hand`] does. `subject` is what is tested (a program's digest): points that
    /// were passed with another one count for nothing. Says which points it runs, and how many of how many it ran.
    ///
    /// # Errors
    /// The progress cannot be kept.
    pub fn run<P: Display>(
        &self,
        subject: &str,
        points: &[P],
        sample: usize,
        test: impl FnMut(usize, &P),
    ) -> Result<(), Error> {
        self.run_at_hand(subject, points, sample, |_| true, test)
    }

    /// As [`Sweep::run`], for points that need what a run without the sweep does not make: a sample is taken of those alone
    /// that are `at_hand`.
    ///
    /// # Errors
    /// The progress cannot be kept.
    pub fn run_at_hand<P: Display>(
        &self,
        subject: &str,
        points: &[P],
        sample: usize,
        at_hand: impl Fn(&P) -> bool,
        mut test: impl FnMut(usize, &P),
    ) -> Result<(), Error> {
        let mut passed = if self.whole {
            self.passed(subject)?
        } else {
            BTreeSet::new()
        };
        let earlier = passed.len();
        let chosen: Vec<usize> = if self.whole {
            (0..points.len()).collect()
        } else {
            let ready: Vec<usize> = (0..points.len())
                .filter(|index| at_hand(&points[*index]))
                .collect();
            choose(ready.len(), sample, self.seed)
                .into_iter()
                .map(|index| ready[index])
                .collect()
        };
        let mut ran = 0;
        for index in chosen {
            let point = &points[index];
            let line = point.to_string();
            if passed.contains(&line) {
                continue;
            }
            println!(
                "sweep {}: point {} of {}: {line}",
                self.name,
                index + 1,
                points.len()
            );
            test(index, point);
            ran += 1;
            if self.whole {
                passed.insert(line);
                self.keep(subject, &passed)?;
            }
        }
        let (name, of, seed) = (self.name, points.len(), self.seed);
        println!("\n*** SWEEP {name}: ran {ran} of {of} points, seed {seed} ***");
        if earlier > 0 {
            println!("*** {earlier} points had been passed by an earlier run ***");
        }
        if self.whole {
            // The next whole sweep begins anew.
            remove(&self.progress)?;
        } else if ran < of {
            println!("*** `cargo xtask test --sweep {name}` runs all of them ***");
        }
        println!();
        Ok(())
    }

    fn passed(&self, subject: &str) -> Result<BTreeSet<String>, Error> {
        let text = match std::fs::read_to_string(&self.progress) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(self.error("read", source)),
        };
        let mut lines = text.lines();
        if lines.next() != Some(subject) {
            return Ok(BTreeSet::new());
        }
        Ok(lines.map(str::to_owned).collect())
    }

    fn keep(&self, subject: &str, passed: &BTreeSet<String>) -> Result<(), Error> {
        let mut text = format!("{subject}\n");
        for line in passed {
            text += &format!("{line}\n");
        }
        let folder = self.progress.parent().unwrap_or(Path::new("."));
        let beside = self.progress.with_extension("unfinished");
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&beside, text))
            .and_then(|()| std::fs::rename(&beside, &self.progress))
            .map_err(|source| self.error("write", source))
    }

    fn error(&self, action: &'static str, source: std::io::Error) -> Error {
        Error::File {
            action,
            path: self.progress.clone(),
            source,
        }
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Error::File {
            action: "remove",
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

/// `sample` different numbers below `count`, in order, by the seed alone.
fn choose(count: usize, sample: usize, seed: u64) -> Vec<usize> {
    let mut chosen = shuffled(count, seed);
    chosen.truncate(sample);
    chosen.sort_unstable();
    chosen
}

/// The numbers below `count` in an order that comes of the seed alone.
#[must_use]
pub fn shuffled(count: usize, seed: u64) -> Vec<usize> {
    let mut state = seed;
    let mut left: Vec<usize> = (0..count).collect();
    let mut order = Vec::with_capacity(count);
    while !left.is_empty() {
        let at = usize::try_from(split_mix(&mut state) % left.len() as u64).unwrap_or(0);
        order.push(left.swap_remove(at));
    }
    order
}

/// `SplitMix64`, by Steele, Lea and Flood (OOPSLA 2014).
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(folder: &Path, whole: bool) -> Sweep {
        Sweep {
            name: "trial",
            whole,
            seed: 7,
            progress: folder.join("sweeps/trial"),
        }
    }

    #[test]
    fn a_sample_depends_on_the_seed_alone() {
        assert_eq!(choose(40, 5, 7), choose(40, 5, 7));
        assert_ne!(choose(40, 5, 7), choose(40, 5, 8));
        assert_eq!(choose(3, 5, 7), [0, 1, 2]);
        assert_eq!(choose(40, 5, 7).len(), 5);
    }

    #[test]
    fn a_sample_is_of_what_is_at_hand() {
        let folder = tempfile::tempdir().unwrap();
        let ran = |whole: bool| {
            let mut seen = Vec::new();
            let at_hand = |point: &&str| *point == "c";
            sweep(folder.path(), whole)
                .run_at_hand("one", &["a", "b", "c"], 2, at_hand, |index, _| {
                    seen.push(index)
                })
                .unwrap();
            seen
        };
        assert_eq!(ran(false), [2]);
        assert_eq!(ran(true), [0, 1, 2]);
    }

    #[test]
    fn a_whole_sweep_goes_on_where_it_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let whole = sweep(folder.path(), true);
        let points = ["a", "b", "c"];
        let cut = std::panic::catch_unwind(|| {
            whole.run("one", &points, 1, |n, _| assert!(n < 2, "cut off"))
        });
        assert!(cut.is_err());

        let ran = |subject: &str| {
            let mut seen = Vec::new();
            let other = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                whole.run(subject, &points, 1, |n, point| {
                    seen.push(*point);
                    assert!(n < 2, "cut off");
                })
            }));
            assert!(other.is_err());
            seen
        };
        assert_eq!(ran("one"), ["c"]);
        assert_eq!(
            ran("two"),
            ["a", "b", "c"],
            "another program passed nothing yet"
        );

        let mut last = Vec::new();
        whole
            .run("two", &points, 1, |_, point| last.push(*point))
            .unwrap();
        assert_eq!(last, ["c"]);
        last.clear();
        whole
            .run("two", &points, 1, |_, point| last.push(*point))
            .unwrap();
        assert_eq!(
            last,
            ["a", "b", "c"],
            "a sweep that came to its end begins anew"
        );
    }
}
