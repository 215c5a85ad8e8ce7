//! What a run did and found.

use serde::Serialize;

use crate::hostlist::NodeName;

/// What a run of the converger did, for `reconcile --json` and for tests.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Listings asked of providers.
    pub listings: u64,
    /// Passes made.
    pub passes: u64,
    /// `scontrol update` calls.
    pub slurm_updates: u64,
    /// Power-up calls sent, replays included.
    pub power_up_calls: u64,
    /// Nodes that came up.
    pub up: u64,
    /// Nodes that went down.
    pub down: u64,
    /// Nodes that could not come up.
    pub failed: u64,
    /// What a full pass found wrong.
    pub found: Vec<Found>,
    /// Why a full pass held back, and what to do.
    pub held_back: Vec<String>,
}

/// Something that a full pass found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// The node.
    pub node: NodeName,
    /// What: `orphan`, `unbacked`, `lost-power-up`, `lost-mark`, `timed-out`, `overdue`, `leftover`, `open-wish`.
    pub what: String,
    /// What is, or would be, done about it.
    pub action: String,
}
