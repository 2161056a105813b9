//! One connection to one host, over which programs are run.
//!
//! The connection is a child of this process: OpenSSH as the master of a control socket, running `/bin/cat` on the host.
//! That cat has become root as all programs will, so its echo proves login and sudo in one round trip; and when this process
//! ends, however it ends, cat's input ends, and with it the connection. Nothing stays behind on either side.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use host::Output;

use crate::client::LOGIN_LIMIT;
use crate::{Call, Error, Target, error};

const SSH: &str = "ssh";
const GREETING: &str = "klusterkit-connected";
const STDOUT_LIMIT: usize = 64 << 20;
const STDERR_TAIL: usize = 16 << 10;
const LINE_LIMIT: u64 = 64 << 10;

/// A connection that stands. Programs may be run over it from several threads at once.
#[derive(Debug)]
pub struct Connection {
    target: Target,
    configuration: PathBuf,
    socket: PathBuf,
    agent_socket: Option<String>,
    master: Mutex<Master>,
}

#[derive(Debug)]
struct Master {
    child: Child,
    stdin: Option<ChildStdin>,
    said: Arc<Mutex<String>>,
}

impl Connection {
    pub(crate) fn open(
        target: Target,
        configuration: PathBuf,
        socket: PathBuf,
        agent_socket: Option<String>,
    ) -> Result<Self, Error> {
        let mut command = base_command(&target, &configuration, &socket, agent_socket.as_deref());
        command.args([
            "-o",
            "ControlMaster=yes",
            "-o",
            "ControlPersist=no",
            "--",
            &target.address,
        ]);
        command.arg(Call::new("/bin/cat", [""; 0]).command_line(&target.user));
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|source| Error::Spawn {
            program: SSH,
            source,
        })?;
        let mut stdin = child.stdin.take().expect("piped just above");
        let stdout = child.stdout.take().expect("piped just above");
        let stderr = child.stderr.take().expect("piped just above");

