//! What the properties are made of.
#![allow(clippy::panic, reason = "a property that does not hold fails its test")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::Harness;
use crate::clock::Clock;
use crate::hostlist::NodeName;
use crate::outcome::{Outcome, Outcomes};
use crate::provider::{
    Call, CallNode, Context, DownMode, Generation, Instance, Lifecycle, Listing, Pending, PowerDown,
};

/// A context with all the time that the harness allows.
pub(super) fn cx(h: &dyn Harness) -> Context {
    Context::within(h.cluster_id(), h.patience())
}

/// The calls that power up `nodes`, new ones each time, or why there are none.
pub(super) fn calls(
    h: &dyn Harness,
    lifecycle: Lifecycle,
    nodes: &[NodeName],
) -> Result<Vec<Call>, String> {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    let provider = h.provider();
    if !provider.capabilities().offers(lifecycle) {
        return Err(format!("{provider} does not offer {lifecycle:?}"));
    }
    let Some(placement) = h.placement(lifecycle) else {
        return Err(format!("the harness has no placement for {lifecycle:?}"));
    };
    let now = Clock::system().now_ms();
    let rendered = match provider.render(&placement, nodes) {
        Ok(rendered) => rendered,
        Err(error) => panic!("{nodes:?} cannot be rendered: {error}"),
    };
    let calls = rendered.into_iter().map(|rendered| {
        let id = format!(
            "{now:x}-{}-{}",
            std::process::id(),
            SERIAL.fetch_add(1, Ordering::Relaxed)
        );
        Call {
            token: format!("conformance-{id}"),
            id,
            placement: placement.clone(),
            nodes: rendered
                .nodes
                .into_iter()
                .map(|name| CallNode {
                    name,
                    generation: Generation(now),
                })
                .collect(),
            request: rendered.request,
        }
    });
    Ok(calls.collect())
}

/// What brings `nodes` down, instances unknown.
pub(super) fn downs(nodes: &[NodeName], mode: DownMode) -> Vec<PowerDown> {
    let down = |node: &NodeName| PowerDown {
        node: node.clone(),
        generation: Generation(Clock::system().now_ms()),
        instance: None,
        mode,
    };
    nodes.iter().map(down).collect()
}

/// Polls what was accepted until it is no longer under way.
///
/// # Panics
/// That takes longer than the harness's patience, or what is under way for one
/// node is said to be another's.
pub async fn settle(h: &dyn Harness, mut outcomes: Outcomes) -> Outcomes {
    let (provider, give_up) = (h.provider(), Instant::now() + h.patience());
    loop {
        let mut pending: Vec<Pending> = Vec::new();
        for (node, outcome) in outcomes.iter() {
            if let Outcome::Accepted(accepted) = outcome {
                assert!(*node == accepted.node, "accepted for {node}: {accepted:?}");
                pending.push(accepted.clone());
            }
        }
        let Some(after) = pending.iter().map(|p| p.poll_after).min() else {
            return outcomes;
        };
        assert!(
            Instant::now() < give_up,
            "still under way after all patience: {pending:?}"
        );
        // A provider that says "at once" is believed, but not asked in a busy loop.
        sleep(after.max(Duration::from_millis(10))).await;
        for chunk in pending.chunks(provider.capabilities().max_batch.max(1)) {
            outcomes.merge(provider.poll(&cx(h), chunk).await);
        }
    }
}

/// Sends calls, again while something is in the way that goes by itself, and
/// waits until all has happened.
pub(super) async fn power_up(h: &dyn Harness, calls: &[Call]) -> Outcomes {
    let give_up = Instant::now() + h.patience();
    loop {
        let outcomes = settle(h, h.provider().power_up(&cx(h), calls).await).await;
        match waiting(&outcomes) {
            Some(after) if Instant::now() + after < give_up => sleep(after).await,
            _ => return outcomes,
        }
    }
}

/// Brings nodes down and waits until they are.
pub(super) async fn power_down(h: &dyn Harness, nodes: &[NodeName], mode: DownMode) -> Outcomes {
    let (provider, give_up) = (h.provider(), Instant::now() + h.patience());
    let mut outcomes = Outcomes::new(nodes.iter().cloned());
    for chunk in nodes.chunks(provider.capabilities().max_batch.max(1)) {
        let batch = downs(chunk, mode);
        loop {
            let answered = settle(h, provider.power_down(&cx(h), &batch).await).await;
            match waiting(&answered) {
                Some(after) if Instant::now() + after < give_up => sleep(after).await,
                _ => break outcomes.merge(answered),
            }
        }
    }
    outcomes
}

fn waiting(outcomes: &Outcomes) -> Option<Duration> {
    let waits = outcomes.iter().filter_map(|(_, outcome)| match outcome {
        Outcome::Waiting { retry_after, .. } => Some(*retry_after),
        _ => None,
    });
    waits
        .max()
        .map(|after| after.max(Duration::from_millis(10)))
}

/// A listing that does not miss what happened so far.
pub(super) async fn list(h: &dyn Harness) -> Listing {
    let provider = h.provider();
    let window = provider.capabilities().consistency_window;
    if !window.is_zero() {
        sleep_until(Instant::now() + window).await;
    }
    match provider.list(&cx(h)).await {
        Ok(listing) => listing,
        Err(error) => panic!("{provider} cannot be listed: {error}"),
    }
}

/// The instances of a node that are not gone.
pub(super) async fn instances(h: &dyn Harness, node: &NodeName) -> Vec<Instance> {
    let listing = list(h).await;
    listing
        .instances
        .into_iter()
        .filter(|i| i.node == *node && !i.state.is_gone())
        .collect()
}

/// # Panics
/// Not all of `outcomes` are successes.
pub(super) fn assert_all_well(what: &str, outcomes: &Outcomes) {
    for (node, outcome) in outcomes.iter() {
        assert!(
            outcome.is_success(),
            "{what}: {node} should be well, but is {outcome:?}"
        );
    }
}

/// # Panics
/// Exactly these nodes, in this order, are not what `outcomes` are about.
pub(super) fn assert_exactly(what: &str, outcomes: &Outcomes, nodes: &[NodeName]) {
    let answered: Vec<&NodeName> = outcomes.iter().map(|(node, _)| node).collect();
    let asked: Vec<&NodeName> = nodes.iter().collect();
    assert!(
        answered == asked,
        "{what}: asked for {asked:?}, the outcomes are about {answered:?}"
    );
}

/// # Panics
/// Something other than `expected` things cost money.
pub(super) async fn assert_remains(h: &dyn Harness, expected: usize, when: &str) {
    let left = h.remains().await;
    assert!(
        left == expected,
        "{when} {expected} things should cost money, but {left} do"
    );
}

/// Removes what a property made.
pub(super) async fn clean_up(h: &dyn Harness, nodes: &[NodeName]) {
    assert_all_well(
        "terminate at the end",
        &power_down(h, nodes, DownMode::Terminate).await,
    );
}
