//! One change to many nodes, cut into the calls of `scontrol update` that make
//! it. Pure.

use super::control::{Change, SlurmError, SlurmErrorKind};
use crate::hostlist::NodeName;

/// Nodes in one call.
const BATCH_NODES: usize = 100;
/// Bytes of names and addresses in one call, before folding. The kernel takes
/// 128 KiB in one argument.
pub(super) const BATCH_BYTES: usize = 100_000;
/// What goes into one `scontrol update`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) nodes: Vec<NodeName>,
    /// The words after `nodename=`.
    pub(super) words: Vec<String>,
    addresses: Option<Vec<String>>,
}

impl Batch {
    fn new(nodes: &[NodeName], change: &Change, from: usize) -> Batch {
        let nodes = nodes.to_vec();
        let addresses = match change {
            Change::Addresses(all) => all.get(from..from + nodes.len()).map(<[String]>::to_vec),
            _ => None,
        };
        let words = match change {
            Change::PowerDownForce => vec!["state=power_down_force".to_owned()],
            Change::Down { reason } => {
                vec![
                    "state=down".to_owned(),
                    format!("reason={}", one_line(reason)),
                ]
            }
            Change::Resume => vec!["state=resume".to_owned()],
            Change::PowerUp => vec!["state=power_up".to_owned()],
            Change::Addresses(_) => {
                vec![format!(
                    "nodeaddr={}",
                    addresses.as_deref().unwrap_or_default().join(",")
                )]
            }
        };
        Batch {
            nodes,
            words,
            addresses,
        }
    }

    /// What is done, for messages.
    pub(super) fn verb(&self) -> &str {
        if self.addresses.is_some() {
            return "nodeaddr";
        }
        self.words.first().map_or("", String::as_str)
    }

    /// The nodes of which `keep` says yes, and the others.
    pub(super) fn split(self, keep: impl Fn(&NodeName) -> bool) -> (Batch, Batch) {
        let (words, addresses) = (self.words, self.addresses);
        let kept: Vec<bool> = self.nodes.iter().map(keep).collect();
        let half = |side: bool| {
            let nodes = self.nodes.iter().zip(&kept).filter(|(_, k)| **k == side);
            let nodes = nodes.map(|(n, _)| n.clone()).collect();
            let addresses = addresses.as_ref().map(|all| {
                let some = all.iter().zip(&kept).filter(|(_, k)| **k == side);
                some.map(|(a, _)| a.clone()).collect::<Vec<_>>()
            });
            let words = match &addresses {
                Some(some) => vec![format!("nodeaddr={}", some.join(","))],
                None => words.clone(),
            };
            Batch {
                nodes,
                words,
                addresses,
            }
        };
        (half(true), half(false))
    }
}

/// The calls that make a change.
pub(super) fn plan(nodes: &[NodeName], change: &Change) -> Result<Vec<Batch>, SlurmError> {
    let invalid = |message: String| Err(SlurmError::new(SlurmErrorKind::Invalid, message));
    if let Some(name) = nodes.iter().find(|n| is_all(n)) {
        return Err(not_a_node(name));
    }
    match change {
        Change::Addresses(all) if all.len() != nodes.len() => {
            return invalid(format!("{} addresses for {} nodes", all.len(), nodes.len()));
        }
        Change::Addresses(all) => {
            let bad = |a: &&String| {
                a.is_empty() || a.contains(|c: char| ",[]".contains(c) || c.is_whitespace())
            };
            if let Some((node, address)) = nodes.iter().zip(all).find(|(_, a)| bad(a)) {
                return invalid(format!(
                    "`{}` is no address (node {node})",
                    one_line(address)
                ));
            }
        }
        Change::Down { reason } if one_line(reason).is_empty() => {
            return invalid("state=down needs a reason".to_owned());
        }
        _ => {}
    }
    let size = |at: usize| match change {
        Change::Addresses(all) => all.get(at).map_or(0, |a| a.len() + 1),
        _ => 0,
    };
    let mut from = 0;
    let mut plan = Vec::new();
    for batch in batches(nodes, size) {
        plan.push(Batch::new(batch, change, from));
        from += batch.len();
    }
    Ok(plan)
}

/// Cuts `nodes` into pieces for one call each; `more(at)` is what goes with
/// the node at that place, in bytes.
pub(super) fn batches(nodes: &[NodeName], more: impl Fn(usize) -> usize) -> Vec<&[NodeName]> {
    let mut out = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (at, node) in nodes.iter().enumerate() {
        let size = node.as_str().len() + 1 + more(at);
        if at > from && (at - from == BATCH_NODES || bytes + size > BATCH_BYTES) {
            out.push(&nodes[from..at]);
            (from, bytes) = (at, 0);
        }
        bytes += size;
    }
    if from < nodes.len() {
        out.push(&nodes[from..]);
    }
    out
}

/// Slurm reads `nodename=ALL` as every node of the cluster.
pub(super) fn is_all(name: &NodeName) -> bool {
    name.as_str().eq_ignore_ascii_case("ALL")
}

pub(super) fn not_a_node(name: &NodeName) -> SlurmError {
    let message = format!("Slurm takes the name `{name}` for every node of the cluster");
    SlurmError::new(SlurmErrorKind::Invalid, message)
}

/// A text that stays on one line of `scontrol show node -o`.
pub(super) fn one_line(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    text.trim().to_owned()
}
