//! What lies on a host, to be compared with what lay there before.
//!
//! The whole root file system is listed, so that nothing has to be guessed about where a tool may write. Left out is what
//! changes by itself: logs, what runs, and the insides of etcd's data directory. Other file systems are not entered.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use lab::Host;

use crate::Error;

/// Trees that change by themselves while a host runs.
const RESTLESS: &[&str] = &[
    "/proc",
    "/sys",
    "/dev",
    "/run",
    "/tmp",
    "/var/tmp",
    "/var/log",
    "/var/lib/systemd",
    "/var/lib/etcd/member",
];

/// The paths on a host, each with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing(BTreeMap<String, String>);

impl Listing {
    /// Everything on this host: kind, mode and owner, of files also size, time and inode. Equal listings mean that nothing
    /// was written, not even the same again.
    ///
    /// # Errors
    /// The host is off.
    pub fn of(host: &Host) -> Result<Self, Error> {
        let mut argv = vec!["find", "/", "-xdev", "("];
        for (n, path) in RESTLESS.iter().enumerate() {
            if n > 0 {
                argv.push("-o");
            }
            argv.extend(["-path", path]);
        }
        // A folder's own size and time tell of files that came and went, which is no lasting change.
        argv.extend([")", "-prune", "-o", "-type", "d"]);
        argv.extend(["-printf", "%p\\t%y %m %u:%g\\n", "-o"]);
        argv.extend(["-printf", "%p\\t%y %m %u:%g %s %T@ %i %l\\n"]);
        let text = host.nsexec(argv)?.text()?;
        let entry = |line: &str| {
            let (path, facts) = line.split_once('\t')?;
            Some((path.to_owned(), facts.trim_end().to_owned()))
        };
        Ok(Self(text.lines().filter_map(entry).collect()))
    }

    /// With the digests of all files besides that lie below these folders, as far as those are there.
    ///
    /// # Errors
    /// The host is off.
    pub fn with_digests(mut self, host: &Host, folders: &[&str]) -> Result<Self, Error> {
        let there = folders.iter().copied().filter(|f| self.0.contains_key(*f));
        let find = ["find"].into_iter().chain(there);
        let words = ["-xdev", "-type", "f", "-exec", "sha256sum", "--", "{}", "+"];
        let text = host.nsexec(find.chain(words))?.text()?;
        for (digest, path) in text.lines().filter_map(|line| line.split_once("  ")) {
            if let Some(facts) = self.0.get_mut(path) {
                facts.push(' ');
                facts.push_str(digest);
            }
        }
        Ok(self)
    }

    /// Without the paths that begin with one of these.
    #[must_use]
    pub fn without(mut self, prefixes: &[&str]) -> Self {
        self.0
            .retain(|path, _| !prefixes.iter().any(|prefix| path.starts_with(prefix)));
        self
    }

    /// Without this one path.
    #[must_use]
    pub fn without_exactly(mut self, path: &str) -> Self {
        self.0.remove(path);
        self
    }

    /// Only what stays the same when the same thing is done again: no sizes, times and inodes, and the time of day in the
    /// names of what was set aside as `TIME`.
    #[must_use]
    pub fn shape(self) -> Self {
        let mut shapes = BTreeMap::new();
        for (path, facts) in self.0 {
            let path = match path.split_once(".set-aside-") {
                Some((before, after)) => {
                    let rest = after.find('/').map_or("", |at| &after[at..]);
                    format!("{before}.set-aside-TIME{rest}")
                }
                None => path,
            };
            let facts = facts.split(' ').take(3).collect::<Vec<_>>().join(" ");
            shapes.insert(path, facts);
        }
        Self(shapes)
    }

    /// A line for each path that came (`+`), went (`-`) or changed (`~`) since `before`; empty if none did.
    #[must_use]
    pub fn since(&self, before: &Self) -> String {
        let mut lines = BTreeMap::new();
        for (path, facts) in &self.0 {
            match before.0.get(path) {
                None => lines.insert(path, format!("+ {path} {facts}")),
                Some(old) if old != facts => {
                    lines.insert(path, format!("~ {path} {old} -> {facts}"))
                }
                Some(_) => None,
            };
        }
        for path in before.0.keys() {
            if !self.0.contains_key(path) {
                lines.insert(path, format!("- {path}"));
            }
        }
        let mut text = String::new();
        for line in lines.values() {
            let _ = writeln!(text, "{line}");
        }
        text
    }
}
