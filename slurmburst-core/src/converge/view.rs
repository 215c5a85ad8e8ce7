//! What [`decide`](super::decide::decide) sees, and what it answers.

use crate::error::Error;
use crate::ledger::{Attempt, Wish};
use crate::policy::Tried;
use crate::provider::{Direction, DownMode, Instance, Lifecycle};
use crate::slurm::node_state::NodeState;

/// What is known of one node.
#[derive(Debug, Clone, Copy)]
pub struct NodeView<'a> {
    /// Now, in milliseconds since 1970.
    pub now_ms: i64,
    /// The newest wish; open.
    pub wish: &'a Wish,
    /// What its group's machines go through. `StartDeallocate` for a node of no group.
    pub lifecycle: Lifecycle,
    /// The attempt behind which there is or may be an instance.
    pub up: Option<&'a Attempt>,
    /// Why the replay of that attempt's call was refused, which alone says
    /// nothing of what the call did when it was first sent.
    pub replay_refused: Option<&'a Error>,
    /// The power-downs that are not known to be over.
    pub downs: &'a [&'a Attempt],
    /// What was tried for this wish and refused.
    pub tried: &'a [Tried],
    /// What the clouds list for the node.
    pub seen: &'a [Seen<'a>],
    /// How far what the clouds do not list can be trusted.
    pub listing: Listed<'a>,
    /// What Slurm shows; nothing where it was not asked, does not answer, or
    /// does not show the node.
    pub slurm: Option<&'a NodeState>,
    /// Whether Slurm was asked about the node and has answered.
    pub slurm_answered: bool,
    /// How long after a change a listing may still miss it.
    pub consistency_ms: i64,
}

/// An instance and the provider that lists it.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The provider's name in the site file.
    pub provider: &'a str,
    /// The instance.
    pub instance: &'a Instance,
}

/// How far a listing can be trusted.
#[derive(Debug, Clone, Copy)]
pub enum Listed<'a> {
    /// What it does not show is not there.
    Complete,
    /// Something did not answer, or was not asked.
    Gaps(&'a Error),
}

/// Something to power down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The provider's name in the site file.
    pub provider: String,
    /// The instance, when one is known.
    pub instance: Option<String>,
    /// How.
    pub mode: DownMode,
}

/// What is done with the node.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// It is as it was wished.
    Settle,
    /// Ask the policy where, and send a new call.
    Place,
    /// Send the stored call again, under its token.
    Replay,
    /// Nothing came of the attempt of unknown effect: its replay was refused
    /// for this reason, and no cloud lists anything of it.
    Conclude(Error),
    /// Ask how far accepted work has come.
    Poll(Direction),
    /// Power these down.
    PowerDown(Vec<Target>),
    /// Power this down, and start another: Slurm ignores it, since it has booted
    /// before Slurm asked for it.
    Replace(Target),
    /// Look again then.
    Wait {
        /// When, in milliseconds since 1970.
        until_ms: i64,
        /// What for.
        why: String,
    },
    /// Look again, less and less often: a cloud that has to be listed for this
    /// does not answer.
    Unlisted {
        /// Why not.
        why: String,
    },
    /// It cannot come up. Slurm has to be told.
    Fail(Error),
    /// Slurm wants the node up by now: the suspend is overtaken.
    Yield,
}
