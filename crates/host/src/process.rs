//! Programs, run by argument vector: no shell, a fixed environment, bounded output, a deadline.

use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::{Error, Output};

/// Where programs are looked up; `/opt/bin` holds what Klusterkit installs.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/bin";

const STDOUT_LIMIT: u64 = 64 << 20;
const STDERR_TAIL: usize = 4096;

/// A command with the environment that all of Klusterkit's children get: [`PATH`], `LC_ALL=C`, and `HOME=/root`.
#[must_use]
pub fn command(program: &str) -> Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where programs are started"
    )]
    let mut command = Command::new(resolve(program));
    command
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .env("HOME", "/root");
    command
}

/// `Command` would look a bare name up in our own PATH, which is the caller's.
fn resolve(program: &str) -> String {
    if program.contains('/') {
        return program.to_owned();
    }
    PATH.split(':')
        .map(|folder| format!("{folder}/{program}"))
        .find(|path| std::path::Path::new(path).is_file())
        .unwrap_or_else(|| program.to_owned())
}

/// Runs `command` with `stdin`, for `limit` at most; at the end of it the whole process group is killed.
///
/// # Errors
/// [`Error::Spawn`], [`Error::Timeout`]. A program that fails is not an error here: see [`Output::success`].
pub fn run(mut command: Command, stdin: &[u8], limit: Duration) -> Result<Output, Error> {
    let argv = argv(&command);
    command
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.stdin(if stdin.is_empty() {
        Stdio::null()
    } else {
        Stdio::piped()
    });
    let mut child = command.spawn().map_err(|source| Error::Spawn {
        argv: argv.clone(),
        source,
    })?;

    let (stdout, stderr) = (
        read_all(child.stdout.take()),
        read_tail(child.stderr.take()),
    );
    if let Some(mut pipe) = child.stdin.take() {
        let bytes = stdin.to_vec();
        // A program that ends without reading all of it says why by its exit code.
        std::thread::spawn(move || pipe.write_all(&bytes));
    }
    let status = wait(&mut child, Instant::now() + limit);
    // A grandchild that went on in the background may hold the pipes: it is not waited for.
    let grace = Duration::from_millis(500);
    let stderr = stderr.recv_timeout(grace).unwrap_or_default();
    match status {
        Some(status) => Ok(Output {
            code: status.code().or_else(|| status.signal().map(|s| 128 + s)),
            stdout: stdout
                .recv_timeout(Duration::from_secs(5))
                .unwrap_or_default(),
            stderr,
        }),
        None => Err(Error::Timeout {
            argv,
            limit,
            stderr,
        }),
    }
}

/// As [`run`], and ending with another code than 0 is an error.
///
/// # Errors
/// [`Error::Spawn`], [`Error::Timeout`], [`Error::Failed`].
pub fn run_ok(command: Command, stdin: &[u8], limit: Duration) -> Result<Output, Error> {
    let argv = argv(&command);
    let output = run(command, stdin, limit)?;
    if output.success() {
        return Ok(output);
    }
    let status = match output.code {
        Some(code) if code > 128 => format!("signal {}", code - 128),
        Some(code) => format!("exit code {code}"),
        None => "unknown status".to_owned(),
    };
    let stderr = if output.stderr.is_empty() {
        output.text().lines().last().unwrap_or("").to_owned()
    } else {
        output.stderr
    };
    Err(Error::Failed {
        argv,
        status,
        stderr,
    })
}

/// The argument vector in one line, for messages.
#[must_use]
pub fn argv(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn wait(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    let mut nap = Duration::from_micros(200);
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if Instant::now() >= deadline {
            let group = Pid::from_raw(child.id().cast_signed());
            let _ = killpg(group, Signal::SIGKILL);
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(nap);
        nap = (nap * 2).min(Duration::from_millis(10));
    }
}

fn read_all(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.by_ref().take(STDOUT_LIMIT).read_to_end(&mut bytes);
            let _ = std::io::copy(&mut pipe, &mut std::io::sink());
        }
        send.send(bytes)
    });
    receive
}

fn read_tail(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut tail: Vec<u8> = Vec::new();
        let mut buffer = [0; 4096];
        if let Some(mut pipe) = pipe {
            while let Ok(n @ 1..) = pipe.read(&mut buffer) {
                tail.extend_from_slice(&buffer[..n]);
                tail.drain(..tail.len().saturating_sub(STDERR_TAIL));
            }
        }
        send.send(String::from_utf8_lossy(&tail).trim().to_owned())
    });
    receive
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut c = command("sh");
        c.args(["-c", script]);
        c
    }

    #[test]
    fn input_goes_in_and_output_comes_out() {
        let output = run(
            sh("cat; echo oops >&2; exit 3"),
            b"hello",
            Duration::from_secs(5),
        )
        .unwrap();
        assert_eq!(
            (output.code, output.text().as_str(), output.stderr.as_str()),
            (Some(3), "hello", "oops")
        );
    }

    #[test]
    fn the_environment_is_ours() {
        let output = run(command("env"), b"", Duration::from_secs(5)).unwrap();
        insta::assert_snapshot!(output.text(), @r"
        HOME=/root
        LC_ALL=C
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/bin
        ");
    }

    #[test]
    fn what_does_not_end_is_killed_with_its_children() {
        let start = Instant::now();
        let error = run(
            sh("sleep 77 & echo waiting >&2; wait"),
            b"",
            Duration::from_millis(300),
        )
        .unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(5));
        assert_eq!(
            error.to_string(),
            "/usr/bin/sh -c sleep 77 & echo waiting >&2; wait did not end within 300ms and was killed: waiting"
        );
    }

    #[test]
    fn a_background_child_does_not_hold_us_up() {
        let start = Instant::now();
        assert!(
            run(
                sh("sleep 3 >/dev/null & exit 0"),
                b"",
                Duration::from_secs(20)
            )
            .unwrap()
            .success()
        );
        assert!(start.elapsed() < Duration::from_secs(3));
    }

    #[test]
    fn failures_say_which_program_and_why() {
        let message = |script| {
            run_ok(sh(script), b"", Duration::from_secs(5))
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            message("echo no >&2; exit 2"),
            "/usr/bin/sh -c echo no >&2; exit 2 failed (exit code 2): no"
        );
        let missing = run(command("no-such-program"), b"", Duration::from_secs(1)).unwrap_err();
        assert_eq!(missing.to_string(), "could not run no-such-program");
    }
}
