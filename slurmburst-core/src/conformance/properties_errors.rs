//! What is true of failures and limits.
#![allow(clippy::panic, reason = "a property that does not hold fails its test")]
#![allow(
    missing_docs,
    reason = "the names say it; the documentation is of `conformance`"
)]

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::properties::need;
use super::steps::{
    assert_all_well, assert_remains, calls, clean_up, cx, downs, instances, power_up, settle,
};
use super::{Harness, Verdict};
use crate::error::{Advice, Effect, Error, ErrorKind};
use crate::hostlist::NodeName;
use crate::outcome::{Outcome, Outcomes};
use crate::provider::{CallNode, Context, DownMode, Generation, Lifecycle, OpKind};

use Lifecycle::CreateDelete;

/// Batches larger than this are not provoked: nobody has that many nodes.
const HUGE: usize = 20_000;

/// What a provider may be late, for scheduling.
const SLACK: Duration = Duration::from_secs(2);

fn error_of<'a>(what: &str, outcomes: &'a Outcomes, node: &NodeName) -> &'a Error {
    match outcomes.get(node) {
        Some(Outcome::Failed(error)) => error,
        other => panic!("{what}: {node} should have failed, but is {other:?}"),
    }
}

pub async fn a_batch_over_the_maximum_is_refused(h: &dyn Harness) -> Verdict {
    let provider = h.provider();
    let most = provider.capabilities().max_batch;
    if most >= HUGE {
        return Verdict::DoesNotApply(format!("a batch may have {most} nodes"));
    }
    let nodes = h.nodes(most + 1);
    let calls = need!(calls(h, CreateDelete, &nodes));
    let split: Vec<&NodeName> = calls.iter().flat_map(|c| c.names()).collect();
    let whole: Vec<&NodeName> = nodes.iter().collect();
    assert!(
        split == whole,
        "render lost or moved nodes: {split:?} of {whole:?}"
    );
    for call in &calls {
        assert!(
            call.nodes.len() <= most,
            "render made a call of {} nodes",
            call.nodes.len()
        );
    }
    let mut large = calls[0].clone();
    large.nodes = nodes
        .iter()
        .map(|name| CallNode {
            name: name.clone(),
            generation: Generation(1),
        })
        .collect();
    let up = provider.power_up(&cx(h), &[large]).await;
    let down = provider
        .power_down(&cx(h), &downs(&nodes, DownMode::Terminate))
        .await;
    for (what, outcomes) in [("power_up", up), ("power_down", down)] {
        for node in &nodes {
            let error = error_of(&format!("{what} of {} nodes", nodes.len()), &outcomes, node);
            assert!(
                error.kind() == ErrorKind::Invalid && error.may_have_acted() == Effect::None,
                "{what} of too many nodes should be invalid and do nothing: {error:?}"
            );
        }
    }
    assert_remains(h, 0, "after a call that is too large").await;
    Verdict::Held
}

pub async fn a_partial_failure_names_the_right_nodes(h: &dyn Harness) -> Verdict {
    let nodes = h.nodes(3);
    let calls = need!(calls(h, CreateDelete, &nodes));
    need!(
        h.fail_next_for(&nodes[1]).await,
        "make one node of several fail"
    );
    let outcomes = power_up(h, &calls).await;
    error_of("the node that was made to fail", &outcomes, &nodes[1]);
    for node in [&nodes[0], &nodes[2]] {
        let outcome = outcomes.get(node);
        assert!(
            outcome.is_some_and(Outcome::is_success),
            "{} was made to fail, and {node} is {outcome:?}",
            nodes[1]
        );
        let there = instances(h, node).await;
        assert!(
            there.len() == 1,
            "{node} is done, and its machines are {there:#?}"
        );
    }
    let there = instances(h, &nodes[1]).await;
    assert!(
        there.iter().all(|i| !i.state.is_up()),
        "it failed and is up: {there:#?}"
    );
    clean_up(h, &nodes).await;
    Verdict::Held
}

pub async fn a_throttle_carries_its_delay(h: &dyn Harness) -> Verdict {
    let nodes = h.nodes(1);
    let calls = need!(calls(h, CreateDelete, &nodes));
    // Whole seconds: that is all that many clouds can say.
    let after = Duration::from_secs(2);
    need!(h.throttle_next(OpKind::Create, after).await, "throttle");
    let started = Instant::now();
    let outcomes = h.provider().power_up(&cx(h), &calls).await;
    if let Some(Outcome::Failed(error)) = outcomes.get(&nodes[0]) {
        assert!(
            error.kind() == ErrorKind::Throttled && error.delay() == Some(after),
            "throttled for {after:?}, and the error says {error:?}"
        );
        assert!(
            error.advice() == Advice::Retry(after),
            "the advice is {:?}",
            error.advice()
        );
    } else {
        // Wrapped in retries: then it must have waited that long.
        let took = started.elapsed();
        assert!(
            took >= after,
            "throttled for {after:?}, and after {took:?} it is {outcomes:?}"
        );
    }
    settle(h, outcomes).await;
    clean_up(h, &nodes).await;
    Verdict::Held
}

