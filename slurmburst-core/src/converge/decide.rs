//! The table that decides what is done with one node. Pure: it sees what is
//! wanted, what was tried, what exists and what Slurm says, and names one
//! [`Decision`]. Nothing else in the project decides about a node's machine.
//!
//! Read it as a table, top row first:
//!
//! | wish | what is known | decision |
//! |---|---|---|
//! | any, open | something is under way for the node | leave (not asked here) |
//! | up | done for this very wish | settled |
//! | up, late | Slurm does not answer | wait for it |
//! | up, late | Slurm shows the node up, and no old machine is left | settled |
//! | up, late | anything else | fail |
//! | up | a power-down accepted | poll it |
//! | up | an attempt of unknown effect | replay the same call |
//! | up | the same, its replay refused | by the listing: as below, or nothing came of it |
//! | up | an attempt accepted or done, older than the last wish down | power that down first |
//! | up | accepted | poll |
//! | up, by resume | done for an older wish, and Slurm waits for a boot | wait; after a while replace it |
//! | up | done | settled |
//! | up | tried, and told never to try again | fail |
//! | up | the listing did not answer | wait; fail if it never will |
//! | up | an instance older than the last wish down, or debris | power that down first |
//! | up | an instance that serves, running / starting | settled / wait |
//! | up | an instance that is dying | wait |
//! | up | nothing in the way | place |
//! | down, by suspend | Slurm shows a newer power-up | yield to it |
//! | down | an attempt of unknown effect that no cloud lists | replay, then power down |
//! | down | an instance, or an attempt that has one | power down |
//! | down | a power-down accepted, or an instance that is dying | poll, or wait |
//! | down | the listing did not answer | wait |
//! | down | nothing there | settled |

use crate::error::{Advice, Error, ErrorKind};
use crate::ledger::{Attempt, AttemptState, Program, Wish};
use crate::provider::{Direction, DownMode, Generation, InstanceState, Lifecycle, Owner};
use crate::slurm::node_state::NodeState;

pub use super::view::{Decision, Listed, NodeView, Seen, Target};

/// How long to wait before looking again where nobody says when.
const LOOK_AGAIN_MS: i64 = 2_000;
/// The longest that an instance may take to register which may have booted too early.
const PATIENCE_MS: i64 = 120_000;
/// How long, at least, no cloud must have listed anything of a refused replay.
const QUIET_MS: i64 = 10_000;

/// Decides about a node whose wish is open and for which nothing is under way.
pub fn decide(view: &NodeView<'_>) -> Decision {
    match view.wish.direction {
        Direction::Up => up(view),
        Direction::Down => down(view),
    }
}

/// Whether an instance of this generation serves a wish with this floor. One
/// without a generation was made by hand, and serves.
pub fn serves(generation: Option<Generation>, floor: Generation) -> bool {
    generation.is_none_or(|g| g > floor)
}

/// Whether Slurm may ignore the instance of this attempt, because it has asked
/// again since: slurmctld was killed and has forgotten that it asked, or an
/// administrator has powered the node up twice.
pub fn is_older(attempt: &Attempt, wish: &Wish) -> bool {
    wish.program == Program::Resume && attempt.generation < wish.generation
}

fn up(v: &NodeView<'_>) -> Decision {
    let done = |a: &Attempt| a.state == AttemptState::Done && a.generation == v.wish.generation;
    if v.up.is_some_and(done) {
        return Decision::Settle;
    }
    if v.now_ms >= v.wish.deadline_ms {
        return late(v);
    }
    if let Some(down) = accepted(v.downs) {
        return poll_when_due(v, down, Direction::Down);
    }
    if let Some(attempt) = v.up {
        return up_by_attempt(v, attempt);
    }
    if let Some(never) = v.tried.iter().find(|t| t.error.advice() == Advice::Never) {
        return Decision::Fail(never.error.clone());
    }
    if let Listed::Gaps(error) = v.listing {
        return match error.advice() {
            Advice::Never => Decision::Fail(error.clone()),
            _ => unlisted(error),
        };
    }
    up_by_listing(v)
}

/// The deadline has passed. A cloud may take longer to say that it is done than
/// a node to register: what Slurm has taken is not torn down under its jobs.
fn late(v: &NodeView<'_>) -> Decision {
    match v.slurm {
        Some(state) if believed_up(state) && !old_machine(v) => Decision::Settle,
        None if !v.slurm_answered => wait(
            v,
            "its deadline has passed; Slurm is asked whether it is up",
        ),
        _ => Decision::Fail(too_late(v)),
    }
}

