//! Names, and the machines that were made by hand.

use std::collections::BTreeMap;

use slurmburst_core::error::Error;
use slurmburst_core::hostlist::{HostSet, NodeName};
use slurmburst_core::kind::{Finding, Whose};
use slurmburst_core::policy::Group;
use slurmburst_core::provider::{Context, Lifecycle};

use super::{AzureOperator, unseen};
use crate::names::check_node;

/// Whether every node's name can be a machine's.
pub(super) fn names(groups: &[Group]) -> Vec<Finding> {
    const WHAT: &str = "node names";
    const FIX: &str = "rename the nodes in slurm.conf and in the site file";
    let wrong: Vec<(NodeName, Error)> = groups
        .iter()
        .flat_map(|g| &g.nodes)
        .filter_map(|node| check_node(&node).err().map(|e| (node, e)))
        .collect();
    let mut met: BTreeMap<String, NodeName> = BTreeMap::new();
    for node in groups.iter().flat_map(|g| &g.nodes) {
        let low = node.as_str().to_ascii_lowercase();
        if let Some(other) = met.insert(low, node.clone()).filter(|other| *other != node) {
            let found = format!("{other} and {node} are one name to Azure, whatever the case");
            return vec![Finding::error(WHAT, found, FIX)];
        }
    }
    let Some((_, first)) = wrong.first() else {
        return vec![Finding::ok(WHAT, "all possible as names of VMs")];
    };
    let more = match wrong.len() {
        1 => String::new(),
        n => format!(", and {} more like it", n - 1),
    };
    vec![Finding::error(
        WHAT,
        format!("{}{more}", first.message()),
        FIX,
    )]
}

impl AzureOperator {
    /// Whether the machines that are to be started and deallocated are there
    /// and ours.
    pub(super) async fn made_by_hand(&self, cx: &Context, groups: &[Group]) -> Vec<Finding> {
        const WHAT: &str = "machines";
        let by_hand = groups
            .iter()
            .filter(|g| g.lifecycle == Lifecycle::StartDeallocate);
        let nodes = by_hand.fold(HostSet::default(), |all, g| &all | &g.nodes);
        if nodes.is_empty() {
            return Vec::new();
        }
        let machines = match self.seen(cx, Some(&nodes)).await {
            Ok(machines) => machines,
            Err(e) => return vec![unseen(WHAT, &e, "Microsoft.Compute/virtualMachines/read")],
        };
        let of = |wanted: &dyn Fn(Whose) -> bool| -> HostSet {
            let some = machines.iter().filter(|m| wanted(m.owner));
            some.filter_map(|m| m.node.clone()).collect()
        };
        let group = &self.provider.config.resource_group;
        let missing = &nodes - &of(&|_| true);
        let mut findings = Vec::new();
        if !missing.is_empty() {
            let found = format!("{missing}: no such VM in resource group {group}");
            let fix =
                "make them, or take them out of the group with lifecycle = \"start-deallocate\"";
            findings.push(Finding::error(WHAT, found, fix));
        }
        let foreign = of(&|owner| owner == Whose::AnotherCluster);
        if !foreign.is_empty() {
            let found = format!("{foreign}: tagged by another cluster");
            findings.push(Finding::error(
                WHAT,
                found,
                "give this provider a resource group of its own",
            ));
        }
        let loose = of(&|owner| owner == Whose::Nobody);
        if !loose.is_empty() {
            let found = format!("{loose}: not adopted, so not touched");
            findings.push(Finding::error(
                WHAT,
                found,
                format!("slurmburst vm adopt '{loose}'"),
            ));
        }
        if findings.is_empty() {
            let found = format!("{} made by hand are there and ours", nodes.len());
            findings.push(Finding::ok(WHAT, found));
        }
        findings
    }
}