pub async fn no_capacity_means_elsewhere(h: &dyn Harness) -> Verdict {
    let nodes = h.nodes(1);
    let calls = need!(calls(h, CreateDelete, &nodes));
    need!(h.exhaust_capacity().await, "use up the capacity");
    let outcomes = power_up(h, &calls).await;
    let error = error_of("without capacity", &outcomes, &nodes[0]);
    assert!(
        error.kind() == ErrorKind::Capacity
            && error.advice() == Advice::Elsewhere
            && error.may_have_acted() == Effect::None,
        "no capacity should be said to be that, and to have done nothing: {error:?}"
    );
    clean_up(h, &nodes).await;
    assert_remains(h, 0, "without capacity").await;
    Verdict::Held
}

pub async fn bad_credentials_are_never_retried(h: &dyn Harness) -> Verdict {
    let nodes = h.nodes(1);
    let calls = need!(calls(h, CreateDelete, &nodes));
    need!(h.bad_credentials().await, "refuse the credential");
    let before = h.requests().await;
    let outcomes = h.provider().power_up(&cx(h), &calls).await;
    let after = h.requests().await;
    let error = error_of("with a bad credential", &outcomes, &nodes[0]);
    assert!(
        error.kind() == ErrorKind::Auth && error.advice() == Advice::Never,
        "a refused credential should be said to be that: {error:?}"
    );
    if let (Some(before), Some(after)) = (before, after) {
        let sent = after - before;
        assert!(
            sent <= 1,
            "a call with a bad credential was sent {sent} times"
        );
    }
    match h.provider().list(&cx(h)).await {
        Ok(listing) => assert!(
            !listing.is_complete() && listing.instances.is_empty(),
            "a listing with a bad credential claims to be complete: {listing:?}"
        ),
        Err(error) => assert!(
            error.kind() == ErrorKind::Auth,
            "listing failed with {error:?}"
        ),
    }
    h.tear_down().await;
    assert_remains(h, 0, "after a call with a bad credential").await;
    Verdict::Held
}

pub async fn the_deadline_is_respected(h: &dyn Harness) -> Verdict {
    let nodes = h.nodes(1);
    let late = need!(calls(h, CreateDelete, &nodes));
    let provider = h.provider();
    let passed = Context::new(h.cluster_id(), Instant::now());
    let Ok(outcomes) = timeout(SLACK, provider.power_up(&passed, &late)).await else {
        panic!("the deadline had passed, and power_up still runs {SLACK:?} later");
    };
    let outcome = outcomes.get(&nodes[0]);
    assert!(
        matches!(outcome, Some(Outcome::Skipped(_) | Outcome::Failed(_))),
        "the deadline had passed, and power_up says {outcome:?}"
    );
    assert_remains(h, 0, "after a call whose deadline had passed").await;

    let nodes = h.nodes(1);
    let slow = need!(calls(h, CreateDelete, &nodes));
    if h.slow_next(OpKind::Create, 10 * SLACK).await {
        let soon = Context::within(h.cluster_id(), SLACK);
        let Ok(outcomes) = timeout(2 * SLACK, provider.power_up(&soon, &slow)).await else {
            panic!("the deadline was {SLACK:?} off, and power_up still runs {SLACK:?} later");
        };
        let error = error_of("past the deadline", &outcomes, &nodes[0]);
        assert!(
            error.may_have_acted() == Effect::Unknown,
            "the call was under way at the deadline, and the provider says {error:?}"
        );
        assert_all_well("the replay", &power_up(h, &slow).await);
        clean_up(h, &nodes).await;
    }
    Verdict::Held
}

pub async fn no_secret_in_debug_or_errors(h: &dyn Harness) -> Verdict {
    let secrets = h.secrets();
    if secrets.is_empty() {
        return Verdict::DoesNotApply("the provider has no secret".into());
    }
    let provider = h.provider();
    let mut said = vec![
        ("Debug", format!("{provider:?} {provider:#?}")),
        ("Display", provider.to_string()),
        ("the capabilities", format!("{:?}", provider.capabilities())),
    ];
    let nodes = h.nodes(1);
    if let Ok(calls) = calls(h, CreateDelete, &nodes) {
        said.push(("a call, which is stored", format!("{calls:?}")));
        let up = settle(h, provider.power_up(&cx(h), &calls).await).await;
        said.push(("the outcome of power_up", everything(&up)));
        clean_up(h, &nodes).await;
        if h.bad_credentials().await {
            let refused = provider.power_up(&cx(h), &calls).await;
            said.push(("an error about the credential", everything(&refused)));
            if let Err(error) = provider.list(&cx(h)).await {
                said.push(("an error of a listing", all_of(&error)));
            }
            h.tear_down().await;
        }
    }
    for (what, text) in said {
        // Not the text itself: it holds a secret.
        assert!(
            !secrets.iter().any(|s| text.contains(s)),
            "{what} shows a secret"
        );
    }
    Verdict::Held
}

/// All that can be read out of outcomes.
fn everything(outcomes: &Outcomes) -> String {
    let errors = outcomes.iter().filter_map(|(_, outcome)| match outcome {
        Outcome::Failed(error) => Some(all_of(error)),
        _ => None,
    });
    format!("{outcomes:?} {}", errors.collect::<String>())
}

/// All that can be read out of an error, its sources included.
fn all_of(error: &Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text.push_str(&format!(" {inner} {inner:?}"));
        source = inner.source();
    }
    text
}
