//! Nodes, calls and contexts for tests.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::time::Duration;

use slurmburst_core::clock::Clock;
use slurmburst_core::fake::{FakeCloud, FakeOptions};
use slurmburst_core::hostlist::NodeName;
use slurmburst_core::outcome::{Outcome, Outcomes};
use slurmburst_core::provider::*;

pub(crate) fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

pub(crate) fn call(id: &str, nodes: &[&str]) -> Call {
    Call {
        id: id.into(),
        token: format!("token-{id}"),
        placement: Placement {
            name: "fake/a".into(),
            provider: "fake".into(),
            lifecycle: Lifecycle::CreateDelete,
            template: Template::default(),
        },
        nodes: nodes
            .iter()
            .map(|n| CallNode {
                name: name(n),
                generation: Generation(1),
            })
            .collect(),
        request: serde_json::json!({ "nodes": nodes }),
    }
}

pub(crate) fn down(node: &str, mode: DownMode) -> PowerDown {
    PowerDown {
        node: name(node),
        generation: Generation(2),
        instance: None,
        mode,
    }
}

pub(crate) fn cx() -> Context {
    within(60)
}

pub(crate) fn within(seconds: u64) -> Context {
    Context::within("hpc1", Duration::from_secs(seconds))
}

/// A cloud without limit or fault, on tokio's time.
pub(crate) fn options() -> FakeOptions {
    FakeOptions {
        clock: Clock::tokio(1_000_000),
        ..FakeOptions::default()
    }
}

/// How many requests of that kind have reached the cloud.
pub(crate) fn count(fake: &FakeCloud, op: OpKind) -> u64 {
    fake.read(|books| books.count(op)).unwrap()
}

/// The error with which this node failed.
pub(crate) fn error_of<'a>(
    outcomes: &'a Outcomes,
    node: &str,
) -> &'a slurmburst_core::error::Error {
    match outcomes.get(&name(node)) {
        Some(Outcome::Failed(error)) => error,
        other => panic!("{node} should have failed, but is {other:?}"),
    }
}

/// The words for all outcomes, in order.
pub(crate) fn words(outcomes: &Outcomes) -> Vec<&'static str> {
    outcomes
        .iter()
        .map(|(_, outcome)| outcome.as_str())
        .collect()
}
