//! What the provider does, request by request, over an Azure in memory.
#![allow(
    clippy::panic,
    clippy::too_many_arguments,
    clippy::unwrap_used,
    reason = "a test fails like this"
)]

mod common;
mod memory;

use std::sync::Arc;
use std::time::Duration;

use common::{CLUSTER, config, placement, provider};
use memory::{Cloud, arc};
use serde_json::json;
use slurmburst_azure::{AzureProvider, Match};
use slurmburst_core::error::{Advice, Effect, ErrorKind};
use slurmburst_core::hostlist::NodeName;
use slurmburst_core::outcome::{Outcome, Outcomes};
use slurmburst_core::provider::{
    Call, CallNode, Chore, CloudProvider, Context, DownMode, Generation, InstanceState, Lifecycle,
    Owner, Pending, PowerDown,
};

fn cx() -> Context {
    Context::within(CLUSTER, Duration::from_secs(20))
}

fn name(node: &str) -> NodeName {
    NodeName::new(node).unwrap()
}

fn call(provider: &AzureProvider, lifecycle: Lifecycle, node: &str, id: &str) -> Call {
    let placement = placement(lifecycle);
    let rendered = provider
        .render(&placement, &[name(node)])
        .unwrap()
        .remove(0);
    Call {
        id: id.into(),
        token: id.into(),
        placement,
        nodes: vec![CallNode {
            name: name(node),
            generation: Generation(5),
        }],
        request: rendered.request,
    }
}

fn down(node: &str, instance: Option<&str>, mode: DownMode) -> PowerDown {
    PowerDown {
        node: name(node),
        generation: Generation(6),
        instance: instance.map(str::to_owned),
        mode,
    }
}

fn only(outcomes: Outcomes) -> Outcome {
    assert_eq!(outcomes.len(), 1);
    outcomes.into_iter().next().unwrap().1
}

/// Polls until it has happened. Answers with that, and how often was asked.
async fn settle(provider: &AzureProvider, mut outcome: Outcome) -> Outcome {
    for _ in 0..200 {
        let Outcome::Accepted(pending) = &outcome else {
            return outcome;
        };
        tokio::time::sleep(Duration::from_millis(20)).await;
        // As the ledger keeps it.
        let kept = serde_json::to_string(pending).unwrap();
        let pending: Pending = serde_json::from_str(&kept).unwrap();
        outcome = only(provider.poll(&cx(), &[pending]).await);
    }
    panic!("never: {outcome:?}");
}

fn start() -> (Arc<Cloud>, Arc<AzureProvider>) {
    let cloud = arc();
    let provider = provider(&cloud, config());
    (cloud, provider)
}

async fn up(provider: &AzureProvider, node: &str, id: &str) -> Outcome {
    let call = call(provider, Lifecycle::CreateDelete, node, id);
    let first = only(provider.power_up(&cx(), &[call]).await);
    settle(provider, first).await
}

