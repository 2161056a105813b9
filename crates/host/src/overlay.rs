//! Planned changes laid over a host that is only read: the dry run, and over nothing at all, the host of unit tests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::{
    Change, Condition, Digest, Error, FileSystem, Host, Inspect, Kind, Output, Query, Stat, Unit,
    UnitAction, UnitActivity,
};

/// A host of its own in memory: no files, no units, no programs but those that are put there.
pub type Memory = Overlay<Nothing>;

/// The host below an overlay that has nothing below it.
#[derive(Debug, Default, Clone, Copy)]
pub struct Nothing;

#[derive(Debug, Clone)]
enum Entry {
    Gone,
    Dir {
        mode: u32,
    },
    /// `None`: what a program is going to write is not known before it runs.
    File {
        mode: u32,
        content: Option<Vec<u8>>,
    },
    Link {
        target: PathBuf,
    },
    /// Moved here from this path of the base.
    Moved {
        from: PathBuf,
    },
}

/// Applies changes to a picture of the host instead of the host.
#[derive(Debug, Clone, Default)]
pub struct Overlay<B> {
    base: B,
    entries: BTreeMap<PathBuf, Entry>,
    units: BTreeMap<String, Unit>,
    true_conditions: Vec<Condition>,
    answers: Vec<(Query, Output)>,
    refused: BTreeSet<String>,
    file_systems: Vec<(PathBuf, FileSystem)>,
}

impl<B: Inspect> Overlay<B> {
    /// Over `base`, with nothing changed yet.
    pub fn new(base: B) -> Self {
        Self {
            base,
            entries: BTreeMap::new(),
            units: BTreeMap::new(),
            true_conditions: Vec::new(),
            answers: Vec::new(),
            refused: BTreeSet::new(),
            file_systems: Vec::new(),
        }
    }

    /// From now on `query` is answered by `output`.
    pub fn answer(&mut self, query: Query, output: Output) {
        self.answers.push((query, output));
    }

    /// From now on `condition` holds.
    pub fn make_true(&mut self, condition: Condition) {
        self.true_conditions.push(condition);
    }

    /// From now on `path` and what lies below it is on this file system.
    pub fn set_file_system(&mut self, path: &Path, found: FileSystem) {
        self.file_systems.push((path.to_owned(), found));
    }

    /// Puts a unit's state there.
    pub fn set_unit(&mut self, name: &str, unit: Unit) {
        self.units.insert(name.to_owned(), unit);
    }

    /// A change whose words contain `words` fails from now on: what a test breaks.
    pub fn refuse(&mut self, words: &str) {
        self.refused.insert(words.to_owned());
    }

    /// The same host, on which no change fails any more.
    #[must_use]
    pub fn allow(mut self) -> Self {
        self.refused.clear();
        self
    }

    /// All that was laid over the base, as text: path, mode, digest, a line each.
    #[must_use]
    pub fn listing(&self) -> String {
        let line = |(path, entry): (&PathBuf, &Entry)| {
            let path = path.display();
            match entry {
                Entry::Gone => format!("{path} gone\n"),
                Entry::Dir { mode } => format!("{path}/ {mode:04o}\n"),
                Entry::File {
                    mode,
                    content: Some(bytes),
                } => {
                    format!(
                        "{path} {mode:04o} {}\n",
                        &Digest::of(bytes).to_string()[..12]
                    )
                }
                Entry::File {
                    mode,
                    content: None,
                } => format!("{path} {mode:04o} decided at run time\n"),
                Entry::Link { target } => format!("{path} -> {}\n", target.display()),
                Entry::Moved { from } => format!("{path} was {}\n", from.display()),
            }
        };
        self.entries.iter().map(line).collect()
    }

