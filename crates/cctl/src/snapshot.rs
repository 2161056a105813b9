//! `cctl snapshot etcd`: etcd's data in one file here, with what a restore needs to be right (a capsule, see the `capsule`
//! crate), sealed for whom the state is sealed for. It is checked while it comes, and never lies here unsealed unasked.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use capsule::backup::Whole;
use capsule::{Checked, Metadata};
use cli::Context;
use host::{Digest, HashingReader, Pending};
use serde::Serialize;
use state::{Identity, Recipient, State};

use crate::Error;
use crate::arguments::{ApplyArgs, Snapshot as Verb, SnapshotEtcd};
use crate::error::Failure;
use crate::fleet::{Fleet, Remote};
use crate::goal::Goal;
use crate::session;
use crate::settings::Settings;
use crate::tool::{self, ToolCall};

/// The largest database that etcd advises is 8 GiB.
const LIMIT: Duration = Duration::from_secs(3600);

/// What may follow a capsule's last entry: a block's rest, and the two blocks that end an archive.
const END_LIMIT: u64 = 3 * 512;

/// What `snapshot etcd` prints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Taken {
    file: PathBuf,
    /// Which member it is of.
    member: String,
    /// When it was taken, RFC 3339.
    taken_at: String,
    /// Its revision, or an earlier one.
    revision: i64,
    keys: u64,
    /// Of the database, in bytes.
    size: u64,
    /// Of the database.
    sha256: String,
    sealed: bool,
}

pub(crate) fn run(
    context: &mut Context,
    settings: &Settings,
    verb: &Verb,
) -> Result<(), cli::Error> {
    let Verb::Etcd(args) = verb;
    let state = state::read(&settings.state).map_err(Error::from)?;
    let goal = session::goal(&ApplyArgs::default(), Some(&state))?;
    let looked = session::visit_reachable(context, &goal, &state, settings)?;
    let taken = of_any_member(context, &goal, &looked.fleet, |remote| {
        take(remote, &state, args)
    })?;
    print(context, &taken)
}

/// Has a snapshot taken from the first host of a member that can.
///
/// # Errors
/// Where none can, each one's own.
pub(crate) fn of_any_member<T>(
    context: &mut Context,
    goal: &Goal,
    fleet: &Fleet,
    mut take: impl FnMut(&Remote) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut refused = Vec::new();
    for address in goal.members() {
        let Some(remote) = fleet.get(&address) else {
            continue;
        };
        context
            .progress
            .note(&format!("{}: take a snapshot", remote.label));
        match take(remote) {
            // Its own cluster may be whole on the others' side.
            Err(error @ Error::Tool { .. }) => refused.push(Failure::on(&remote.label, error)),
            taken => return taken,
        }
    }
    Err(match refused.len() {
        0 => Error::Refused("no host of an etcd member can be reached".to_owned()),
        _ => Error::Several(refused),
    })
}

fn print(context: &Context, taken: &Taken) -> Result<(), cli::Error> {
    context.print(taken, |taken| {
        format!(
            "{}: {} keys at revision {}, {:.1} MB, taken of {} at {}{}\n",
            taken.file.display(),
            taken.keys,
            taken.revision,
            taken.size as f64 / 1e6,
            taken.member,
            taken.taken_at,
            if taken.sealed {
                ", sealed"
            } else {
                ", NOT SEALED"
            },
        )
    })
}

/// Has etcdadm on this host take it of the best member.
fn take(remote: &Remote, state: &State, args: &SnapshotEtcd) -> Result<Taken, Error> {
    let path = &args.file;
    let recipients = if args.unsealed {
        None
    } else {
        Some(recipients(state)?)
    };
    let verb = ["snapshot", "save", "-"];
    let (checked, metadata) = bring(remote, &verb, path, recipients.as_deref())?;
    Ok(Taken {
        file: path.clone(),
        member: metadata.member,
        taken_at: metadata.taken_at,
        revision: metadata.hash.revision,
        keys: metadata.keys,
        size: checked.size,
        sha256: checked.sha256,
        sealed: !args.unsealed,
    })
}

