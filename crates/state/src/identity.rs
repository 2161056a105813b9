//! Keys that open and vouch: an SSH key file (ed25519 or RSA), or an age identity.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use age::secrecy::SecretString;
use ssh_key::{HashAlg, LineEnding, PrivateKey, PublicKey};

use crate::Error;

/// A private key file is a few kilobytes.
const KEY_LIMIT: u64 = 64 << 10;

/// Asks the admin for the passphrase of the key with this path; `None` when nobody can be asked.
pub type AskPassphrase = Arc<dyn Fn(&Path) -> Option<String> + Send + Sync>;

/// A private key of the admin's, by its path. The key itself is read when it is used, and not kept.
#[derive(Clone)]
pub struct Identity {
    path: PathBuf,
    agent_socket: Option<String>,
    ask: AskPassphrase,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.path.display())
    }
}

impl Identity {
    /// The key at `path`. `agent_socket` is the admin's agent, which may sign in place of the file.
    pub fn new(path: impl Into<PathBuf>, agent_socket: Option<String>, ask: AskPassphrase) -> Self {
        Self {
            path: path.into(),
            agent_socket,
            ask,
        }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn read(&self) -> Result<String, Error> {
        let mut text = String::new();
        std::fs::File::open(&self.path)
            .and_then(|file| file.take(KEY_LIMIT).read_to_string(&mut text))
            .map_err(|source| Error::KeyFile {
                path: self.path.clone(),
                source,
            })?;
        Ok(text)
    }

    fn unusable(&self, what: impl fmt::Display) -> Error {
        Error::Key {
            path: self.path.clone(),
            what: what.to_string(),
        }
    }

    /// For whom things are sealed that this key is to open.
    ///
    /// # Errors
    /// When it is no key that can open anything.
    pub fn recipient(&self) -> Result<Recipient, Error> {
        let text = self.read()?;
        if is_age(&text) {
            let identity = text
                .lines()
                .find_map(|line| line.trim().parse::<age::x25519::Identity>().ok())
                .ok_or_else(|| self.unusable("it holds no age identity"))?;
            return identity.to_public().to_string().parse();
        }
        self.public_key()?
            .to_openssh()
            .map_err(|e| self.unusable(e))?
            .parse::<Recipient>()
            .map_err(|_| self.unusable("only ed25519 and RSA keys can open what is sealed"))
    }

    /// The public half of an SSH key; `None` for an age identity, which cannot sign.
    ///
    /// # Errors
    /// When it is no key.
    pub fn signer(&self) -> Result<Option<PublicKey>, Error> {
        if is_age(&self.read()?) {
            Ok(None)
        } else {
            self.public_key().map(Some)
        }
    }

    /// Whether this is the key of `signer`, an OpenSSH public key.
    ///
    /// # Errors
    /// When it is no key.
    pub fn is(&self, signer: &str) -> Result<bool, Error> {
        let own = self.signer()?;
        Ok(own.is_some_and(|own| is_same_key(&own, signer)))
    }

    fn public_key(&self) -> Result<PublicKey, Error> {
        if let Ok(key) = PrivateKey::from_openssh(self.read()?) {
            return Ok(key.public_key().clone());
        }
        // Old PEM files: the public half lies beside them.
        let beside = PathBuf::from(format!("{}.pub", self.path.display()));
        PublicKey::read_openssh_file(&beside).map_err(|_| {
            self.unusable(format!(
                "it is no OpenSSH private key, and {} is no public key",
                beside.display()
            ))
        })
    }

    pub(crate) fn age_identities(&self) -> Result<Vec<Box<dyn age::Identity>>, Error> {
        let text = self.read()?;
        if is_age(&text) {
            let file =
                age::IdentityFile::from_buffer(text.as_bytes()).map_err(|e| self.unusable(e))?;
            let identities = file.into_identities().map_err(|e| self.unusable(e))?;
            return Ok(identities
                .into_iter()
                .map(|i| i as Box<dyn age::Identity>)
                .collect());
        }
        let name = Some(self.path.display().to_string());
        let identity =
            age::ssh::Identity::from_buffer(text.as_bytes(), name).map_err(|e| self.unusable(e))?;
        if matches!(identity, age::ssh::Identity::Unsupported(_)) {
            return Err(self.unusable("only ed25519 and RSA keys can open what is sealed"));
        }
        Ok(vec![Box::new(identity.with_callbacks(Asking {
            path: self.path.clone(),
            ask: Arc::clone(&self.ask),
        }))])
    }

    /// Signs by this key: `ssh-keygen -Y sign`, so that agents and every type of key work.
    pub(crate) fn sign(&self, namespace: &str, message: &[u8]) -> Result<String, Error> {
        let failed = |what: String| Error::Sign {
            path: self.path.clone(),
            what,
        };
        let key = PrivateKey::from_openssh(self.read()?).ok();
        let protected = key.as_ref().is_some_and(PrivateKey::is_encrypted);
        let mut path = self.path.clone();
        if protected {
            // Only an agent signs with a protected key without asking.
            path = PathBuf::from(format!("{}.pub", self.path.display()));
        }
        if !protected || (self.agent_socket.is_some() && path.exists()) {
            let mut command = host::process::command("ssh-keygen");
            if let Some(socket) = &self.agent_socket {
                command.env("SSH_AUTH_SOCK", socket);
            }
            command
                .args(["-q", "-Y", "sign", "-n", namespace, "-f"])
                .arg(&path);
            match host::process::run_ok(command, message, Duration::from_secs(60)) {
                Ok(output) => return Ok(output.text()),
                Err(error) if !protected => return Err(failed(error.to_string())),
                Err(_) => {}
            }
        }
        let key = key.ok_or_else(|| failed("it is no OpenSSH private key".to_owned()))?;
        let passphrase = (self.ask)(&self.path).ok_or_else(|| {
            failed("it is protected by a passphrase, and nobody can be asked for it".to_owned())
        })?;
        let key = key
            .decrypt(passphrase)
            .map_err(|_| failed("the passphrase is not its own".to_owned()))?;
        let signature = key
            .sign(namespace, HashAlg::Sha512, message)
            .map_err(|e| failed(format!("it cannot sign: {e}; load it into an agent")))?;
        signature
            .to_pem(LineEnding::LF)
            .map_err(|e| failed(e.to_string()))
    }
}

fn is_same_key(key: &PublicKey, text: &str) -> bool {
    PublicKey::from_openssh(text).is_ok_and(|other| other.key_data() == key.key_data())
}

/// Whether these two OpenSSH public keys are one, whatever their comments say.
#[must_use]
pub fn are_same_key(one: &str, other: &str) -> bool {
    PublicKey::from_openssh(one).is_ok_and(|key| is_same_key(&key, other))
}

fn is_age(text: &str) -> bool {
    text.lines()
        .any(|line| line.trim_start().starts_with("AGE-SECRET-KEY-"))
}

#[derive(Clone)]
struct Asking {
    path: PathBuf,
    ask: AskPassphrase,
}

impl age::Callbacks for Asking {
    fn display_message(&self, _: &str) {}

