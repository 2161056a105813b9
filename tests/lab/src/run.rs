//! Programs that are run and waited for: here, in the lab's network, or on a host.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::error::Error;

/// How long a program may run if nobody says otherwise.
const LIMIT: Duration = Duration::from_secs(120);

/// A program about to be run. Nothing happens before [`Run::output`], [`Run::check`], [`Run::text`] or [`Run::spawn`].
#[derive(Debug)]
#[must_use = "nothing runs before `output`, `check`, `text` or `spawn`"]
pub struct Run {
    label: String,
    shown: String,
    argv: Vec<OsString>,
    stdin: Stdin,
    stdout: Option<PathBuf>,
    limit: Duration,
}

#[derive(Debug)]
enum Stdin {
    Null,
    Bytes(Vec<u8>),
    File(PathBuf),
    Child(Child),
}

/// What a program said and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its exit code; 128 and the signal's number when a signal ended it. ssh itself gives 255 when it cannot connect.
    pub code: i32,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Whether it ended with 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.code == 0
    }

    /// Standard output as text, without the white space at its end.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }

    /// Standard error as text, without the white space at its end.
    #[must_use]
    pub fn error_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).trim_end().to_owned()
    }
}

impl Run {
    /// A program on this machine.
    pub(crate) fn here<I, S>(argv: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<OsString>,
    {
        let argv: Vec<OsString> = argv.into_iter().map(Into::into).collect();
        let shown = show(&argv);
        Self {
            label: "here".to_owned(),
            shown,
            argv,
            stdin: Stdin::Null,
            stdout: None,
            limit: LIMIT * crate::wait::patience(),
        }
    }

    /// Adds arguments.
    pub fn args<I, S>(mut self, args: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<OsString>,
    {
        for arg in args {
            let arg = arg.into();
            self.shown.push(' ');
            self.shown.push_str(&quote(&arg.to_string_lossy()));
            self.argv.push(arg);
        }
        self
    }

    /// Names the place and the command for errors, where the argument vector is mostly wrapping.
    pub(crate) fn named(mut self, label: &str, shown: String) -> Self {
        self.label = label.to_owned();
        self.shown = shown;
        self
    }

    /// The command as errors show it.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Feeds these bytes to its standard input, which is empty otherwise.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Stdin::Bytes(bytes.into());
        self
    }

    /// Gives it a file as standard input.
    pub fn stdin_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.stdin = Stdin::File(path.into());
        self
    }

    /// Gives it another program's standard output as its standard input.
    pub(crate) fn stdin_child(mut self, child: Child) -> Self {
        self.stdin = Stdin::Child(child);
        self
    }