fn up_by_attempt(v: &NodeView<'_>, attempt: &Attempt) -> Decision {
    let stale = !serves(Some(attempt.generation), v.wish.floor);
    match &attempt.state {
        AttemptState::Unknown => match v.replay_refused {
            None => Decision::Replay,
            Some(_) if is_listed(v, attempt) => match up_by_listing(v) {
                Decision::Place => wait(v, "its call is not known to be over"),
                decision => decision,
            },
            Some(error) => conclude(v, attempt, error),
        },
        AttemptState::Accepted(_) | AttemptState::Done if stale => {
            power_down(v, vec![target_of(v, attempt)], Decision::PowerDown)
        }
        AttemptState::Accepted(_) => poll_when_due(v, attempt, Direction::Up),
        AttemptState::Done if is_older(attempt, v.wish) => unless_too_early(v, attempt),
        AttemptState::Done => Decision::Settle,
        // Not live: `v.up` never holds these.
        AttemptState::Refused(_) | AttemptState::Closed => wait(v, "its last attempt is over"),
    }
}

/// slurmctld counts only a registration of a boot after its newest call, and
/// waits for one until ResumeTimeout. An instance that has booted before is
/// replaced, early enough for another boot. Once: what comes then is not older.
fn unless_too_early(v: &NodeView<'_>, attempt: &Attempt) -> Decision {
    let third = v.wish.deadline_ms.saturating_sub(v.wish.created_ms) / 3;
    let running_since = attempt.updated_ms.max(v.wish.created_ms);
    let until_ms = running_since
        .saturating_add(third.min(PATIENCE_MS))
        .min(v.wish.deadline_ms.saturating_sub(2 * LOOK_AGAIN_MS));
    match v.slurm.map(shows_newer_power_up) {
        Some(false) => Decision::Settle,
        _ if v.now_ms < until_ms => wait(v, "it may have booted before Slurm asked for it"),
        Some(true) => power_down(
            v,
            vec![target_of(v, attempt)],
            |mut targets| match targets.pop() {
                Some(target) => Decision::Replace(target),
                None => Decision::PowerDown(targets),
            },
        ),
        // Slurm says nothing: no reason to touch what runs.
        None => Decision::Settle,
    }
}

/// Nothing live in the ledger: what the clouds show decides.
fn up_by_listing(v: &NodeView<'_>) -> Decision {
    let (mut in_the_way, mut serving, mut dying) = (Vec::new(), None, None);
    for seen in v.seen {
        let stale = !serves(seen.instance.generation, v.wish.floor);
        match seen.instance.state {
            InstanceState::Terminated => {}
            InstanceState::Stopping | InstanceState::Terminating | InstanceState::Unknown => {
                dying = Some(seen);
            }
            // What is started again, or is not ours to delete.
            InstanceState::Stopped if mode(v, seen) == DownMode::Deallocate => {}
            InstanceState::StoppedBilled if v.lifecycle == Lifecycle::StartDeallocate => {}
            InstanceState::Starting | InstanceState::Running if is_down_since(v, seen) => {
                dying = Some(seen);
            }
            InstanceState::Starting | InstanceState::Running if !stale && serving.is_none() => {
                serving = Some(seen);
            }
            _ => in_the_way.push(target(v, seen)),
        }
    }
    if !in_the_way.is_empty() {
        return power_down(v, in_the_way, Decision::PowerDown);
    }
    match (serving, dying) {
        (Some(seen), _) if seen.instance.state == InstanceState::Running => Decision::Settle,
        (Some(_), _) => wait(v, "its instance is starting"),
        (None, Some(seen)) => wait(
            v,
            &format!(
                "its old instance {} is {}",
                seen.instance.id, seen.instance.state
            ),
        ),
        (None, None) => Decision::Place,
    }
}

fn down(v: &NodeView<'_>) -> Decision {
    if v.wish.program == Program::Suspend && v.slurm.is_some_and(shows_newer_power_up) {
        return Decision::Yield;
    }
    if let Some(attempt) = v.up
        && attempt.state == AttemptState::Unknown
        && !is_listed(v, attempt)
    {
        // The replay tells what there is; powered down it is in the next pass.
        return match v.replay_refused {
            None => Decision::Replay,
            Some(error) => conclude(v, attempt, error),
        };
    }
    let (targets, dying) = standing(v);
    if !targets.is_empty() {
        return power_down(v, targets, Decision::PowerDown);
    }
    if let Some(down) = accepted(v.downs) {
        return poll_when_due(v, down, Direction::Down);
    }
    if let Some(seen) = dying {
        return wait(
            v,
            &format!("instance {} is {}", seen.instance.id, seen.instance.state),
        );
    }
    match v.listing {
        Listed::Complete => Decision::Settle,
        Listed::Gaps(error) => unlisted(error),
    }
}

