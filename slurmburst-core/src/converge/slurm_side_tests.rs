//! The tables about Slurm, row by row.

use crate::error::ErrorKind;
use crate::hostlist::NodeName;
use crate::ledger::{Mark, MarkStep, Program, Settled, Wish};
use crate::provider::{Direction, Generation, Instance, InstanceState, Owner};
use crate::slurm::node_state::NodeState;

use super::slurm_side::{Anomaly, FullView, MarkDecision, anomaly, decide_mark};

const NOW: i64 = 1_000_000;
const REASON: &str = "slurmburst: capacity NoRoom p until 2026-01-01T00:00:00";

fn node() -> NodeName {
    NodeName::new("c1").unwrap()
}

fn mark(step: MarkStep, until_ms: i64) -> Mark {
    Mark {
        node: node(),
        generation: Generation(10),
        step,
        reason: REASON.into(),
        until_ms,
        kind: ErrorKind::Capacity,
        created_ms: NOW - 1_000,
    }
}

fn wish(direction: Direction, generation: i64, settled: bool) -> Wish {
    Wish {
        node: node(),
        generation: Generation(generation),
        floor: Generation(0),
        direction,
        deadline_ms: 0,
        created_ms: 0,
        program: Program::Resume,
        settled: settled.then_some(Settled {
            at_ms: 0,
            result: Ok(()),
        }),
    }
}

fn look(mark: &Mark, state: &str, reason: Option<&str>) -> MarkDecision {
    decide_mark(mark, None, &NodeState::parse(state), reason, NOW)
}

use MarkDecision::{Down, Force, Forget, Later, Return, Soon};
use MarkStep::{Await, Hold};

const UP: &str = "MIXED+CLOUD+NOT_RESPONDING+POWERING_UP";
const ASKED: &str = "IDLE+CLOUD+POWER_DOWN";
const GOING: &str = "IDLE+CLOUD+POWERING_DOWN";
const OFF: &str = "IDLE+CLOUD+POWERED_DOWN";
const OUT: &str = "DOWN+CLOUD+POWERED_DOWN";
const LATER: i64 = NOW + 300_000;

#[test]
fn the_only_order_that_works() {
    let step = |step| mark(step, LATER);
    assert_eq!(look(&step(MarkStep::Force), UP, None), Force);
    assert_eq!(look(&step(Await), ASKED, None), Soon);
    assert_eq!(look(&step(Await), UP, None), Soon, "not noticed yet");
    assert_eq!(look(&step(Await), GOING, None), Down, "not before it shows");
    assert_eq!(
        look(&step(Await), OFF, None),
        Down,
        "DOWN was lost, or it went fast"
    );
    assert_eq!(
        look(&step(Await), "DOWN+CLOUD+POWERING_DOWN", Some(REASON)),
        MarkDecision::Step(Hold)
    );
    assert_eq!(
        look(&step(Hold), "DOWN+CLOUD+POWERING_DOWN", Some(REASON)),
        Later
    );
    assert_eq!(look(&step(Hold), OUT, Some(REASON)), Later);
    assert_eq!(look(&mark(Hold, NOW), OUT, Some(REASON)), Return);
    assert_eq!(
        look(&mark(Hold, NOW), "DOWN+CLOUD+POWERING_DOWN", Some(REASON)),
        Soon
    );
}

#[test]
fn a_node_that_goes_down_by_itself_is_not_forced() {
    for state in [GOING, OFF] {
        assert_eq!(
            look(&mark(MarkStep::Force, LATER), state, None),
            MarkDecision::Step(Await)
        );
    }
}

#[test]
fn a_node_that_came_up_after_all_is_left_alone() {
    for state in ["IDLE+CLOUD", "ALLOCATED+CLOUD", "IDLE+CLOUD+NOT_RESPONDING"] {
        assert_eq!(
            look(&mark(MarkStep::Force, LATER), state, None),
            Forget,
            "{state}"
        );
        assert_eq!(look(&mark(Await, LATER), state, None), Forget, "{state}");
        assert_eq!(
            look(&mark(Hold, LATER), state, Some(REASON)),
            Forget,
            "{state}"
        );
    }
}

#[test]
fn without_a_cool_off_it_is_forced_and_no_more() {
    assert_eq!(look(&mark(MarkStep::Force, 0), UP, None), Force);
    assert_eq!(look(&mark(Await, 0), GOING, None), Forget);
}