    /// Where `path` is to be looked up: an entry of ours, or a path of the base.
    fn find(&self, path: &Path) -> Found<'_> {
        if let Some(entry) = self.entries.get(path) {
            return Found::Entry(entry);
        }
        for above in path.ancestors().skip(1) {
            match self.entries.get(above) {
                Some(Entry::Gone) => return Found::Entry(&Entry::Gone),
                Some(Entry::Moved { from }) => {
                    return Found::Base(
                        from.join(path.strip_prefix(above).expect("an ancestor is a prefix")),
                    );
                }
                _ => {}
            }
        }
        Found::Base(path.to_owned())
    }

    fn put_dirs_above(&mut self, path: &Path) -> Result<(), Error> {
        let above: Vec<PathBuf> = path.ancestors().skip(1).map(Path::to_owned).collect();
        for dir in above.into_iter().rev() {
            if self.stat(&dir)?.is_none() {
                self.entries.insert(dir, Entry::Dir { mode: 0o755 });
            }
        }
        Ok(())
    }

    fn put(&mut self, path: &Path, entry: Entry) -> Result<(), Error> {
        self.put_dirs_above(path)?;
        self.entries.insert(path.to_owned(), entry);
        Ok(())
    }

    fn remove_all(&mut self, path: &Path) -> Result<(), Error> {
        let below: Vec<PathBuf> = self
            .entries
            .keys()
            .filter(|key| key.starts_with(path))
            .cloned()
            .collect();
        for key in below {
            self.entries.remove(&key);
        }
        if self.base.stat(path)?.is_some()
            || matches!(self.find(path), Found::Base(_)) && self.stat(path)?.is_some()
        {
            self.entries.insert(path.to_owned(), Entry::Gone);
        }
        Ok(())
    }

    fn set_aside(&mut self, path: &Path, to: &Path) -> Result<(), Error> {
        if let Some(stat) = self.stat(to)? {
            return Err(Error::InTheWay {
                path: to.to_owned(),
                found: stat.kind.words(),
                wanted: "free",
            });
        }
        let found = match self.find(path) {
            Found::Base(from) => Entry::Moved { from },
            Found::Entry(entry) => entry.clone(),
        };
        let below: Vec<(PathBuf, Entry)> = self
            .entries
            .range(path.to_owned()..)
            .skip_while(|(key, _)| *key == path)
            .take_while(|(key, _)| key.starts_with(path))
            .map(|(key, entry)| {
                (
                    to.join(key.strip_prefix(path).expect("taken by its prefix")),
                    entry.clone(),
                )
            })
            .collect();
        self.remove_all(path)?;
        self.put(to, found)?;
        self.entries.extend(below);
        Ok(())
    }

    fn unit_action(&mut self, name: &str, action: UnitAction) -> Result<(), Error> {
        let mut unit = self.unit(name)?;
        match action {
            UnitAction::Enable => unit.enabled = true,
            UnitAction::Disable => unit.enabled = false,
            UnitAction::Start | UnitAction::StartInBackground | UnitAction::Restart => {
                unit.activity = UnitActivity::Active;
                unit.main_pid = unit.main_pid.max(1);
            }
            UnitAction::Stop | UnitAction::ResetFailed => {
                unit.activity = UnitActivity::Inactive;
                unit.main_pid = 0;
            }
            UnitAction::Mask => unit.masked = true,
            UnitAction::Unmask => unit.masked = false,
        }
        self.units.insert(name.to_owned(), unit);
        Ok(())
    }

    fn reload_units(&mut self) -> Result<(), Error> {
        let files: Vec<String> = self
            .entries
            .iter()
            .filter(|(path, entry)| {
                path.starts_with("/etc/systemd/system") && matches!(entry, Entry::File { .. })
            })
            .filter_map(|(path, _)| Some(path.file_name()?.to_string_lossy().into_owned()))
            .collect();
        for name in files {
            let unit = Unit {
                loaded: true,
                needs_reload: false,
                ..self.unit(&name)?
            };
            self.units.insert(name, unit);
        }
        Ok(())
    }
}

enum Found<'a> {
    Entry(&'a Entry),
    Base(PathBuf),
}

fn made(kind: Kind, mode: u32, size: u64) -> Stat {
    Stat {
        kind,
        mode,
        uid: 0,
        gid: 0,
        size,
        device: 0,
        inode: 0,
        modified: 0,
        changed: 0,
    }
}

impl<B: Inspect> Inspect for Overlay<B> {
    fn stat(&self, path: &Path) -> Result<Option<Stat>, Error> {
        if path == Path::new("/") {
            return Ok(Some(made(Kind::Dir, 0o755, 0)));
        }
        match self.find(path) {
            Found::Entry(Entry::Gone) => Ok(None),
            Found::Entry(Entry::Dir { mode }) => Ok(Some(made(Kind::Dir, *mode, 0))),
            Found::Entry(Entry::File { mode, content }) => Ok(Some(made(
                Kind::File,
                *mode,
                // What a program will write is not known; that it writes something is.
                content.as_ref().map_or(1, |bytes| bytes.len() as u64),
            ))),
            Found::Entry(Entry::Link { .. }) => Ok(Some(made(Kind::Link, 0o777, 0))),
            Found::Entry(Entry::Moved { from }) => self.base.stat(from),
            Found::Base(path) => self.base.stat(&path),
        }
    }

