//! Several downloads at a time, told of by one voice.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use crate::{Progress, ProgressFn};

/// How many at a time: enough that one slow answer does not hold up the rest, few enough for any server.
const MOST: usize = 4;

enum Told<R, E> {
    Step(String, Option<u64>),
    Bytes(u64),
    Done(usize, Result<R, E>),
}

/// Does `work` for each item. At the first error, which is returned, `stop` is set and nothing more is begun.
pub(super) fn side_by_side<T: Sync, R: Send, E: Send>(
    items: &[T],
    stop: &AtomicBool,
    progress: ProgressFn<'_>,
    work: impl Fn(&T, ProgressFn<'_>) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let next = AtomicUsize::new(0);
    let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
    let mut first_error = None;
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..MOST.min(items.len()) {
            let sender = sender.clone();
            let (next, work) = (&next, &work);
            scope.spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let Some(item) = items.get(number) else {
                        return;
                    };
                    // The receiver listens until the last sender is gone.
                    let mut tell = |told: Progress<'_>| {
                        let _ = sender.send(match told {
                            Progress::Step { what, bytes } => Told::Step(what.to_owned(), bytes),
                            Progress::Bytes(bytes) => Told::Bytes(bytes),
                        });
                    };
                    let result = work(item, &mut tell);
                    let failed = result.is_err();
                    let _ = sender.send(Told::Done(number, result));
                    if failed {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for told in receiver {
            match told {
                Told::Step(what, bytes) => progress(Progress::Step { what: &what, bytes }),
                Told::Bytes(bytes) => progress(Progress::Bytes(bytes)),
                Told::Done(number, Ok(result)) => results[number] = Some(result),
                // Errors after the first only say that they were told to stop.
                Told::Done(_, Err(error)) => {
                    stop.store(true, Ordering::SeqCst);
                    first_error.get_or_insert(error);
                }
            }
        }
    });
    match first_error {
        Some(error) => Err(error),
        None => Ok(results.into_iter().flatten().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet() -> impl FnMut(Progress<'_>) {
        |_| {}
    }

    #[test]
    fn results_come_in_order_and_a_few_run_at_a_time() {
        let items: Vec<u64> = (0..50).collect();
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let mut bytes = 0;
        let mut count = |told: Progress<'_>| {
            if let Progress::Bytes(n) = told {
                bytes += n;
            }
        };
        let squares = side_by_side(&items, &AtomicBool::new(false), &mut count, |n, tell| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tell(Progress::Bytes(*n));
            now.fetch_sub(1, Ordering::SeqCst);
            Ok::<u64, ()>(n * n)
        })
        .unwrap();
        assert_eq!(squares, items.iter().map(|n| n * n).collect::<Vec<_>>());
        assert_eq!(bytes, 49 * 50 / 2);
        assert!(most.into_inner() <= MOST);
        let none: Vec<u64> =
            side_by_side(&[0; 0], &AtomicBool::new(false), &mut quiet(), |_, _| {
                Err("never asked")
            })
            .unwrap();
        assert!(none.is_empty());
    }

    #[test]
    fn the_first_error_ends_the_others_and_is_the_one_that_is_told() {
        let stop = AtomicBool::new(false);
        let begun = AtomicUsize::new(0);
        let items: Vec<u64> = (0..1000).collect();
        let result: Result<Vec<()>, &str> = side_by_side(&items, &stop, &mut quiet(), |n, _| {
            begun.fetch_add(1, Ordering::SeqCst);
            if *n == 2 {
                return Err("the cause");
            }
            // A download that goes on until it is told to stop.
            while !stop.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            Err("stopped")
        });
        assert_eq!(result, Err("the cause"));
        assert!(begun.into_inner() <= MOST, "nothing more is begun");
    }
}
