//! Machines, actions, images, quota.

use std::time::Duration;

use serde_json::json;
use slurmburst_azure::AzureProvider;
use slurmburst_azure_emulator::{Act, Fault, Settings};
use slurmburst_core::error::ErrorKind;
use slurmburst_core::hostlist::HostSet;
use slurmburst_core::kind::{Action, ImageFilter, Operator, Quota, Whose};
use slurmburst_core::outcome::Outcome;
use slurmburst_core::provider::{CloudProvider, InstanceState, Lifecycle, Market, Owner};

use crate::world::{CLUSTER, SIZE, World, act, cx, failure, of};

#[tokio::test(flavor = "multi_thread")]
async fn machines_are_shown_whosever_they_are() {
    let world = World::new(Settings::default()).await;
    world.create("c1").await;
    world.by_hand("c2", json!({ "team": "physics" })).await;
    world
        .by_hand("c3", json!({ "slurmburst-cluster": "them-1" }))
        .await;
    for narrow in [false, true] {
        if narrow {
            // A role on the resource group alone: each is asked for its state.
            world
                .cloud()
                .forbid("Microsoft.Compute/virtualMachines/read", true);
        }
        let all = world.operator().machines(&cx(), None).await.unwrap();
        assert_eq!(all.len(), 3);
        let c1 = of(&all, "c1");
        assert_eq!(
            (c1.owner, c1.state),
            (Whose::Created, InstanceState::Running)
        );
        assert_eq!(
            (c1.power.as_deref(), c1.provisioning.as_deref()),
            (Some("running"), Some("Succeeded"))
        );
        assert_eq!(
            (c1.size.as_deref(), c1.zone.as_deref()),
            (Some(SIZE), Some("1"))
        );
        assert_eq!(
            (c1.region.as_deref(), c1.market),
            (Some("eastus"), Market::OnDemand)
        );
        assert!(
            c1.addresses.len() == 1
                && c1.created_ms.is_some()
                && c1.cluster.as_deref() == Some(CLUSTER)
        );
        assert_eq!(c1.tags["slurmburst-generation"], "5");
        let (c2, c3) = (of(&all, "c2"), of(&all, "c3"));
        assert_eq!((c2.owner, c2.cluster.as_deref()), (Whose::Nobody, None));
        assert_eq!(
            (c3.owner, c3.cluster.as_deref()),
            (Whose::AnotherCluster, Some("them-1"))
        );
        assert_eq!(c3.state, InstanceState::Running);
    }
    // A few are asked for by name; one that is not there is not there.
    let named: HostSet = "c[2,9]".parse().unwrap();
    let some = world
        .operator()
        .machines(&cx(), Some(&named))
        .await
        .unwrap();
    let names: Vec<&str> = some.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(
        (names, some[0].power.as_deref()),
        (vec!["c2"], Some("running"))
    );
    let many: HostSet = "c[2-99]".parse().unwrap();
    assert_eq!(
        world
            .operator()
            .machines(&cx(), Some(&many))
            .await
            .unwrap()
            .len(),
        2
    );
}

