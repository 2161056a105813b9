//! Waits until this host's API server is ready, and then until the endpoint leads to a ready one.

use std::time::Duration;

use host::Phase;

use crate::change::{Await, Awaited, Change};
use crate::{Error, Node};

const LIMIT: Duration = Duration::from_secs(240);

/// See the module.
pub struct WaitForApi;

impl Phase<Node> for WaitForApi {
    fn name(&self) -> &'static str {
        "wait-for-api"
    }

    fn about(&self) -> &'static str {
        "wait until the API server is ready, here and at the endpoint"
    }

    fn plan(&self, node: &Node) -> Result<Vec<Change>, Error> {
        let settings = node.settings();
        let mut waits = vec![(
            &settings.api,
            format!("this host's API server, {}", settings.api),
        )];
        if settings.endpoint != settings.api {
            waits.push((
                &settings.endpoint,
                format!("the API at the endpoint {}", settings.endpoint),
            ));
        }
        let mut plan = Vec::new();
        for (at, reason) in waits {
            let what = Awaited::ApiReady(at.clone());
            if node.awaited(&what)?.is_err() {
                plan.push(Change::Await(Await {
                    what,
                    reason,
                    limit: LIMIT,
                }));
            }
        }
        Ok(plan)
    }
}
