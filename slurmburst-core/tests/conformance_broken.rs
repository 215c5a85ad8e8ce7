//! Each property of the conformance tests is worth something: a provider that
//! is broken in exactly that respect fails it, with the message that says so.
#![cfg(all(feature = "fake", feature = "conformance"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails like this"
)]

mod support;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use slurmburst_core::conformance::{PROPERTIES, run};
use slurmburst_core::error::{Effect, Error, ErrorKind, Result};
use slurmburst_core::fake::FakeOptions;
use slurmburst_core::hostlist::NodeName;
use slurmburst_core::outcome::{Machine, Outcome, Outcomes};
use slurmburst_core::provider::*;

use support::{FakeHarness, SECRET, options};

/// What is wrong with a provider.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Bug {
    ForgetsTokens,
    TakesSilenceForRefusal,
    MissesTheAbsent,
    LeavesNics,
    TerminatesToDeallocate,
    DropsAnOutcome,
    ListsOnePage,
    HidesGaps,
    ListsOthers,
    CutsBatches,
    BlamesTheWrongNode,
    ForgetsTheDelay,
    RetriesElsewhereHere,
    RetriesCredentials,
    IgnoresTheDeadline,
    TellsItsSecret,
}

/// Each property, the provider that breaks it, and what the failure says.
const BROKEN: &[(&str, Bug, &str)] = &[
    (
        "the_same_call_twice_is_one_instance",
        Bug::ForgetsTokens,
        "the same call twice made",
    ),
    (
        "a_lost_reply_and_a_replay_are_one_instance",
        Bug::TakesSilenceForRefusal,
        "says that nothing happened",
    ),
    (
        "power_down_of_an_absent_node_is_fine",
        Bug::MissesTheAbsent,
        "should be already done",
    ),
    (
        "nothing_is_left_after_terminate",
        Bug::LeavesNics,
        "after terminate 0 things should cost",
    ),
    (
        "start_after_deallocate_keeps_the_identity",
        Bug::TerminatesToDeallocate,
        "deallocated, and the listing shows",
    ),
    (
        "one_outcome_per_node",
        Bug::DropsAnOutcome,
        "the outcomes are about",
    ),
    (
        "list_returns_all_pages",
        Bug::ListsOnePage,
        "is listed 0 times",
    ),
    ("list_reports_gaps", Bug::HidesGaps, "claims to be complete"),
    (
        "other_clusters_instances_are_not_ours",
        Bug::ListsOthers,
        "is listed as ours",
    ),
    (
        "a_batch_over_the_maximum_is_refused",
        Bug::CutsBatches,
        "should have failed",
    ),
    (
        "a_partial_failure_names_the_right_nodes",
        Bug::BlamesTheWrongNode,
        "made to fail",
    ),
    (
        "a_throttle_carries_its_delay",
        Bug::ForgetsTheDelay,
        "throttled for 2s",
    ),
    (
        "no_capacity_means_elsewhere",
        Bug::RetriesElsewhereHere,
        "no capacity should be said",
    ),
    (
        "bad_credentials_are_never_retried",
        Bug::RetriesCredentials,
        "was sent 3 times",
    ),
    (
        "the_deadline_is_respected",
        Bug::IgnoresTheDeadline,
        "the deadline had passed",
    ),
    (
        "no_secret_in_debug_or_errors",
        Bug::TellsItsSecret,
        "Debug shows a secret",
    ),
];

#[derive(Debug)]
#[allow(dead_code, reason = "the secret is there to be shown")]
struct Broken {
    inner: Arc<dyn CloudProvider>,
    bug: Bug,
    secret: Option<&'static str>,
}

impl Broken {
    /// Changes the failures that the inner provider answered.
    fn twisted(&self, outcomes: Outcomes) -> Outcomes {
        let mut all: Vec<(NodeName, Outcome)> = outcomes.into_iter().collect();
        for (_, outcome) in &mut all {
            let Outcome::Failed(error) = outcome else {
                continue;
            };
            *error = match (self.bug, error.kind()) {
                (Bug::TakesSilenceForRefusal, ErrorKind::Timeout) => {
                    error.clone().effect(Effect::None)
                }
                (Bug::ForgetsTheDelay, ErrorKind::Throttled) => {
                    Error::new(ErrorKind::Throttled, error.message())
                }
                (Bug::RetriesElsewhereHere, ErrorKind::Capacity) => {
                    Error::new(ErrorKind::Unavailable, error.message())
                }
                _ => continue,
            };
        }
        match self.bug {
            Bug::DropsAnOutcome => drop(all.pop()),
            Bug::BlamesTheWrongNode if all.len() == 3 => {
                all[0].1 = std::mem::replace(&mut all[1].1, Outcome::AlreadyDone);
            }
            _ => {}
        }
        let mut twisted = Outcomes::new(all.iter().map(|(node, _)| node.clone()));
        for (node, outcome) in all {
            twisted.set(&node, outcome);
        }
        twisted
    }

