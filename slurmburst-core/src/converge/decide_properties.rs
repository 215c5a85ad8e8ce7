//! What [`decide`](super::decide) never does, whatever it sees.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use crate::error::{Effect, Error, ErrorKind};
use crate::hostlist::NodeName;
use crate::ledger::{Attempt, AttemptState, Program, Wish};
use crate::policy::Tried;
use crate::provider::{
    Direction, DownMode, Generation, Instance, InstanceState, Lifecycle, Owner, Pending,
};
use crate::slurm::node_state::NodeState;

use super::decide::{Decision, Listed, NodeView, Seen, decide};

const NOW: i64 = 1_000_000;
const WISH: i64 = 300;

fn node() -> NodeName {
    NodeName::new("c1").unwrap()
}

fn errors() -> impl Strategy<Value = Error> {
    (
        select(&ErrorKind::ALL[..]),
        select(&[Effect::None, Effect::Unknown][..]),
    )
        .prop_map(|(kind, effect)| Error::new(kind, "x").effect(effect))
}

fn ids() -> impl Strategy<Value = Option<String>> {
    select(&[None, Some("i-1"), Some("i-2"), Some("i-3")][..]).prop_map(|id| id.map(str::to_owned))
}

/// Before, at and after the floor of 200 that a wish up may have.
fn generations() -> impl Strategy<Value = Generation> {
    select(&[100, 200, 250, WISH][..]).prop_map(Generation)
}

fn times() -> impl Strategy<Value = i64> {
    select(&[0, NOW - 60_000, NOW - 5_000, NOW - 500, NOW][..])
}

fn lifecycles() -> impl Strategy<Value = Lifecycle> {
    select(&[Lifecycle::CreateDelete, Lifecycle::StartDeallocate][..])
}

prop_compose! {
    fn attempts(direction: Direction)(
        generation in generations(),
        lifecycle in lifecycles(),
        state in 0..3,
        instance in ids(),
        call in select(&["a", "b"][..]),
        poll_after in select(&[0, 1, 100][..]),
        updated_ms in times(),
    ) -> Attempt {
        let up = direction == Direction::Up;
        Attempt {
            id: 1,
            node: node(),
            generation,
            direction,
            provider: "here".into(),
            placement: "p".into(),
            lifecycle,
            call: if up { call.into() } else { String::new() },
            state: match state {
                0 => AttemptState::Unknown,
                1 => AttemptState::Done,
                _ => AttemptState::Accepted(Pending {
                    node: node(),
                    direction,
                    instance: instance.clone(),
                    handle: serde_json::Value::Null,
                    poll_after: Duration::from_secs(poll_after),
                }),
            },
            instance,
            mode: None,
            started_ms: updated_ms,
            updated_ms,
        }
    }
}

prop_compose! {
    fn instances(id: &'static str)(
        state in select(&[
            InstanceState::Starting, InstanceState::Running, InstanceState::Stopping,
            InstanceState::Stopped, InstanceState::StoppedBilled, InstanceState::Terminating,
            InstanceState::Terminated, InstanceState::Failed, InstanceState::Unknown,
        ][..]),
        owner in select(&[Owner::Created, Owner::Adopted, Owner::Matched][..]),
        generation in of(generations()),
        call in of(select(&["a", "b"][..])),
    ) -> Instance {
        Instance {
            node: node(),
            id: id.into(),
            state,
            owner,
            generation,
            call: call.map(str::to_owned),
            address: None,
            launched_ms: None,
            expires_ms: None,
        }
    }
}

const SLURM: [&str; 9] = [
    "IDLE+CLOUD",
    "MIXED+CLOUD+NOT_RESPONDING",
    "IDLE+CLOUD+NOT_RESPONDING+POWERING_UP",
    "IDLE+CLOUD+POWERED_DOWN",
    "IDLE+CLOUD+POWER_UP+POWERED_DOWN",
    "IDLE+CLOUD+POWERING_DOWN",
    "IDLE+CLOUD+POWER_DOWN",
    "DOWN+CLOUD+POWERING_UP",
    "DOWN+CLOUD+POWERED_DOWN",
];

