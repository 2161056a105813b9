//! Copies of the state on the control planes, sealed and signed as the state is: what an admin whose machine is lost gets it
//! back from.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cli::{Context, Progress};
use host::Digest;
use serde::Serialize;
use ssh::{Call, Client, Settings as SshSettings, Target};
use state::{Identity, Open, State};

use crate::Error;
use crate::arguments::StatePull;
use crate::error::Failure;
use crate::fleet::{FOLDER, Fleet, Remote, on_all, target};
use crate::put::{self, Place};
use crate::settings::{Settings, read_text};

/// Its name there.
const COPY: &str = "state.yaml";
const LIMIT: Duration = Duration::from_secs(30);

fn path() -> String {
    format!("{FOLDER}/{COPY}")
}

/// Leaves a copy on every control plane that is connected. A newer one is not overwritten. What hinders is told, and hinders
/// nothing else: the state itself is written.
pub(crate) fn spread(open: &Open, fleet: &Fleet, progress: &mut Progress) {
    if !open.was_written() {
        return;
    }
    // As the state is now: a machine that was just taken out gets none.
    let masters: Vec<String> = open
        .state
        .configuration()
        .masters()
        .map(|machine| machine.address.to_string())
        .collect();
    let remotes: Vec<&Remote> = fleet
        .values()
        .filter(|remote| masters.contains(&remote.address))
        .collect();
    let spread = read_text(open.path()).and_then(|text| {
        on_all(
            &remotes,
            |remote| remote.address.clone(),
            |remote| leave(remote, &open.state, &text),
        )
    });
    if let Err(error) = spread {
        progress.note(&format!(
            "not every control plane has a copy of the state: {error}"
        ));
    }
}

fn leave(remote: &Remote, state: &State, text: &str) -> Result<(), Error> {
    let there = fetch(remote)?.and_then(|text| generation(&text));
    if let Some((cluster, generation)) = there
        && cluster == state.cluster_id
        && generation > state.generation
    {
        return Err(Error::Refused(format!(
            "{} has generation {generation}, and this one is {}: somebody else works on the cluster; `cctl state pull --from {}` gets theirs",
            remote.label, state.generation, remote.address
        )));
    }
    let place = Place {
        path: &path(),
        folder_mode: "0700",
        mode: "0600",
    };
    let mut bytes = text.as_bytes();
    put::put(remote, &place, Digest::of(text.as_bytes()), &mut bytes)
}

/// What a text that may be a state says of itself, before it is believed.
fn generation(text: &str) -> Option<(String, u64)> {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().trim_matches(['"', '\'']).to_owned())
    };
    Some((field("clusterID:")?, field("generation:")?.parse().ok()?))
}

