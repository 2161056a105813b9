//! The file: read, opened, written.
//!
//! Its last key is the signature, over every byte before it. So the text is checked before it is believed, and an admin can
//! check it with `ssh-keygen -Y verify` and an editor.

use std::io::Read;
use std::path::{Path, PathBuf};

use host::Lock;
use serde::Deserialize;

use crate::signing::{GENERATION, SigningKey, verifies};
use crate::{Error, Identity, Recipient, SCHEMA_VERSION, Secrets, State, seal, voucher};

/// A state file of a thousand machines is far below this.
const LIMIT: u64 = 4 << 20;
const MARKER: &str = "\nsignature: |\n";

/// Reads a state, checks its signatures, opens nothing.
///
/// # Errors
/// When there is none, or something else than this program changed it.
pub fn read(path: &Path) -> Result<State, Error> {
    let mut text = String::new();
    let file = match std::fs::File::open(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::None {
                path: path.to_owned(),
            });
        }
        other => other.map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?,
    };
    file.take(LIMIT + 1)
        .read_to_string(&mut text)
        .map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
    parse(path, &text)
}

/// Reads a state and opens its secrets, without the lock: to look, also while another run works on it.
///
/// # Errors
/// As [`read`]; when it is not sealed for `identity`.
pub fn unseal(path: &Path, identity: &Identity) -> Result<(State, Secrets), Error> {
    let state = read(path)?;
    let secrets = seal::open(path, &state.sealed, identity)?;
    Ok((state, secrets))
}

/// Checks a state that was not read from a file here: its signatures, and that `identity` opens it. `path` names it in errors.
///
/// # Errors
/// As [`unseal`].
pub fn check(path: &Path, text: &str, identity: &Identity) -> Result<State, Error> {
    let state = parse(path, text)?;
    seal::open(path, &state.sealed, identity)?;
    Ok(state)
}

fn parse(path: &Path, text: &str) -> Result<State, Error> {
    let malformed = |what: &str| Error::Malformed {
        path: path.to_owned(),
        what: what.to_owned(),
    };
    if text.len() as u64 > LIMIT {
        return Err(malformed("it is too large"));
    }
    let (body, signature) = text
        .rsplit_once(MARKER)
        .map_or((text, None), |(body, signature)| (body, Some(signature)));
    schema(path, body)?;
    let Some(signature) = signature else {
        return Err(malformed("it is not signed"));
    };
    let signature: String = signature
        .lines()
        .map(|line| format!("{}\n", line.trim_start()))
        .collect();
    let signed = format!("{body}\n");
    let yaml = |source| Error::Yaml {
        path: path.to_owned(),
        source,
    };
    let state: State = api::yaml::from_str(&signed).map_err(yaml)?;
    if !verifies(
        &state.vouching.signing_key,
        GENERATION,
        signed.as_bytes(),
        &signature,
    ) {
        return Err(Error::Signature {
            path: path.to_owned(),
        });
    }
    if !voucher::fits(&state) {
        let signer = state.vouching.signer.clone().unwrap_or_default();
        return Err(Error::Voucher {
            path: path.to_owned(),
            signer,
        });
    }
    Ok(state)
}

/// Older files have other keys: they are to be told by their version, not by the first key that is strange.
fn schema(path: &Path, body: &str) -> Result<(), Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Schema {
        #[serde(default)]
        schema_version: u64,
    }
    let schema: Schema = api::yaml::from_str(body).map_err(|source| Error::Yaml {
        path: path.to_owned(),
        source,
    })?;
    if schema.schema_version == u64::from(SCHEMA_VERSION) {
        Ok(())
    } else {
        Err(Error::Schema {
            path: path.to_owned(),
            found: schema.schema_version,
        })
    }
}

/// A state with its secrets, held under its lock: to be changed and saved.
pub struct Open {
    /// The readable part.
    pub state: State,
    /// The sealed part.
    pub secrets: Secrets,
    path: PathBuf,
    sealed_secrets: Secrets,
    signing_key: SigningKey,
    /// Whether it was written since it was opened.
    written: bool,
    _lock: Lock,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Open({}, generation {})",
            self.path.display(),
            self.state.generation
        )
    }
}

