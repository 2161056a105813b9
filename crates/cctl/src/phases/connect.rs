//! A host reached, known by its key. Nothing is changed on it.

use std::sync::Arc;

use ssh::{Client, Settings as SshSettings};
use state::State;

use crate::Error;
use crate::fleet::{Remote, label, target};
use crate::goal::Goal;
use crate::settings::{Settings, read_text};

/// The known_hosts text of all pinned keys.
fn known_hosts(goal: &Goal, state: Option<&State>, settings: &Settings) -> Result<String, Error> {
    let mut text = String::new();
    if let Some(path) = &settings.known_hosts {
        text.push_str(&read_text(path)?);
        text.push('\n');
    }
    for machine in &goal.configuration.machines {
        let name = target(&goal.configuration, machine, settings).known_hosts_name();
        let pinned = state
            .and_then(|state| state.machine(&machine.address.to_string()))
            .map(|known| known.spec.host_keys.as_slice());
        for key in pinned.unwrap_or_default() {
            text.push_str(&format!("{name} {key}\n"));
        }
    }
    Ok(text)
}

/// Prepares for connecting: the pinned keys of all machines of the goal.
///
/// # Errors
/// When nothing could be prepared here.
pub(crate) fn client(
    goal: &Goal,
    state: Option<&State>,
    settings: &Settings,
) -> Result<Client, Error> {
    Ok(Client::new(SshSettings {
        known_hosts: known_hosts(goal, state, settings)?,
        accept_new_host_keys: settings.accept_new_host_keys,
        agent_socket: settings.agent_socket.clone(),
        runtime_folder: None,
    })?)
}

/// Connects to one machine.
///
/// # Errors
/// The connection's own.
pub(crate) fn connect(
    client: &Client,
    goal: &Goal,
    machine: &api::Machine,
    state: Option<&State>,
    settings: &Settings,
) -> Result<Remote, Error> {
    let address = machine.address.to_string();
    let known = state.and_then(|state| state.machine(&address));
    let name = machine
        .name
        .as_deref()
        .or_else(|| known.map(|known| known.status.hostname.as_str()));
    let connection = client.connect(&target(&goal.configuration, machine, settings))?;
    Ok(Remote {
        label: label(name, &address),
        arch: known
            .map(|known| known.status.architecture.clone())
            .unwrap_or_default(),
        tools: Default::default(),
        connection: Arc::new(connection),
        address,
    })
}

/// The keys of a host out of a known_hosts text, as the state pins them.
pub(crate) fn keys_of(known_hosts: &str, name: &str) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for line in known_hosts.lines() {
        let Some((names, key)) = line.split_once(' ') else {
            continue;
        };
        let key = key.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        if names.split(',').any(|listed| listed == name) && !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::keys_of;

    #[test]
    fn keys_are_found_by_their_hosts_name() {
        let text = "# comment\n10.0.0.1 ssh-ed25519 AAAA me@x\n[10.0.0.1]:2222 ssh-rsa BBBB\na,10.0.0.1 ssh-rsa CCCC\n10.0.0.1 ssh-ed25519 AAAA\n@revoked 10.0.0.1 ssh-rsa DDDD\n";
        assert_eq!(
            keys_of(text, "10.0.0.1"),
            ["ssh-ed25519 AAAA", "ssh-rsa CCCC"]
        );
        assert_eq!(keys_of(text, "[10.0.0.1]:2222"), ["ssh-rsa BBBB"]);
    }
}
