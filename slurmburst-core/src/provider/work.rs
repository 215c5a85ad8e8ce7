//! What a provider is asked to do, in the form in which the ledger keeps it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{DownMode, Leftover, Placement};
use crate::hostlist::NodeName;

/// The wish counter of a node: a later wish has a larger generation, for ever.
/// In practice milliseconds since 1970, or one more than the last.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Generation(pub i64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One request as the backend will send it, before it has a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The nodes it makes, in order.
    pub nodes: Vec<NodeName>,
    /// The request. Stored and replayed as it is.
    pub request: Value,
}

/// A node of a [`Call`], with the wish that it serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallNode {
    /// The node.
    pub name: NodeName,
    /// Written into the instance's tags.
    pub generation: Generation,
}

/// One mutating request: written to the ledger before it is sent, replayed
/// under the same token until its effect is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Its id in the ledger; written into the instances' tags.
    pub id: String,
    /// What the cloud recognises a repetition by.
    pub token: String,
    /// Where.
    pub placement: Placement,
    /// Its nodes, in the order of the request.
    pub nodes: Vec<CallNode>,
    /// The request as rendered.
    pub request: Value,
}

impl Call {
    /// The names of its nodes, in order.
    pub fn names(&self) -> impl Iterator<Item = &NodeName> {
        self.nodes.iter().map(|n| &n.name)
    }
}

/// One node to power down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PowerDown {
    /// The node.
    pub node: NodeName,
    /// The wish that it serves.
    pub generation: Generation,
    /// Its instance, when one is known. Only this one is touched then.
    pub instance: Option<String>,
    /// How.
    pub mode: DownMode,
}

/// Work that the cloud accepted and has not finished. Stored in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The node.
    pub node: NodeName,
    /// Up or down.
    pub direction: Direction,
    /// The cloud's id of the instance, when it has one already.
    pub instance: Option<String>,
    /// What the provider needs to ask again; an operation URL, verbatim, for example.
    pub handle: Value,
    /// How long to wait before asking.
    pub poll_after: Duration,
}

/// Which way a node is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Towards running.
    Up,
    /// Towards deallocated or gone.
    Down,
}

/// Something to tidy.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Chore {
    /// Delete what a dead node left behind.
    Delete(Leftover),
    /// Write tags on an instance.
    Tag {
        /// The node.
        node: NodeName,
        /// The instance.
        instance: String,
        /// The tags.
        tags: BTreeMap<String, String>,
    },
}

impl Chore {
    /// The node that it is about.
    pub fn node(&self) -> &NodeName {
        match self {
            Chore::Delete(leftover) => &leftover.node,
            Chore::Tag { node, .. } => node,
        }
    }
}