    fn read(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        match self.find(path) {
            Found::Entry(Entry::File { content, .. }) => {
                let bytes = content.clone().unwrap_or_default();
                let size = bytes.len() as u64;
                if size > limit {
                    return Err(Error::TooLarge {
                        path: path.to_owned(),
                        size,
                        limit,
                    });
                }
                Ok(Some(bytes))
            }
            Found::Entry(Entry::Moved { from }) => self.base.read(from, limit),
            Found::Entry(_) => Ok(None),
            Found::Base(path) => self.base.read(&path, limit),
        }
    }

    fn list(&self, path: &Path) -> Result<Option<Vec<String>>, Error> {
        if self.stat(path)?.is_none_or(|stat| stat.kind != Kind::Dir) {
            return Ok(None);
        }
        let mut names: BTreeSet<String> = match self.find(path) {
            Found::Entry(Entry::Moved { from }) => self.base.list(from)?,
            // A folder of ours may lie over one of the base whose mode was changed.
            Found::Entry(_) => self.base.list(path)?,
            Found::Base(path) => self.base.list(&path)?,
        }
        .unwrap_or_default()
        .into_iter()
        .collect();
        for (key, entry) in &self.entries {
            if key.parent() != Some(path) {
                continue;
            }
            let name = key
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if matches!(entry, Entry::Gone) {
                names.remove(&name)
            } else {
                names.insert(name)
            };
        }
        Ok(Some(names.into_iter().collect()))
    }

    fn read_link(&self, path: &Path) -> Result<Option<PathBuf>, Error> {
        match self.find(path) {
            Found::Entry(Entry::Link { target }) => Ok(Some(target.clone())),
            Found::Entry(Entry::Moved { from }) => self.base.read_link(from),
            Found::Entry(_) => Ok(None),
            Found::Base(path) => self.base.read_link(&path),
        }
    }

    fn digest(&self, path: &Path) -> Result<Option<Digest>, Error> {
        match self.find(path) {
            Found::Entry(Entry::File { content, .. }) => Ok(content.as_deref().map(Digest::of)),
            Found::Entry(Entry::Moved { from }) => self.base.digest(from),
            Found::Entry(_) => Ok(None),
            Found::Base(path) => self.base.digest(&path),
        }
    }

    fn unit(&self, name: &str) -> Result<Unit, Error> {
        match self.units.get(name) {
            Some(unit) => Ok(unit.clone()),
            None => self.base.unit(name),
        }
    }

    fn units(&self, names: &[&str]) -> Result<Vec<Unit>, Error> {
        if names.iter().any(|name| self.units.contains_key(*name)) {
            return names.iter().map(|name| self.unit(name)).collect();
        }
        self.base.units(names)
    }

    fn query(&self, query: &Query) -> Result<Output, Error> {
        let same = |known: &Query| known.program == query.program && known.args == query.args;
        match self.answers.iter().rev().find(|(known, _)| same(known)) {
            Some((_, output)) => Ok(output.clone()),
            None => self.base.query(query),
        }
    }

    fn holds(&self, condition: &Condition) -> Result<bool, Error> {
        if self.true_conditions.contains(condition) {
            return Ok(true);
        }
        match condition {
            Condition::Exists(_) | Condition::Changed { .. } => self.lies_there(condition),
            Condition::UnitActive(unit) => Ok(self.unit(unit)?.activity == UnitActivity::Active),
            // What is not installed yet cannot be asked yet.
            Condition::Succeeds(query) => {
                Ok(self.query(query).is_ok_and(|output| output.success()))
            }
            Condition::Listening(_) => self.base.holds(condition),
        }
    }

    fn file_system(&self, path: &Path) -> Result<Option<FileSystem>, Error> {
        let of = |(known, found): &(PathBuf, FileSystem)| path.starts_with(known).then_some(*found);
        match self.file_systems.iter().rev().find_map(of) {
            Some(found) => Ok(Some(found)),
            None => self.base.file_system(path),
        }
    }