/// What the member on this host has on its disk, sealed into `path`; the member is stopped.
///
/// # Errors
/// As `snapshot etcd`'s, and etcdadm's own: a majority serves, another member has newer data.
pub(crate) fn of_member(remote: &Remote, state: &State, path: &Path) -> Result<(), Error> {
    let verb = ["recover", "snapshot", "-"];
    bring(remote, &verb, path, Some(&recipients(state)?)).map(drop)
}

/// Whom the state is sealed for.
pub(crate) fn recipients(state: &State) -> Result<Vec<Recipient>, Error> {
    let all = state.vouching.recipients.iter();
    Ok(all
        .map(|text| text.parse())
        .collect::<Result<_, state::Error>>()?)
}

/// The capsule that etcdadm prints, in a file here: checked while it comes, sealed if it is for somebody, renamed when it
/// is whole.
fn bring(
    remote: &Remote,
    verb: &[&str],
    path: &Path,
    recipients: Option<&[Recipient]>,
) -> Result<(Checked, Metadata), Error> {
    let unwritten = |source| Error::Write {
        path: path.to_owned(),
        source,
    };
    let mut pending = BufWriter::new(Pending::new(path, 0o600)?);
    let pull = |to: &mut (dyn Write + Send)| pull(remote, verb, to);
    let found = match recipients {
        None => pull(&mut pending)?,
        Some(recipients) => {
            let mut sealing = state::sealing(path, recipients, pending)?;
            let found = pull(&mut sealing)?;
            pending = sealing.finish().map_err(unwritten)?;
            found
        }
    };
    pending.flush().map_err(unwritten)?;
    pending
        .into_inner()
        .map_err(|error| unwritten(error.into_error()))?
        .commit()?;
    Ok(found)
}

/// Has etcdadm print a capsule on this host, which goes to `to` and is checked while it comes.
///
/// # Errors
/// etcdadm's, the connection's; something arrived that is no capsule; `to`'s.
pub(crate) fn pull(
    remote: &Remote,
    verb: &[&str],
    to: &mut (dyn Write + Send),
) -> Result<(Checked, Metadata), Error> {
    let call = ToolCall {
        tool: "etcdadm",
        args: verb,
        input: "",
        limit: LIMIT,
    };
    checked_on_the_way(to, |to| tool::pull(remote, &call, to, &mut |_| {}))
}

/// Lets `bring` write to `to`, and checks the capsule while it passes.
fn checked_on_the_way(
    to: &mut (dyn Write + Send),
    bring: impl FnOnce(&mut (dyn Write + Send)) -> Result<(), Error>,
) -> Result<(Checked, Metadata), Error> {
    let broken = |source| Error::Snapshot {
        what: "what arrives".to_owned(),
        source: capsule::CapsuleError::Io {
            action: "read",
            source,
        },
    };
    let (mut reader, check) = io::pipe().map_err(broken)?;
    std::thread::scope(|scope| {
        let checking = scope.spawn(move || {
            let found = capsule::read(&mut reader, &mut io::sink());
            // What follows, or comes after a fault, is taken all the same: the sender must come to its end.
            drop(io::copy(&mut reader, &mut io::sink()));
            found
        });
        let mut tee = Tee { to, check };
        let brought = bring(&mut tee);
        drop(tee);
        let found = checking
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        brought?;
        whole(found, "what arrived")
    })
}

fn whole(
    found: Result<(Checked, Option<Metadata>), capsule::CapsuleError>,
    what: &str,
) -> Result<(Checked, Metadata), Error> {
    let fault = |source| Error::Snapshot {
        what: what.to_owned(),
        source,
    };
    match found.map_err(fault)? {
        (checked, Some(metadata)) => Ok((checked, metadata)),
        (_, None) => Err(fault(capsule::CapsuleError::Foreign(
            "it is a plain snapshot, which does not say of which cluster and release it is",
        ))),
    }
}

/// Writes what it is given to both.
struct Tee<'a, W> {
    to: &'a mut (dyn Write + Send),
    check: W,
}

