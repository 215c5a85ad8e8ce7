//! The tables about Slurm: how a node that cannot come up is told, how it
//! returns to service, and what a full pass finds wrong. Pure.

use crate::error::ErrorKind;
use crate::ledger::{Mark, MarkStep, Wish};
use crate::provider::{Direction, Instance, Owner};
use crate::slurm::node_state::NodeState;

/// How every reason of ours begins.
pub const REASON_PREFIX: &str = "slurmburst: ";
/// What Slurm writes when ResumeTimeout ends a node.
const RESUME_TIMEOUT_REASON: &str = "ResumeTimeout reached";

/// What is done about a [`Mark`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkDecision {
    /// Send `power_down_force`, then go on to [`MarkStep::Await`].
    Force,
    /// Go on to this step; nothing is sent.
    Step(MarkStep),
    /// Send `state=down reason=...`, and look again whether it stuck.
    Down,
    /// Send `state=resume` and forget the mark.
    Return,
    /// Forget it: there is nothing (left) to tell, or it is not ours any more.
    Forget,
    /// Look again soon: Slurm is on its way.
    Soon,
    /// Look again at `until_ms`.
    Later,
}

/// One step of telling Slurm that a node cannot come up. Each step waits for
/// what Slurm shows; the order is the only one that neither leaves the node
/// stuck nor loses the mark.
pub fn decide_mark(
    mark: &Mark,
    wish: Option<&Wish>,
    state: &NodeState,
    reason: Option<&str>,
    now_ms: i64,
) -> MarkDecision {
    let overtaken = wish.is_some_and(|w| {
        w.direction == Direction::Up && w.generation > mark.generation && w.settled.is_none()
    });
    if overtaken {
        return MarkDecision::Forget;
    }
    let going_down = state.is_powering_down() || state.is_powered_down();
    let ours = reason.is_some_and(|r| r.contains(mark.reason.as_str()));
    match mark.step {
        MarkStep::Force => {
            // A node that is up but whose instance is gone is forced down too.
            let forceable = state.is_powering_up()
                || (mark.kind == ErrorKind::NotFound && state.is_not_responding());
            match (going_down, forceable) {
                (true, _) => MarkDecision::Step(MarkStep::Await),
                (false, true) => MarkDecision::Force,
                (false, false) => MarkDecision::Forget,
            }
        }
        MarkStep::Await => match (going_down, mark.until_ms > now_ms) {
            (true, true) if state.is_down() && ours => MarkDecision::Step(MarkStep::Hold),
            // Down by an administrator, or by ResumeTimeout: theirs to clear, or the
            // next pass's.
            (true, true) if state.is_down() => MarkDecision::Forget,
            (true, true) => MarkDecision::Down,
            (true, false) => MarkDecision::Forget,
            (false, _) if state.is_power_down_requested() || state.is_powering_up() => {
                MarkDecision::Soon
            }
            (false, _) => MarkDecision::Forget,
        },
        MarkStep::Hold => {
            if !state.is_down() || !ours {
                MarkDecision::Forget
            } else if now_ms < mark.until_ms {
                MarkDecision::Later
            } else if state.is_powered_down() {
                MarkDecision::Return
            } else {
                MarkDecision::Soon
            }
        }
    }
}

/// What a full pass finds wrong with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anomaly {
    /// An instance that Slurm positively does not want.
    Orphan,
    /// Slurm believes in a node that has no instance.
    Unbacked,
    /// Slurm waits for a node that nobody was told to start.
    LostPowerUp,
    /// Out of service behind our mark or a failed attempt of ours, with no mark in the ledger.
    LostMark,
    /// Out of service by ResumeTimeout after an attempt of ours; nothing is left of it.
    TimedOut,
}

/// What a full pass knows of a node.
#[derive(Debug, Clone, Copy)]
pub struct FullView<'a> {
    /// The newest wish.
    pub wish: Option<&'a Wish>,
    /// Its mark.
    pub marked: bool,
    /// Its live instances.
    pub instances: &'a [&'a Instance],
    /// Whether every cloud that may hold it was listed without a gap.
    pub listed: bool,
    /// What Slurm shows; nothing where Slurm does not show the node, which is
    /// unknown, never unwanted.
    pub slurm: Option<(&'a NodeState, Option<&'a str>)>,
    /// Whether the ledger has an attempt for the node.
    pub attempted: bool,
}

/// Looks for what is wrong. An anomaly is only a suspicion: the caller acts on
/// it when it is seen again, long enough after it was first seen.
pub fn anomaly(v: &FullView<'_>) -> Option<Anomaly> {
    let (state, reason) = v.slurm?;
    let wish_open = v.wish.is_some_and(|w| w.settled.is_none());
    if wish_open {
        return None;
    }
    let reason = reason.unwrap_or_default();
    let off = (state.is_powered_down() || state.is_powering_down())
        && !state.is_powering_up()
        && !state.is_power_up_requested();
    // What was only matched by its name goes down on Slurm's call alone.
    let ours = v
        .instances
        .iter()
        .any(|i| i.owner != Owner::Matched && i.state.is_billed());
    if off && ours {
        return Some(Anomaly::Orphan);
    }
    if v.marked {
        return None;
    }
    let out = state.is_down() && state.is_powered_down();
    if out && reason.starts_with(REASON_PREFIX) {
        return Some(Anomaly::LostMark);
    }
    let nothing_left = v.listed && !v.instances.iter().any(|i| i.state.is_billed());
    if out && reason.starts_with(RESUME_TIMEOUT_REASON) && v.attempted && nothing_left {
        return Some(Anomaly::TimedOut);
    }
    if state.is_powering_up() && !state.is_down() {
        let told = v.wish.is_some_and(|w| w.direction == Direction::Up);
        return (!told).then_some(Anomaly::LostPowerUp);
    }
    let believed_up = !off && !state.is_power_down_requested() && !state.is_power_up_requested();
    let gone = v.listed && v.instances.iter().all(|i| i.state.is_gone());
    if believed_up && state.is_not_responding() && !state.is_down() && gone {
        return Some(Anomaly::Unbacked);
    }
    None
}
