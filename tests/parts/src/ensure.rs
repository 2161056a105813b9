//! Builds the parts that are asked for and not in the cache yet.
//!
//! An entry of the cache is a folder `<part>-<key>` with the programs and the
//! recipe's text. It is built under another name, synced and renamed, so what
//! is there is whole. One lock for the cache lets one build run at a time: two
//! Kubernetes at once need more memory than patience gains. Entries of older
//! recipes stay; the folder may be deleted as a whole at any time.

use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use nix::fcntl::{Flock, FlockArg};

use crate::catalog::{Build, CBuild, GoBuild, Part};
use crate::files::{self, FileError, at};
use crate::recipe::{self, Recipe};
use crate::toolchain::{self, Go};

/// Why a part is not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No place for the cache is known.
    #[error("neither XDG_CACHE_HOME nor HOME says where to keep what is built")]
    NoCache,
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no usable Go compiler.
    #[error("no usable go to build {part}")]
    Toolchain {
        /// For which part it is needed.
        part: String,
        /// Why there is none.
        source: toolchain::Error,
    },
    /// A program of the machine is missing.
    #[error("cannot run {program} for {part}")]
    Run {
        /// The program.
        program: String,
        /// For which part.
        part: String,
        /// Why it did not start.
        source: io::Error,
    },
    /// A library for the C linker is missing.
    #[error("{part} needs the library {library}: install {package}")]
    Library {
        /// For which part.
        part: String,
        /// Its name for `pkg-config`.
        library: &'static str,
        /// The Debian package that brings it.
        package: &'static str,
    },
    /// A build ran and failed.
    #[error("building {part} failed: {argv}\n{output}")]
    Failed {
        /// Which part.
        part: String,
        /// What was run.
        argv: String,
        /// The end of what it said.
        output: String,
    },
}

/// A part that lies in the cache.
#[derive(Debug, Clone)]
pub struct Built {
    /// Which part.
    pub part: Part,
    /// The key of its recipe.
    pub key: String,
    /// The folder with its programs.
    pub folder: PathBuf,
}

impl Built {
    /// The path of one of its programs.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Its programs and kept files by name, sorted.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn files(&self) -> Result<Vec<String>, FileError> {
        Ok(files::walk(&self.folder)?
            .into_iter()
            .filter_map(|path| path.to_str().map(str::to_owned))
            .filter(|name| name != RECIPE)
            .collect())
    }
}

/// The recipe's file in an entry.
const RECIPE: &str = "recipe.txt";

/// Where parts are built and kept.
#[derive(Debug, Clone)]
pub struct Workshop {
    /// The cache; outside the repository.
    pub cache: PathBuf,
    /// The pinned modules.
    pub modules: PathBuf,
}

/// Builds what is missing of `parts` in the user's cache; `say` gets one line a
/// step.
///
/// # Errors
/// When a part can neither be found nor built.
pub fn ensure(parts: &[Part], say: &mut dyn FnMut(&str)) -> Result<Vec<Built>, Error> {
    Workshop::from_environment()?.ensure(parts, say)
}

impl Workshop {
    /// The user's own: `klusterkit/parts` under `XDG_CACHE_HOME`, else `~/.cache`.
    ///
    /// # Errors
    /// When neither is known.
    pub fn from_environment() -> Result<Self, Error> {
        let folder = |name| {
            env::var_os(name)
                .map(PathBuf::from)
                .filter(|p| p.is_absolute())
        };
        let base = folder("XDG_CACHE_HOME")
            .or_else(|| folder("HOME").map(|home| home.join(".cache")))
            .ok_or(Error::NoCache)?;
        Ok(Self {
            cache: base.join("klusterkit/parts"),
            modules: recipe::modules_folder(),
        })
    }

    /// Builds what is missing of `parts`; `say` gets one line a step.
    ///
    /// # Errors
    /// When a part can neither be found nor built.
    pub fn ensure(&self, parts: &[Part], say: &mut dyn FnMut(&str)) -> Result<Vec<Built>, Error> {
        files::make_dirs(&self.cache)?;
        let Some(first) = parts.first() else {
            return Ok(Vec::new());
        };
        let go = toolchain::find(&self.cache, say).map_err(|source| Error::Toolchain {
            part: first.to_string(),
            source,
        })?;
        parts
            .iter()
            .map(|part| self.ensure_one(part, &go, say))
            .collect()
    }