impl<W: Write> Write for Tee<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write_all(bytes)?;
        self.check.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// A snapshot in a file here that was read to its end and is whole.
#[derive(Clone)]
pub(crate) struct Proven {
    path: PathBuf,
    identity: Identity,
    /// What it says of itself.
    pub metadata: Metadata,
    /// SHA-256 of the capsule, unsealed.
    pub digest: Digest,
    /// Where it is the beginning of a backup: how much of that it is.
    within: Option<u64>,
    /// The control planes' files, by address; of a backup alone.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// Keys are in a backup's files.
impl std::fmt::Debug for Proven {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Proven({})", self.path.display())
    }
}

impl Proven {
    /// Reads `path`, sealed or not.
    ///
    /// # Errors
    /// It cannot be read, is not sealed for `identity`, or is not whole.
    pub(crate) fn read(path: &Path, identity: Identity) -> Result<Self, Error> {
        let mut reader = HashingReader::new(open(path, &identity)?);
        let found = capsule::read(&mut reader, &mut io::sink());
        let (_, metadata) = whole(found, &path.display().to_string())?;
        let fault = |source| Error::Read {
            path: path.to_owned(),
            source,
        };
        let rest = io::copy(&mut reader, &mut io::sink()).map_err(fault)?;
        if rest > END_LIMIT {
            return Err(Error::Refused(format!(
                "{} is more than a snapshot: if it is a backup, name it with --from-backup, so that its files go back, too",
                path.display()
            )));
        }
        Ok(Self {
            path: path.to_owned(),
            identity,
            metadata,
            digest: reader.finish().0,
            within: None,
            files: BTreeMap::new(),
        })
    }

    /// The one in a backup at `path` that was read, with the control planes' files.
    ///
    /// # Errors
    /// Never for what was read; a digest that is none.
    pub(crate) fn in_backup(
        path: &Path,
        identity: Identity,
        backup: &Whole,
        files: BTreeMap<String, Vec<u8>>,
    ) -> Result<Self, Error> {
        let no_digest = |error| Error::Read {
            path: path.to_owned(),
            source: io::Error::other(error),
        };
        Ok(Self {
            path: path.to_owned(),
            identity,
            metadata: backup.metadata.clone(),
            digest: backup.capsule.parse().map_err(no_digest)?,
            within: Some(backup.index.snapshot.size),
            files,
        })
    }

    /// Other hosts are in the places of old ones, new addresses by the old ones: they get the old ones' files.
    pub(crate) fn replace(&mut self, replaced: &BTreeMap<String, String>) {
        for (old, new) in replaced {
            if let Some(files) = self.files.remove(old) {
                self.files.insert(new.clone(), files);
            }
        }
    }

    /// Its bytes, unsealed.
    ///
    /// # Errors
    /// As [`Proven::read`].
    pub(crate) fn bytes(&self) -> Result<Box<dyn Read + Send>, Error> {
        let all = open(&self.path, &self.identity)?;
        Ok(match self.within {
            None => all,
            Some(size) => Box::new(all.take(size).chain(&capsule::backup::END_OF_ARCHIVE[..])),
        })
    }
}

/// A file here, sealed or not.
///
/// # Errors
/// It cannot be read, or is not sealed for `identity`.
pub(crate) fn open(path: &Path, identity: &Identity) -> Result<Box<dyn Read + Send>, Error> {
    let fault = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = BufReader::with_capacity(256 << 10, File::open(path).map_err(fault)?);
    let sealed = {
        use io::BufRead;
        state::is_sealed(file.fill_buf().map_err(fault)?)
    };
    if sealed {
        Ok(Box::new(state::opening(path, identity, file)?))
    } else {
        Ok(Box::new(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrives_damaged_is_refused() {
        let mut kept = Vec::new();
        let found = checked_on_the_way(&mut kept, |to| {
            to.write_all(&[7; 100_000]).unwrap();
            Ok(())
        });
        assert!(matches!(found, Err(Error::Snapshot { .. })), "{found:?}");
        assert_eq!(kept.len(), 100_000, "all was taken");
    }
}
