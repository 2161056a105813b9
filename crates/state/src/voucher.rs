//! An admin's word for the signing key and the recipients.
//!
//! What is signed is a short text, so that `ssh-keygen -Y verify` can check it without this program.

use crate::State;
use crate::signing::verifies;

/// The namespace of a voucher.
pub(crate) const VOUCHER: &str = "state-signer@klusterkit.dev";

pub(crate) fn statement(state: &State) -> String {
    let mut text = format!(
        "klusterkit state\ncluster {} {}\nsigning key {}\n",
        state.cluster.metadata.name, state.cluster_id, state.vouching.signing_key
    );
    for recipient in &state.vouching.recipients {
        text.push_str(&format!("recipient {recipient}\n"));
    }
    text
}

/// Whether the voucher, if there is one, fits.
pub(crate) fn fits(state: &State) -> bool {
    match (&state.vouching.signer, &state.vouching.voucher) {
        (None, None) => true,
        (Some(signer), Some(voucher)) => {
            verifies(signer, VOUCHER, statement(state).as_bytes(), voucher)
        }
        _ => false,
    }
}