    fn ensure_one(&self, part: &Part, go: &Go, say: &mut dyn FnMut(&str)) -> Result<Built, Error> {
        let recipe = recipe::recipe(part, &self.modules, &go.version, &go.platform)?;
        let built = Built {
            part: part.clone(),
            folder: self.cache.join(format!("{part}-{}", recipe.key)),
            key: recipe.key.clone(),
        };
        self.entry(&part.to_string(), &recipe.key, say, |out| {
            self.build(part, &recipe, go, out)
        })?;
        Ok(built)
    }

    /// The entry `<label>-<key>` of the cache, made by `make` in the folder that
    /// it is given unless it is there already.
    pub(crate) fn entry<E: From<FileError>>(
        &self,
        label: &str,
        key: &str,
        say: &mut dyn FnMut(&str),
        make: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<PathBuf, E> {
        let folder = self.cache.join(format!("{label}-{key}"));
        if folder.is_dir() {
            say(&format!("{label}: cached"));
            return Ok(folder);
        }
        files::make_dirs(&self.cache)?;
        let _lock = self.lock(say)?;
        if folder.is_dir() {
            say(&format!("{label}: cached"));
            return Ok(folder);
        }
        say(&format!("{label}: building"));
        let begun = Instant::now();
        // The lock is ours: what an interrupted build has left is nobody's.
        let unfinished = self.cache.join(".unfinished");
        if unfinished.exists() {
            at("remove", &unfinished, fs::remove_dir_all(&unfinished))?;
        }
        files::make_dirs(&unfinished)?;
        make(&unfinished)?;
        files::publish(&unfinished, &folder)?;
        let seconds = begun.elapsed().as_secs_f32();
        say(&format!("{label}: built in {seconds:.1} s"));
        Ok(folder)
    }

    fn build(&self, part: &Part, recipe: &Recipe, go: &Go, out: &Path) -> Result<(), Error> {
        let module = self.modules.join(part.module_folder());
        match &part.build {
            Build::Go(build) => build_go(part, build, go, &module, out)?,
            Build::C(build) => build_c(part, build, go, &module, out)?,
        }
        Ok(files::write(&out.join(RECIPE), recipe.text.as_bytes())?)
    }

    /// Holds off every other process that builds into this cache.
    fn lock(&self, say: &mut dyn FnMut(&str)) -> Result<Flock<File>, FileError> {
        let path = self.cache.join("lock");
        let open = || {
            at(
                "open",
                &path,
                File::options().append(true).create(true).open(&path),
            )
        };
        match Flock::lock(open()?, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(lock),
            Err(_) => {
                say("waiting for another build to end");
                let taken = Flock::lock(open()?, FlockArg::LockExclusive)
                    .map_err(|(_, errno)| io::Error::from(errno));
                at("lock", &path, taken)
            }
        }
    }
}

fn build_go(part: &Part, build: &GoBuild, go: &Go, module: &Path, out: &Path) -> Result<(), Error> {
    for &(library, package) in build.libraries {
        let mut ask = Command::new("pkg-config");
        ask.args(["--exists", library]);
        if !output(part, ask)?.status.success() {
            return Err(Error::Library {
                part: part.to_string(),
                library,
                package,
            });
        }
    }
    // Builds take every core for minutes; whoever else works here goes first.
    let mut command = go.command_through(&["nice", "-n", "5"]);
    command
        .current_dir(module)
        .env("CGO_ENABLED", if build.cgo { "1" } else { "0" })
        .args(["build", "-trimpath", "-buildvcs=false"])
        .args(["-tags", build.tags])
        .args(["-ldflags", &build.ldflags])
        .arg("-o")
        .arg(out.join(""))
        .args(&build.packages);
    succeed(part, command)?;
    for (from, to) in build.rename {
        let (from, to) = (out.join(from), out.join(to));
        at("rename", &from, fs::rename(&from, &to))?;
    }
    for (carrier, path) in build.keep {
        let source = module_source(part, go, module, carrier)?.join(path);
        let name = source.file_name().expect("a kept file has a name");
        files::write(&out.join(name), &files::read(&source)?)?;
    }
    Ok(())
}

fn build_c(part: &Part, build: &CBuild, go: &Go, module: &Path, out: &Path) -> Result<(), Error> {
    let source = module_source(part, go, module, build.module)?.join(build.source);
    let mut command = Command::new("cc");
    command
        .args(build.arguments)
        .arg("-o")
        .arg(out.join(build.program))
        .arg(source);
    succeed(part, command)
}

/// Where the sources of a pinned module lie, fetched if need be.
fn module_source(part: &Part, go: &Go, module: &Path, wanted: &str) -> Result<PathBuf, Error> {
    let mut fetch = go.command();
    fetch.current_dir(module).args(["mod", "download", wanted]);
    succeed(part, fetch)?;
    let mut ask = go.command();
    ask.current_dir(module)
        .args(["list", "-m", "-f", "{{.Dir}}", wanted]);
    let answer = output(part, ask)?;
    Ok(PathBuf::from(
        String::from_utf8_lossy(&answer.stdout).trim_end(),
    ))
}

fn output(part: &Part, mut command: Command) -> Result<Output, Error> {
    command.output().map_err(|source| Error::Run {
        program: command.get_program().to_string_lossy().into_owned(),
        part: part.to_string(),
        source,
    })
}

fn succeed(part: &Part, command: Command) -> Result<(), Error> {
    let argv = format!("{command:?}");
    let ended = output(part, command)?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    let lines: Vec<&str> = said.lines().collect();
    Err(Error::Failed {
        part: part.to_string(),
        argv,
        output: lines[lines.len().saturating_sub(20)..].join("\n"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workshop(folder: &Path) -> Workshop {
        Workshop {
            cache: folder.join("cache"),
            modules: recipe::modules_folder(),
        }
    }

    fn make_one(workshop: &Workshop, content: &[u8]) -> (PathBuf, Vec<String>) {
        let mut said = Vec::new();
        let folder = workshop
            .entry::<FileError>("x-1", "k", &mut |line| said.push(line.to_owned()), |out| {
                files::write(&out.join("x"), content)
            })
            .unwrap();
        (folder, said)
    }

    #[test]
    fn an_entry_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let workshop = workshop(dir.path());
        let (folder, said) = make_one(&workshop, b"first");
        assert_eq!(said[0], "x-1: building");
        let (again, said) = make_one(&workshop, b"second");
        assert_eq!(
            (again, said),
            (folder.clone(), vec!["x-1: cached".to_owned()])
        );
        assert_eq!(files::read(&folder.join("x")).unwrap(), b"first");
    }

    #[test]
    fn a_failed_or_interrupted_build_leaves_no_entry() {
        let dir = tempfile::tempdir().unwrap();
        let workshop = workshop(dir.path());
        let failed = workshop.entry("x-1", "k", &mut |_| {}, |out| {
            files::write(&out.join("half"), b"half")?;
            files::read(&out.join("missing")).map(drop)
        });
        assert!(failed.is_err());
        assert!(!workshop.cache.join("x-1-k").exists());
        let (folder, _) = make_one(&workshop, b"whole");
        assert_eq!(files::walk(&folder).unwrap(), [PathBuf::from("x")]);
    }

    #[test]
    fn a_second_builder_waits_and_then_finds_the_entry() {
        let dir = tempfile::tempdir().unwrap();
        let workshop = workshop(dir.path());
        files::make_dirs(&workshop.cache).unwrap();
        let lock = workshop.lock(&mut |_| {}).unwrap();
        let other = workshop.clone();
        let (tell, told) = std::sync::mpsc::channel();
        let second = std::thread::spawn(move || {
            let mut said = Vec::new();
            let made = other.entry::<FileError>(
                "x-1",
                "k",
                &mut |line| {
                    said.push(line.to_owned());
                    let _ = tell.send(line.to_owned());
                },
                |_| panic!("built twice"),
            );
            made.map(|_| said)
        });
        assert_eq!(told.recv().unwrap(), "waiting for another build to end");
        files::make_dirs(&workshop.cache.join("x-1-k")).unwrap();
        drop(lock);
        assert_eq!(second.join().unwrap().unwrap()[1], "x-1: cached");
    }

    #[test]
    fn what_a_failed_build_said_is_told() {
        let part = crate::catalog::find("pause", "3.10.2").unwrap();
        let mut command = Command::new("cc");
        command.arg("no-such-file.c");
        let error = succeed(&part, command).unwrap_err().to_string();
        assert!(error.contains("no-such-file.c"), "{error}");
        assert!(
            error.starts_with("building pause-3.10.2 failed: "),
            "{error}"
        );
    }
}
