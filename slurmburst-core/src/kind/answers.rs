//! What an [`Operator`](super::Operator) answers with.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use crate::hostlist::NodeName;
use crate::provider::{InstanceState, Market};

/// How long something usually takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usual {
    /// From the request until the machine runs; it has not booted yet then.
    pub up: Duration,
    /// From the request until it is deallocated or gone.
    pub down: Duration,
}

/// A machine as a person wants to see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MachineInfo {
    /// The node whose name it bears, where it is one that a node can have.
    pub node: Option<NodeName>,
    /// Its name in the cloud.
    pub name: String,
    /// The cloud's id.
    pub id: String,
    /// What it is doing.
    pub state: InstanceState,
    /// Its power state in the cloud's own words, where it says one.
    pub power: Option<String>,
    /// How far the cloud has come with it, in its own words.
    pub provisioning: Option<String>,
    /// Why it failed, where it did and the cloud says it.
    pub problem: Option<String>,
    /// Machine size.
    pub size: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// Zone within the region.
    pub zone: Option<String>,
    /// How it is paid for.
    pub market: Market,
    /// Whose it is.
    pub owner: Whose,
    /// The owner tag that it carries.
    pub cluster: Option<String>,
    /// All its tags.
    pub tags: BTreeMap<String, String>,
    /// Its addresses in the cluster's network.
    pub addresses: Vec<IpAddr>,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: Option<i64>,
}

/// Whose a machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whose {
    /// Ours: slurmburst created it.
    Created,
    /// Ours: made by hand, then adopted.
    Adopted,
    /// Ours by its name alone.
    Matched,
    /// Tagged by another cluster.
    AnotherCluster,
    /// Not known to any cluster.
    Nobody,
}

impl Whose {
    /// Whether it is this cluster's.
    pub fn is_ours(self) -> bool {
        matches!(self, Whose::Created | Whose::Adopted | Whose::Matched)
    }

    /// The word used in tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Whose::Created => "created",
            Whose::Adopted => "adopted",
            Whose::Matched => "matched",
            Whose::AnotherCluster => "another-cluster",
            Whose::Nobody => "nobody",
        }
    }
}

/// Which images are wanted; everything where nothing is said. Without regard
/// to case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageFilter {
    /// Of this publisher.
    pub publisher: Option<String>,
    /// Of this offer.
    pub offer: Option<String>,
}

/// An image, or a family of them where less was asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Image {
    /// Who publishes it.
    pub publisher: String,
    /// What it is offered as.
    pub offer: Option<String>,
    /// Which variant of the offer.
    pub sku: Option<String>,
    /// Its newest version.
    pub version: Option<String>,
    /// What to write in the site file, where it names one image.
    pub image: Option<String>,
}

/// How much of something an account may use, and does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quota {
    /// Where it counts.
    pub region: String,
    /// The cloud's name of it.
    pub name: String,
    /// The same for people.
    pub title: String,
    /// Used now, by whomever.
    pub used: u64,
    /// Of which by machines that slurmburst created.
    pub ours: u64,
    /// May be used.
    pub limit: u64,
    /// What one node needs of it at most, where the site's groups need any.
    pub one_node: Option<u64>,
    /// What the groups would need with all their nodes up, each group at its
    /// first placement that needs any.
    pub wanted: Option<u64>,
}

impl Quota {
    /// Whether all nodes of the groups fit beside what others use.
    pub fn fits(&self) -> bool {
        let others = self.used.saturating_sub(self.ours);
        self.wanted
            .is_none_or(|wanted| others.saturating_add(wanted) <= self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_fits_beside_what_others_use() {
        let quota = |used, ours, limit, wanted: Option<u64>| Quota {
            region: "here".into(),
            name: "cores".into(),
            title: "cores".into(),
            used,
            ours,
            limit,
            one_node: wanted.map(|_| 4),
            wanted,
        };
        assert!(quota(8, 4, 40, Some(36)).fits());
        assert!(!quota(8, 4, 40, Some(37)).fits());
        assert!(quota(99, 0, 40, None).fits(), "nothing is wanted");
        assert!(quota(4, 8, 8, Some(8)).fits(), "a count that is behind");
        assert!(!quota(1, 0, u64::MAX - 1, Some(u64::MAX)).fits());
    }
}
