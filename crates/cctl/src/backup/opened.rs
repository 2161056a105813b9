//! A backup that was read to its end here: whole, of a state that is believed, signed by that state's key.

use std::collections::BTreeMap;
use std::path::Path;

use capsule::backup::{self, HostOf, Index, NAMESPACE, STATE};
use cli::Context;
use state::{HandedOn, Identity, State};

use crate::snapshot::{self, Proven};
use crate::{Error, copies};

/// See the module.
#[derive(Debug)]
pub(crate) struct Opened {
    /// What it says of itself; all its digests are right.
    pub index: Index,
    /// The state in it, checked: its signatures, and that the key opens it.
    pub state: State,
    /// The same as it stands there.
    pub text: String,
    /// The snapshot, and the files of the control planes.
    pub snapshot: Proven,
}

impl Opened {
    /// Reads `path` to its end. The state in it must be vouched for by `identity` or one of `signers`, or be signed by the
    /// key of a state that is `known` here.
    ///
    /// # Errors
    /// It cannot be read, is not sealed for `identity`, is damaged, or was made by somebody who is not believed.
    pub(crate) fn read(
        path: &Path,
        identity: Identity,
        signers: &[String],
        known: Option<&State>,
    ) -> Result<Self, Error> {
        let fault = |source| Error::Backup {
            path: path.to_owned(),
            source,
        };
        let mut whole = backup::read(&mut snapshot::open(path, &identity)?).map_err(fault)?;
        let damaged = |what: &str| fault(backup::BackupError::Damaged(what.to_owned()));
        let text = whole
            .parts
            .remove(STATE)
            .ok_or_else(|| damaged("it has no state"))?;
        let text = String::from_utf8(text).map_err(|_| damaged("its state is no text"))?;
        let named = format!("{}:{STATE}", path.display());
        let state = state::check(Path::new(&named), &text, &identity)?;
        let is_known = known.is_some_and(|known| {
            let (ours, theirs) = (&known.vouching, &state.vouching);
            ours.signing_key == theirs.signing_key
                || ours.signer.as_deref().is_some_and(|signer| {
                    let other = theirs.signer.as_deref();
                    other.is_some_and(|other| state::are_same_key(signer, other))
                })
        });
        if !is_known {
            copies::believe(&named, &state, signers, &identity)?;
        }
        let signed = state::is_signed_beside(&state, NAMESPACE, &whole.signed, &whole.signature);
        if !signed || whole.index.cluster_id != state.cluster_id {
            return Err(Error::Refused(format!(
                "{}: its index is not signed by the key that signs the state in it: somebody else put it together",
                path.display()
            )));
        }
        let mut files = BTreeMap::new();
        for host in &whole.index.hosts {
            let part = whole.parts.remove(&host.part);
            let part = part.ok_or_else(|| damaged(&format!("{} is missing", host.part)))?;
            let (found, _) = capsule::files::read(&mut &part[..])
                .map_err(|error| damaged(&format!("{}: {error}", host.part)))?;
            if found != host.files {
                return Err(damaged(&format!("{} is another one", host.part)));
            }
            files.insert(host.address.clone(), part);
        }
        let snapshot = Proven::in_backup(path, identity, &whole, files)?;
        Ok(Self {
            index: whole.index,
            state,
            text,
            snapshot,
        })
    }

    /// What it lacks, in words.
    pub(crate) fn lacks(&self) -> Vec<String> {
        let documents = &self.state.ssh_cluster.spec.documents;
        let mut lacks = lacking(&self.index.hosts, documents);
        lacks.extend(untold(&self.index.hosts, documents));
        lacks
    }
}

/// What a backup with these control planes' files lacks, without which no Secret can be read, in words.
pub(crate) fn lacking(hosts: &[HostOf], documents: &[HandedOn]) -> Vec<String> {
    let mut lacking = Vec::new();
    for host in hosts {
        let left = host.files.left_out.iter();
        for left in left.filter(|left| left.why.starts_with(ENCRYPTION)) {
            lacking.push(format!(
                "{}: the EncryptionConfiguration {} is not in it: {}",
                host.files.hostname, left.path, left.what
            ));
        }
    }
    let has = |host: &HostOf| !host.files.encryption.is_empty();
    if lacking.is_empty() && is_encrypting(documents) && !hosts.iter().any(has) {
        lacking.push(
            "the cluster's documents name an EncryptionConfiguration, and none is in it".to_owned(),
        );
    }
    lacking
}

/// That API servers read an EncryptionConfiguration of which the cluster's documents say nothing.
pub(crate) fn untold(hosts: &[HostOf], documents: &[HandedOn]) -> Option<String> {
    let file = hosts
        .iter()
        .find_map(|host| host.files.encryption.first())?;
    (!is_encrypting(documents)).then(|| {
        format!(
            "no document of the cluster's tells the API servers of {}: begun anew, they could read no Secret",
            file.display()
        )
    })
}

/// What is to be done about it.
pub(crate) fn untold_hint() -> String {
    format!(
        "name it in kubeadm's ClusterConfiguration (apiServer.extraArgs {}, and extraVolumes), in the cluster file that `cctl apply` gets, or `cctl recover` with -f",
        ENCRYPTION.trim_start_matches('-')
    )
}

/// The argument by which an API server is told how Secrets are encrypted.
const ENCRYPTION: &str = "--encryption-provider-config";

/// Whether kubeadm's documents among these have API servers encrypt.
fn is_encrypting(documents: &[HandedOn]) -> bool {
    let name = ENCRYPTION.trim_start_matches('-');
    documents.iter().any(|handed| {
        let args = handed
            .document
            .pointer("/apiServer/extraArgs")
            .and_then(|args| args.as_array());
        args.is_some_and(|args| args.iter().any(|arg| arg["name"] == name))
    })
}

/// The snapshot of a backup of this cluster, with the control planes' files.
///
/// # Errors
/// As [`Opened::read`]; it is of another cluster; a recovery from it could not read the cluster's Secrets.
pub(crate) fn for_recovery(
    context: &mut Context,
    path: &Path,
    identity: Identity,
    state: &State,
    documents: &[HandedOn],
) -> Result<Proven, cli::Error> {
    let opened = Opened::read(path, identity, &[], Some(state))?;
    if opened.state.cluster_id != state.cluster_id {
        return Err(Error::Refused(format!(
            "{} is of another cluster, {}",
            path.display(),
            opened.index.cluster
        ))
        .into());
    }
    for lacking in lacking(&opened.index.hosts, documents) {
        let note = format!("this backup does not bring all back: {lacking}");
        context.progress.note(&note);
    }
    match untold(&opened.index.hosts, documents) {
        Some(untold) => Err(cli::Error::from(Error::Refused(untold)).hint(untold_hint())),
        None => Ok(opened.snapshot),
    }
}