/// Everything that [`decide`] may see.
#[derive(Debug)]
struct World {
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

prop_compose! {
    fn wishes()(
        direction in select(&[Direction::Up, Direction::Down][..]),
        floor in select(&[0, 200][..]),
        late in any::<bool>(),
        program in select(&[Program::Resume, Program::Suspend, Program::ResumeFail, Program::Reconcile][..]),
    ) -> Wish {
        Wish {
            node: node(),
            generation: Generation(WISH),
            floor: Generation(if direction == Direction::Up { floor } else { WISH }),
            direction,
            deadline_ms: if late { NOW } else { NOW + 60_000 },
            created_ms: NOW - 30_000,
            program,
            settled: None,
        }
    }
}

prop_compose! {
    fn worlds()(
        wish in wishes(),
        lifecycle in lifecycles(),
        up in of(attempts(Direction::Up)),
        refused in of(errors()),
        downs in vec(attempts(Direction::Down), 0..3),
        tried in vec(errors(), 0..2),
        (one, two) in (of(instances("i-1")), of(instances("i-2"))),
        gap in of(errors()),
        slurm in of(select(&SLURM[..])),
        answered in any::<bool>(),
        consistency_ms in select(&[0, 1_000, 30_000][..]),
    ) -> World {
        World {
            wish,
            lifecycle,
            refused: up.as_ref().and(refused),
            up,
            downs,
            tried: tried.into_iter().map(|error| Tried { placement: "p".into(), error }).collect(),
            seen: one.into_iter().chain(two).collect(),
            gap,
            answered: answered || slurm.is_some(),
            slurm: slurm.map(NodeState::parse),
            consistency_ms,
        }
    }
}

impl World {
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

    fn is_stale(&self, generation: Option<Generation>) -> bool {
        generation.is_some_and(|g| g <= self.wish.floor)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn nothing_unsafe_is_ever_decided(world in worlds()) {
        let decision = world.decide();
        let up = world.wish.direction == Direction::Up;
        match &decision {
            Decision::Place => {
                prop_assert!(up);
                prop_assert!(world.up.is_none(), "an attempt is live, or its effect is unknown");
                prop_assert!(world.gap.is_none(), "the listing has gaps");
                let quiet = |i: &Instance| matches!(
                    i.state,
                    InstanceState::Stopped | InstanceState::StoppedBilled | InstanceState::Terminated
                );
                prop_assert!(world.seen.iter().all(quiet), "a machine is in the way");
                let going = |d: &Attempt| matches!(d.state, AttemptState::Accepted(_));
                prop_assert!(!world.downs.iter().any(going), "a power-down is under way");
                prop_assert!(NOW < world.wish.deadline_ms);
            }
            Decision::PowerDown(targets) => {
                prop_assert!(!targets.is_empty());
                for target in targets.iter().filter(|t| t.mode == DownMode::Terminate) {
                    let foreign = |i: &Instance| i.owner != Owner::Created
                        && target.instance.as_ref().is_none_or(|id| *id == i.id);
                    prop_assert!(!world.seen.iter().any(foreign), "{target:?} was not created by us");
                }
            }
            Decision::Replace(target) => {
                prop_assert!(up && world.wish.program == Program::Resume);
                let foreign = |i: &Instance| i.owner != Owner::Created && Some(&i.id) == target.instance.as_ref();
                prop_assert!(target.mode == DownMode::Deallocate || !world.seen.iter().any(foreign));
            }
            Decision::Settle if up => {
                let attempt = world.up.as_ref();
                prop_assert!(!attempt.is_some_and(|a| {
                    a.state != AttemptState::Unknown && world.is_stale(Some(a.generation))
                }), "an old machine is taken for the new one");
                // Without an attempt that says so, a machine or Slurm itself must.
                let serving = world.seen.iter()
                    .any(|i| i.state == InstanceState::Running && !world.is_stale(i.generation));
                let done = attempt.is_some_and(|a| a.state == AttemptState::Done);
                let registered = NOW >= world.wish.deadline_ms && world.slurm.is_some();
                prop_assert!(serving || done || registered);
            }
            Decision::Settle => {
                prop_assert!(world.gap.is_none());
                prop_assert!(!world.seen.iter().any(|i| i.state.is_billed()));
                prop_assert!(world.up.as_ref().is_none_or(|a| {
                    world.seen.iter().any(|i| Some(&i.id) == a.instance.as_ref()
                        || i.call.as_deref() == Some(a.call.as_str()))
                }), "what was begun may still be there");
            }
            Decision::Conclude(_) => {
                let attempt = world.up.as_ref().expect("there is one to conclude");
                prop_assert!(attempt.state == AttemptState::Unknown && world.refused.is_some());
                prop_assert!(world.gap.is_none() && attempt.updated_ms <= NOW - 10_000);
                let shows = |i: &Instance| i.call.as_deref() == Some(attempt.call.as_str());
                prop_assert!(!world.seen.iter().any(shows));
            }
            Decision::Replay => {
                let unknown = world.up.as_ref().is_some_and(|a| a.state == AttemptState::Unknown);
                prop_assert!(unknown && world.refused.is_none());
            }
            Decision::Yield => {
                prop_assert!(!up && world.wish.program == Program::Suspend);
                prop_assert!(world.slurm.as_ref().is_some_and(NodeState::is_powering_up));
            }
            Decision::Fail(_) => prop_assert!(up),
            Decision::Wait { until_ms, .. } => prop_assert!(*until_ms > NOW),
            Decision::Unlisted { .. } => prop_assert!(world.gap.is_some()),
            Decision::Poll(_) => {}
        }
    }
}
