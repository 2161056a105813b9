//! What a recovery does with the files of a backup.

use api::FilesPutBack;

use super::{Hear, LIMIT};
use crate::Error;
use crate::execute::{Outcome, Shared};
use crate::fleet::Remote;
use crate::tool::{self, ToolCall};

/// Has nodeadm put this control plane's files back; one that the backup does not know gets those of another.
pub(super) fn put_back(
    shared: &Shared<'_>,
    remote: &Remote,
    hear: Hear<'_>,
) -> Result<Outcome, Error> {
    let missing = || Error::Refused("the backup has no control plane's files".to_owned());
    let files = &shared.snapshot.ok_or_else(missing)?.files;
    let own = files.get(&remote.address);
    let part = own.or_else(|| files.values().next()).ok_or_else(missing)?;
    let call = ToolCall {
        tool: "nodeadm",
        args: &["files", "put-back"],
        input: "",
        limit: LIMIT,
    };
    let printed = tool::run_raw(remote, &call, &mut || Box::new(&part[..]), hear)?;
    let done: FilesPutBack = serde_json::from_slice(&printed).map_err(|error| Error::Output {
        host: remote.label.clone(),
        what: call.words(),
        detail: error.to_string(),
    })?;
    let of = if own.is_some() {
        ""
    } else {
        ", another control plane's"
    };
    Ok(Outcome {
        note: Some(format!("{} files{of}", done.files)),
        ..Outcome::default()
    })
}
