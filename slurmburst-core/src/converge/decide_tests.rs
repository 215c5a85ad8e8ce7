//! Every row of the table of [`decide`](super::decide), each as a small test.

use std::time::Duration;

use serde_json::json;

use crate::error::{Effect, Error, ErrorKind};
use crate::hostlist::NodeName;
use crate::ledger::{Attempt, AttemptState, Program, Wish};
use crate::policy::Tried;
use crate::provider::{
    Direction, DownMode, Generation, Instance, InstanceState, Lifecycle, Owner, Pending,
};
use crate::slurm::node_state::NodeState;

use super::decide::{Decision, Listed, NodeView, Seen, Target, decide};

const NOW: i64 = 1_000_000;
/// The last wish down, in `up()`.
const FLOOR: i64 = 100;
const OLD: i64 = 50;
const WISH: i64 = 500;

/// A view, owned, as the tests want to write it.
struct Case {
    wish: Wish,
    lifecycle: Lifecycle,
    up: Option<Attempt>,
    refused: Option<Error>,
    downs: Vec<Attempt>,
    tried: Vec<Tried>,
    seen: Vec<Instance>,
    gap: Option<Error>,
    slurm: Option<NodeState>,
    answered: bool,
    consistency_ms: i64,
}

fn node() -> NodeName {
    NodeName::new("c1").unwrap()
}

fn case(direction: Direction, program: Program) -> Case {
    Case {
        wish: Wish {
            node: node(),
            generation: Generation(WISH),
            floor: Generation(if direction == Direction::Up {
                FLOOR
            } else {
                WISH
            }),
            direction,
            deadline_ms: NOW + 60_000,
            created_ms: NOW - 10_000,
            program,
            settled: None,
        },
        lifecycle: Lifecycle::CreateDelete,
        up: None,
        refused: None,
        downs: Vec::new(),
        tried: Vec::new(),
        seen: Vec::new(),
        gap: None,
        slurm: None,
        answered: false,
        consistency_ms: 0,
    }
}

fn up() -> Case {
    case(Direction::Up, Program::Resume)
}

fn down() -> Case {
    case(Direction::Down, Program::Suspend)
}

impl Case {
    fn late(mut self) -> Case {
        self.wish.deadline_ms = NOW;
        self
    }
    fn slurm(mut self, state: &str) -> Case {
        self.slurm = Some(NodeState::parse(state));
        self.answered = true;
        self
    }
    fn attempt(mut self, generation: i64, state: AttemptState) -> Case {
        self.up = Some(attempt(Direction::Up, generation, state));
        self
    }
    fn went_down(mut self, state: AttemptState) -> Case {
        self.downs.push(attempt(Direction::Down, WISH, state));
        self
    }
    fn sees(mut self, generation: i64, state: InstanceState) -> Case {
        self.seen.push(instance("i-1", generation, state));
        self
    }
    fn by_hand(mut self) -> Case {
        self.seen
            .iter_mut()
            .for_each(|i| (i.owner, i.call) = (Owner::Adopted, None));
        self
    }
    fn keeps_disks(mut self) -> Case {
        self.lifecycle = Lifecycle::StartDeallocate;
        self
    }
    fn tried(mut self, kind: ErrorKind) -> Case {
        self.tried.push(Tried {
            placement: "p".into(),
            error: error(kind),
        });
        self
    }
    fn gap(mut self, kind: ErrorKind) -> Case {
        self.gap = Some(error(kind));
        self
    }
    fn replay_refused(mut self) -> Case {
        self.refused = Some(error(ErrorKind::Invalid));
        self
    }

    fn decide(&self) -> Decision {
        let downs: Vec<&Attempt> = self.downs.iter().collect();
        let seen: Vec<Seen<'_>> = self
            .seen
            .iter()
            .map(|instance| Seen {
                provider: "here",
                instance,
            })
            .collect();
        decide(&NodeView {
            now_ms: NOW,
            wish: &self.wish,
            lifecycle: self.lifecycle,
            up: self.up.as_ref(),
            replay_refused: self.refused.as_ref(),
            downs: &downs,
            tried: &self.tried,
            seen: &seen,
            listing: self.gap.as_ref().map_or(Listed::Complete, Listed::Gaps),
            slurm: self.slurm.as_ref(),
            slurm_answered: self.answered,
            consistency_ms: self.consistency_ms,
        })
    }