/// What there is, or may be, to power down, and what is going by itself.
fn standing<'a>(v: &NodeView<'a>) -> (Vec<Target>, Option<&'a Seen<'a>>) {
    let mut targets: Vec<Target> = Vec::new();
    if let Some(attempt) = v.up
        && attempt.state != AttemptState::Unknown
        && (attempt.instance.is_some() || !is_listed(v, attempt))
    {
        targets.push(target_of(v, attempt));
    }
    let mut dying = None;
    for seen in v.seen {
        let state = seen.instance.state;
        let released = state == InstanceState::Stopped && mode(v, seen) == DownMode::Deallocate;
        let is_it = |t: &Target| t.instance.as_deref() == Some(seen.instance.id.as_str());
        if state.is_gone() || released {
            targets.retain(|t| !is_it(t));
        } else if state.is_dying() {
            dying = Some(seen);
            targets.retain(|t| !is_it(t));
        } else if !targets.iter().any(is_it) {
            targets.push(target(v, seen));
        }
    }
    (targets, dying)
}

/// Powers down what was not sent yet. What was accepted is followed, and what is
/// done may be listed for a while yet.
fn power_down(
    v: &NodeView<'_>,
    mut targets: Vec<Target>,
    decision: impl FnOnce(Vec<Target>) -> Decision,
) -> Decision {
    targets.retain(|t| {
        let sent = v
            .downs
            .iter()
            .find(|d| d.provider == t.provider && d.instance == t.instance);
        sent.is_none_or(|d| match d.state {
            AttemptState::Accepted(_) => false,
            AttemptState::Done => v.now_ms >= may_linger_until(v, d),
            _ => true,
        })
    });
    match accepted(v.downs) {
        _ if !targets.is_empty() => decision(targets),
        Some(down) => poll_when_due(v, down, Direction::Down),
        None => wait(v, "the listing may still show what is gone"),
    }
}

/// Until when a listing may show what this power-down has ended.
fn may_linger_until(v: &NodeView<'_>, down: &Attempt) -> i64 {
    down.updated_ms
        .saturating_add(v.consistency_ms.max(LOOK_AGAIN_MS))
}

/// Whether this was powered down just now, and the listing does not show it yet.
fn is_down_since(v: &NodeView<'_>, seen: &Seen<'_>) -> bool {
    v.downs.iter().any(|d| {
        d.state == AttemptState::Done
            && d.provider == seen.provider
            && d.instance.as_deref() == Some(seen.instance.id.as_str())
            && v.now_ms < d.updated_ms.saturating_add(v.consistency_ms)
    })
}

/// The replay of the attempt's call was refused, and nothing of it is listed:
/// after long enough it is certain that the call never did anything.
fn conclude(v: &NodeView<'_>, attempt: &Attempt, error: &Error) -> Decision {
    let quiet = v.consistency_ms.saturating_mul(2).max(QUIET_MS);
    match v.listing {
        Listed::Complete if v.now_ms >= attempt.updated_ms.saturating_add(quiet) => {
            Decision::Conclude(error.clone())
        }
        Listed::Complete => wait(
            v,
            &format!("what its call did is not known yet; its replay: {error}"),
        ),
        Listed::Gaps(error) => unlisted(error),
    }
}

/// Whether a cloud lists an instance of this attempt's call.
fn is_listed(v: &NodeView<'_>, attempt: &Attempt) -> bool {
    !attempt.call.is_empty()
        && v.seen
            .iter()
            .any(|s| s.instance.call.as_deref() == Some(attempt.call.as_str()))
}

/// Whether a machine of before the last wish down is still there.
fn old_machine(v: &NodeView<'_>) -> bool {
    v.up.is_some_and(|a| !serves(Some(a.generation), v.wish.floor))
        || v.seen
            .iter()
            .any(|s| s.instance.state.is_billed() && !serves(s.instance.generation, v.wish.floor))
        || accepted(v.downs).is_some()
}

