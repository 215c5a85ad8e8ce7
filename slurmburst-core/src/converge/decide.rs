//! The table that decides what is done with one node. Pure: it sees what is
//! wanted, what was tried, what exists and what Slurm says, and names one
//! [`Decision`]. Nothing else in the project decides about a node's machine.
//!
//! Read it as a table, top row first:
//!
//! | wish | what is known | decision |
//! |---|---|---|
//! | any, open | something is under way for the node | leave |
//! | up | its deadline has passed | fail |
//! | up | a power-down accepted | poll it |
//! | up | an attempt of unknown effect | replay the same call |
//! | up | an attempt accepted or done, older than the last wish down | power that down first |
//! | up | accepted | poll |
//! | up, by resume | done for an older wish, and Slurm waits for a boot | wait; after a while replace it |
//! | up | done | settled |
//! | up | tried, and told never to try again | fail |
//! | up | the listing did not answer | wait |
//! | up | an instance that serves, running / starting | settled / wait |
//! | up | an instance older than the last wish down, or debris | power that down first |
//! | up | an instance that is dying | wait |
//! | up | nothing in the way | place |
//! | down, by suspend | Slurm shows a newer power-up | yield to it |
//! | down | an attempt of unknown effect | replay, then power down |
//! | down | an instance, or an attempt that has one | power down |
//! | down | a power-down accepted, or an instance that is dying | poll, or wait |
//! | down | the listing did not answer | wait |
//! | down | nothing there | settled |

use crate::error::{Advice, Error, ErrorKind};
use crate::ledger::{Attempt, AttemptState, Program, Wish};
use crate::policy::Tried;
use crate::provider::{Direction, DownMode, Generation, Instance, InstanceState, Lifecycle};
use crate::slurm::node_state::NodeState;

/// How long to wait before looking again where nobody says when.
const LOOK_AGAIN_MS: i64 = 2_000;

/// The longest that an instance may take to register which may have booted too early.
const PATIENCE_MS: i64 = 120_000;

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
    /// The power-downs that are not known to be finished.
    pub downs: &'a [&'a Attempt],
    /// What was tried for this wish and refused.
    pub tried: &'a [Tried],
    /// What the clouds list for the node.
    pub seen: &'a [Seen<'a>],
    /// Whether every cloud that may hold the node was listed without a gap.
    pub listing: Listed<'a>,
    /// What Slurm shows.
    pub slurm: Option<&'a NodeState>,
    /// How long after a power-down a listing may still show what is gone.
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
    /// Something did not answer.
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
    /// It cannot come up. Slurm has to be told.
    Fail(Error),
    /// Slurm wants the node up by now: the suspend is overtaken.
    Yield,
}

/// Decides about a node whose wish is open and for which nothing is under way.
pub fn decide(view: &NodeView<'_>) -> Decision {
    match view.wish.direction {
        Direction::Up => up(view),
        Direction::Down => down(view),
    }
}

fn up(v: &NodeView<'_>) -> Decision {
    if v.now_ms >= v.wish.deadline_ms {
        return Decision::Fail(too_late(v));
    }
    if let Some(down) = accepted(v.downs) {
        return poll_when_due(v, down, Direction::Down);
    }
    if let Some(attempt) = v.up {
        let stale = attempt.generation <= v.wish.floor;
        return match &attempt.state {
            AttemptState::Unknown => Decision::Replay,
            AttemptState::Accepted(_) | AttemptState::Done if stale => {
                Decision::PowerDown(vec![target_of(attempt)])
            }
            AttemptState::Accepted(_) => poll_when_due(v, attempt, Direction::Up),
            AttemptState::Done if is_older(attempt, v.wish) => unless_too_early(v, attempt),
            AttemptState::Done => Decision::Settle,
            // Not live: `v.up` never holds these.
            AttemptState::Refused(_) | AttemptState::Closed => wait(v, "its last attempt is over"),
        };
    }
    if let Some(never) = v.tried.iter().find(|t| t.error.advice() == Advice::Never) {
        return Decision::Fail(never.error.clone());
    }
    if let Listed::Gaps(error) = v.listing {
        return match error.advice() {
            Advice::Never => Decision::Fail(error.clone()),
            _ => wait(v, &format!("its provider could not be listed: {error}")),
        };
    }
    up_by_listing(v)
}

/// Whether Slurm may ignore the instance of this attempt, because it has asked
/// again since: slurmctld was killed and has forgotten that it asked, or an
/// administrator has powered the node up twice.
pub fn is_older(attempt: &Attempt, wish: &Wish) -> bool {
    wish.program == Program::Resume && attempt.generation < wish.generation
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
        Some(true) => Decision::Replace(target_of(attempt)),
        // Slurm says nothing: no reason to touch what runs.
        None => Decision::Settle,
    }
}

/// Nothing live in the ledger: what the clouds show decides.
fn up_by_listing(v: &NodeView<'_>) -> Decision {
    let mut in_the_way = Vec::new();
    let mut serving = None;
    let mut dying = None;
    for seen in v.seen {
        let stale = seen.instance.generation.is_some_and(|g| g <= v.wish.floor);
        let keeps_disk = v.lifecycle == Lifecycle::StartDeallocate;
        match seen.instance.state {
            InstanceState::Terminated => {}
            state if state.is_dying() => dying = Some(seen),
            InstanceState::Stopped | InstanceState::StoppedBilled | InstanceState::Failed
                if keeps_disk => {}
            InstanceState::Starting | InstanceState::Running if still_listed(v, seen) => {
                dying = Some(seen);
            }
            InstanceState::Starting | InstanceState::Running if !stale && serving.is_none() => {
                serving = Some(seen);
            }
            InstanceState::Unknown => dying = Some(seen),
            _ => in_the_way.push(target(v, seen)),
        }
    }
    if !in_the_way.is_empty() {
        return Decision::PowerDown(in_the_way);
    }
    if let Some(seen) = serving {
        return match seen.instance.state {
            InstanceState::Running => Decision::Settle,
            _ => wait(v, "its instance is starting"),
        };
    }
    if let Some(seen) = dying {
        return wait(
            v,
            &format!(
                "its old instance {} is {}",
                seen.instance.id, seen.instance.state
            ),
        );
    }
    Decision::Place
}

