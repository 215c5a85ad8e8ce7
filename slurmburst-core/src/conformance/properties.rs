//! What is true of machines: how many there are, whose, and what is left.
#![allow(clippy::panic, reason = "a property that does not hold fails its test")]
#![allow(
    missing_docs,
    reason = "the names say it; the documentation is of `conformance`"
)]

use super::steps::{
    assert_all_well, assert_exactly, assert_remains, calls, clean_up, cx, downs, instances, list,
    power_down, power_up, settle,
};
use super::{Harness, Verdict};
use crate::error::Effect;
use crate::outcome::Outcome;
use crate::provider::{Chore, DownMode, InstanceState, Leftover, Lifecycle, OpKind};

use Lifecycle::{CreateDelete, StartDeallocate};

/// The value, or the end of the check because it does not apply.
macro_rules! need {
    ($value:expr) => {
        match $value {
            Ok(value) => value,
            Err(why) => return $crate::conformance::Verdict::DoesNotApply(why),
        }
    };
    ($can:expr, $what:literal) => {
        if !$can {
            let why = concat!("the harness cannot ", $what);
            return $crate::conformance::Verdict::DoesNotApply(why.to_owned());
        }
    };
}
pub(super) use need;

pub async fn the_same_call_twice_is_one_instance(h: &dyn Harness) -> Verdict {
    let nodes = h.nodes(1);
    let calls = need!(calls(h, CreateDelete, &nodes));
    for time in ["first", "second"] {
        assert_all_well(&format!("the {time} call"), &power_up(h, &calls).await);
    }
    let there = instances(h, &nodes[0]).await;
    assert!(there.len() == 1, "the same call twice made {there:#?}");
    assert_remains(h, 1, "after the same call twice").await;
    clean_up(h, &nodes).await;
    Verdict::Held
}

pub async fn a_lost_reply_and_a_replay_are_one_instance(h: &dyn Harness) -> Verdict {
    let nodes = h.nodes(1);
    let calls = need!(calls(h, CreateDelete, &nodes));
    need!(h.lose_next_reply(OpKind::Create).await, "lose a reply");
    let lost = h.provider().power_up(&cx(h), &calls).await;
    // A provider that is wrapped in retries may have got over it already.
    if let Some(Outcome::Failed(error)) = lost.get(&nodes[0]) {
        assert!(
            error.may_have_acted() == Effect::Unknown,
            "the reply was lost, and the provider says that nothing happened: {error:?}"
        );
    }
    assert_all_well("the replay", &power_up(h, &calls).await);
    let there = instances(h, &nodes[0]).await;
    assert!(
        there.len() == 1,
        "a lost reply and a replay made {there:#?}"
    );
    assert_remains(h, 1, "after a lost reply and a replay").await;
    clean_up(h, &nodes).await;
    Verdict::Held
}

pub async fn power_down_of_an_absent_node_is_fine(h: &dyn Harness) -> Verdict {
    let nodes = h.nodes(2);
    let provider = h.provider();
    let modes = [
        (CreateDelete, DownMode::Terminate),
        (StartDeallocate, DownMode::Deallocate),
    ];
    for (_, mode) in modes
        .into_iter()
        .filter(|(l, _)| provider.capabilities().offers(*l))
    {
        for node in &nodes {
            let batch = downs(std::slice::from_ref(node), mode);
            let outcomes = provider.power_down(&cx(h), &batch).await;
            assert!(
                outcomes.get(node) == Some(&Outcome::AlreadyDone),
                "{mode:?} of {node}, which never was, should be already done: {outcomes:?}"
            );
        }
    }
    Verdict::Held
}

pub async fn nothing_is_left_after_terminate(h: &dyn Harness) -> Verdict {
    let nodes = h.nodes(2);
    let calls = need!(calls(h, CreateDelete, &nodes));
    assert_all_well("power up", &power_up(h, &calls).await);
    assert_all_well(
        "terminate",
        &power_down(h, &nodes, DownMode::Terminate).await,
    );
    assert_remains(h, 0, "after terminate").await;
    for node in &nodes {
        let there = instances(h, node).await;
        assert!(there.is_empty(), "still listed after terminate: {there:#?}");
    }
    assert_all_well(
        "terminate again",
        &power_down(h, &nodes, DownMode::Terminate).await,
    );
    Verdict::Held
}