#[test]
fn a_cool_off_that_ended_before_it_was_told_needs_no_mark_or_returns() {
    assert_eq!(look(&mark(Await, NOW - 1), OFF, None), Forget);
    assert_eq!(
        look(&mark(Await, NOW - 1), OUT, Some(REASON)),
        MarkDecision::Step(Hold)
    );
}

#[test]
fn a_lost_instance_forces_a_node_that_is_up() {
    let mark = Mark {
        kind: ErrorKind::NotFound,
        ..mark(MarkStep::Force, 0)
    };
    assert_eq!(look(&mark, "MIXED+CLOUD+NOT_RESPONDING", None), Force);
    assert_eq!(look(&mark, "MIXED+CLOUD", None), Forget, "it responds");
}

#[test]
fn an_administrators_down_is_never_touched() {
    for step in [MarkStep::Force, Await, Hold] {
        for state in [
            "DOWN+CLOUD",
            "DOWN+CLOUD+POWERING_UP",
            "DOWN+CLOUD+POWERING_DOWN",
            OUT,
        ] {
            for reason in [Some("fan broken"), None] {
                assert_eq!(
                    look(&mark(step, NOW), state, reason),
                    Forget,
                    "{step:?} {state}"
                );
            }
        }
    }
}

#[test]
fn a_newer_power_up_ends_it_however_it_ended() {
    for step in [MarkStep::Force, Await, Hold] {
        for settled in [false, true] {
            let newer = wish(Direction::Up, 11, settled);
            let state = NodeState::parse(UP);
            assert_eq!(
                decide_mark(&mark(step, LATER), Some(&newer), &state, None, NOW),
                Forget
            );
        }
    }
    let suspend = wish(Direction::Down, 11, false);
    let state = NodeState::parse(UP);
    assert_eq!(
        decide_mark(
            &mark(MarkStep::Force, LATER),
            Some(&suspend),
            &state,
            None,
            NOW
        ),
        Force
    );
}

#[test]
fn slurm_may_have_added_to_our_reason() {
    let longer = format!("{REASON}; ResumeTimeout reached");
    assert_eq!(look(&mark(Hold, LATER), OUT, Some(&longer)), Later);
}

struct Seen {
    wish: Option<Wish>,
    marked: bool,
    instances: Vec<Instance>,
    listed: bool,
    slurm: Option<(NodeState, Option<String>)>,
}

fn seen(state: &str, reason: Option<&str>) -> Seen {
    Seen {
        wish: None,
        marked: false,
        instances: Vec::new(),
        listed: true,
        slurm: Some((NodeState::parse(state), reason.map(str::to_owned))),
    }
}

impl Seen {
    fn with(mut self, owner: Owner, state: InstanceState) -> Seen {
        self.instances.push(Instance {
            node: node(),
            id: "i-1".into(),
            state,
            owner,
            generation: None,
            call: None,
            address: None,
            launched_ms: None,
            expires_ms: None,
        });
        self
    }
    fn until(mut self, expires_ms: i64) -> Seen {
        for instance in &mut self.instances {
            instance.expires_ms = Some(expires_ms);
        }
        self
    }
    fn wished(mut self, direction: Direction, settled: bool) -> Seen {
        self.wish = Some(wish(direction, 5, settled));
        self
    }
    fn look(&self) -> Option<Anomaly> {
        let instances: Vec<&Instance> = self.instances.iter().collect();
        anomaly(&FullView {
            wish: self.wish.as_ref(),
            marked: self.marked,
            instances: &instances,
            listed: self.listed,
            slurm: self.slurm.as_ref().map(|(s, r)| (s, r.as_deref())),
            attempted: self.wish.is_some(),
            now_ms: NOW,
        })
    }
}

use InstanceState::{Running, Stopped};
use Owner::{Adopted, Created, Matched};

#[test]
fn an_orphan_is_what_slurm_positively_does_not_want() {
    for state in [OFF, GOING, OUT] {
        assert_eq!(
            seen(state, None).with(Created, Running).look(),
            Some(Anomaly::Orphan),
            "{state}"
        );
        assert_eq!(
            seen(state, None).with(Adopted, Running).look(),
            Some(Anomaly::Orphan),
            "{state}"
        );
    }
    for state in [
        "IDLE+CLOUD",
        "DOWN+CLOUD",
        UP,
        "IDLE+CLOUD+POWER_UP+POWERED_DOWN",
        ASKED,
    ] {
        assert_ne!(
            seen(state, None).with(Created, Running).look(),
            Some(Anomaly::Orphan),
            "{state}"
        );
    }
}

