//! Blobs sent into a host's store: it says which it lacks, and only those go, each checked while it is read here and again
//! while it is written there.

use std::io::{self, PipeReader, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::Role;
use bundle::{Entry, stream};
use host::Digest;

use super::Hear;
use crate::Error;
use crate::artifacts::{Artifacts, blobs};
use crate::execute::{Outcome, Shared};
use crate::fleet::Remote;
use crate::tool::{self, ToolCall};

const LOOK_LIMIT: Duration = Duration::from_secs(60);
const SEND_LIMIT: Duration = Duration::from_secs(3600);

pub(super) fn etcd(shared: &Shared<'_>, remote: &Remote, hear: Hear<'_>) -> Result<Outcome, Error> {
    let Some(artifacts) = &shared.goal.artifacts else {
        return Ok(Outcome::default());
    };
    let entries = artifacts.for_etcd(&shared.goal.configuration, &remote.arch)?;
    send(remote, artifacts, &entries, hear)
}

pub(super) fn kubernetes(
    shared: &Shared<'_>,
    remote: &Remote,
    hear: Hear<'_>,
) -> Result<Outcome, Error> {
    let Some(artifacts) = &shared.goal.artifacts else {
        return Ok(Outcome::default());
    };
    let master = shared
        .goal
        .machine(&remote.address)
        .is_some_and(|machine| machine.is(Role::Master));
    let role = if master { Role::Master } else { Role::Node };
    let entries = artifacts.for_kubernetes(&shared.goal.configuration, role, &remote.arch)?;
    send(remote, artifacts, &entries, hear)
}

fn send(
    remote: &Remote,
    artifacts: &Artifacts,
    entries: &[Entry],
    hear: Hear<'_>,
) -> Result<Outcome, Error> {
    let all = blobs(entries);
    let input = serde_json::to_string(&all).expect("descriptors become JSON");
    let call = ToolCall {
        tool: "nodeadm",
        args: &["store", "missing"],
        input: &input,
        limit: LOOK_LIMIT,
    };
    let missing: Vec<Digest> = tool::run(remote, &call, hear)?;
    let bytes: u64 = all
        .iter()
        .filter(|blob| missing.contains(&blob.digest))
        .map(|blob| blob.size)
        .sum();
    if missing.is_empty() {
        return Ok(Outcome {
            note: Some("all is there".to_owned()),
            ..Outcome::default()
        });
    }
    let call = ToolCall {
        tool: "nodeadm",
        args: &["store", "receive"],
        input: "",
        limit: SEND_LIMIT,
    };
    std::thread::scope(|scope| {
        tool::run_raw(
            remote,
            &call,
            &mut || {
                let (reader, writer) = match io::pipe() {
                    Ok(pipe) => pipe,
                    Err(error) => return Box::new(Broken(Some(error))),
                };
                let failed = Arc::new(Mutex::new(None));
                let told = Arc::clone(&failed);
                let missing = &missing;
                scope.spawn(move || {
                    let mut writer = io::BufWriter::with_capacity(256 << 10, writer);
                    let sent = stream::send(
                        artifacts.layout(),
                        entries,
                        &mut |blob| missing.contains(&blob.digest),
                        &mut writer,
                        &mut |_| {},
                    );
                    let result = sent.map_err(io::Error::other).and_then(|()| writer.flush());
                    if let Err(error) = result {
                        *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    }
                    // The end of the pipe comes last, so that the reader sees the failure.
                    drop(writer);
                });
                Box::new(Piped { reader, failed })
            },
            hear,
        )
    })
    .map_err(|error| error.of_bundle(&remote.label, artifacts.path()))?;
    Ok(Outcome {
        note: Some(format!("{} MB", bytes.div_ceil(1_000_000))),
        ..Outcome::default()
    })
}

/// The reading end, whose end is an error when the writing end failed: half a stream must not pass for a whole one.
struct Piped {
    reader: PipeReader,
    failed: Arc<Mutex<Option<io::Error>>>,
}

impl Read for Piped {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buffer)?;
        if n == 0
            && !buffer.is_empty()
            && let Some(error) = self
                .failed
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take()
        {
            return Err(error);
        }
        Ok(n)
    }
}

/// A pipe that could not be made.
struct Broken(Option<io::Error>);

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(self
            .0
            .take()
            .unwrap_or_else(|| io::ErrorKind::BrokenPipe.into()))
    }
}