    fn context(&self, cx: &Context) -> Context {
        match self.bug {
            Bug::IgnoresTheDeadline => Context::within(cx.cluster_id(), Duration::from_secs(3600)),
            _ => cx.clone(),
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Broken({:?}, {})", self.bug, self.inner)
    }
}

#[async_trait]
impl CloudProvider for Broken {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn list(&self, cx: &Context) -> Result<Listing> {
        let mut listing = self.inner.list(cx).await?;
        match self.bug {
            Bug::ListsOnePage => listing.instances.truncate(2),
            Bug::HidesGaps => listing.gaps.clear(),
            Bug::ListsOthers => {
                let others = Context::new("other", cx.deadline());
                listing
                    .instances
                    .extend(self.inner.list(&others).await?.instances);
            }
            _ => {}
        }
        Ok(listing)
    }

    async fn power_up(&self, cx: &Context, calls: &[Call]) -> Outcomes {
        let most = self.capabilities().max_batch;
        if self.bug == Bug::CutsBatches && calls.iter().any(|c| c.nodes.len() > most) {
            let mut cut = calls.to_vec();
            cut.iter_mut().for_each(|call| call.nodes.truncate(most));
            let mut outcomes = Outcomes::new(calls.iter().flat_map(Call::names).cloned());
            outcomes.merge(self.inner.power_up(cx, &cut).await);
            return outcomes;
        }
        let mut outcomes = self.inner.power_up(&self.context(cx), calls).await;
        for _ in 0..2 {
            let refused =
                |o: &Outcome| matches!(o, Outcome::Failed(e) if e.kind() == ErrorKind::Auth);
            if self.bug == Bug::RetriesCredentials && outcomes.iter().any(|(_, o)| refused(o)) {
                outcomes = self.inner.power_up(cx, calls).await;
            }
        }
        self.twisted(outcomes)
    }

    async fn power_down(&self, cx: &Context, batch: &[PowerDown]) -> Outcomes {
        let mut batch = batch.to_vec();
        if self.bug == Bug::TerminatesToDeallocate {
            batch
                .iter_mut()
                .for_each(|down| down.mode = DownMode::Terminate);
        }
        let outcomes = self.inner.power_down(cx, &batch).await;
        if self.bug != Bug::MissesTheAbsent {
            return outcomes;
        }
        let mut missed = outcomes.clone();
        for (node, outcome) in outcomes {
            if outcome == Outcome::AlreadyDone {
                missed.set(&node, Outcome::Done(Machine::default()));
            }
        }
        missed
    }

    async fn poll(&self, cx: &Context, pending: &[Pending]) -> Outcomes {
        self.inner.poll(cx, pending).await
    }

    async fn tidy(&self, cx: &Context, chores: &[Chore]) -> Outcomes {
        self.inner.tidy(cx, chores).await
    }

    fn render(&self, placement: &Placement, nodes: &[NodeName]) -> Result<Vec<Rendered>> {
        self.inner.render(placement, nodes)
    }
}

fn broken(bug: Bug) -> FakeHarness {
    tokio::time::pause();
    let options = FakeOptions {
        idempotent: bug != Bug::ForgetsTokens,
        leave_behind: (bug == Bug::LeavesNics).then(|| "nic".into()),
        ..options()
    };
    let secret = (bug == Bug::TellsItsSecret).then_some(SECRET);
    FakeHarness::new(options, |inner| Arc::new(Broken { inner, bug, secret }))
}

fn is_found_out(name: &str) {
    let Some((_, bug, says)) = BROKEN.iter().find(|(property, ..)| *property == name) else {
        panic!("no broken provider fails {name}; add one to BROKEN");
    };
    let checked = catch_unwind(AssertUnwindSafe(|| run(name, async { broken(*bug) })));
    let panic = checked.expect_err(&format!(
        "a provider that is broken ({bug:?}) passes {name}"
    ));
    let message = panic
        .downcast_ref::<String>()
        .expect("a message with what was seen");
    assert!(
        message.contains(says),
        "{bug:?} fails {name} for another reason: {message}"
    );
}

macro_rules! found_out {
    ($($name:ident,)+) => {
        $(#[test] fn $name() { is_found_out(stringify!($name)); })+
    };
}

// A test for every property there is, so that a new one needs a broken provider.
slurmburst_core::__for_each_property!([found_out]);

#[test]
fn every_property_has_its_broken_provider() {
    let properties: Vec<&str> = PROPERTIES.iter().map(|p| p.name).collect();
    let broken: Vec<&str> = BROKEN.iter().map(|(name, ..)| *name).collect();
    assert_eq!(properties, broken);
}
