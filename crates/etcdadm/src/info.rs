//! `etcdadm info`: this host's member, as the cluster sees it.

use std::path::Path;

use cli::Context;
use host::Local;

use crate::verbs::{member_result, print_member, recorded};

pub(crate) fn run(context: &mut Context, root: &Path) -> Result<(), cli::Error> {
    let configuration = recorded(root)?;
    print_member(
        context,
        &member_result(&Local::new(root), &configuration, 0)?,
    )
}
