//! [`Outcomes`]: exactly one [`Outcome`] per requested node.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::hostlist::NodeName;
use crate::provider::Pending;

/// What became of one node.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It is as was asked.
    Done(Machine),
    /// The cloud is at it; ask again.
    Accepted(Pending),
    /// It was so already; nothing was sent.
    AlreadyDone,
    /// Nothing was sent, because something is in the way that goes by itself:
    /// a dying namesake, a reserved NIC.
    Waiting {
        /// What is in the way.
        why: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// A newer wish made it pointless; nothing was sent.
    Superseded,
    /// Not tried: the deadline had passed, or it is a dry run.
    Skipped(String),
    /// It failed.
    Failed(Error),
}

impl Outcome {
    /// The word used in logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Outcome::Done(_) => "done",
            Outcome::Accepted(_) => "accepted",
            Outcome::AlreadyDone => "already-done",
            Outcome::Waiting { .. } => "waiting",
            Outcome::Superseded => "superseded",
            Outcome::Skipped(_) => "skipped",
            Outcome::Failed(_) => "failed",
        }
    }

    /// Whether there is nothing left to wait for, and nothing failed.
    pub fn is_success(&self) -> bool {
        matches!(self, Outcome::Done(_) | Outcome::AlreadyDone)
    }
}

/// What is known of a node's machine once it is done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Machine {
    /// The cloud's id, when there is (still) one.
    pub instance: Option<String>,
    /// Its address in the cluster's network, when the cloud says it.
    pub address: Option<IpAddr>,
    /// The cloud's id of the request that did it.
    pub request_id: Option<String>,
}

/// One outcome for each requested node, by name, in the order asked.
///
/// A node for which the provider reports nothing has failed with an unknown
/// effect; one that was not asked for cannot get in.
///
/// ```
/// use slurmburst_core::hostlist::NodeName;
/// use slurmburst_core::outcome::{Outcome, Outcomes};
///
/// let c1 = NodeName::new("c1")?;
/// let c2 = NodeName::new("c2")?;
/// let mut outcomes = Outcomes::new([c1.clone(), c2.clone()]);
/// outcomes.set(&c1, Outcome::AlreadyDone);
/// assert!(outcomes.get(&c1).is_some_and(Outcome::is_success));
/// assert!(matches!(outcomes.get(&c2), Some(Outcome::Failed(_))));
/// assert_eq!(outcomes.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Outcomes {
    list: Vec<(NodeName, Outcome)>,
    index: HashMap<NodeName, usize>,
}

impl Outcomes {
    /// Room for one outcome for each of `nodes`; a node named twice has one.
    pub fn new(nodes: impl IntoIterator<Item = NodeName>) -> Outcomes {
        let mut outcomes = Outcomes::default();
        for node in nodes {
            if outcomes.index.contains_key(&node) {
                continue;
            }
            let missing = Error::new(
                ErrorKind::Unexpected,
                format!("the provider reported nothing about {node}"),
            );
            outcomes.index.insert(node.clone(), outcomes.list.len());
            outcomes.list.push((node, Outcome::Failed(missing)));
        }
        outcomes
    }

    /// The same outcome for all of `nodes`.
    pub fn all(nodes: impl IntoIterator<Item = NodeName>, outcome: &Outcome) -> Outcomes {
        let mut outcomes = Outcomes::new(nodes);
        for (_, slot) in &mut outcomes.list {
            *slot = outcome.clone();
        }
        outcomes
    }

    /// All of `nodes` failed in the same way.
    pub fn failed(nodes: impl IntoIterator<Item = NodeName>, error: &Error) -> Outcomes {
        Outcomes::all(nodes, &Outcome::Failed(error.clone()))
    }

    /// Sets a node's outcome. Returns false, and changes nothing, for a node
    /// that was not asked for.
    pub fn set(&mut self, node: &NodeName, outcome: Outcome) -> bool {
        let slot = self.index.get(node).and_then(|&i| self.list.get_mut(i));
        match slot {
            Some((_, slot)) => {
                *slot = outcome;
                true
            }
            None => false,
        }
    }

    /// Takes over the outcomes of `other` for the nodes that both have.
    pub fn merge(&mut self, other: Outcomes) {
        for (node, outcome) in other.list {
            self.set(&node, outcome);
        }
    }

    /// A node's outcome, if the node was asked for.
    pub fn get(&self, node: &NodeName) -> Option<&Outcome> {
        self.index
            .get(node)
            .and_then(|&i| self.list.get(i))
            .map(|(_, o)| o)
    }

    /// How many nodes were asked for.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether no node was asked for.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Nodes and outcomes, in the order asked.
    pub fn iter(&self) -> impl Iterator<Item = (&NodeName, &Outcome)> {
        self.list.iter().map(|(n, o)| (n, o))
    }
}

impl IntoIterator for Outcomes {
    type Item = (NodeName, Outcome);
    type IntoIter = std::vec::IntoIter<(NodeName, Outcome)>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}
