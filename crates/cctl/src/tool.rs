//! The node tools, run on hosts by their documented command line: documents in, one JSON result out, progress as JSON lines.

use std::io::{Read, Write, empty};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use ssh::Call;

use crate::Error;
use crate::fleet::Remote;

/// How long the run of a killed cctl is waited for, which goes on on its host.
const HELD_LIMIT: Duration = Duration::from_secs(600);

/// A line of progress.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub(crate) enum Event {
    /// The run before did not come to its end.
    Continuing {
        /// What it was doing.
        #[serde(default)]
        change: Option<String>,
    },
    /// A phase begins.
    Phase {
        /// Its name.
        phase: String,
        /// What it does.
        about: String,
    },
    /// A change is about to be made.
    Change {
        /// The phase.
        phase: String,
        /// In words.
        change: String,
    },
    /// A phase has nothing more to change.
    PhaseDone {
        /// Its name.
        phase: String,
    },
    /// Something worth knowing.
    Note {
        /// In words.
        note: String,
    },
    /// The run failed.
    Error {
        /// What happened, outermost first.
        causes: Vec<String>,
        /// What to do.
        #[serde(default)]
        hints: Vec<String>,
    },
}

/// One run of a node tool.
pub(crate) struct ToolCall<'a> {
    /// `etcdadm` or `nodeadm`.
    pub tool: &'static str,
    /// Verb and flags; constants, nothing from outside.
    pub args: &'a [&'a str],
    /// Documents for its standard input.
    pub input: &'a str,
    /// How long it may take.
    pub limit: Duration,
}

impl ToolCall<'_> {
    /// As it is called in messages: without flags.
    pub(crate) fn words(&self) -> String {
        let verb: Vec<&str> = self
            .args
            .iter()
            .copied()
            .take_while(|arg| !arg.starts_with('-'))
            .collect();
        format!("{} {}", self.tool, verb.join(" "))
    }

    /// As it is run on this host.
    fn on(&self, remote: &Remote) -> Call {
        let args = self.args.iter().copied().chain(["--output", "json"]);
        Call::new(remote.tool(self.tool), args).within(self.limit)
    }
}

/// Why a tool failed, as far as it says so: what happened, outermost first, and what to do.
type Why = (Vec<String>, Vec<String>);

/// Listens to a tool's progress: its failure is kept, all else is passed on.
fn listening<'a>(
    why: &'a mut Why,
    hear: &'a mut (dyn FnMut(Event) + Send),
) -> impl FnMut(&str) + Send + 'a {
    |line| match serde_json::from_str(line) {
        // What runs a tool within itself tells of its end, too: the first one knows why.
        Ok(Event::Error { causes, hints }) if why.0.is_empty() => *why = (causes, hints),
        Ok(Event::Error { .. }) => {}
        Ok(event) => hear(event),
        // What is no event of ours: a crash, a warning of the loader's.
        Err(_) => {}
    }
}

/// Runs a node tool and reads its result.
///
/// # Errors
/// The tool's own, with its causes and hints; the connection's; a result that is no JSON.
pub(crate) fn run<T: DeserializeOwned>(
    remote: &Remote,
    call: &ToolCall<'_>,
    hear: &mut (dyn FnMut(Event) + Send),
) -> Result<T, Error> {
    let bytes = run_raw(remote, call, &mut || Box::new(call.input.as_bytes()), hear)?;
    serde_json::from_slice(&bytes).map_err(|error| Error::Output {
        host: remote.label.clone(),
        what: call.words(),
        detail: error.to_string(),
    })
}

/// Runs a node tool on what `input` gives anew for each try.
pub(crate) fn run_raw<'i>(
    remote: &Remote,
    call: &ToolCall<'_>,
    input: &mut dyn FnMut() -> Box<dyn Read + Send + 'i>,
    hear: &mut (dyn FnMut(Event) + Send),
) -> Result<Vec<u8>, Error> {
    let ssh_call = call.on(remote);
    let deadline = Instant::now() + HELD_LIMIT;
    let mut told = false;
    loop {
        let mut why = Why::default();
        let output = remote
            .connection
            .run(&ssh_call, &mut *input(), &mut listening(&mut why, hear))
            .map_err(|error| Error::of_call(error, call.words()))?;
        if output.success() {
            return Ok(output.stdout);
        }
        if is_held(&why.0) && Instant::now() < deadline {
            if !told {
                hear(Event::Note {
                    note: format!(
                        "waiting for a run that still goes on there: {}",
                        why.0.last().cloned().unwrap_or_default()
                    ),
                });
                told = true;
            }
            std::thread::sleep(Duration::from_millis(300));
            continue;
        }
        return Err(failed(remote, call, &output, why));
    }
}

