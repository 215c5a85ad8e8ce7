//! The machines of nodes, from every provider that may have them.

use std::time::Duration;

use serde::Serialize;
use slurmburst::hostlist::HostSet;
use slurmburst::kind::MachineInfo;
use slurmburst::provider::Context;
use slurmburst::site::Site;

use crate::served::{Problem, Served};

/// A person waits for it.
const LIMIT: Duration = Duration::from_secs(60);

/// A machine, and the provider that has it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Found {
    pub(super) provider: String,
    #[serde(flatten)]
    pub(super) machine: MachineInfo,
    /// Whether a `[[nodes]]` group has its node at this provider.
    pub(super) in_site: bool,
}

/// The machines of these nodes, or all where none are named.
pub(super) async fn machines(
    site: &Site,
    served: &[Served],
    nodes: Option<&HostSet>,
) -> (Vec<Found>, Vec<Problem>) {
    let mut found = Vec::new();
    let mut problems = Vec::new();
    let in_site = site.nodes();
    for one in served {
        let its = one.nodes();
        // A node that the site file does not have (any more) may be anywhere.
        let here = nodes.map(|nodes| &(nodes & &its) | &(nodes - &in_site));
        if here.as_ref().is_some_and(HostSet::is_empty) {
            continue;
        }
        let operator = match one.operator() {
            Ok(operator) => operator,
            Err(why) => {
                problems.push(why);
                continue;
            }
        };
        let cx = Context::within(site.cluster_id.as_str(), LIMIT);
        let asked = tokio::time::timeout_at(cx.deadline(), operator.machines(&cx, here.as_ref()));
        match asked.await {
            Ok(Ok(machines)) => found.extend(machines.into_iter().map(|machine| Found {
                provider: one.name.clone(),
                in_site: machine.node.as_ref().is_some_and(|n| its.contains(n)),
                machine,
            })),
            Ok(Err(error)) => problems.push(one.problem(error)),
            Err(_) => problems.push(one.problem(format!("no answer within {} s", LIMIT.as_secs()))),
        }
    }
    (found, problems)
}
