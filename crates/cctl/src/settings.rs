//! Where the state is, which key opens it, how hosts are reached: resolved before any work.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cli::Environment;
use state::Identity;

use crate::arguments::Options;
use crate::{Error, prompt};

/// Where the state lies unless said: here, else for the whole machine.
const STATES: [&str; 2] = ["cctl-state.yaml", "/etc/cctl-state.yaml"];
/// The keys that are tried, in OpenSSH's order, as far as they can open what is sealed.
const KEYS: [&str; 2] = [".ssh/id_ed25519", ".ssh/id_rsa"];

/// What holds for the whole run.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub state: PathBuf,
    pub identity: Option<PathBuf>,
    pub recipients: Vec<String>,
    pub accept_new_host_keys: bool,
    pub known_hosts: Option<PathBuf>,
    pub agent_socket: Option<String>,
    pub home: Option<PathBuf>,
}

impl Settings {
    pub(crate) fn resolve(options: &Options, environment: &Environment) -> Self {
        let state = options.state.clone().unwrap_or_else(|| {
            STATES
                .into_iter()
                .find(|path| Path::new(path).exists())
                .unwrap_or(STATES[0])
                .into()
        });
        // Written beside itself and renamed: it needs a folder, also when it is named by a bare name.
        let state = std::path::absolute(&state).unwrap_or(state);
        let home = environment.home.clone().map(PathBuf::from);
        Self {
            state,
            identity: options.identity.clone(),
            recipients: options.recipient.clone(),
            accept_new_host_keys: options.accept_new_host_keys,
            known_hosts: options.known_hosts.clone(),
            agent_socket: environment.ssh_auth_sock.clone(),
            home,
        }
    }

    /// The key that opens the state: as said, else the cluster file's login key, else the first usual one there is.
    pub(crate) fn identity(&self, login_key: Option<&str>) -> Result<Identity, Error> {
        let usual = || {
            let home = self.home.as_ref()?;
            KEYS.iter()
                .map(|key| home.join(key))
                .find(|path| path.exists())
        };
        let login = || login_key.map(|key| self.expand(key));
        let path = self.identity.clone().or_else(login).or_else(usual).ok_or_else(|| {
            Error::Usage("no key to seal the state with: name an ed25519 or RSA key file, or an age identity, with --identity".to_owned())
        })?;
        Ok(Identity::new(
            path,
            self.agent_socket.clone(),
            Arc::new(prompt::passphrase),
        ))
    }

    /// Further recipients that a new state is sealed for.
    pub(crate) fn recipients(&self) -> Result<Vec<state::Recipient>, Error> {
        read_recipients(&self.recipients)
    }

    /// `~/` at the beginning is the home folder.
    pub(crate) fn expand(&self, path: &str) -> PathBuf {
        match (path.strip_prefix("~/"), &self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => path.into(),
        }
    }
}

/// Recipients: texts, or files of them.
pub(crate) fn read_recipients(texts: &[String]) -> Result<Vec<state::Recipient>, Error> {
    let mut recipients = Vec::new();
    for text in texts {
        if let Ok(recipient) = text.parse() {
            recipients.push(recipient);
            continue;
        }
        let path = PathBuf::from(text);
        let lines = read_text(&path)?;
        for line in lines
            .lines()
            .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        {
            recipients.push(line.parse()?);
        }
    }
    Ok(recipients)
}

/// A local text file of at most 4 MiB.
pub(crate) fn read_text(path: &Path) -> Result<String, Error> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(api::yaml::LIMIT).read_to_string(&mut text))
        .map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
    Ok(text)
}