/// Runs a node tool whose standard output is no result but what was asked for; it goes to `to` as it comes.
///
/// # Errors
/// The tool's own, the connection's, and `to`'s.
pub(crate) fn pull(
    remote: &Remote,
    call: &ToolCall<'_>,
    to: &mut (dyn Write + Send),
    hear: &mut (dyn FnMut(Event) + Send),
) -> Result<(), Error> {
    let ssh_call = call.on(remote);
    let mut why = Why::default();
    let output = remote
        .connection
        .stream(
            &ssh_call,
            &mut call.input.as_bytes(),
            to,
            &mut listening(&mut why, hear),
        )
        .map_err(|error| Error::of_call(error, call.words()))?;
    if output.success() {
        return Ok(());
    }
    Err(failed(remote, call, &output, why))
}

/// Runs a node tool that prints its result also when it then fails.
///
/// # Errors
/// As [`run`], when it printed nothing that can be read.
pub(crate) fn run_lenient<T: DeserializeOwned>(
    remote: &Remote,
    call: &ToolCall<'_>,
) -> Result<T, Error> {
    let ssh_call = call.on(remote);
    let mut why = Why::default();
    let output = remote.connection.run(
        &ssh_call,
        &mut call.input.as_bytes(),
        &mut listening(&mut why, &mut |_| {}),
    )?;
    if output.stdout.is_empty() && !output.success() {
        return Err(failed(remote, call, &output, why));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| Error::Output {
        host: remote.label.clone(),
        what: call.words(),
        detail: format!("{error} (exit code {})", output.code.unwrap_or(-1)),
    })
}

/// The failure of a tool in its own words, or as far as can be told where it left none.
fn failed(
    remote: &Remote,
    call: &ToolCall<'_>,
    output: &host::Output,
    (mut causes, hints): Why,
) -> Error {
    if causes.is_empty() {
        causes.push(match output.stderr.lines().last() {
            Some(line) => line.to_owned(),
            None => format!("it ended with exit code {}", output.code.unwrap_or(-1)),
        });
    }
    Error::Tool {
        host: remote.label.clone(),
        what: call.words(),
        code: output.code.unwrap_or(-1),
        causes,
        hints,
    }
}

/// Whether a run failed because another one holds the tool's lock.
fn is_held(causes: &[String]) -> bool {
    causes
        .iter()
        .any(|cause| cause.starts_with("another run holds "))
}

/// Runs another program of the host's and gives what it printed.
pub(crate) fn ask(
    remote: &Remote,
    program: &str,
    args: &[&str],
    limit: Duration,
) -> Result<Vec<u8>, Error> {
    let call = Call::new(program, args.iter().copied()).within(limit);
    Ok(remote.connection.ask(&call)?)
}

/// Runs another program of the host's with `input` on its standard input.
pub(crate) fn feed(
    remote: &Remote,
    program: &str,
    args: &[&str],
    input: &str,
    limit: Duration,
) -> Result<Vec<u8>, Error> {
    let call = Call::new(program, args.iter().copied()).within(limit);
    let mut bytes = input.as_bytes();
    let output = if input.is_empty() {
        remote.connection.run(&call, &mut empty(), &mut |_| {})?
    } else {
        remote.connection.run(&call, &mut bytes, &mut |_| {})?
    };
    if output.success() {
        return Ok(output.stdout);
    }
    Err(Error::Ssh(ssh::Error::Failed {
        host: remote.label.clone(),
        program: call.words(),
        code: output.code.unwrap_or(-1),
        stderr: output.stderr,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_understood_as_the_tools_write_it() {
        let read = |line: &str| serde_json::from_str::<Event>(line).unwrap();
        assert_eq!(
            read(
                r#"{"elapsedMs":12,"event":"change","phase":"install-binaries","change":"write /x"}"#
            ),
            Event::Change {
                phase: "install-binaries".into(),
                change: "write /x".into()
            }
        );
        assert_eq!(
            read(r#"{"elapsedMs":12,"event":"phase-done","phase":"wait-for-api","changes":3}"#),
            Event::PhaseDone {
                phase: "wait-for-api".into()
            }
        );
        let Event::Error { causes, .. } = read(
            r#"{"event":"error","kind":"failed","causes":["another run holds /x: y"],"hints":[]}"#,
        ) else {
            panic!("no error");
        };
        assert!(is_held(&causes));
    }
}