impl Open {
    /// Makes a new cluster's state, sealed for `identity` and `others`, and shows that `identity` opens it again. Nothing is
    /// left behind when it does not.
    ///
    /// # Errors
    /// When there is one at `path`, or the key cannot open or sign.
    pub fn create(
        path: &Path,
        owner: &str,
        mut state: State,
        mut secrets: Secrets,
        identity: &Identity,
        others: &[Recipient],
    ) -> Result<Self, Error> {
        let lock = lock(path, owner)?;
        if path.exists() {
            return Err(Error::Exists {
                path: path.to_owned(),
            });
        }
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|e| Error::Random(e.to_string()))?;
        state.cluster_id = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let signing_key = SigningKey::generate()?;
        secrets.signing_key = signing_key.to_secret();
        let mut recipients = vec![identity.recipient()?];
        for other in others {
            if !recipients.contains(other) {
                recipients.push(other.clone());
            }
        }
        state.vouching.signing_key = signing_key.public();
        state.vouching.recipients = recipients.iter().map(ToString::to_string).collect();
        vouch(&mut state, identity)?;
        state.sealed = sealed(path, &secrets, &recipients, identity)?;
        let mut open = Self {
            state,
            sealed_secrets: secrets.clone(),
            secrets,
            path: path.to_owned(),
            signing_key,
            written: false,
            _lock: lock,
        };
        open.save()?;
        Ok(open)
    }

    /// Reads a state under its lock and opens its secrets.
    ///
    /// # Errors
    /// As [`read`]; when another run holds it; when it is not sealed for `identity`.
    #[expect(
        clippy::self_named_constructors,
        reason = "to open is what is done, and Open what it then is"
    )]
    pub fn open(path: &Path, owner: &str, identity: &Identity) -> Result<Self, Error> {
        if !path.exists() {
            return Err(Error::None {
                path: path.to_owned(),
            });
        }
        let lock = lock(path, owner)?;
        let (state, secrets) = unseal(path, identity)?;
        let signing_key = SigningKey::from_secret(path, &secrets.signing_key)?;
        if signing_key.public() != state.vouching.signing_key {
            return Err(Error::Signature {
                path: path.to_owned(),
            });
        }
        Ok(Self {
            state,
            sealed_secrets: secrets.clone(),
            secrets,
            path: path.to_owned(),
            signing_key,
            written: false,
            _lock: lock,
        })
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes it as the next generation.
    ///
    /// # Errors
    /// When it cannot be written; the file is then the old one.
    pub fn save(&mut self) -> Result<(), Error> {
        if self.secrets != self.sealed_secrets {
            let recipients = self
                .state
                .vouching
                .recipients
                .iter()
                .map(|text| text.parse())
                .collect::<Result<Vec<Recipient>, _>>()?;
            self.state.sealed = seal::seal(&self.path, &self.secrets, &recipients)?;
            self.sealed_secrets = self.secrets.clone();
        }
        self.state.generation += 1;
        let body = api::yaml::to_string(&self.state);
        let signature = self.signing_key.sign(body.as_bytes());
        let indented: String = signature
            .lines()
            .map(|line| format!("  {line}\n"))
            .collect();
        let text = format!("{}{MARKER}{indented}", body.trim_end_matches('\n'));
        debug_assert!(
            parse(&self.path, &text).is_ok(),
            "what is written can be read"
        );
        host::write_atomically(&self.path, 0o600, text.as_bytes()).map_err(Error::Write)?;
        self.written = true;
        Ok(())
    }

    /// Seals the secrets for these alone, and has the admin vouch for them. Who is left out knows the key that signs, and it
    /// becomes another. It is in force once it is saved.
    ///
    /// # Errors
    /// When `identity` could not open it any more, or cannot sign.
    pub fn seal_for(&mut self, recipients: &[Recipient], identity: &Identity) -> Result<(), Error> {
        let (mut state, mut secrets) = (self.state.clone(), self.secrets.clone());
        let texts: Vec<String> = recipients.iter().map(ToString::to_string).collect();
        let mut before = state.vouching.recipients.iter();
        let left_out = before.any(|recipient| !texts.contains(recipient));
        let signing_key = left_out.then(SigningKey::generate).transpose()?;
        if let Some(key) = &signing_key {
            secrets.signing_key = key.to_secret();
            state.vouching.signing_key = key.public();
        }
        state.vouching.recipients = texts;
        vouch(&mut state, identity)?;
        state.sealed = sealed(&self.path, &secrets, recipients, identity)?;
        if let Some(key) = signing_key {
            self.signing_key = key;
        }
        self.state = state;
        self.sealed_secrets = secrets.clone();
        self.secrets = secrets;
        Ok(())
    }

    /// Whether it was written since it was opened.
    #[must_use]
    pub fn was_written(&self) -> bool {
        self.written
    }

    /// Sets the file aside once the cluster is no more, and says where it lies now.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn retire(self) -> Result<PathBuf, Error> {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let aside = PathBuf::from(format!("{}.deleted-{now}", self.path.display()));
        #[expect(
            clippy::disallowed_methods,
            reason = "the state's own file is moved by the state's own crate"
        )]
        std::fs::rename(&self.path, &aside).map_err(|source| Error::Read {
            path: self.path.clone(),
            source,
        })?;
        Ok(aside)
    }
}

/// The admin's word for the signing key and the recipients, where he has a key that signs.
fn vouch(state: &mut State, identity: &Identity) -> Result<(), Error> {
    (state.vouching.signer, state.vouching.voucher) = (None, None);
    if let Some(signer) = identity.signer()? {
        let signer = signer.to_openssh().map_err(|e| Error::Key {
            path: identity.path().to_owned(),
            what: e.to_string(),
        })?;
        state.vouching.signer = Some(signer);
        state.vouching.voucher =
            Some(identity.sign(voucher::VOUCHER, voucher::statement(state).as_bytes())?);
    }
    if voucher::fits(state) {
        Ok(())
    } else {
        Err(Error::Sign {
            path: identity.path().to_owned(),
            what: "its own signature does not verify".to_owned(),
        })
    }
}

/// The secrets, sealed. What cannot be opened again must not become the only place where a cluster's keys are.
fn sealed(
    path: &Path,
    secrets: &Secrets,
    recipients: &[Recipient],
    identity: &Identity,
) -> Result<String, Error> {
    let sealed = seal::seal(path, secrets, recipients)?;
    if seal::open(path, &sealed, identity)? == *secrets {
        Ok(sealed)
    } else {
        Err(Error::Seal {
            path: path.to_owned(),
            action: "opened",
            what: "something else came out than went in".to_owned(),
        })
    }
}

fn lock(path: &Path, owner: &str) -> Result<Lock, Error> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    Lock::take(&folder.join(name), owner).map_err(Error::Lock)
}

#[cfg(test)]
mod tests;