    fn root(&self) -> &Path {
        self.base.root()
    }

    fn is_dry_run(&self) -> bool {
        true
    }
}

impl<B: Inspect> Host for Overlay<B> {
    fn apply(&mut self, change: &Change) -> Result<(), Error> {
        let words = change.to_string();
        if let Some(refused) = self.refused.iter().find(|refused| words.contains(*refused)) {
            let stderr = format!("refused: {refused}");
            return Err(Error::Failed {
                argv: words,
                status: "exit code 1".to_owned(),
                stderr,
            });
        }
        match change {
            Change::MakeDir { path, mode } => self.put(path, Entry::Dir { mode: *mode }),
            Change::WriteFile {
                path,
                mode,
                content,
            } => self.put(
                path,
                Entry::File {
                    mode: *mode,
                    content: Some(content.bytes().to_vec()),
                },
            ),
            Change::SetMode { path, mode } => {
                let mode = *mode;
                let entry = match self.stat(path)?.map(|stat| stat.kind) {
                    Some(Kind::Dir) => Entry::Dir { mode },
                    _ => Entry::File {
                        mode,
                        content: self.read(path, 1 << 20)?,
                    },
                };
                self.put(path, entry)
            }
            Change::Link { path, target } => self.put(
                path,
                Entry::Link {
                    target: target.clone(),
                },
            ),
            Change::SetAside { path, to } => self.set_aside(path, to),
            Change::Remove { path } | Change::RemoveTree { path } => self.remove_all(path),
            Change::ReloadUnits => self.reload_units(),
            Change::Unit { name, action } => self.unit_action(name, *action),
            Change::Sysctl { key, value } => {
                let path = Path::new("/proc/sys").join(key.replace('.', "/"));
                self.put(
                    &path,
                    Entry::File {
                        mode: 0o644,
                        content: Some(format!("{value}\n").into_bytes()),
                    },
                )
            }
            Change::Run(run) => {
                for condition in &run.makes {
                    match condition {
                        // What is there is there already; that it changes is not said.
                        Condition::Exists(path) if self.stat(path)?.is_some() => {}
                        Condition::Exists(path) => self.put(
                            path,
                            Entry::File {
                                mode: 0o644,
                                content: None,
                            },
                        )?,
                        other => self.true_conditions.push(other.clone()),
                    }
                }
                Ok(())
            }
            Change::Wait(wait) => {
                self.true_conditions.push(wait.condition.clone());
                Ok(())
            }
        }
    }
}

impl Inspect for Nothing {
    fn stat(&self, _: &Path) -> Result<Option<Stat>, Error> {
        Ok(None)
    }

    fn read(&self, _: &Path, _: u64) -> Result<Option<Vec<u8>>, Error> {
        Ok(None)
    }

    fn list(&self, _: &Path) -> Result<Option<Vec<String>>, Error> {
        Ok(None)
    }

    fn read_link(&self, _: &Path) -> Result<Option<PathBuf>, Error> {
        Ok(None)
    }

    fn digest(&self, _: &Path) -> Result<Option<Digest>, Error> {
        Ok(None)
    }

    fn unit(&self, _: &str) -> Result<Unit, Error> {
        Ok(Unit::default())
    }

    fn query(&self, query: &Query) -> Result<Output, Error> {
        let source = std::io::Error::from(std::io::ErrorKind::NotFound);
        Err(Error::Spawn {
            argv: query.to_string(),
            source,
        })
    }

    fn holds(&self, _: &Condition) -> Result<bool, Error> {
        Ok(false)
    }