pub async fn start_after_deallocate_keeps_the_identity(h: &dyn Harness) -> Verdict {
    let nodes = h.nodes(1);
    let first = need!(calls(h, StartDeallocate, &nodes));
    let second = need!(calls(h, StartDeallocate, &nodes));
    need!(h.prepare(&nodes).await, "make a machine by hand");
    assert_all_well("the first start", &power_up(h, &first).await);
    let before = instances(h, &nodes[0]).await;
    assert!(
        before.len() == 1,
        "started one machine, and there are {before:#?}"
    );
    assert_all_well(
        "deallocate",
        &power_down(h, &nodes, DownMode::Deallocate).await,
    );
    assert_remains(h, 0, "after deallocate").await;
    let between = instances(h, &nodes[0]).await;
    assert!(
        between.len() == 1 && between[0].state == InstanceState::Stopped,
        "deallocated, and the listing shows {between:#?}"
    );
    assert_all_well("the second start", &power_up(h, &second).await);
    let after = instances(h, &nodes[0]).await;
    assert!(
        after.len() == 1 && after[0].id == before[0].id && after[0].state.is_up(),
        "started again, and it is another machine:\nbefore {before:#?}\nafter {after:#?}"
    );
    assert_all_well(
        "deallocate",
        &power_down(h, &nodes, DownMode::Deallocate).await,
    );
    Verdict::Held
}

pub async fn one_outcome_per_node(h: &dyn Harness) -> Verdict {
    let nodes = h.nodes(3);
    let calls = need!(calls(h, CreateDelete, &nodes));
    let provider = h.provider();
    let size = provider.capabilities().max_batch.max(1);
    let up = provider.power_up(&cx(h), &calls).await;
    assert_exactly("power_up", &up, &nodes);
    let pending: Vec<_> = up
        .iter()
        .filter_map(|(_, outcome)| match outcome {
            Outcome::Accepted(pending) => Some(pending.clone()),
            _ => None,
        })
        .collect();
    for chunk in pending.chunks(size) {
        let asked: Vec<_> = chunk.iter().map(|p| p.node.clone()).collect();
        assert_exactly("poll", &provider.poll(&cx(h), chunk).await, &asked);
    }
    assert_all_well("power up", &settle(h, up).await);
    // One that is there and one that is not, where they fit in one batch.
    let there_and_not = [nodes[0].clone(), h.nodes(1)[0].clone()];
    for chunk in there_and_not.chunks(size) {
        let down = provider
            .power_down(&cx(h), &downs(chunk, DownMode::Terminate))
            .await;
        assert_exactly("power_down", &down, chunk);
        settle(h, down).await;
    }
    let chores: Vec<Chore> = nodes
        .iter()
        .map(|node| {
            let (node, id, kind) = (node.clone(), "none".to_owned(), "disk".to_owned());
            Chore::Delete(Leftover {
                node,
                id,
                kind,
                certain: true,
            })
        })
        .collect();
    assert_exactly("tidy", &provider.tidy(&cx(h), &chores).await, &nodes);
    clean_up(h, &nodes).await;
    Verdict::Held
}

pub async fn list_returns_all_pages(h: &dyn Harness) -> Verdict {
    let nodes = h.nodes(h.more_than_a_page());
    let calls = need!(calls(h, CreateDelete, &nodes));
    assert_all_well("power up", &power_up(h, &calls).await);
    let listing = list(h).await;
    assert!(
        listing.is_complete(),
        "a listing without fault has gaps: {:?}",
        listing.gaps
    );
    for node in &nodes {
        let times = listing.instances.iter().filter(|i| i.node == *node).count();
        assert!(
            times == 1,
            "{node} is listed {times} times, of {} instances",
            nodes.len()
        );
    }
    clean_up(h, &nodes).await;
    Verdict::Held
}

pub async fn list_reports_gaps(h: &dyn Harness) -> Verdict {
    let nodes = h.nodes(1);
    let calls = need!(calls(h, CreateDelete, &nodes));
    assert_all_well("power up", &power_up(h, &calls).await);
    need!(h.gap().await, "keep a part of the cloud from answering");
    // All of it failing is a report too.
    if let Ok(listing) = h.provider().list(&cx(h)).await {
        assert!(
            !listing.is_complete(),
            "a part of the cloud did not answer, and the listing claims to be complete: {listing:?}"
        );
    }
    h.tear_down().await;
    clean_up(h, &nodes).await;
    Verdict::Held
}

pub async fn other_clusters_instances_are_not_ours(h: &dyn Harness) -> Verdict {
    let nodes = h.nodes(1);
    need!(
        h.other_clusters_instance(&nodes[0]).await,
        "make a machine of another cluster"
    );
    let there = instances(h, &nodes[0]).await;
    assert!(
        there.is_empty(),
        "another cluster's machine is listed as ours: {there:#?}"
    );
    if h.provider().capabilities().offers(CreateDelete) {
        power_down(h, &nodes, DownMode::Terminate).await;
        assert!(
            h.other_clusters_instance_runs().await,
            "our terminate of {} took another cluster's machine of that name",
            nodes[0]
        );
    }
    Verdict::Held
}