        let said = Arc::new(Mutex::new(String::new()));
        let (ended, end) = mpsc::channel();
        let keep = Arc::clone(&said);
        std::thread::spawn(move || {
            read_lines(stderr, |line| push_tail(&mut lock(&keep), line));
            // Nobody may be waiting any more.
            let _ = ended.send(());
        });
        // A host that is gone says so on standard error, not by this write.
        let _ = stdin.write_all(format!("{GREETING}\n").as_bytes());
        let (sender, greeted) = mpsc::channel();
        std::thread::spawn(move || {
            let _ = sender.send(await_greeting(stdout));
        });
        let master = Master {
            child,
            stdin: Some(stdin),
            said,
        };
        let connection = Self {
            target,
            configuration,
            socket,
            agent_socket,
            master: Mutex::new(master),
        };
        match greeted.recv_timeout(LOGIN_LIMIT) {
            Ok(Greeting::Clean) => Ok(connection),
            Ok(Greeting::Noise(seen)) => Err(Error::Noise {
                host: connection.host(),
                user: connection.target.user.clone(),
                seen,
            }),
            Ok(Greeting::Ended) => {
                let _ = end.recv_timeout(Duration::from_secs(2));
                Err(connection.why_not_connected())
            }
            Err(_) => Err(Error::Unreachable {
                host: connection.host(),
                cause: format!("no login within {}s", LOGIN_LIMIT.as_secs()),
            }),
        }
    }

    fn why_not_connected(&self) -> Error {
        let said = lock(&lock(&self.master).said).clone();
        let user = &self.target.user;
        let shell = said.lines().find(|line| {
            line.contains("sudo") && (line.contains("not found") || line.contains("No such file"))
        });
        if let Some(line) = shell {
            return Error::SudoRefused {
                host: self.host(),
                user: user.clone(),
                cause: line.trim().to_owned(),
            };
        }
        error::of_sudo(&self.target.address, user, &said)
            .unwrap_or_else(|| error::of_client(&self.target.address, user, &said))
    }

    /// The host's address.
    #[must_use]
    pub fn host(&self) -> String {
        self.target.address.clone()
    }

    /// Runs a program with all that `input` gives on its standard input; `line` hears each line of its standard error as it
    /// comes. Ending with another code than 0 is an answer, not an error. Of its standard output, the first 64 MiB are kept.
    ///
    /// # Errors
    /// When the program could not be started or did not end here: the connection was lost, sudo refused, the time was over.
    pub fn run(
        &self,
        call: &Call,
        input: &mut (dyn Read + Send),
        line: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Output, Error> {
        let mut kept = Kept(Vec::new());
        let output = self.stream(call, input, &mut kept, line)?;
        Ok(Output {
            stdout: kept.0,
            ..output
        })
    }

    /// As [`Connection::run`], but what the program prints goes to `to` as it comes, however much it is.
    ///
    /// # Errors
    /// As [`Connection::run`], and [`Error::Received`] when `to` refuses it: the program is cut off then.
    pub fn stream(
        &self,
        call: &Call,
        input: &mut (dyn Read + Send),
        to: &mut (dyn Write + Send),
        line: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Output, Error> {
        let program = call.words();
        if let Some(cause) = self.ended() {
            return Err(Error::Lost {
                host: self.host(),
                program,
                cause,
            });
        }
        let mut command = base_command(
            &self.target,
            &self.configuration,
            &self.socket,
            self.agent_socket.as_deref(),
        );
        command.args(["-o", "ControlMaster=no", "--", &self.target.address]);
        command.arg(call.command_line(&self.target.user));
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|source| Error::Spawn {
            program: SSH,
            source,
        })?;
        let mut stdin = child.stdin.take().expect("piped just above");
        let stdout = child.stdout.take().expect("piped just above");
        let stderr = child.stderr.take().expect("piped just above");
        let child = Mutex::new(child);
        let kill = || {
            // It may have ended meanwhile.
            let _ = lock(&child).kill();
        };
        let over = AtomicBool::new(false);

        let (refused, said, unreadable, status) = std::thread::scope(|scope| {
            let feeding = scope.spawn(|| {
                let result = feed(input, &mut stdin);
                drop(stdin);
                if result.is_err() {
                    // Half of what was to be sent must not pass for the whole.
                    kill();
                }
                result.err()
            });
            let listening = scope.spawn(|| {
                let mut said = String::new();
                read_lines(stderr, |text| {
                    push_tail(&mut said, text);
                    line(text);
                });
                said
            });
            let reading = scope.spawn(|| {
                let mut stdout = stdout;
                let result = std::io::copy(&mut stdout, to);
                if result.is_err() {
                    kill();
                }
                result.err()
            });
            let status = wait(&child, Instant::now() + call.limit);
            if status.is_none() {
                over.store(true, Ordering::Relaxed);
                kill();
            }
            let refused = reading.join().unwrap_or_default();
            let said = listening.join().unwrap_or_default();
            let unreadable = feeding.join().unwrap_or_default();
            (refused, said, unreadable, status)
        });
        let _ = lock(&child).wait();
        if let Some(source) = unreadable {
            return Err(Error::Input {
                host: self.host(),
                program,
                source,
            });
        }
        if let Some(source) = refused {
            return Err(Error::Received {
                host: self.host(),
                program,
                source,
            });
        }
        if over.load(Ordering::Relaxed) {
            return Err(Error::Timeout {
                host: self.host(),
                program,
                limit: call.limit,
            });
        }
        let code = status.and_then(|status| status.code());
        if code == Some(255) || code.is_none() {
            let cause = self.ended().unwrap_or_else(|| {
                said.lines()
                    .last()
                    .unwrap_or("the connection ended")
                    .trim()
                    .to_owned()
            });
            return Err(Error::Lost {
                host: self.host(),
                program,
                cause,
            });
        }
        if code != Some(0)
            && call.uses_sudo(&self.target.user)
            && let Some(error) = error::of_sudo(&self.target.address, &self.target.user, &said)
        {
            return Err(error);
        }
        Ok(Output {
            code,
            stdout: Vec::new(),
            stderr: said.trim().to_owned(),
        })
    }

    /// As [`Connection::run`], without input and listener, and ending with another code than 0 is an error.
    ///
    /// # Errors
    /// As [`Connection::run`], and [`Error::Failed`].
    pub fn ask(&self, call: &Call) -> Result<Vec<u8>, Error> {
        let output = self.run(call, &mut std::io::empty(), &mut |_| {})?;
        if output.success() {
            return Ok(output.stdout);
        }
        Err(Error::Failed {
            host: self.host(),
            program: call.words(),
            code: output.code.unwrap_or(-1),
            stderr: output.stderr,
        })
    }

    /// Why the connection stands no longer, if it does not.
    fn ended(&self) -> Option<String> {
        let mut master = lock(&self.master);
        match master.child.try_wait() {
            Ok(None) => None,
            _ => {
                let said = lock(&master.said);
                Some(
                    said.lines()
                        .last()
                        .unwrap_or("the connection ended")
                        .trim()
                        .to_owned(),
                )
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut master = lock(&self.master);
        // The end of cat's input ends cat, and with it the master.
        drop(master.stdin.take());
        let deadline = Instant::now() + Duration::from_millis(300);
        while Instant::now() < deadline {
            if !matches!(master.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = master.child.kill();
        let _ = master.child.wait();
    }
}

fn base_command(
    target: &Target,
    configuration: &std::path::Path,
    socket: &std::path::Path,
    agent: Option<&str>,
) -> Command {
    let mut command = host::process::command(SSH);
    if let Some(agent) = agent {
        command.env("SSH_AUTH_SOCK", agent);
    }
    command.arg("-F").arg(configuration).arg("-S").arg(socket);
    command.args(["-T", "-l", &target.user, "-p", &target.port.to_string()]);
    command
}

enum Greeting {
    Clean,
    Noise(String),
    Ended,
}

/// Reads until the echo of the greeting, and goes on reading until the end, so that nothing ever blocks.
fn await_greeting(stdout: impl Read) -> Greeting {
    let mut reader = BufReader::new(stdout).take(LINE_LIMIT);
    let mut line = String::new();
    match reader.read_line(&mut line) {
        Ok(1..) if line.trim_end() == GREETING => Greeting::Clean,
        Ok(1..) => Greeting::Noise(line.trim_end().chars().take(100).collect()),
        _ => Greeting::Ended,
    }
}

fn feed(input: &mut (dyn Read + Send), pipe: &mut ChildStdin) -> Result<(), std::io::Error> {
    let mut buffer = vec![0; 128 << 10];
    loop {
        let n = match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        if pipe.write_all(&buffer[..n]).is_err() {
            // A program that ends without reading all of it says why by its exit code.
            return Ok(());
        }
    }
}

/// Lines as they come, without their ends; a line beyond [`LINE_LIMIT`] comes in pieces.
fn read_lines(pipe: impl Read, mut line: impl FnMut(&str)) {
    let mut reader = BufReader::new(pipe);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match reader
            .by_ref()
            .take(LINE_LIMIT)
            .read_until(b'\n', &mut bytes)
        {
            Ok(0) | Err(_) => return,
            Ok(_) => line(String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r'])),
        }
    }
}

/// Keeps the beginning, and takes the rest for nothing.
struct Kept(Vec<u8>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let room = STDOUT_LIMIT - self.0.len();
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn push_tail(said: &mut String, line: &str) {
    said.push_str(line);
    said.push('\n');
    if said.len() > 2 * STDERR_TAIL {
        let mut cut = said.len() - STDERR_TAIL;
        while !said.is_char_boundary(cut) {
            cut += 1;
        }
        said.drain(..cut);
    }
}

fn wait(child: &Mutex<Child>, deadline: Instant) -> Option<std::process::ExitStatus> {
    let mut nap = Duration::from_micros(500);
    loop {
        if let Ok(Some(status)) = lock(child).try_wait() {
            return Some(status);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(nap);
        nap = (nap * 2).min(Duration::from_millis(10));
    }
}

/// A thread that panicked leaves nothing half-done behind these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