    fn waits(&self) {
        let decision = self.decide();
        let waits = matches!(decision, Decision::Wait { until_ms, .. } if until_ms > NOW);
        assert!(
            waits || matches!(decision, Decision::Unlisted { .. }),
            "{decision:?}"
        );
    }

    fn fails(&self) -> ErrorKind {
        match self.decide() {
            Decision::Fail(error) => error.kind(),
            other => panic!("{other:?}"),
        }
    }
}

fn error(kind: ErrorKind) -> Error {
    Error::new(kind, "x").effect(Effect::None)
}

fn attempt(direction: Direction, generation: i64, state: AttemptState) -> Attempt {
    let known = matches!(state, AttemptState::Accepted(_) | AttemptState::Done);
    let ups = direction == Direction::Up;
    Attempt {
        id: 1,
        node: node(),
        generation: Generation(generation),
        direction,
        provider: "here".into(),
        placement: if ups { "p".into() } else { String::new() },
        lifecycle: Lifecycle::CreateDelete,
        call: if ups { "call".into() } else { String::new() },
        state,
        instance: (known || !ups).then(|| "i-1".into()),
        mode: None,
        started_ms: NOW - 20_000,
        updated_ms: NOW - 5_000,
    }
}

fn instance(id: &str, generation: i64, state: InstanceState) -> Instance {
    Instance {
        node: node(),
        id: id.into(),
        state,
        owner: Owner::Created,
        generation: Some(Generation(generation)),
        call: Some("call".into()),
        address: None,
        launched_ms: None,
        expires_ms: None,
    }
}

fn accepted() -> AttemptState {
    pending(1)
}

fn pending(seconds: u64) -> AttemptState {
    AttemptState::Accepted(Pending {
        node: node(),
        direction: Direction::Up,
        instance: Some("i-1".into()),
        handle: json!(null),
        poll_after: Duration::from_secs(seconds),
    })
}

fn target(mode: DownMode) -> Target {
    Target {
        provider: "here".into(),
        instance: Some("i-1".into()),
        mode,
    }
}

fn terminates() -> Decision {
    Decision::PowerDown(vec![target(DownMode::Terminate)])
}

fn deallocates() -> Decision {
    Decision::PowerDown(vec![target(DownMode::Deallocate)])
}

use AttemptState::{Done, Unknown};
use InstanceState::{
    Failed, Running, Starting, Stopped, StoppedBilled, Stopping, Terminated, Terminating,
};

#[test]
fn nothing_in_the_way_is_placed() {
    assert_eq!(up().decide(), Decision::Place);
    assert_eq!(up().sees(OLD, Terminated).decide(), Decision::Place);
    assert_eq!(up().tried(ErrorKind::Capacity).decide(), Decision::Place);
    assert_eq!(
        up().sees(OLD, Stopped).keeps_disks().decide(),
        Decision::Place
    );
}

#[test]
fn what_is_done_for_this_wish_is_settled_however_late() {
    assert_eq!(up().attempt(WISH, Done).late().decide(), Decision::Settle);
    assert_eq!(
        up().attempt(WISH, Done)
            .slurm("IDLE+CLOUD+POWERING_UP")
            .decide(),
        Decision::Settle
    );
}

#[test]
fn late_and_slurm_says_nothing_is_waited_for() {
    up().late().waits();
    up().attempt(WISH, accepted()).late().waits();
}

#[test]
fn late_and_taken_by_slurm_is_settled_unless_an_old_machine_is_left() {
    assert_eq!(
        up().attempt(WISH, accepted())
            .late()
            .slurm("MIXED+CLOUD")
            .decide(),
        Decision::Settle
    );
    assert_eq!(
        up().attempt(OLD, Done).late().slurm("MIXED+CLOUD").fails(),
        ErrorKind::Conflict
    );
    assert_eq!(
        up().sees(OLD, Running).late().slurm("MIXED+CLOUD").fails(),
        ErrorKind::Timeout
    );
}

#[test]
fn late_and_awaited_by_slurm_fails() {
    let waits = "IDLE+CLOUD+NOT_RESPONDING+POWERING_UP";
    assert_eq!(up().late().slurm(waits).fails(), ErrorKind::Timeout);
    assert_eq!(
        up().attempt(WISH, Unknown).late().slurm(waits).fails(),
        ErrorKind::Timeout
    );
    assert_eq!(
        up().sees(OLD, Terminating).late().slurm(waits).fails(),
        ErrorKind::Conflict
    );
    assert_eq!(
        up().went_down(accepted()).late().slurm(waits).fails(),
        ErrorKind::Conflict
    );
    assert_eq!(
        up().tried(ErrorKind::Conflict).late().slurm(waits).fails(),
        ErrorKind::Conflict
    );
    let hidden = Case {
        answered: true,
        ..up().late()
    };
    assert_eq!(hidden.fails(), ErrorKind::Timeout, "Slurm does not show it");
}

