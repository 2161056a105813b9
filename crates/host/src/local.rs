//! The host that this program runs on.
#![expect(clippy::disallowed_methods, reason = "this is where changes are made")]

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::TcpStream;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use crate::atomic::{sync_folder_of, write_atomically};
use crate::inspect::stands_in;
use crate::{
    Change, Condition, Digest, Error, FileSystem, Host, Inspect, Kind, Output, Query, Run, Stat,
    Unit, UnitAction, UnitActivity, Wait, poll_until, process,
};

/// The running host (`/`), or a folder that stands for one: files only, no units and programs.
#[derive(Debug, Clone)]
pub struct Local {
    root: PathBuf,
}

impl Local {
    /// The host below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where a path of the host lies for this process.
    #[must_use]
    pub fn path(&self, path: &Path) -> PathBuf {
        let mut real = self.root.clone();
        real.extend(
            path.components()
                .filter(|part| matches!(part, Component::Normal(_))),
        );
        real
    }

    fn running(&self, what: impl FnOnce() -> String) -> Result<(), Error> {
        if self.root == Path::new("/") {
            return Ok(());
        }
        Err(Error::NotRunning {
            what: what(),
            root: self.root.clone(),
        })
    }

    fn make_dir(&self, path: &Path, mode: u32) -> Result<(), Error> {
        let real = self.path(path);
        if let Some(parent) = real.parent() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(parent)
                .map_err(Error::file("make", parent))?;
        }
        match fs::DirBuilder::new().mode(mode).create(&real) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && real.is_dir() => {}
            Err(source) => {
                return Err(Error::File {
                    action: "make",
                    path: path.to_owned(),
                    source,
                });
            }
        }
        self.set_mode(path, mode)?;
        sync_folder_of(&real)
    }

    fn set_mode(&self, path: &Path, mode: u32) -> Result<(), Error> {
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(mode))
            .map_err(Error::file("set the mode of", path))
    }

    fn link(&self, path: &Path, target: &Path) -> Result<(), Error> {
        let real = self.path(path);
        match self.stat(path)?.map(|stat| stat.kind) {
            None | Some(Kind::Link) => {}
            Some(kind) => {
                return Err(Error::InTheWay {
                    path: path.to_owned(),
                    found: kind.words(),
                    wanted: "a symbolic link",
                });
            }
        }
        crate::atomic::link_atomically(&real, target)
    }

    fn set_aside(&self, path: &Path, to: &Path) -> Result<(), Error> {
        let (from, real) = (self.path(path), self.path(to));
        if let Some(stat) = self.stat(to)? {
            return Err(Error::InTheWay {
                path: to.to_owned(),
                found: stat.kind.words(),
                wanted: "free",
            });
        }
        if let Some(parent) = real.parent() {
            fs::create_dir_all(parent).map_err(Error::file("make", parent))?;
        }
        fs::rename(&from, &real).map_err(Error::file("set aside", path))?;
        sync_folder_of(&from)?;
        sync_folder_of(&real)
    }

    fn remove(&self, path: &Path) -> Result<(), Error> {
        let real = self.path(path);
        match self.stat(path)?.map(|stat| stat.kind) {
            None => return Ok(()),
            Some(Kind::Dir) => fs::remove_dir(&real),
            Some(_) => fs::remove_file(&real),
        }
        .map_err(Error::file("remove", path))?;
        sync_folder_of(&real)
    }

    /// Never crosses into another file system: what is mounted there is not ours.
    fn remove_tree(&self, path: &Path) -> Result<(), Error> {
        let Some(stat) = self.stat(path)? else {
            return Ok(());
        };
        if stat.kind == Kind::Dir {
            for name in self.list(path)?.unwrap_or_default() {
                let child = path.join(name);
                if let Some(inner) = self.stat(&child)?
                    && inner.kind == Kind::Dir
                    && inner.device != stat.device
                {
                    return Err(Error::InTheWay {
                        path: child,
                        found: "a mount point",
                        wanted: "removable",
                    });
                }
                self.remove_tree(&child)?;
            }
        }
        let real = self.path(path);
        if stat.kind == Kind::Dir {
            fs::remove_dir(&real)
        } else {
            fs::remove_file(&real)
        }
        .map_err(Error::file("remove", path))
    }

    fn systemctl(&self, args: &[&str], limit: Duration) -> Result<Output, Error> {
        self.running(|| format!("systemctl {}", args.join(" ")))?;
        let mut command = process::command("systemctl");
        command.args(args);
        process::run_ok(command, b"", limit)
    }

    fn unit_action(&self, name: &str, action: UnitAction) -> Result<(), Error> {
        let verb = action.verb();
        let mut args = vec!["--quiet", verb];
        if action == UnitAction::StartInBackground {
            args.push("--no-block");
        }
        args.push(name);
        // A start that fails is told by the unit's own log, which systemctl only points to.
        match self.systemctl(&args, Duration::from_secs(300)) {
            Err(Error::Failed { .. })
                if matches!(action, UnitAction::Start | UnitAction::Restart) =>
            {
                Err(Error::Unit {
                    unit: name.to_owned(),
                    state: "not running".to_owned(),
                    log: self.log_tail(name),
                })
            }
            other => other.map(drop),
        }
    }

    fn log_tail(&self, unit: &str) -> String {
        let query = Query::new(
            "journalctl",
            [
                "--no-pager",
                "--quiet",
                "--output=cat",
                "--lines=12",
                "--unit",
                unit,
            ],
        );
        self.query(&query)
            .map(|output| output.text().trim_end().to_owned())
            .unwrap_or_default()
    }

    fn run(&self, run: &Run) -> Result<(), Error> {
        self.running(|| run.argv())?;
        let mut command = process::command(&run.program);
        command
            .args(&run.args)
            .envs(run.env.iter().map(|(k, v)| (k, v)));
        let stdin = run
            .stdin
            .as_ref()
            .map_or(&b""[..], |content| content.bytes());
        process::run_ok(command, stdin, run.limit)?;
        // Other programs leave what they wrote to the kernel: after a power loss their files would be there, and empty.
        for condition in &run.makes {
            if let Condition::Exists(path) = condition {
                let real = self.path(path);
                if real.is_file() {
                    File::open(&real)
                        .and_then(|file| file.sync_all())
                        .map_err(Error::file("sync", path))?;
                    sync_folder_of(&real)?;
                }
            }
        }
        Ok(())
    }

    fn wait(&self, wait: &Wait) -> Result<(), Error> {
        poll_until(wait.limit, wait.poll, || {
            Ok::<_, Error>(if self.holds(&wait.condition)? {
                Ok(())
            } else {
                Err(format!("not yet: {}", wait.condition))
            })
        })?
        .map_err(|last| Error::Deadline {
            reason: wait.reason.clone(),
            limit: wait.limit,
            last,
        })
    }
}