    fn confirm(&self, _: &str, _: &str, _: Option<&str>) -> Option<bool> {
        None
    }

    fn request_public_string(&self, _: &str) -> Option<String> {
        None
    }

    fn request_passphrase(&self, _: &str) -> Option<SecretString> {
        (self.ask)(&self.path).map(SecretString::from)
    }
}

/// For whom something is sealed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recipient(String);

impl Recipient {
    /// Whether `text` names this one: the same key, whatever its comment, or its comment alone.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        let text = text.trim();
        let commented = PublicKey::from_openssh(&self.0)
            .is_ok_and(|key| !text.is_empty() && key.comment() == text);
        self.0 == text || are_same_key(&self.0, text) || commented
    }

    pub(crate) fn to_age(&self) -> Box<dyn age::Recipient + Send> {
        match self.0.parse::<age::ssh::Recipient>() {
            Ok(ssh) => Box::new(ssh),
            Err(_) => Box::new(
                self.0
                    .parse::<age::x25519::Recipient>()
                    .expect("parsed when the value was made"),
            ),
        }
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Recipient {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        if text.parse::<age::ssh::Recipient>().is_ok()
            || text.parse::<age::x25519::Recipient>().is_ok()
        {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::Recipient {
            text: text.chars().take(60).collect(),
        })
    }
}