#[test]
fn a_power_down_under_way_is_followed_first() {
    assert_eq!(
        up().went_down(accepted()).decide(),
        Decision::Poll(Direction::Down)
    );
    up().went_down(pending(60)).waits();
}

#[test]
fn an_unknown_effect_is_replayed() {
    assert_eq!(up().attempt(WISH, Unknown).decide(), Decision::Replay);
    assert_eq!(
        up().attempt(OLD, Unknown).sees(OLD, Running).decide(),
        Decision::Replay
    );
}

#[test]
fn after_a_refused_replay_the_listing_tells() {
    let case = || up().attempt(WISH, Unknown).replay_refused();
    assert_eq!(case().sees(WISH, Running).decide(), Decision::Settle);
    case().sees(WISH, Starting).waits();
    case().sees(WISH, Stopped).keeps_disks().waits();
    case().waits();
    case().gap(ErrorKind::Unavailable).waits();
    let mut long_ago = case();
    long_ago
        .up
        .iter_mut()
        .for_each(|a| a.updated_ms = NOW - 10_000);
    assert_eq!(
        long_ago.decide(),
        Decision::Conclude(error(ErrorKind::Invalid))
    );
    long_ago.consistency_ms = 20_000;
    long_ago.waits();
}

#[test]
fn what_is_older_than_the_last_wish_down_goes_first() {
    assert_eq!(up().attempt(OLD, Done).decide(), terminates());
    assert_eq!(up().attempt(OLD, accepted()).decide(), terminates());
    assert_eq!(up().sees(OLD, Running).decide(), terminates());
    assert_eq!(up().sees(OLD, Starting).decide(), terminates());
}

#[test]
fn accepted_is_polled_when_it_is_time() {
    assert_eq!(
        up().attempt(WISH, accepted()).decide(),
        Decision::Poll(Direction::Up)
    );
    up().attempt(WISH, pending(60)).waits();
}

#[test]
fn what_can_never_work_fails_at_once() {
    assert_eq!(up().tried(ErrorKind::Auth).fails(), ErrorKind::Auth);
    assert_eq!(up().gap(ErrorKind::Auth).fails(), ErrorKind::Auth);
}

#[test]
fn without_a_listing_nothing_is_placed_and_nothing_settled() {
    up().gap(ErrorKind::Unavailable).waits();
    up().gap(ErrorKind::Unavailable).sees(WISH, Running).waits();
}

#[test]
fn an_instance_that_serves_settles_when_it_runs() {
    assert_eq!(up().sees(WISH, Running).decide(), Decision::Settle);
    up().sees(WISH, Starting).waits();
    let mut by_hand = up().sees(WISH, Running).by_hand();
    by_hand.seen[0].generation = None;
    assert_eq!(by_hand.decide(), Decision::Settle);
}

#[test]
fn debris_and_a_second_machine_go_first() {
    assert_eq!(up().sees(WISH, Failed).decide(), terminates());
    assert_eq!(up().sees(WISH, Stopped).decide(), terminates());
    let mut two = up().sees(WISH, Running);
    two.seen.insert(0, instance("i-0", WISH, Running));
    assert_eq!(two.decide(), terminates(), "the first serves");
}

#[test]
fn what_is_dying_is_waited_for() {
    up().sees(OLD, Stopping).waits();
    up().sees(OLD, Terminating).waits();
    up().sees(WISH, InstanceState::Unknown).waits();
}

#[test]
fn what_is_not_ours_to_delete_is_deallocated() {
    assert_eq!(up().sees(OLD, Running).by_hand().decide(), deallocates());
    assert_eq!(up().sees(OLD, Stopped).by_hand().decide(), Decision::Place);
    assert_eq!(down().sees(OLD, Running).by_hand().decide(), deallocates());
    assert_eq!(
        down().sees(OLD, Stopped).by_hand().decide(),
        Decision::Settle
    );
    let mut recorded = down().attempt(OLD, Done).sees(OLD, Running).by_hand();
    assert_eq!(recorded.decide(), deallocates(), "whatever the ledger says");
    recorded.up.iter_mut().for_each(|a| a.instance = None);
    let Decision::PowerDown(targets) = recorded.decide() else {
        panic!()
    };
    assert!(
        targets.iter().all(|t| t.mode == DownMode::Deallocate),
        "{targets:?}"
    );
}