#[test]
fn what_is_no_orphan() {
    let mut hidden = seen(OFF, None).with(Created, Running);
    hidden.slurm = None;
    assert_eq!(hidden.look(), None, "a node that Slurm does not show");
    assert_eq!(
        seen(OFF, None).with(Matched, Running).look(),
        None,
        "what was only matched"
    );
    assert_eq!(
        seen(OFF, None).with(Created, Stopped).look(),
        None,
        "what costs nothing"
    );
    let gaps = Seen {
        listed: false,
        ..seen(OFF, None).with(Created, Running)
    };
    assert_eq!(gaps.look(), None, "a cloud with gaps");
    for direction in [Direction::Up, Direction::Down] {
        let open = seen(OFF, None)
            .with(Created, Running)
            .wished(direction, false);
        assert_eq!(open.look(), None, "a wish that is being worked at");
    }
}

#[test]
fn an_unbacked_node_has_no_machine_and_does_not_respond() {
    let state = "MIXED+CLOUD+NOT_RESPONDING";
    assert_eq!(seen(state, None).look(), Some(Anomaly::Unbacked));
    assert_eq!(
        seen(state, None).with(Matched, Stopped).look(),
        Some(Anomaly::Unbacked)
    );
    assert_eq!(seen(state, None).with(Created, Running).look(), None);
    assert_eq!(seen("MIXED+CLOUD", None).look(), None, "Slurm hears of it");
    assert_eq!(
        seen("DOWN+CLOUD+NOT_RESPONDING", None).look(),
        None,
        "somebody's DOWN"
    );
    assert_eq!(
        Seen {
            listed: false,
            ..seen(state, None)
        }
        .look(),
        None
    );
    assert_eq!(
        Seen {
            marked: true,
            ..seen(state, None)
        }
        .look(),
        None
    );
}

#[test]
fn a_lost_power_up_is_one_that_nobody_was_told_of() {
    assert_eq!(seen(UP, None).look(), Some(Anomaly::LostPowerUp));
    assert_eq!(
        seen(UP, None).wished(Direction::Down, true).look(),
        Some(Anomaly::LostPowerUp)
    );
    assert_eq!(seen(UP, None).wished(Direction::Up, true).look(), None);
    assert_eq!(
        Seen {
            marked: true,
            ..seen(UP, None)
        }
        .look(),
        None,
        "it failed, and Slurm is told"
    );
    assert_eq!(seen("DOWN+CLOUD+POWERING_UP", None).look(), None);
}

#[test]
fn out_of_service_is_ours_only_by_its_reason() {
    assert_eq!(seen(OUT, Some(REASON)).look(), Some(Anomaly::LostMark));
    assert_eq!(
        Seen {
            marked: true,
            ..seen(OUT, Some(REASON))
        }
        .look(),
        None
    );
    assert_eq!(
        seen("DOWN+CLOUD", Some(REASON)).look(),
        None,
        "not powered down yet"
    );
    assert_eq!(seen(OUT, Some("fan broken")).look(), None);
    let timed_out = seen(OUT, Some("ResumeTimeout reached"));
    assert_eq!(timed_out.look(), None, "no attempt of ours");
    let ours = timed_out.wished(Direction::Down, true);
    assert_eq!(ours.look(), Some(Anomaly::TimedOut));
    assert_eq!(
        Seen {
            listed: false,
            ..ours
        }
        .look(),
        None
    );
}

#[test]
fn what_outlived_its_time_is_said_and_no_more() {
    let up = |state: &str, now| seen(state, None).with(Created, now).until(NOW);
    for state in [
        "MIXED+CLOUD",
        "IDLE+CLOUD",
        "IDLE+CLOUD+DRAIN",
        "DOWN+CLOUD",
    ] {
        let look = up(state, Running).look();
        assert_eq!(look, Some(Anomaly::Overdue), "{state}");
    }
    assert_eq!(up("IDLE+CLOUD", Running).until(NOW + 1).look(), None);
    // It costs nothing, or goes already.
    assert_eq!(up("IDLE+CLOUD", Stopped).look(), None);
    assert_eq!(up("IDLE+CLOUD", InstanceState::Terminating).look(), None);
    assert_eq!(up("MIXED+CLOUD+DRAIN+POWER_DOWN", Running).look(), None);
    let wished = up("IDLE+CLOUD", Running).wished(Direction::Down, false);
    assert_eq!(wished.look(), None);
    // Nobody wants it: that says more.
    assert_eq!(up(OFF, Running).look(), Some(Anomaly::Orphan));
}