    /// Writes its standard output to a file.
    pub fn stdout_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.stdout = Some(path.into());
        self
    }

    /// How long it may run; two minutes otherwise.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it and returns how it ended, well or badly.
    ///
    /// # Errors
    /// It cannot be started, or it does not end in time (then it is killed).
    pub fn output(mut self) -> Result<Output, Error> {
        let feeder = match std::mem::replace(&mut self.stdin, Stdin::Null) {
            Stdin::Child(child) => Some(child),
            other => {
                self.stdin = other;
                None
            }
        };
        let mut feeder = feeder;
        let mut command = self.command();
        match &self.stdin {
            Stdin::Null | Stdin::Child(_) => command.stdin(Stdio::null()),
            Stdin::Bytes(_) => command.stdin(Stdio::piped()),
            Stdin::File(path) => command.stdin(File::open(path).map_err(Error::io("open", path))?),
        };
        if let Some(pipe) = feeder.as_mut().and_then(|child| child.stdout.take()) {
            command.stdin(pipe);
        }
        match &self.stdout {
            Some(path) => command.stdout(File::create(path).map_err(Error::io("create", path))?),
            None => command.stdout(Stdio::piped()),
        };
        command.stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|source| Error::Spawn {
            argv: self.shown.clone(),
            source,
        })?;
        // Its copies of our ends of pipes and files go now, or the other side never sees their end.
        drop(command);

        if let (Stdin::Bytes(bytes), Some(mut pipe)) = (
            std::mem::replace(&mut self.stdin, Stdin::Null),
            child.stdin.take(),
        ) {
            // A program may end without reading all of it: its exit code tells, not our broken pipe.
            std::thread::spawn(move || drop(pipe.write_all(&bytes)));
        }
        let stdout = child.stdout.take().map(collect);
        let stderr = child.stderr.take().map(collect);
        let status = self.wait(&mut child);
        if let Some(mut feeder) = feeder {
            if status.is_err() {
                drop(feeder.kill());
            }
            let fed = feeder.wait().map_err(|source| Error::Spawn {
                argv: self.shown.clone(),
                source,
            })?;
            if !fed.success() && status.as_ref().is_ok_and(ExitStatus::success) {
                return Err(Error::Failed {
                    label: self.label,
                    argv: format!("what feeds {}", self.shown),
                    status: fed.to_string(),
                    stderr: String::new(),
                });
            }
        }
        let status = status?;
        Ok(Output {
            code: status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            stdout: gather(stdout),
            stderr: gather(stderr),
        })
    }

    /// Runs it and takes everything but exit code 0 for an error.
    ///
    /// # Errors
    /// As [`Run::output`], and [`Error::Failed`] with the end of its standard error.
    pub fn check(self) -> Result<Output, Error> {
        let (label, argv) = (self.label.clone(), self.shown.clone());
        let output = self.output()?;
        if output.success() {
            return Ok(output);
        }
        let said = match output.error_text() {
            text if text.is_empty() => output.text(),
            text => text,
        };
        Err(Error::Failed {
            label,
            argv,
            status: output.code.to_string(),
            stderr: tail(&said, 2000),
        })
    }

    /// Runs it as [`Run::check`] does and returns its standard output as text.
    ///
    /// # Errors
    /// As [`Run::check`].
    pub fn text(self) -> Result<String, Error> {
        self.check().map(|output| output.text())
    }

    /// Starts it with pipes at its standard streams and leaves it to the caller; the timeout does not count.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn(self) -> Result<Child, Error> {
        let mut command = self.command();
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().map_err(|source| Error::Spawn {
            argv: self.shown,
            source,
        })
    }

    /// The bare command, for a caller with wishes of its own for its streams (a terminal, say).
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.argv[0]);
        command.args(&self.argv[1..]);
        command
    }

    fn wait(&self, child: &mut Child) -> Result<ExitStatus, Error> {
        let start = Instant::now();
        let mut pause = Duration::from_micros(500);
        loop {
            let ended = child.try_wait().map_err(|source| Error::Spawn {
                argv: self.shown.clone(),
                source,
            })?;
            if let Some(status) = ended {
                return Ok(status);
            }
            if start.elapsed() >= self.limit {
                drop(child.kill());
                drop(child.wait());
                return Err(Error::Timeout {
                    label: self.label.clone(),
                    argv: self.shown.clone(),
                    limit: self.limit,
                });
            }
            std::thread::sleep(pause);
            pause = (pause * 3 / 2).min(Duration::from_millis(15));
        }
    }
}

fn collect(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut chunk = vec![0; 64 * 1024];
        while let Ok(n @ 1..) = pipe.read(&mut chunk) {
            if sender.send(chunk[..n].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// All that came. A program's child that lives on may hold the pipe open for ever: it does not hold us.
fn gather(pipe: Option<mpsc::Receiver<Vec<u8>>>) -> Vec<u8> {
    let mut all = Vec::new();
    if let Some(pipe) = pipe {
        while let Ok(chunk) = pipe.recv_timeout(Duration::from_secs(2)) {
            all.extend(chunk);
        }
    }
    all
}

fn show(argv: &[OsString]) -> String {
    argv.iter()
        .map(|arg| quote(&arg.to_string_lossy()))
        .collect::<Vec<_>>()
        .join(" ")
}

/// One word of a command line for a POSIX shell (sshd hands the command to one).
pub(crate) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The last `limit` bytes of a text, cut at a character.
pub(crate) fn tail(text: &str, limit: usize) -> String {
    let mut from = text.len().saturating_sub(limit);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text[from..].to_owned()
}

/// Whether a file of this name can be run from one of the usual places.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| Path::is_file(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        for word in [
            "",
            "plain",
            "two words",
            "it's",
            "$HOME `id` \"x\" \\ *",
            "a\nb",
        ] {
            let out = Run::here(["sh", "-c", &format!("printf %s {}", quote(word))])
                .check()
                .unwrap();
            assert_eq!(String::from_utf8(out.stdout).unwrap(), word);
        }
    }

    #[test]
    fn streams_codes_and_limits() {
        let out = Run::here(["sh", "-c", "cat; echo oops >&2; exit 3"])
            .stdin("hello")
            .output()
            .unwrap();
        assert_eq!(
            (out.code, out.text(), out.error_text()),
            (3, "hello".to_owned(), "oops".to_owned())
        );
        let error = Run::here(["sh", "-c", "exit 4"]).check().unwrap_err();
        assert_eq!(error.to_string(), "here: sh -c 'exit 4' ended with 4: ");
        let error = Run::here(["sleep", "60"])
            .timeout(Duration::from_millis(20))
            .output()
            .unwrap_err();
        assert_eq!(error.to_string(), "here: sleep 60 did not end within 20ms");
        // More than a pipe holds, both ways.
        let much = vec![b'x'; 1 << 20];
        assert_eq!(
            Run::here(["cat"])
                .stdin(much.clone())
                .check()
                .unwrap()
                .stdout,
            much
        );
    }
}