/// Turns "there is nothing" into `None`; a path below a file is nothing as well.
fn absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(e) => Err(e),
    }
}

impl Inspect for Local {
    fn stat(&self, path: &Path) -> Result<Option<Stat>, Error> {
        let meta =
            absent(fs::symlink_metadata(self.path(path))).map_err(Error::file("look at", path))?;
        Ok(meta.map(|meta| {
            let kind = match meta.file_type() {
                t if t.is_file() => Kind::File,
                t if t.is_dir() => Kind::Dir,
                t if t.is_symlink() => Kind::Link,
                _ => Kind::Other,
            };
            let nanoseconds = |s: i64, n: i64| i128::from(s) * 1_000_000_000 + i128::from(n);
            Stat {
                kind,
                mode: meta.mode() & 0o7777,
                uid: meta.uid(),
                gid: meta.gid(),
                size: meta.size(),
                device: meta.dev(),
                inode: meta.ino(),
                modified: nanoseconds(meta.mtime(), meta.mtime_nsec()),
                changed: nanoseconds(meta.ctime(), meta.ctime_nsec()),
            }
        }))
    }

    fn read(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let error = || Error::file("read", path);
        let Some(file) = absent(File::open(self.path(path))).map_err(error())? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        // One byte more than allowed tells; files in /proc have no size to go by.
        file.take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(error())?;
        if bytes.len() as u64 > limit {
            let size = self.stat(path)?.map_or(0, |stat| stat.size).max(limit + 1);
            return Err(Error::TooLarge {
                path: path.to_owned(),
                size,
                limit,
            });
        }
        Ok(Some(bytes))
    }

