//! A new authority for the new etcd: what lies on disks that are lost opens nothing any more. It is sealed in the state before
//! the first host gets anything that it signed.

use state::EtcdAuthority;

use crate::plan::{Action, After, Phase, Plan, View};

/// Makes the authority.
#[derive(Debug)]
pub struct MakeEtcdAuthority;

impl Phase for MakeEtcdAuthority {
    fn name(&self) -> &'static str {
        "make-etcd-authority"
    }

    fn about(&self) -> &'static str {
        "make a new authority for etcd, where the recovery is to have one"
    }

    fn plan(&self, view: &View<'_>, plan: &mut Plan) {
        let wanted = view.recovery.map(|recovery| recovery.etcd_authority);
        if wanted == Some(EtcdAuthority::Wanted) {
            // Not before it is certain that there will be a new etcd.
            let proven = plan
                .which(|step| step.action == Action::ProveSnapshot)
                .map(After::Done)
                .collect();
            plan.add(self.name(), None, Action::MakeEtcdAuthority, proven);
        }
    }
}
