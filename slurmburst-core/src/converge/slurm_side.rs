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
/// stuck nor loses the mark:
///
/// | step | Slurm shows | decision |
/// |---|---|---|
/// | any | anything, and a newer wish up is recorded | forget |
/// | any | DOWN for a reason that is not ours | forget: theirs to clear |
/// | force | going down, or down | await |
/// | force | POWERING_UP, or not responding behind a lost instance | force |
/// | force | anything else | forget: it came up |
/// | await | going down, no cool-off, or it is over | forget |
/// | await | going down | down |
/// | await | going down and DOWN with our reason | hold |
/// | await | the power-down is on its way | soon |
/// | hold | DOWN with our reason, before its time / POWERED_DOWN after it | later / return |
/// | hold | not DOWN | forget: somebody returned it |
pub fn decide_mark(
    mark: &Mark,
    wish: Option<&Wish>,
    state: &NodeState,
    reason: Option<&str>,
    now_ms: i64,
) -> MarkDecision {
    // Also one that has ended: as wished, and the node is none of the mark's
    // business; or not, and it has a mark of its own.
    let overtaken =
        wish.is_some_and(|w| w.direction == Direction::Up && w.generation > mark.generation);
    let ours = reason.is_some_and(|r| r.contains(mark.reason.as_str()));
    if overtaken || (state.is_down() && !ours) {
        return MarkDecision::Forget;
    }
    let going_down = state.is_powering_down() || state.is_powered_down();
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
        MarkStep::Await if going_down => match (state.is_down(), mark.until_ms) {
            (_, 0) => MarkDecision::Forget,
            (true, _) => MarkDecision::Step(MarkStep::Hold),
            (false, until_ms) if until_ms > now_ms => MarkDecision::Down,
            (false, _) => MarkDecision::Forget,
        },
        MarkStep::Await if state.is_power_down_requested() || state.is_powering_up() => {
            MarkDecision::Soon
        }
        MarkStep::Await => MarkDecision::Forget,
        MarkStep::Hold if !state.is_down() => MarkDecision::Forget,
        MarkStep::Hold if now_ms < mark.until_ms => MarkDecision::Later,
        MarkStep::Hold if state.is_powered_down() => MarkDecision::Return,
        MarkStep::Hold => MarkDecision::Soon,
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
    /// An instance that Slurm has and whose lifetime is over. It may have jobs,
    /// so nothing is done but to say so.
    Overdue,
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
    /// What the time is.
    pub now_ms: i64,
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
    // Where a cloud's listing has gaps it is left alone, with what it does list.
    if off && ours && v.listed {
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
    if believed_up && state.is_not_responding() && !state.is_down() && nothing_left {
        return Some(Anomaly::Unbacked);
    }
    let overdue = v.instances.iter().any(|i| i.is_overdue(v.now_ms));
    (believed_up && overdue).then_some(Anomaly::Overdue)
}
