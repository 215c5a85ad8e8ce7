//! [`PowerPolicy`]: where a wanted node goes and how an unwanted one leaves.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::hostlist::{HostSet, NodeName};
use crate::provider::{DownMode, Generation, Lifecycle, Placement};

/// *How*, never *whether*: which nodes are wanted is decided before, and safety
/// is not its business. Pure, synchronous and infallible. Asked again after
/// every failure, with the attempts so far.
pub trait PowerPolicy: Debug + Send + Sync + 'static {
    /// A placement for each of `wanted`, or until when to wait, or why not.
    fn place(&self, wanted: &[Wanted], seen: &Observed) -> Placing;

    /// How this node goes down.
    fn down_mode(&self, node: &NodeName, seen: &Observed) -> DownMode;
}

/// A node that shall come up.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// The node.
    pub node: NodeName,
    /// The wish.
    pub generation: Generation,
    /// When it must be up, in milliseconds since 1970.
    pub deadline_ms: i64,
    /// What was tried for this wish, in order.
    pub tried: Vec<Tried>,
}

/// A placement that was tried for a wish and refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Tried {
    /// The placement's name.
    pub placement: String,
    /// Why it did not work.
    pub error: Error,
}

/// What is known to everybody.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Now, in milliseconds since 1970.
    pub now_ms: i64,
    /// Placements by name that are known to have nothing, until when, and why.
    pub dry: BTreeMap<String, Dry>,
}

/// A placement that has nothing for now.
#[derive(Debug, Clone, PartialEq)]
pub struct Dry {
    /// Until when, in milliseconds since 1970.
    pub until_ms: i64,
    /// What was said.
    pub error: Error,
}

/// The answer to [`PowerPolicy::place`]: one for each wanted node, in order.
pub type Placing = Vec<(NodeName, Place)>;

/// Where a node goes.
#[derive(Debug, Clone, PartialEq)]
pub enum Place {
    /// Here.
    At(Arc<Placement>),
    /// Not yet; ask again then (milliseconds since 1970).
    WaitUntil(i64),
    /// Nowhere. The error is what Slurm and the log will say.
    Refuse(Error),
}

/// A group of nodes of the site file.
#[derive(Debug, Clone)]
pub struct Group {
    /// Its nodes.
    pub nodes: HostSet,
    /// What is done between two jobs.
    pub lifecycle: Lifecycle,
    /// Where they may run, in order of preference.
    pub placements: Vec<Arc<Placement>>,
}

/// The policy that a site file describes: each group's placements in order,
/// passing over those that are dry.
#[derive(Debug, Clone, Default)]
pub struct SitePolicy {
    groups: Vec<Group>,
}

impl SitePolicy {
    /// A policy over groups that do not overlap.
    pub fn new(groups: Vec<Group>) -> SitePolicy {
        SitePolicy { groups }
    }

    /// The groups, in the order of the file.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The group of a node.
    pub fn group_of(&self, node: &NodeName) -> Option<&Group> {
        self.groups.iter().find(|g| g.nodes.contains(node))
    }

    /// The placement of this name.
    pub fn placement(&self, name: &str) -> Option<&Arc<Placement>> {
        self.groups
            .iter()
            .flat_map(|g| &g.placements)
            .find(|p| p.name == name)
    }

    fn place_one(&self, wanted: &Wanted, seen: &Observed) -> Place {
        let Some(group) = self.group_of(&wanted.node) else {
            return Place::Refuse(Error::new(
                ErrorKind::Invalid,
                format!("{} is in no [[nodes]] group of the site file", wanted.node),
            ));
        };
        let mut last: Option<&Error> = None;
        for placement in &group.placements {
            if let Some(tried) = wanted.tried.iter().find(|t| t.placement == placement.name) {
                last = Some(&tried.error);
                continue;
            }
            match seen.dry.get(&placement.name) {
                Some(dry) if dry.until_ms > seen.now_ms => last = Some(&dry.error),
                _ => return Place::At(Arc::clone(placement)),
            }
        }
        Place::Refuse(last.cloned().unwrap_or_else(|| {
            Error::new(
                ErrorKind::Invalid,
                format!("the group of {} has no placement", wanted.node),
            )
        }))
    }
}

impl PowerPolicy for SitePolicy {
    fn place(&self, wanted: &[Wanted], seen: &Observed) -> Placing {
        wanted
            .iter()
            .map(|w| (w.node.clone(), self.place_one(w, seen)))
            .collect()
    }

    fn down_mode(&self, node: &NodeName, _seen: &Observed) -> DownMode {
        // A node of no group may have been of one before the site file changed;
        // what keeps its disk can still be terminated later, not the reverse.
        self.group_of(node)
            .map_or(DownMode::Deallocate, |g| g.lifecycle.down_mode())
    }
}