/// Slurm shows, positively, that it wants the node up and nothing of going down.
fn shows_newer_power_up(state: &NodeState) -> bool {
    state.is_powering_up()
        && !state.is_powering_down()
        && !state.is_power_down_requested()
        && !state.is_powered_down()
        && !state.is_down()
}

/// Slurm neither waits for the node nor is done with it: it has registered.
fn believed_up(state: &NodeState) -> bool {
    !state.is_powering_up()
        && !state.is_power_up_requested()
        && !state.is_powering_down()
        && !state.is_power_down_requested()
        && !state.is_powered_down()
}

fn accepted<'a>(downs: &[&'a Attempt]) -> Option<&'a Attempt> {
    downs
        .iter()
        .copied()
        .find(|d| matches!(d.state, AttemptState::Accepted(_)))
}

fn poll_when_due(v: &NodeView<'_>, attempt: &Attempt, direction: Direction) -> Decision {
    let AttemptState::Accepted(pending) = &attempt.state else {
        return wait(v, "it is not pending");
    };
    let after = i64::try_from(pending.poll_after.as_millis()).unwrap_or(i64::MAX);
    let due = attempt.updated_ms.saturating_add(after);
    if due <= v.now_ms {
        Decision::Poll(direction)
    } else {
        Decision::Wait {
            until_ms: due,
            why: "the cloud is at it".to_owned(),
        }
    }
}

fn wait(v: &NodeView<'_>, why: &str) -> Decision {
    Decision::Wait {
        until_ms: v.now_ms.saturating_add(LOOK_AGAIN_MS),
        why: why.to_owned(),
    }
}

fn unlisted(error: &Error) -> Decision {
    Decision::Unlisted {
        why: format!("its provider could not be listed: {error}"),
    }
}

/// Why it is not up at its deadline: an old machine in the way is a conflict,
/// anything else took too long.
fn too_late(v: &NodeView<'_>) -> Error {
    let conflict = |id: &str, what: &str| {
        let text = format!("the old instance {id} was {what} until the deadline");
        Error::new(ErrorKind::Conflict, text)
    };
    if let Some(old) = v.seen.iter().find(|s| s.instance.state.is_dying()) {
        return conflict(&old.instance.id, old.instance.state.as_str());
    }
    let stale = v.up.filter(|a| !serves(Some(a.generation), v.wish.floor));
    if let Some(old) = accepted(v.downs).or(stale) {
        return conflict(
            old.instance.as_deref().unwrap_or("of this node"),
            "going down",
        );
    }
    let last = v.tried.last().map(|t| &t.error);
    if let Some(waiting) = last.filter(|e| e.kind() == ErrorKind::Conflict && v.up.is_none()) {
        return waiting.clone();
    }
    let why = match v.up.map(|a| &a.state) {
        Some(AttemptState::Accepted(_)) => "the cloud had not finished by the deadline",
        Some(AttemptState::Unknown) => {
            "it was not known by the deadline whether the call had acted"
        }
        Some(_) => "Slurm had not taken its instance by the deadline",
        None => "not up by the deadline",
    };
    let last = last.map(|e| format!("; last: {e}")).unwrap_or_default();
    Error::new(ErrorKind::Timeout, format!("{why}{last}"))
}

fn target_of(v: &NodeView<'_>, attempt: &Attempt) -> Target {
    // What is listed under that id counts, whatever the attempt says; where the
    // id is not known, a machine that was not created by us may be meant.
    let foreign = v.seen.iter().any(|s| {
        s.instance.owner != Owner::Created
            && attempt
                .instance
                .as_deref()
                .is_none_or(|id| id == s.instance.id)
    });
    let mode = if foreign {
        DownMode::Deallocate
    } else {
        attempt.lifecycle.down_mode()
    };
    Target {
        provider: attempt.provider.clone(),
        instance: attempt.instance.clone(),
        mode,
    }
}

fn target(v: &NodeView<'_>, seen: &Seen<'_>) -> Target {
    Target {
        provider: seen.provider.to_owned(),
        instance: Some(seen.instance.id.clone()),
        mode: mode(v, seen),
    }
}

/// What was not created by slurmburst is never deleted, whatever the group says.
fn mode(v: &NodeView<'_>, seen: &Seen<'_>) -> DownMode {
    match (v.lifecycle, seen.instance.owner) {
        (Lifecycle::CreateDelete, Owner::Created) => DownMode::Terminate,
        _ => DownMode::Deallocate,
    }
}