fn failure(outcome: Outcome) -> slurmburst_core::error::Error {
    match outcome {
        Outcome::Failed(error) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_write_makes_a_machine_with_the_newest_image() {
    let (cloud, provider) = start();
    for n in 1..=3 {
        let outcome = up(&provider, &format!("c{n}"), &format!("call-{n}")).await;
        let Outcome::Done(machine) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(machine.address, "10.0.0.4".parse().ok());
    }
    assert_eq!(
        (
            cloud.count("create"),
            cloud.count("part"),
            cloud.count("images")
        ),
        (3, 0, 1)
    );
    let body = cloud.state().vms["c1"].body.clone();
    assert_eq!(
        body["properties"]["storageProfile"]["imageReference"]["version"],
        "8.7.1"
    );
    let listing = provider.list(&cx()).await.unwrap();
    assert!(listing.is_complete() && listing.leftovers.is_empty());
    let one = &listing.instances[0];
    assert_eq!(
        (one.node.as_str(), one.state, one.owner),
        ("c1", InstanceState::Running, Owner::Created)
    );
    assert_eq!(
        (one.generation, one.call.as_deref()),
        (Some(Generation(5)), Some("call-1"))
    );
    assert_eq!(one.address, "10.0.0.4".parse().ok());
}

#[tokio::test]
async fn a_failed_create_says_why_and_leaves_nothing_after_its_delete() {
    let (cloud, provider) = start();
    cloud.state().no_room = true;
    let error = failure(up(&provider, "c1", "call-1").await);
    assert_eq!(
        (error.kind(), error.cloud_code()),
        (ErrorKind::Capacity, Some("AllocationFailed"))
    );
    assert_eq!(
        (error.advice(), error.may_have_acted()),
        (Advice::Elsewhere, Effect::None)
    );
    assert_eq!(
        cloud.count("operation"),
        1,
        "an operation is asked only why it failed"
    );
    let listing = provider.list(&cx()).await.unwrap();
    assert_eq!(listing.instances[0].state, InstanceState::Failed);
    // The next rung finds the debris in its way, and makes no second machine.
    cloud.state().no_room = false;
    let again = call(&provider, Lifecycle::CreateDelete, "c1", "call-2");
    let outcome = only(provider.power_up(&cx(), std::slice::from_ref(&again)).await);
    assert!(
        matches!(&outcome, Outcome::Waiting { why, .. } if why.contains("earlier attempt")),
        "{outcome:?}"
    );
    let gone = only(
        provider
            .power_down(&cx(), &[down("c1", None, DownMode::Terminate)])
            .await,
    );
    let waiting = only(provider.power_up(&cx(), std::slice::from_ref(&again)).await);
    assert!(
        matches!(&waiting, Outcome::Waiting { why, .. } if why.contains("being deleted")),
        "{waiting:?}"
    );
    assert!(settle(&provider, gone).await.is_success());
    assert!(cloud.state().nics.is_empty() && cloud.state().disks.is_empty());
    let first = only(provider.power_up(&cx(), &[again]).await);
    assert!(settle(&provider, first).await.is_success());
}

#[tokio::test]
async fn a_replay_of_a_failed_create_says_why_too() {
    let (cloud, provider) = start();
    cloud.state().no_room = true;
    cloud.state().lose = Some("create");
    let call = call(&provider, Lifecycle::CreateDelete, "c1", "call-1");
    let lost = failure(only(
        provider.power_up(&cx(), std::slice::from_ref(&call)).await,
    ));
    assert_eq!(lost.may_have_acted(), Effect::Unknown);
    let second = only(provider.power_up(&cx(), std::slice::from_ref(&call)).await);
    assert_eq!(
        failure(settle(&provider, second).await).kind(),
        ErrorKind::Capacity
    );
    let third = failure(only(provider.power_up(&cx(), &[call]).await));
    assert_eq!(third.cloud_code(), Some("AllocationFailed"));
    assert_eq!(cloud.state().vms.len(), 1);
}

#[tokio::test]
async fn a_reserved_nic_is_waited_for() {
    let (cloud, provider) = start();
    cloud.state().refuse = Some(("create", 400, "NicReservedForAnotherVm", "", 170));
    let call = call(&provider, Lifecycle::CreateDelete, "c1", "call-1");
    let outcome = only(provider.power_up(&cx(), &[call]).await);
    let Outcome::Waiting { retry_after, .. } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(retry_after, Duration::from_secs(170));
}

#[tokio::test]
async fn a_throttle_holds_the_class_and_not_the_node() {
    let (cloud, provider) = start();
    cloud.state().refuse = Some(("create", 429, "OperationNotAllowed", "TooManyRequests", 60));
    let first = failure(up(&provider, "c1", "call-1").await);
    let second = failure(up(&provider, "c2", "call-2").await);
    for error in [&first, &second] {
        assert_eq!(error.kind(), ErrorKind::Throttled);
        assert!(
            error.delay().unwrap() > Duration::from_secs(55),
            "{error:?}"
        );
    }
    assert_eq!(cloud.count("create"), 1, "the second was not sent");
    assert!(provider.list(&cx()).await.is_ok(), "reads go on");
}

#[tokio::test]
async fn a_token_that_runs_out_under_way_is_renewed_once() {
    let (cloud, provider) = start();
    cloud.state().expired = 1;
    assert!(up(&provider, "c1", "call-1").await.is_success());
    cloud.state().expired = 2;
    let error = failure(up(&provider, "c2", "call-2").await);
    assert_eq!(
        (error.kind(), error.advice()),
        (ErrorKind::Auth, Advice::Never)
    );
}

#[tokio::test]
async fn an_operation_at_another_host_is_not_followed() {
    let (cloud, provider) = start();
    cloud.state().elsewhere = true;
    cloud.state().no_room = true;
    let error = failure(up(&provider, "c1", "call-1").await);
    // The cloud asserts that no request goes to another host.
    assert_eq!(error.cloud_code(), Some("ForeignAddress"));
    assert!(error.message().contains("evil.example"), "{error}");
}

#[tokio::test]
async fn start_and_deallocate_keep_the_machine() {
    for no_statuses in [false, true] {
        let (cloud, provider) = start();
        let id = cloud.state().make(
            "c1",
            json!({ "slurmburst-cluster": CLUSTER }),
            "deallocated",
        );
        cloud.state().no_statuses = no_statuses;
        let call = call(&provider, Lifecycle::StartDeallocate, "c1", "call-1");
        for _ in 0..2 {
            let first = only(provider.power_up(&cx(), std::slice::from_ref(&call)).await);
            let Outcome::Done(machine) = settle(&provider, first).await else {
                panic!()
            };
            assert_eq!(machine.instance.as_deref(), Some(id.as_str()));
        }
        let one = &provider.list(&cx()).await.unwrap().instances[0];
        assert_eq!(
            (one.state, one.owner),
            (InstanceState::Running, Owner::Adopted)
        );
        // It was not made by us: never deleted.
        let never = failure(only(
            provider
                .power_down(&cx(), &[down("c1", None, DownMode::Terminate)])
                .await,
        ));
        assert_eq!(never.kind(), ErrorKind::Unsupported);
        let off = only(
            provider
                .power_down(&cx(), &[down("c1", Some(&id), DownMode::Deallocate)])
                .await,
        );
        assert!(settle(&provider, off).await.is_success());
        let again = only(
            provider
                .power_down(&cx(), &[down("c1", Some(&id), DownMode::Deallocate)])
                .await,
        );
        assert!(settle(&provider, again).await.is_success());
        assert_eq!(cloud.count("delete"), 0);
        if !no_statuses {
            assert_eq!((cloud.count("start"), cloud.count("deallocate")), (1, 1));
            assert_eq!(cloud.count("view"), 0, "nothing is asked one by one");
        }
    }
}

#[tokio::test]
async fn a_machine_without_tags_is_matched_only_where_the_site_says_so() {
    let cloud = arc();
    cloud.state().make("c1", json!({}), "deallocated");
    let strict = provider(&cloud, config());
    let first = call(&strict, Lifecycle::StartDeallocate, "c1", "call-1");
    let error = failure(only(
        strict.power_up(&cx(), std::slice::from_ref(&first)).await,
    ));
    assert!(
        error.message().contains("slurmburst vm adopt c1"),
        "{error}"
    );
    assert!(strict.list(&cx()).await.unwrap().instances.is_empty());
    let mut by_name = config();
    by_name.matching = Match::Name;
    let loose = provider(&cloud, by_name);
    let begun = only(loose.power_up(&cx(), &[first]).await);
    assert!(settle(&loose, begun).await.is_success());
    let one = &loose.list(&cx()).await.unwrap().instances[0];
    assert_eq!(
        (one.owner, one.state),
        (Owner::Matched, InstanceState::Running)
    );
    // A create never lands on it.
    let taken = failure(up(&loose, "c1", "call-2").await);
    assert_eq!(
        (taken.cloud_code(), taken.advice()),
        (Some("NameTaken"), Advice::Never)
    );
}

#[tokio::test]
async fn another_machine_of_the_same_name_is_left_alone() {
    let (cloud, provider) = start();
    assert!(up(&provider, "c1", "call-1").await.is_success());
    let old = only(
        provider
            .power_down(&cx(), &[down("c1", Some("id-of-old"), DownMode::Terminate)])
            .await,
    );
    assert_eq!(old, Outcome::AlreadyDone);
    assert_eq!(cloud.count("delete"), 0);
}

#[tokio::test]
async fn leftovers_are_found_by_name_and_removed() {
    let (cloud, provider) = start();
    assert!(up(&provider, "c1", "call-1").await.is_success());
    let (nic, disk) = {
        let mut state = cloud.state();
        let nic = state.nics.keys().next().unwrap().clone();
        let disk = state.disks.keys().next().unwrap().clone();
        // The machine went and left them; others hang about too.
        state.vms.clear();
        state.nics = [
            (nic.clone(), false),
            (format!("{nic}-1a2b"), false),
            ("web1-nic".into(), false),
        ]
        .into();
        state.disks = [(disk.clone(), false), ("data".into(), false)].into();
        (nic, disk)
    };
    let listing = provider.list(&cx()).await.unwrap();
    let found: Vec<(bool, &str)> = listing
        .leftovers
        .iter()
        .map(|l| (l.certain, l.id.rsplit('/').next().unwrap()))
        .collect();
    assert_eq!(
        found,
        [
            (true, nic.as_str()),
            (false, &format!("{nic}-1a2b")),
            (true, &disk)
        ]
    );
    for leftover in listing.leftovers {
        let certain = leftover.certain;
        let outcome = only(provider.tidy(&cx(), &[Chore::Delete(leftover)]).await);
        assert_eq!(matches!(outcome, Outcome::Done(_)), certain, "{outcome:?}");
        assert_eq!(matches!(outcome, Outcome::Skipped(_)), !certain);
    }
    let state = cloud.state();
    assert_eq!((state.nics.len(), state.disks.len()), (2, 1));
}

#[tokio::test]
async fn tags_are_added_to_those_that_are_there() {
    let (cloud, provider) = start();
    let id = cloud.state().make("c1", json!({ "mine": "1" }), "running");
    let tags = [("slurmburst-cluster".to_owned(), CLUSTER.to_owned())].into();
    let chore = Chore::Tag {
        node: name("c1"),
        instance: id,
        tags,
    };
    for want in ["done", "already-done"] {
        assert_eq!(
            only(provider.tidy(&cx(), std::slice::from_ref(&chore)).await).as_str(),
            want
        );
    }
    assert_eq!(
        cloud.state().vms["c1"].body["tags"],
        json!({ "mine": "1", "slurmburst-cluster": CLUSTER })
    );
}

/// Progress of many nodes costs listings, not a request each.
#[tokio::test]
async fn a_hundred_nodes_share_their_listings() {
    let cloud = arc();
    let mut slow = config();
    slow.poll_interval = Duration::from_secs(5);
    let provider = provider(&cloud, slow);
    let calls: Vec<Call> = (0..100)
        .map(|n| {
            call(
                &provider,
                Lifecycle::CreateDelete,
                &format!("c{n}"),
                &format!("call-{n}"),
            )
        })
        .collect();
    let mut pending = Vec::new();
    for one in &calls {
        match only(provider.power_up(&cx(), std::slice::from_ref(one)).await) {
            Outcome::Accepted(p) => pending.push(p),
            other => panic!("{other:?}"),
        }
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = cloud.count("all");
    let asked = pending
        .iter()
        .map(|p| async { only(provider.poll(&cx(), std::slice::from_ref(p)).await) });
    for outcome in futures::future::join_all(asked).await {
        assert!(outcome.is_success(), "{outcome:?}");
    }
    // 50 pages of two machines, and one of NICs.
    assert_eq!(cloud.count("all") - before, 51);
    assert_eq!(cloud.count("create"), 100);
}
