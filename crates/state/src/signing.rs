//! The key that signs every generation.

use std::path::Path;

use api::Secret;
use ssh_key::private::Ed25519Keypair;
use ssh_key::{HashAlg, LineEnding, PrivateKey, PublicKey, SshSig};

use crate::{Error, Secrets, State};

/// The namespace of a generation's signature: it is valid for nothing else.
pub(crate) const GENERATION: &str = "state@klusterkit.dev";

pub(crate) struct SigningKey(PrivateKey);

impl SigningKey {
    pub(crate) fn generate() -> Result<Self, Error> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|e| Error::Random(e.to_string()))?;
        Ok(Self(PrivateKey::from(Ed25519Keypair::from_seed(&seed))))
    }

    pub(crate) fn from_secret(path: &Path, secret: &Secret) -> Result<Self, Error> {
        PrivateKey::from_openssh(secret.reveal())
            .map(Self)
            .map_err(|_| Error::Malformed {
                path: path.to_owned(),
                what: "its signing key cannot be read".to_owned(),
            })
    }

    pub(crate) fn to_secret(&self) -> Secret {
        let text = self
            .0
            .to_openssh(LineEnding::LF)
            .expect("an ed25519 key can be written");
        Secret::new(text.as_str())
    }

    pub(crate) fn public(&self) -> String {
        self.0
            .public_key()
            .to_openssh()
            .expect("an ed25519 key can be written")
    }

    pub(crate) fn sign(&self, message: &[u8]) -> String {
        self.sign_for(GENERATION, message)
    }

    pub(crate) fn sign_for(&self, namespace: &str, message: &[u8]) -> String {
        let signature = self
            .0
            .sign(namespace, HashAlg::Sha512, message)
            .expect("an ed25519 key signs anything");
        signature
            .to_pem(LineEnding::LF)
            .expect("a signature can be written")
    }
}

/// Signs something that belongs to the state and does not lie in it, by the key that signs its generations.
///
/// # Errors
/// When there is no such key. `path` names the state in errors.
pub fn sign_beside(
    path: &Path,
    secrets: &Secrets,
    namespace: &str,
    message: &[u8],
) -> Result<String, Error> {
    let key = SigningKey::from_secret(path, &secrets.signing_key)?;
    Ok(key.sign_for(namespace, message))
}

/// Whether `signature` is what [`sign_beside`] made of this, with this state's key.
#[must_use]
pub fn is_signed_beside(state: &State, namespace: &str, message: &[u8], signature: &str) -> bool {
    verifies(&state.vouching.signing_key, namespace, message, signature)
}

/// Whether `signature` is `key`'s for `message` in `namespace`.
pub(crate) fn verifies(key: &str, namespace: &str, message: &[u8], signature: &str) -> bool {
    let (Ok(key), Ok(signature)) = (PublicKey::from_openssh(key), SshSig::from_pem(signature))
    else {
        return false;
    };
    key.verify(namespace, message, &signature).is_ok()
}