    fn list(&self, path: &Path) -> Result<Option<Vec<String>>, Error> {
        let error = || Error::file("list", path);
        let Some(entries) = absent(fs::read_dir(self.path(path))).map_err(error())? else {
            return Ok(None);
        };
        let mut names = entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<_>>>()
            .map_err(error())?;
        names.sort();
        Ok(Some(names))
    }

    fn read_link(&self, path: &Path) -> Result<Option<PathBuf>, Error> {
        match self.stat(path)?.map(|stat| stat.kind) {
            Some(Kind::Link) => fs::read_link(self.path(path))
                .map(Some)
                .map_err(Error::file("read", path)),
            _ => Ok(None),
        }
    }

    fn digest(&self, path: &Path) -> Result<Option<Digest>, Error> {
        let error = || Error::file("read", path);
        let Some(file) = absent(File::open(self.path(path))).map_err(error())? else {
            return Ok(None);
        };
        Digest::of_reader(file)
            .map(|(digest, _)| Some(digest))
            .map_err(error())
    }

    fn contains(&self, path: &Path, any: &[&[u8]]) -> Result<Option<bool>, Error> {
        let error = || Error::file("read", path);
        let Some(mut file) = absent(File::open(self.path(path))).map_err(error())? else {
            return Ok(None);
        };
        let longest = any.iter().map(|bytes| bytes.len()).max().unwrap_or(0);
        let (mut buffer, mut filled) = (vec![0; (1 << 20).max(longest * 2)], 0);
        loop {
            match file.read(&mut buffer[filled..]).map_err(error())? {
                0 => return Ok(Some(false)),
                n => filled += n,
            }
            if any.iter().any(|bytes| stands_in(&buffer[..filled], bytes)) {
                return Ok(Some(true));
            }
            // The end may be the beginning of what is looked for.
            let kept = filled.min(longest.saturating_sub(1));
            buffer.copy_within(filled - kept..filled, 0);
            filled = kept;
        }
    }

    fn unit(&self, name: &str) -> Result<Unit, Error> {
        Ok(self.units(&[name])?.pop().unwrap_or_default())
    }

    fn units(&self, names: &[&str]) -> Result<Vec<Unit>, Error> {
        if self.root != Path::new("/") || names.is_empty() {
            return Ok(vec![Unit::default(); names.len()]);
        }
        let properties = "--property=LoadState,ActiveState,UnitFileState,NeedDaemonReload,MainPID";
        let mut args = vec!["show", properties, "--"];
        args.extend_from_slice(names);
        let output = self.systemctl(&args, Duration::from_secs(30))?;
        Ok(parse_units(&output.text(), names.len()))
    }

    fn query(&self, query: &Query) -> Result<Output, Error> {
        self.running(|| query.to_string())?;
        let mut command = process::command(&query.program);
        command.args(&query.args);
        process::run(command, b"", query.limit)
    }

    fn holds(&self, condition: &Condition) -> Result<bool, Error> {
        match condition {
            Condition::Exists(_) | Condition::Changed { .. } => self.lies_there(condition),
            Condition::UnitActive(unit) => {
                let seen = self.unit(unit)?;
                if seen.activity == UnitActivity::Failed {
                    let (unit, log) = (unit.clone(), self.log_tail(unit));
                    return Err(Error::Unit {
                        unit,
                        state: "failed".to_owned(),
                        log,
                    });
                }
                Ok(seen.activity == UnitActivity::Active)
            }
            Condition::Succeeds(query) => Ok(self.query(query)?.success()),
            Condition::Listening(address) => {
                Ok(TcpStream::connect_timeout(address, Duration::from_millis(500)).is_ok())
            }
        }
    }