#[test]
fn a_power_down_that_the_listing_does_not_show_yet_is_not_sent_again() {
    let case = |state, consistency_ms| Case {
        consistency_ms,
        ..up().sees(OLD, Running).went_down(state)
    };
    case(Done, 30_000).waits();
    assert_eq!(case(Done, 0).decide(), terminates());
    assert_eq!(case(Unknown, 30_000).decide(), terminates());
    let case = |state, consistency_ms| Case {
        consistency_ms,
        ..down().sees(OLD, Running).went_down(state)
    };
    case(Done, 30_000).waits();
    assert_eq!(case(Done, 0).decide(), terminates());
    assert_eq!(
        case(accepted(), 0).decide(),
        Decision::Poll(Direction::Down)
    );
}

#[test]
fn a_suspend_yields_to_a_power_up_that_slurm_shows() {
    let shows = |state| down().sees(OLD, Running).slurm(state).decide();
    assert_eq!(
        shows("MIXED+CLOUD+NOT_RESPONDING+POWERING_UP"),
        Decision::Yield
    );
    for state in [
        "IDLE+CLOUD",
        "IDLE+CLOUD+POWERING_DOWN",
        "DOWN+CLOUD+POWERING_UP",
        "IDLE+POWERED_DOWN+POWER_UP",
    ] {
        assert_eq!(shows(state), terminates(), "{state}");
    }
    assert_eq!(
        down().sees(OLD, Running).decide(),
        terminates(),
        "no answer means obey"
    );
    let mut fail = case(Direction::Down, Program::ResumeFail).sees(OLD, Running);
    fail.slurm = Some(NodeState::parse("MIXED+CLOUD+POWERING_UP"));
    assert_eq!(fail.decide(), terminates(), "only a suspend is overtaken");
}

#[test]
fn down_and_not_known_whether_there_is_anything() {
    assert_eq!(down().attempt(OLD, Unknown).decide(), Decision::Replay);
    assert_eq!(
        down().attempt(OLD, Unknown).sees(OLD, Running).decide(),
        terminates()
    );
    down().attempt(OLD, Unknown).replay_refused().waits();
    let mut long_ago = down().attempt(OLD, Unknown).replay_refused();
    long_ago.up.iter_mut().for_each(|a| a.updated_ms = 0);
    assert_eq!(
        long_ago.decide(),
        Decision::Conclude(error(ErrorKind::Invalid))
    );
}

#[test]
fn down_takes_what_is_listed_and_what_is_recorded() {
    assert_eq!(down().attempt(OLD, Done).decide(), terminates());
    assert_eq!(
        down()
            .attempt(OLD, accepted())
            .gap(ErrorKind::Unavailable)
            .decide(),
        terminates()
    );
    assert_eq!(down().sees(OLD, Failed).decide(), terminates());
    assert_eq!(down().sees(OLD, Stopped).decide(), terminates());
    assert_eq!(
        down().sees(OLD, StoppedBilled).keeps_disks().decide(),
        deallocates()
    );
    let mut nameless = down().attempt(OLD, Done);
    nameless.up.iter_mut().for_each(|a| a.instance = None);
    let by_name = Target {
        instance: None,
        ..target(DownMode::Terminate)
    };
    assert_eq!(nameless.decide(), Decision::PowerDown(vec![by_name]));
}

#[test]
fn down_and_dying_is_waited_for() {
    down().sees(OLD, Terminating).waits();
    down().attempt(OLD, Done).sees(OLD, Stopping).waits();
    assert_eq!(
        down().sees(OLD, Terminating).went_down(accepted()).decide(),
        Decision::Poll(Direction::Down)
    );
}

#[test]
fn down_is_settled_by_a_complete_listing_alone() {
    assert_eq!(down().decide(), Decision::Settle);
    assert_eq!(down().sees(OLD, Terminated).decide(), Decision::Settle);
    assert_eq!(
        down().attempt(OLD, Done).sees(OLD, Terminated).decide(),
        Decision::Settle
    );
    assert_eq!(
        down().sees(OLD, Stopped).keeps_disks().decide(),
        Decision::Settle
    );
    down().gap(ErrorKind::Auth).waits();
}
