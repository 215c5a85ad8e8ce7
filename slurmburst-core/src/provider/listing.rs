//! What there is.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Generation;
use crate::error::Error;
use crate::hostlist::NodeName;

/// What [`CloudProvider::list`](super::CloudProvider::list) found.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// The instances of this cluster.
    pub instances: Vec<Instance>,
    /// The parts of the cloud that did not answer. A node that is missing from
    /// a listing with gaps may exist.
    pub gaps: Vec<Gap>,
    /// Disks, NICs and the like whose node is dead.
    pub leftovers: Vec<Leftover>,
}

impl Listing {
    /// Whether a node that is missing here really is not there.
    pub fn is_complete(&self) -> bool {
        self.gaps.is_empty()
    }
}

/// A part of the cloud that did not answer.
#[derive(Debug, Clone)]
pub struct Gap {
    /// Region, zone or account, in the cloud's own words.
    pub scope: String,
    /// Why.
    pub error: Error,
}

/// A machine that belongs to this cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// The node that it is.
    pub node: NodeName,
    /// The cloud's id.
    pub id: String,
    /// What it is doing.
    pub state: InstanceState,
    /// How it came to be ours.
    pub owner: Owner,
    /// The generation in its tags.
    pub generation: Option<Generation>,
    /// The call in its tags.
    pub call: Option<String>,
    /// Its address in the cluster's network.
    pub address: Option<IpAddr>,
    /// When it was last launched or started, in milliseconds since 1970.
    pub launched_ms: Option<i64>,
    /// When its lifetime ends, if it was given one, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<i64>,
}

impl Instance {
    /// Whether its lifetime is over, and nothing is done about it yet.
    pub fn is_overdue(&self, now_ms: i64) -> bool {
        let stays = self.state.is_billed() && !self.state.is_dying();
        stays && self.expires_ms.is_some_and(|end| end <= now_ms)
    }
}

/// How an instance came to belong to this cluster. Only what was created by us
/// is ever deleted without being asked for by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// Its tags say that slurmburst created it.
    Created,
    /// Made by hand, then adopted: it carries our tags.
    Adopted,
    /// Recognised by its name alone.
    Matched,
}

/// What a machine is doing, and so whether it costs money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum InstanceState {
    /// Being made or started.
    Starting,
    /// Up, as far as the cloud knows.
    Running,
    /// Being deallocated.
    Stopping,
    /// Deallocated: only its disk costs money.
    Stopped,
    /// Powered off and still billed for compute.
    StoppedBilled,
    /// Being deleted.
    Terminating,
    /// Deleted, and still shown.
    Terminated,
    /// It could not be made; debris.
    Failed,
    /// The cloud does not say.
    Unknown,
}

impl InstanceState {
    /// Whether it is, or is about to be, up.
    pub fn is_up(self) -> bool {
        matches!(self, InstanceState::Starting | InstanceState::Running)
    }

    /// Whether it is on its way down or out and will get there by itself.
    pub fn is_dying(self) -> bool {
        matches!(self, InstanceState::Stopping | InstanceState::Terminating)
    }

    /// Whether compute is (or may be) paid for.
    pub fn is_billed(self) -> bool {
        !matches!(self, InstanceState::Stopped | InstanceState::Terminated)
    }

    /// Whether there is nothing left of it.
    pub fn is_gone(self) -> bool {
        self == InstanceState::Terminated
    }

    /// The word used in tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            InstanceState::Starting => "starting",
            InstanceState::Running => "running",
            InstanceState::Stopping => "stopping",
            InstanceState::Stopped => "stopped",
            InstanceState::StoppedBilled => "stopped-billed",
            InstanceState::Terminating => "terminating",
            InstanceState::Terminated => "terminated",
            InstanceState::Failed => "failed",
            InstanceState::Unknown => "unknown",
        }
    }
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that a dead node left behind and that costs money or is in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// The node that it was made for.
    pub node: NodeName,
    /// The cloud's id.
    pub id: String,
    /// What it is: `nic`, `disk`.
    pub kind: String,
    /// Whether it is certainly ours. What is not certain is reported, never deleted.
    pub certain: bool,
}