/// What is read grows with the pages, not with the machines.
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_machines_are_a_dozen_reads() {
    let settings = Settings {
        limits: false,
        missing_power_every: 0,
        ..Settings::default()
    };
    let world = World::new(settings).await;
    for n in 1..=200 {
        assert_eq!(
            world
                .cloud()
                .make_vm(&format!("c{n}"), SIZE, json!({}))
                .await,
            201
        );
    }
    world.cloud().advance(Duration::from_secs(100));
    let reads = || world.cloud().books().classes["reads"];
    let operator = world.operator();
    let all = operator.machines(&cx(), None).await.unwrap();
    assert!(all.len() == 200 && all.iter().all(|m| m.addresses.len() == 1));
    // Four pages each of machines, power states and network interfaces.
    assert_eq!(reads(), 12);
    let one: HostSet = "c7".parse().unwrap();
    assert_eq!(operator.machines(&cx(), Some(&one)).await.unwrap().len(), 1);
    assert_eq!(reads(), 12 + 1 + 4);
    // A power state that the list leaves out is asked for.
    world.cloud().change(|s| s.missing_power_every = 20);
    let all = operator.machines(&cx(), None).await.unwrap();
    assert!(all.iter().all(|m| m.power.as_deref() == Some("running")));
    assert_eq!(reads(), 12 + 1 + 4 + 12 + 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn adopting_writes_our_tags_and_keeps_the_others() {
    let world = World::new(Settings::default()).await;
    let operator = world.operator();
    world.by_hand("c1", json!({ "team": "physics" })).await;
    world
        .by_hand(
            "c2",
            json!({ "slurmburst-cluster": "them-1", "team": "maths" }),
        )
        .await;
    assert!(matches!(
        act(&operator, Action::Adopt, "c1").await,
        Outcome::Done(_)
    ));
    world.cloud().advance(Duration::from_secs(10));
    assert_eq!(
        act(&operator, Action::Adopt, "c1").await,
        Outcome::AlreadyDone
    );
    let refused = failure(act(&operator, Action::Adopt, "c2").await);
    assert_eq!(
        (refused.kind(), refused.cloud_code()),
        (ErrorKind::Invalid, Some("NameTaken"))
    );
    assert!(refused.message().contains("them-1"), "{refused}");
    let missing = failure(act(&operator, Action::Adopt, "c9").await);
    assert_eq!(missing.kind(), ErrorKind::NotFound);

    let all = operator.machines(&cx(), None).await.unwrap();
    let tags = json!({
        "team": "physics", "slurmburst-cluster": CLUSTER, "slurmburst-node": "c1",
        "slurmburst-origin": "adopted",
    });
    assert_eq!(world.tags(&all, "c1"), tags);
    assert_eq!(
        world.tags(&all, "c2"),
        json!({ "slurmburst-cluster": "them-1", "team": "maths" })
    );
    assert_eq!(world.cloud().books().count("PATCH virtualMachines"), 1);
    // And the provider takes it for ours, and for nothing to delete.
    let listing = AzureProvider::new(world.config())
        .list(&cx())
        .await
        .unwrap();
    let owners: Vec<(&str, Owner)> = listing
        .instances
        .iter()
        .map(|i| (i.node.as_str(), i.owner))
        .collect();
    assert_eq!(owners, [("c1", Owner::Adopted)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn restarting_and_stopping_is_for_machines_of_ours() {
    let world = World::new(Settings::default()).await;
    let operator = world.operator();
    world
        .by_hand("c1", json!({ "slurmburst-cluster": CLUSTER }))
        .await;
    world.by_hand("c2", json!({})).await;
    world
        .by_hand("c3", json!({ "slurmburst-cluster": "them-1" }))
        .await;
    assert!(matches!(
        act(&operator, Action::Restart, "c1").await,
        Outcome::Done(_)
    ));
    assert_eq!(world.cloud().books().count("virtualMachines/restart"), 1);
    for (node, code) in [
        ("c2", "NotAdopted"),
        ("c3", "NameTaken"),
        ("c9", "ResourceNotFound"),
    ] {
        for action in [Action::Restart, Action::Stop] {
            let refused = failure(act(&operator, action, node).await);
            assert_eq!(refused.cloud_code(), Some(code), "{node}: {refused}");
        }
    }
    assert!(matches!(
        act(&operator, Action::Stop, "c1").await,
        Outcome::Done(_)
    ));
    let all = operator.machines(&cx(), None).await.unwrap();
    assert_eq!(of(&all, "c1").state, InstanceState::StoppedBilled);
    assert_eq!(of(&all, "c2").state, InstanceState::Running);
    assert_eq!(
        act(&operator, Action::Stop, "c1").await,
        Outcome::AlreadyDone
    );
    let refused = failure(act(&operator, Action::Restart, "c1").await);
    assert!(
        refused.message().contains("slurmburst vm start c1"),
        "{refused}"
    );
    let books = world.cloud().books();
    assert_eq!(
        (
            books.count("powerOff"),
            books.count("poweroff"),
            books.running
        ),
        (0, 1, 2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttle_is_waited_for() {
    let world = World::new(Settings::default()).await;
    world
        .by_hand("c1", json!({ "slurmburst-cluster": CLUSTER }))
        .await;
    let fault = Fault::new(Act::ComputeThrottle(1));
    world.cloud().fault(fault.on("POST", "restart").times(1));
    assert!(matches!(
        act(&world.operator(), Action::Restart, "c1").await,
        Outcome::Done(_)
    ));
    assert_eq!(world.cloud().books().faults, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_told_level_by_level() {
    let world = World::new(Settings::default()).await;
    let operator = world.operator();
    let ask = |publisher: Option<&str>, offer: Option<&str>| {
        let filter = ImageFilter {
            publisher: publisher.map(str::to_owned),
            offer: offer.map(str::to_owned),
        };
        let operator = &operator;
        async move { operator.images(&cx(), &filter).await }
    };
    let all = ask(None, None).await.unwrap();
    assert!(
        all.iter().any(|i| i.publisher == "Canonical") && all.iter().all(|i| i.offer.is_none())
    );
    let offers = ask(Some("almalinux"), None).await.unwrap();
    let images: Vec<&str> = offers.iter().filter_map(|i| i.image.as_deref()).collect();
    assert_eq!(
        images,
        [
            "almalinux:almalinux-hpc:9-hpc-gen2:latest",
            "almalinux:almalinux-x86_64:9-gen2:latest"
        ]
    );
    let newest = ask(Some("almalinux"), Some("almalinux-hpc")).await.unwrap();
    assert_eq!(newest[0].version.as_deref(), Some("9.6.2025070101"));
    assert!(ask(Some("nobody"), None).await.unwrap().is_empty());
    for wrong in [("a/b", None), ("..", None), ("", None), ("a", Some("b?c"))] {
        let refused = ask(Some(wrong.0), wrong.1).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{wrong:?}");
    }
    assert!(ask(None, Some("x")).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn quota_knows_what_is_ours_and_what_is_wanted() {
    let settings = Settings {
        quota: [("standardDSv5Family".to_owned(), 40)].into(),
        ..Settings::default()
    };
    let world = World::new(settings).await;
    world.create("c1").await;
    world.by_hand("web1", json!({})).await;
    let quota = |nodes: &'static str| {
        let group = world.group(nodes, world.placement(Lifecycle::CreateDelete, json!({})));
        let operator = world.operator();
        async move {
            let all = operator.quota(&cx(), &[group]).await.unwrap();
            let is = |q: &&Quota| q.name == "standardDSv5Family";
            all.iter().find(is).unwrap().clone()
        }
    };
    let nine = quota("c[1-9]").await;
    assert_eq!((nine.used, nine.ours, nine.limit), (8, 4, 40));
    assert_eq!((nine.wanted, nine.one_node), (Some(36), Some(4)));
    assert!(nine.fits(), "web1's 4 and 36 are 40");
    assert!(!quota("c[1-10]").await.fits());
    // Spot counts against nothing else.
    let mut spot = world.placement(Lifecycle::CreateDelete, json!({}));
    spot.template.market = Market::Spot;
    let all = world
        .operator()
        .quota(&cx(), &[world.group("c[1-100]", spot)])
        .await
        .unwrap();
    let wanted: Vec<(&str, u64)> = all
        .iter()
        .filter_map(|q| Some((q.name.as_str(), q.wanted?)))
        .collect();
    assert_eq!(wanted, [("lowPriorityCores", 400)]);
}