/// The copy that a host has.
fn fetch(remote: &Remote) -> Result<Option<String>, Error> {
    let call = Call::new("/bin/cat", ["--", &path()]).within(LIMIT);
    let output = remote
        .connection
        .run(&call, &mut std::io::empty(), &mut |_| {})?;
    Ok(output
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// Takes the copy away from a host that leaves the cluster.
///
/// # Errors
/// The host's.
pub(crate) fn remove(remote: &Remote) -> Result<(), Error> {
    let words = ["-rf", "--", FOLDER];
    remote
        .connection
        .ask(&Call::new("/bin/rm", words).within(LIMIT))?;
    Ok(())
}

/// What `state pull` prints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Pulled {
    file: PathBuf,
    cluster: String,
    generation: u64,
    /// The host that had it.
    from: String,
    /// Whom it is sealed for.
    recipients: Vec<String>,
}

pub(crate) fn run(
    context: &mut Context,
    settings: &Settings,
    args: &StatePull,
) -> Result<(), cli::Error> {
    let pulled = pull(context, settings, args)?;
    context.print(&pulled, |pulled| {
        let mut text = format!(
            "{}: cluster {}, generation {}, from {}\n",
            pulled.file.display(),
            pulled.cluster,
            pulled.generation,
            pulled.from
        );
        for recipient in &pulled.recipients {
            text.push_str(&format!("sealed for {recipient}\n"));
        }
        text
    })
}

/// Asks the named hosts, then all control planes that the newest of their copies knows; keeps the newest of all.
fn pull(context: &mut Context, settings: &Settings, args: &StatePull) -> Result<Pulled, Error> {
    let identity = settings.identity(None)?;
    let known_hosts = settings
        .known_hosts
        .as_deref()
        .map(read_text)
        .transpose()?
        .unwrap_or_default();
    let asked: Vec<Target> = args
        .from
        .iter()
        .map(|from| from.target(&identity))
        .collect();
    let mut found = ask(context, settings, known_hosts, &asked, args, &identity)?;
    if let Some((state, _, _)) = newest(&found) {
        let (hosts, keys) = others(state, settings, &asked);
        // Those that cannot be reached may be the ones that are lost.
        found.extend(ask(context, settings, keys, &hosts, args, &identity).unwrap_or_default());
    }
    let Some((state, text, from)) = newest(&found) else {
        return Err(Error::Refused(
            "none of these hosts has a copy of a state that is for you".to_owned(),
        ));
    };
    let path = &settings.state;
    if path.exists() {
        let here = state::read(path)?;
        if here.cluster_id != state.cluster_id {
            return Err(Error::Refused(format!(
                "{} is the state of cluster {}: name another file with --state",
                path.display(),
                here.cluster.metadata.name
            )));
        }
        if here.generation >= state.generation {
            return Err(Error::Refused(format!(
                "{} is generation {} already, and the newest copy {}",
                path.display(),
                here.generation,
                state.generation
            )));
        }
    }
    host::write_atomically(path, 0o600, text.as_bytes())?;
    Ok(Pulled {
        file: path.clone(),
        cluster: state.cluster.metadata.name.clone(),
        generation: state.generation,
        from: from.clone(),
        recipients: state.vouching.recipients.clone(),
    })
}

type Found = (State, String, String);

fn newest(found: &[Found]) -> Option<&Found> {
    found.iter().max_by_key(|(state, _, _)| state.generation)
}

/// The control planes that were not asked yet, and the keys that the state pins for them.
fn others(state: &State, settings: &Settings, asked: &[Target]) -> (Vec<Target>, String) {
    let configuration = state.configuration();
    let mut keys = String::new();
    let mut hosts = Vec::new();
    for machine in configuration.masters() {
        let target = target(configuration, machine, settings);
        if asked.iter().any(|asked| asked.address == target.address) {
            continue;
        }
        let pinned = state.machine(&target.address);
        for key in pinned
            .map(|known| known.spec.host_keys.as_slice())
            .unwrap_or_default()
        {
            keys.push_str(&format!("{} {key}\n", target.known_hosts_name()));
        }
        hosts.push(target);
    }
    (hosts, keys)
}

/// The copies of all hosts that can be asked and whose copy is to be believed; the others are told.
fn ask(
    context: &mut Context,
    settings: &Settings,
    known_hosts: String,
    hosts: &[Target],
    args: &StatePull,
    identity: &Identity,
) -> Result<Vec<Found>, Error> {
    let client = Client::new(SshSettings {
        known_hosts,
        accept_new_host_keys: settings.accept_new_host_keys,
        agent_socket: settings.agent_socket.clone(),
        runtime_folder: None,
    })?;
    let answers = on_all(
        hosts,
        |target| target.address.clone(),
        |target| Ok(copy_of(&client, target, args, identity)),
    )?;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for (target, answer) in hosts.iter().zip(answers) {
        match answer {
            Ok(Some((state, text))) => found.push((state, text, target.address.clone())),
            Ok(None) => context
                .progress
                .note(&format!("{} has no copy", target.address)),
            Err(error) => failures.push(Failure::on(&target.address, error)),
        }
    }
    if found.is_empty() && !failures.is_empty() {
        return Err(Error::Several(failures));
    }
    for failure in failures {
        context
            .progress
            .note(&format!("{} is left out: {failure}", failure.host));
    }
    Ok(found)
}

fn copy_of(
    client: &Client,
    target: &Target,
    args: &StatePull,
    identity: &Identity,
) -> Result<Option<(State, String)>, Error> {
    let remote = Remote {
        address: target.address.clone(),
        label: target.address.clone(),
        connection: std::sync::Arc::new(client.connect(target)?),
        arch: String::new(),
        tools: Default::default(),
    };
    let Some(text) = fetch(&remote)? else {
        return Ok(None);
    };
    let named = format!("{}:{}", target.address, path());
    let state = state::check(Path::new(&named), &text, identity)?;
    believe(&named, &state, &args.signer, identity)?;
    Ok(Some((state, text)))
}

/// Refuses a state that neither this key nor one of `signers` vouches for.
///
/// # Errors
/// [`Error::Refused`].
pub(crate) fn believe(
    named: &str,
    state: &State,
    signers: &[String],
    identity: &Identity,
) -> Result<(), Error> {
    let signer = state.vouching.signer.clone().unwrap_or_default();
    let is_named = signers
        .iter()
        .any(|known| state::are_same_key(known, &signer));
    if is_named || identity.is(&signer)? {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "{named} is vouched for by {}: name that key with --signer if you trust it",
        if signer.is_empty() { "nobody" } else { &signer }
    )))
}

#[cfg(test)]
mod tests {
    use super::generation;

    #[test]
    fn a_copy_says_its_generation_and_nonsense_says_none() {
        let text = "schemaVersion: 3\ngeneration: 17\nclusterID: \"00ff\"\ncluster: {}\n";
        assert_eq!(generation(text), Some(("00ff".to_owned(), 17)));
        assert_eq!(generation("generation: x\nclusterID: a\n"), None);
        assert_eq!(generation("  generation: 1\n"), None);
    }
}