/// Whether this has been powered down just now, and the listing does not show it yet.
fn still_listed(v: &NodeView<'_>, seen: &Seen<'_>) -> bool {
    v.downs.iter().any(|d| {
        d.state == AttemptState::Done
            && d.provider == seen.provider
            && d.instance.as_deref() == Some(seen.instance.id.as_str())
            && v.now_ms < d.updated_ms.saturating_add(v.consistency_ms)
    })
}

fn down(v: &NodeView<'_>) -> Decision {
    if v.wish.program == Program::Suspend && v.slurm.is_some_and(shows_newer_power_up) {
        return Decision::Yield;
    }
    let mut targets: Vec<Target> = Vec::new();
    if let Some(attempt) = v.up {
        let listed = v.seen.iter().any(|s| {
            s.instance.call.as_deref() == Some(attempt.call.as_str()) && !attempt.call.is_empty()
        });
        match attempt.state {
            // The replay tells what there is; powered down it is in the next pass.
            AttemptState::Unknown if !listed => return Decision::Replay,
            AttemptState::Accepted(_) | AttemptState::Done if attempt.instance.is_some() => {
                targets.push(target_of(attempt));
            }
            AttemptState::Accepted(_) if !listed => targets.push(target_of(attempt)),
            _ => {}
        }
    }
    let mut dying = None;
    for seen in v.seen {
        let state = seen.instance.state;
        let deallocated =
            v.lifecycle == Lifecycle::StartDeallocate && state == InstanceState::Stopped;
        if state.is_gone() || deallocated {
            targets.retain(|t| t.instance.as_deref() != Some(seen.instance.id.as_str()));
        } else if state.is_dying() {
            dying = Some(seen);
            targets.retain(|t| t.instance.as_deref() != Some(seen.instance.id.as_str()));
        } else if !targets
            .iter()
            .any(|t| t.instance.as_deref() == Some(seen.instance.id.as_str()))
        {
            targets.push(target(v, seen));
        }
    }
    // What was sent already is followed, not sent again; what is done already
    // may be listed for a while yet.
    let mut recently = false;
    targets.retain(|t| {
        let sent = v
            .downs
            .iter()
            .find(|d| d.provider == t.provider && d.instance == t.instance);
        match sent.map(|d| (&d.state, d.updated_ms)) {
            Some((AttemptState::Accepted(_), _)) => false,
            Some((AttemptState::Done, at)) if v.now_ms < at.saturating_add(v.consistency_ms) => {
                recently = true;
                false
            }
            _ => true,
        }
    });
    if !targets.is_empty() {
        return Decision::PowerDown(targets);
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
    if recently {
        return wait(v, "the listing may still show what is gone");
    }
    match v.listing {
        Listed::Complete => Decision::Settle,
        Listed::Gaps(error) => wait(v, &format!("its provider could not be listed: {error}")),
    }
}

/// Slurm shows, positively, that it wants the node up and nothing of going down.
fn shows_newer_power_up(state: &NodeState) -> bool {
    state.is_powering_up()
        && !state.is_powering_down()
        && !state.is_power_down_requested()
        && !state.is_powered_down()
        && !state.is_down()
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

fn too_late(v: &NodeView<'_>) -> Error {
    let last = v
        .tried
        .last()
        .map(|t| format!("; last: {}", t.error))
        .unwrap_or_default();
    let why = match (v.up, v.seen.iter().find(|s| s.instance.state.is_dying())) {
        (_, Some(old)) => {
            return Error::new(
                ErrorKind::Conflict,
                format!(
                    "the old instance {} was {} until the deadline",
                    old.instance.id, old.instance.state
                ),
            );
        }
        (Some(a), None) => match a.state {
            AttemptState::Accepted(_) => "the cloud had not finished by the deadline",
            _ => "it was not known by the deadline whether the call had acted",
        },
        (None, None) => "not up by the deadline",
    };
    Error::new(ErrorKind::Timeout, format!("{why}{last}"))
}

fn target_of(attempt: &Attempt) -> Target {
    Target {
        provider: attempt.provider.clone(),
        instance: attempt.instance.clone(),
        mode: attempt.lifecycle.down_mode(),
    }
}

/// What was not created by slurmburst is never deleted, whatever the group says.
fn target(v: &NodeView<'_>, seen: &Seen<'_>) -> Target {
    let mode = match (v.lifecycle, seen.instance.owner) {
        (Lifecycle::CreateDelete, crate::provider::Owner::Created) => DownMode::Terminate,
        _ => DownMode::Deallocate,
    };
    Target {
        provider: seen.provider.to_owned(),
        instance: Some(seen.instance.id.clone()),
        mode,
    }
}

/// Whether an instance of this generation serves a wish with this floor.
pub fn serves(generation: Option<Generation>, floor: Generation) -> bool {
    generation.is_none_or(|g| g > floor)
}