    fn root(&self) -> &Path {
        Path::new("/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, OnHost, Phase, Report, RunError, Runner, Silent};

    /// A file, a folder moved away, a unit: enough to see a phase walk.
    struct Install;

    impl<'a> Phase<OnHost<'a>> for Install {
        fn name(&self) -> &'static str {
            "install"
        }

        fn about(&self) -> &'static str {
            "puts the unit there and starts it"
        }

        fn plan(&self, seen: &(dyn Inspect + 'a)) -> Result<Vec<Change>, Error> {
            let unit = Path::new("/etc/systemd/system/x.service");
            let mut plan = Vec::new();
            if seen.stat(Path::new("/var/lib/x/old"))?.is_some() {
                plan.push(Change::SetAside {
                    path: "/var/lib/x".into(),
                    to: "/var/lib/x.aside".into(),
                });
            }
            if seen.read_text(unit)?.as_deref() != Some("[Service]\n") {
                plan.push(Change::file(unit, "[Service]\n"));
                plan.push(Change::ReloadUnits);
            }
            if !seen.holds(&Condition::UnitActive("x.service".into()))? {
                plan.push(Change::unit("x.service", UnitAction::Start));
            }
            Ok(plan)
        }
    }

    #[derive(Default)]
    struct Words(Vec<String>);

    impl Report for Words {
        fn event(&mut self, event: &Event<'_>) {
            if let Event::Change { change, .. } = event {
                self.0.push((*change).to_owned());
            }
        }
    }

    #[test]
    fn a_dry_run_walks_the_same_phases_and_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut real = crate::Local::new(dir.path());
        real.apply(&Change::file("/var/lib/x/old", "data")).unwrap();

        let mut dry = Overlay::new(real.clone());
        let mut words = Words::default();
        Runner::new(&mut words, None)
            .run(&mut OnHost(&mut dry), &[&Install])
            .unwrap();
        insta::assert_snapshot!(words.0.join("\n"), @r"
        set /var/lib/x aside as /var/lib/x.aside
        write /etc/systemd/system/x.service (0644, 10 bytes, sha256 40d8baaabac8…)
        start x.service
        ");
        assert_eq!(
            dry.read_text(Path::new("/var/lib/x.aside/old"))
                .unwrap()
                .unwrap(),
            "data"
        );
        assert_eq!(dry.stat(Path::new("/var/lib/x/old")).unwrap(), None);
        assert_eq!(
            dry.list(Path::new("/var/lib")).unwrap().unwrap(),
            ["x.aside"]
        );
        assert_eq!(
            real.list(Path::new("/var/lib")).unwrap().unwrap(),
            ["x"],
            "the host is as it was"
        );

        let again = Runner::new(&mut Silent, None)
            .run(&mut OnHost(&mut dry), &[&Install])
            .unwrap();
        assert_eq!(again.changes, [], "a host that is right needs nothing");
    }

    #[test]
    fn a_change_that_does_not_take_ends_the_run() {
        struct Stubborn;
        impl<'a> Phase<OnHost<'a>> for Stubborn {
            fn name(&self) -> &'static str {
                "stubborn"
            }
            fn about(&self) -> &'static str {
                ""
            }
            fn plan(&self, _: &(dyn Inspect + 'a)) -> Result<Vec<Change>, Error> {
                Ok(vec![Change::ReloadUnits])
            }
        }
        let mut host = Memory::new(Nothing);
        let error = Runner::new(&mut Silent, None)
            .run(&mut OnHost(&mut host), &[&Stubborn])
            .unwrap_err();
        assert!(
            matches!(
                error,
                RunError::NoEffect {
                    phase: "stubborn",
                    ..
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn changes_that_undo_each_other_end_the_run() {
        struct Circle;
        impl<'a> Phase<OnHost<'a>> for Circle {
            fn name(&self) -> &'static str {
                "circle"
            }
            fn about(&self) -> &'static str {
                ""
            }
            fn plan(&self, seen: &(dyn Inspect + 'a)) -> Result<Vec<Change>, Error> {
                let path = std::path::PathBuf::from("/round");
                Ok(vec![match seen.stat(&path)? {
                    Some(_) => Change::Remove { path },
                    None => Change::MakeDir { path, mode: 0o755 },
                }])
            }
        }
        let mut host = Memory::new(Nothing);
        let error = Runner::new(&mut Silent, None)
            .run(&mut OnHost(&mut host), &[&Circle])
            .unwrap_err();
        assert!(
            matches!(
                error,
                RunError::NoEffect {
                    phase: "circle",
                    ..
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn what_failed_is_named_with_its_phase() {
        let mut host = Memory::new(Nothing);
        host.refuse("write");
        let error = Runner::new(&mut Silent, None)
            .run(&mut OnHost(&mut host), &[&Install])
            .unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("phase install could not write /etc/systemd/system/x.service"),
            "{error}"
        );
    }
}