    fn file_system(&self, path: &Path) -> Result<Option<FileSystem>, Error> {
        use nix::sys::statvfs::{FsFlags, statvfs};
        for there in path.ancestors() {
            match statvfs(&self.path(there)) {
                Ok(found) => {
                    return Ok(Some(FileSystem {
                        free: found.blocks_available() * found.fragment_size(),
                        no_exec: found.flags().contains(FsFlags::ST_NOEXEC),
                        read_only: found.flags().contains(FsFlags::ST_RDONLY),
                    }));
                }
                Err(nix::errno::Errno::ENOENT) => {}
                Err(errno) => return Err(Error::file("look at", there)(errno.into())),
            }
        }
        Ok(None)
    }

    fn root(&self) -> &Path {
        &self.root
    }
}

impl Host for Local {
    fn apply(&mut self, change: &Change) -> Result<(), Error> {
        match change {
            Change::MakeDir { path, mode } => self.make_dir(path, *mode),
            Change::WriteFile {
                path,
                mode,
                content,
            } => {
                if let Some(stat) = self.stat(path)?
                    && matches!(stat.kind, Kind::Dir | Kind::Other)
                {
                    return Err(Error::InTheWay {
                        path: path.clone(),
                        found: stat.kind.words(),
                        wanted: "a file",
                    });
                }
                if let Some(parent) = path.parent()
                    && self.stat(parent)?.is_none()
                {
                    self.make_dir(parent, 0o755)?;
                }
                write_atomically(&self.path(path), *mode, content.bytes())
            }
            Change::SetMode { path, mode } => self.set_mode(path, *mode),
            Change::Link { path, target } => self.link(path, target),
            Change::SetAside { path, to } => self.set_aside(path, to),
            Change::Remove { path } => self.remove(path),
            Change::RemoveTree { path } => self.remove_tree(path),
            Change::ReloadUnits => self
                .systemctl(&["daemon-reload"], Duration::from_secs(60))
                .map(drop),
            Change::Unit { name, action } => self.unit_action(name, *action),
            Change::Sysctl { key, value } => {
                let path = Path::new("/proc/sys").join(key.replace('.', "/"));
                fs::write(self.path(&path), value).map_err(Error::file("write", path))
            }
            Change::Run(run) => self.run(run),
            Change::Wait(wait) => self.wait(wait),
        }
    }
}

/// What `systemctl show` says of `count` units: a paragraph each, in the order in which they were named.
fn parse_units(text: &str, count: usize) -> Vec<Unit> {
    let mut units: Vec<Unit> = text.trim().split("\n\n").map(parse_unit).collect();
    units.resize(count, Unit::default());
    units
}

