//! The files of a backup, put back on the control planes before their API servers start.

use crate::plan::{Action, After, Phase, Plan, View};

/// Puts a backup's files back.
#[derive(Debug)]
pub struct PutFilesBack;

impl Phase for PutFilesBack {
    fn name(&self) -> &'static str {
        "put-files-back"
    }

    fn about(&self) -> &'static str {
        "put the files of the backup back on the control planes"
    }

    fn plan(&self, view: &View<'_>, plan: &mut Plan) {
        if !view.recovery.is_some_and(|recovery| recovery.from_backup) {
            return;
        }
        for host in view.goal.masters() {
            // What nodeadm finds on a host that was never its own must not be there before it looks.
            let own = [
                Action::Prepare,
                Action::FenceControlPlane,
                Action::FenceMember,
            ];
            let mut after = plan.done(&host, &own);
            let proven = plan.which(|step| step.action == Action::ProveSnapshot);
            after.extend(proven.map(After::Done).collect::<Vec<_>>());
            plan.add(self.name(), Some(&host), Action::PutFilesBack, after);
        }
    }
}
