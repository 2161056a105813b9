//! Somebody who writes to a cluster and looks at its health while it is changed, and remembers what was acknowledged.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lab::Host;

use crate::members::client_url;
use crate::{Error, Members};

const PREFIX: &str = "/load/";
/// Between two writes: enough of them, and time for the hosts, which share this machine's processors.
const PAUSE: Duration = Duration::from_millis(30);
/// Between two looks at the health of all.
const LOOK: Duration = Duration::from_millis(300);

/// The work going on.
#[derive(Debug)]
pub struct Load {
    urls: Mutex<String>,
    ended: AtomicBool,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Written {
    /// The writes that were acknowledged.
    pub acknowledged: BTreeSet<u32>,
    /// Those that were not, each with what etcdctl said.
    pub refused: Vec<(u32, String)>,
    /// The longest time between two acknowledged writes.
    pub longest: Duration,
    /// How often the health of all members was looked at.
    pub looks: u32,
    /// What was said when a member was not healthy.
    pub unhealthy: Vec<String>,
}

impl Load {
    /// From now on these hosts are written to, and must be healthy.
    pub fn on(&self, hosts: &[Host]) {
        let urls: Vec<String> = hosts.iter().map(client_url).collect();
        *self.urls.lock().unwrap_or_else(PoisonError::into_inner) = urls.join(",");
    }

    fn urls(&self) -> String {
        self.urls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn goes_on(&self) -> bool {
        !self.ended.load(Ordering::SeqCst)
    }
}

impl Members<'_> {
    /// Does `work` while the members on `hosts` are written to and looked at without a break.
    ///
    /// # Errors
    /// etcdctl cannot be run, or ends neither well nor badly.
    ///
    /// # Panics
    /// When `work` does.
    pub fn under_load<T>(
        &self,
        hosts: &[Host],
        work: impl FnOnce(&Load) -> T,
    ) -> Result<(T, Written), Error> {
        let load = Load {
            urls: Mutex::default(),
            ended: AtomicBool::new(false),
        };
        load.on(hosts);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| self.write(&load));
            let looker = scope.spawn(|| self.look(&load));
            // Also when the work panics: the scope waits for its threads.
            let guard = End(&load);
            let result = work(&load);
            drop(guard);
            let mut written = writer
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            let (looks, unhealthy) = looker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            written.looks = looks;
            written.unhealthy = unhealthy;
            Ok((result, written))
        })
    }

    fn write(&self, load: &Load) -> Result<Written, Error> {
        let mut written = Written {
            acknowledged: BTreeSet::new(),
            refused: Vec::new(),
            longest: Duration::ZERO,
            looks: 0,
            unhealthy: Vec::new(),
        };
        let mut last = Instant::now();
        let mut number = 0;
        while load.goes_on() {
            let (key, value) = (format!("{PREFIX}{number:06}"), number.to_string());
            let put = self
                .etcdctl_at(&load.urls(), ["put", &key, &value])
                .output()?;
            if put.success() {
                written.acknowledged.insert(number);
                written.longest = written.longest.max(last.elapsed());
                last = Instant::now();
            } else {
                written.refused.push((number, put.error_text()));
            }
            number += 1;
            std::thread::sleep(PAUSE);
        }
        written.longest = written.longest.max(last.elapsed());
        Ok(written)
    }

    fn look(&self, load: &Load) -> Result<(u32, Vec<String>), Error> {
        let (mut looks, mut unhealthy) = (0, Vec::new());
        while load.goes_on() {
            let urls = load.urls();
            let look = || self.etcdctl_at(&urls, ["endpoint", "health"]).output();
            let health = look()?;
            // One that left the cluster meanwhile may end as it likes. And the question itself goes through the log: where the
            // leader hands over, it may be dropped on its way, and etcdctl waits in vain. Who is unhealthy is so when asked again.
            if !health.success() && load.urls() == urls && !look()?.success() {
                unhealthy.push(format!("{}\n{}", health.text(), health.error_text()));
            }
            looks += 1;
            std::thread::sleep(LOOK);
        }
        Ok((looks, unhealthy))
    }

    /// The acknowledged writes that the member on this host does not have.
    ///
    /// # Errors
    /// It does not answer.
    pub fn lost(&self, host: &Host, written: &Written) -> Result<Vec<u32>, Error> {
        let words = ["get", "--prefix", PREFIX];
        let text = self.etcdctl(std::slice::from_ref(host), words).text()?;
        let mut lines = text.lines();
        let mut there = BTreeSet::new();
        while let (Some(key), Some(value)) = (lines.next(), lines.next()) {
            let number = key.strip_prefix(PREFIX).and_then(|n| n.parse::<u32>().ok());
            there.extend(number.filter(|number| number.to_string() == value));
        }
        Ok(written.acknowledged.difference(&there).copied().collect())
    }
}

struct End<'a>(&'a Load);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::SeqCst);
    }
}