fn parse_unit(text: &str) -> Unit {
    let mut unit = Unit::default();
    for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
        match key {
            "LoadState" => {
                unit.loaded = value == "loaded";
                unit.masked = value == "masked";
            }
            "ActiveState" => {
                unit.activity = match value {
                    "active" => UnitActivity::Active,
                    "activating" | "reloading" | "refreshing" => UnitActivity::Activating,
                    "deactivating" => UnitActivity::Deactivating,
                    "failed" => UnitActivity::Failed,
                    _ => UnitActivity::Inactive,
                }
            }
            "UnitFileState" => {
                unit.enabled = matches!(value, "enabled" | "enabled-runtime" | "alias")
            }
            "NeedDaemonReload" => unit.needs_reload = value == "yes",
            "MainPID" => unit.main_pid = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    unit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> (tempfile::TempDir, Local) {
        let dir = tempfile::tempdir().unwrap();
        let local = Local::new(dir.path());
        (dir, local)
    }

    #[test]
    fn files_get_their_mode_and_folders_their_parents() {
        let (_dir, mut host) = host();
        let key = PathBuf::from("/etc/etcd/pki/ca.key");
        host.apply(&Change::MakeDir {
            path: "/etc/etcd/pki".into(),
            mode: 0o700,
        })
        .unwrap();
        host.apply(&Change::private_file(&key, "secret")).unwrap();
        assert_eq!(host.stat(&key).unwrap().unwrap().mode, 0o600);
        assert_eq!(
            host.stat(Path::new("/etc/etcd/pki")).unwrap().unwrap().mode,
            0o700
        );
        assert_eq!(host.stat(Path::new("/etc")).unwrap().unwrap().mode, 0o755);
        assert_eq!(host.read(&key, 6).unwrap().unwrap(), b"secret");
        assert_eq!(
            host.read(&key, 5).unwrap_err().to_string(),
            "/etc/etcd/pki/ca.key is 6 bytes, more than the 5 that are read of such a file"
        );
        assert_eq!(host.list(Path::new("/etc/etcd")).unwrap().unwrap(), ["pki"]);
        assert_eq!(host.stat(&key.join("below")).unwrap(), None);
    }

    #[test]
    fn nothing_is_overwritten_by_setting_aside() {
        let (_dir, mut host) = host();
        for name in ["/a", "/b"] {
            host.apply(&Change::file(name, name)).unwrap();
        }
        let error = host
            .apply(&Change::SetAside {
                path: "/a".into(),
                to: "/b".into(),
            })
            .unwrap_err();
        assert_eq!(error.to_string(), "/b is a file, not free");
        host.apply(&Change::SetAside {
            path: "/a".into(),
            to: "/aside/a".into(),
        })
        .unwrap();
        assert_eq!(
            host.read_text(Path::new("/aside/a")).unwrap().unwrap(),
            "/a"
        );
    }

    #[test]
    fn links_replace_links_and_nothing_else() {
        let (_dir, mut host) = host();
        let link = |target: &str| Change::Link {
            path: "/opt/bin/etcd".into(),
            target: target.into(),
        };
        host.apply(&Change::MakeDir {
            path: "/opt/bin".into(),
            mode: 0o755,
        })
        .unwrap();
        for target in ["etcd-1", "etcd-2"] {
            host.apply(&link(target)).unwrap();
            assert_eq!(
                host.read_link(Path::new("/opt/bin/etcd")).unwrap().unwrap(),
                Path::new(target)
            );
        }
        host.apply(&Change::Remove {
            path: "/opt/bin/etcd".into(),
        })
        .unwrap();
        host.apply(&Change::file("/opt/bin/etcd", "x")).unwrap();
        assert_eq!(
            host.apply(&link("y")).unwrap_err().to_string(),
            "/opt/bin/etcd is a file, not a symbolic link"
        );
    }

    #[test]
    fn paths_stay_below_the_root() {
        let host = Local::new("/r");
        assert_eq!(
            host.path(Path::new("/../../etc/passwd")),
            Path::new("/r/etc/passwd")
        );
    }

    #[test]
    fn a_folder_has_no_units_and_programs() {
        let (dir, mut host) = host();
        assert_eq!(host.unit("etcd.service").unwrap(), Unit::default());
        let error = host
            .apply(&Change::unit("etcd.service", UnitAction::Start))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "systemctl --quiet start etcd.service needs the running host, not the folder {}",
                dir.path().display()
            )
        );
    }

    #[test]
    fn unit_properties_are_read() {
        let text = "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nNeedDaemonReload=no\nMainPID=42\n";
        let unit = Unit {
            loaded: true,
            enabled: true,
            activity: UnitActivity::Active,
            main_pid: 42,
            ..Unit::default()
        };
        let other = "LoadState=not-found\nActiveState=inactive\n\n";
        let both = parse_units(&format!("{other}{text}"), 2);
        assert_eq!(both, [Unit::default(), unit]);
        assert_eq!(parse_units("", 1), [Unit::default()]);
    }

    #[test]
    fn bytes_are_found_wherever_they_stand_in_a_large_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut host = Local::new(dir.path());
        let path = Path::new("/large");
        let mut content = vec![b'x'; 3 << 20];
        for at in [0, (1 << 20) - 3, (2 << 20) + 7, (3 << 20) - 6] {
            content[at..at + 6].copy_from_slice(b"needle");
            host.apply(&Change::file(path, content.clone())).unwrap();
            assert_eq!(
                host.contains(path, &[b"none", b"needle"]).unwrap(),
                Some(true),
                "{at}"
            );
            content[at..at + 6].copy_from_slice(b"xxxxxx");
        }
        host.apply(&Change::file(path, content)).unwrap();
        assert_eq!(
            host.contains(path, &[b"none", b"needle"]).unwrap(),
            Some(false)
        );
        assert_eq!(
            host.contains(Path::new("/none"), &[b"needle"]).unwrap(),
            None
        );
    }
}
