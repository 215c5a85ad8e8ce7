//! An instance that has booted before Slurm asked for it: the row of the table
//! that replaces it.

use crate::hostlist::NodeName;
use crate::ledger::{Attempt, AttemptState, Program, Wish};
use crate::provider::{Direction, DownMode, Generation, Instance, InstanceState, Lifecycle, Owner};
use crate::slurm::node_state::NodeState;

use super::decide::{Decision, Listed, NodeView, Seen, Target, decide};

const ASKED: i64 = 1_000_000;

fn node() -> NodeName {
    NodeName::new("c1").unwrap()
}

/// Asked for again at [`ASKED`]; ResumeTimeout is ten minutes.
fn wish(program: Program) -> Wish {
    Wish {
        node: node(),
        generation: Generation(ASKED),
        floor: Generation(100),
        direction: Direction::Up,
        deadline_ms: ASKED + 600_000,
        created_ms: ASKED,
        program,
        settled: None,
    }
}

fn attempt(direction: Direction, generation: i64, updated_ms: i64) -> Attempt {
    Attempt {
        id: 1,
        node: node(),
        generation: Generation(generation),
        direction,
        provider: "here".into(),
        placement: "here".into(),
        lifecycle: Lifecycle::CreateDelete,
        call: "call".into(),
        state: AttemptState::Done,
        instance: Some("i-1".into()),
        mode: None,
        started_ms: generation,
        updated_ms,
    }
}

fn look(wish: &Wish, up: &Attempt, slurm: Option<&str>, now_ms: i64) -> Decision {
    let slurm: Option<NodeState> = slurm.map(NodeState::parse);
    decide(&NodeView {
        now_ms,
        wish,
        lifecycle: Lifecycle::CreateDelete,
        up: Some(up),
        replay_refused: None,
        downs: &[],
        tried: &[],
        seen: &[],
        listing: Listed::Complete,
        slurm: slurm.as_ref(),
        slurm_answered: slurm.is_some(),
        consistency_ms: 0,
    })
}

const WAITS: Option<&str> = Some("IDLE+CLOUD+NOT_RESPONDING+POWERING_UP");

#[test]
fn it_is_waited_for_and_then_replaced() {
    let (wish, up) = (
        wish(Program::Resume),
        attempt(Direction::Up, ASKED - 9_000, ASKED - 5_000),
    );
    assert!(matches!(
        look(&wish, &up, WAITS, ASKED + 1),
        Decision::Wait { .. }
    ));
    assert!(matches!(
        look(&wish, &up, WAITS, ASKED + 119_999),
        Decision::Wait { .. }
    ));
    let target = Target {
        provider: "here".into(),
        instance: Some("i-1".into()),
        mode: DownMode::Terminate,
    };
    assert_eq!(
        look(&wish, &up, WAITS, ASKED + 120_000),
        Decision::Replace(target)
    );
}

#[test]
fn the_wait_is_a_third_of_a_short_time_and_counts_from_when_it_runs() {
    let mut wish = wish(Program::Resume);
    wish.deadline_ms = ASKED + 30_000;
    let up = attempt(Direction::Up, ASKED - 9_000, ASKED + 3_000);
    assert!(matches!(
        look(&wish, &up, WAITS, ASKED + 12_999),
        Decision::Wait { .. }
    ));
    assert!(matches!(
        look(&wish, &up, WAITS, ASKED + 13_000),
        Decision::Replace(_)
    ));
}

#[test]
fn it_serves_when_slurm_has_taken_it() {
    let (wish, up) = (
        wish(Program::Resume),
        attempt(Direction::Up, ASKED - 9_000, ASKED - 5_000),
    );
    for state in [
        "IDLE+CLOUD",
        "MIXED+CLOUD",
        "DOWN+CLOUD+POWERING_UP",
        "IDLE+CLOUD+POWERING_DOWN",
    ] {
        assert_eq!(
            look(&wish, &up, Some(state), ASKED + 300_000),
            Decision::Settle,
            "{state}"
        );
    }
}

#[test]
fn no_answer_of_slurm_is_no_reason() {
    let (wish, up) = (
        wish(Program::Resume),
        attempt(Direction::Up, ASKED - 9_000, ASKED - 5_000),
    );
    assert!(matches!(
        look(&wish, &up, None, ASKED + 1),
        Decision::Wait { .. }
    ));
    assert_eq!(look(&wish, &up, None, ASKED + 120_000), Decision::Settle);
}

#[test]
fn what_was_started_for_this_wish_serves_at_once() {
    let up = attempt(Direction::Up, ASKED, ASKED + 5_000);
    assert_eq!(
        look(&wish(Program::Resume), &up, WAITS, ASKED + 300_000),
        Decision::Settle
    );
}

#[test]
fn slurm_has_not_asked_where_reconcile_has() {
    let up = attempt(Direction::Up, ASKED - 9_000, ASKED - 5_000);
    assert_eq!(
        look(&wish(Program::Reconcile), &up, WAITS, ASKED + 300_000),
        Decision::Settle
    );
}

#[test]
fn a_late_listing_of_what_was_replaced_does_not_serve() {
    let wish = wish(Program::Resume);
    let down = attempt(Direction::Down, ASKED, ASKED + 130_000);
    let instance = Instance {
        node: node(),
        id: "i-1".into(),
        state: InstanceState::Running,
        owner: Owner::Created,
        generation: Some(Generation(ASKED - 9_000)),
        call: Some("call".into()),
        address: None,
        launched_ms: None,
        expires_ms: None,
    };
    let at = |now_ms| {
        decide(&NodeView {
            now_ms,
            wish: &wish,
            lifecycle: Lifecycle::CreateDelete,
            up: None,
            replay_refused: None,
            downs: &[&down],
            tried: &[],
            seen: &[Seen {
                provider: "here",
                instance: &instance,
            }],
            listing: Listed::Complete,
            slurm: None,
            slurm_answered: false,
            consistency_ms: 30_000,
        })
    };
    assert!(matches!(at(ASKED + 131_000), Decision::Wait { .. }));
    // Past the window a listing is believed: it lives.
    assert_eq!(at(ASKED + 161_000), Decision::Settle);
}
