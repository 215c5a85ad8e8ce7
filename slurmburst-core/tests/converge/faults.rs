//! Clouds that answer badly, late, or not at all.

use std::time::Duration;

use slurmburst_core::error::{Error, ErrorKind};
use slurmburst_core::fake::{Chaos, Fault, Trouble};
use slurmburst_core::ledger::{AttemptState, Program};
use slurmburst_core::provider::OpKind;
use tokio::time::{sleep, timeout};

use crate::world::{Plan, error, group, list, name, seeds};

#[tokio::test(start_paused = true)]
async fn a_lost_reply_is_replayed_and_makes_one_machine() {
    let world = Plan::default().build();
    // More often than the retries inside one call.
    world
        .cloud()
        .fault(Fault::new(Trouble::LoseReply).on(OpKind::Create).times(5));
    world.resume("c[1-3]");
    let report = world.run().await;
    assert_eq!((report.up, report.failed), (3, 0));
    assert_eq!((world.running().len(), world.launches("c1")), (3, 1));
    world.never_two_at_once();
}

#[tokio::test(start_paused = true)]
async fn an_unknown_effect_and_then_a_suspend_leave_nothing() {
    for acts in [true, false] {
        let world = Plan::default().build();
        let lost = if acts {
            Trouble::LoseReply
        } else {
            Trouble::Refuse(error(ErrorKind::Unavailable))
        };
        world
            .cloud()
            .fault(Fault::new(lost).on(OpKind::Create).times(4));
        world.resume("c[1-3]");
        world.killed_after(Duration::from_secs(3), false).await;
        world.record(Program::ResumeFail, &list("c[1-3]"));
        world.run().await;
        assert!(world.billed().is_empty(), "{:?}", world.billed());
        assert!(world.wish("c1").settled.is_some());
        world.never_two_at_once();
    }
}

/// The first send acts and its reply is lost; after that nothing gets through.
#[tokio::test(start_paused = true)]
async fn a_replay_that_is_refused_says_nothing_about_the_first_send() {
    for kind in [
        ErrorKind::Connect,
        ErrorKind::Throttled,
        ErrorKind::Auth,
        ErrorKind::Invalid,
    ] {
        let world = Plan::default()
            .cloud(|c| c.consistency_window = Duration::from_secs(60))
            .build();
        // One send and its two retries, then every replay for a while.
        let lost = Fault::new(Trouble::LoseReply).on(OpKind::Create).times(3);
        world.cloud().fault(lost);
        let refused = Fault::new(Trouble::Refuse(error(kind))).on(OpKind::Create);
        world.cloud().fault(refused.nth(4).times(4));
        world.resume("c1");
        assert_eq!(world.run().await.up, 1, "{kind}");
        assert_eq!(world.launches("c1"), 1, "{kind}");
        world.never_two_at_once();
        world.record(Program::ResumeFail, &list("c1"));
        world.run().await;
        assert!(world.billed().is_empty(), "{kind}: {:?}", world.billed());
    }
}

/// Neither the send nor any replay ever acted.
#[tokio::test(start_paused = true)]
async fn a_call_that_never_acted_ends_with_what_its_replay_was_refused_for() {
    let world = Plan::default().build();
    let busy = Error::new(ErrorKind::Unavailable, "503");
    world.cloud().fault(
        Fault::new(Trouble::Refuse(busy))
            .on(OpKind::Create)
            .times(3),
    );
    let wrong = Error::new(ErrorKind::Invalid, "no such image").code("InvalidImage");
    world.cloud().fault(
        Fault::new(Trouble::Refuse(wrong))
            .on(OpKind::Create)
            .always(),
    );
    world.resume("c1");
    world.run().await;
    assert_eq!(world.failure("c1"), "invalid: no such image (InvalidImage)");
    let attempts = world.ledger(|l| l.attempts(&name("c1"), None).unwrap());
    assert!(attempts.iter().all(|a| !a.state.is_live()), "{attempts:?}");
    assert!(matches!(attempts[0].state, AttemptState::Refused(_)));
}

#[tokio::test(start_paused = true)]
async fn throttling_slows_and_fails_nothing() {
    let world = Plan::default()
        .site(group("c[1-40]", "create-delete", &["a"]))
        .cloud(|c| {
            c.max_batch = 1;
            // It does not tell of its limit, and enforces it.
            c.enforced = Some(vec![crate::world::writes(5.0, 2.0)]);
        });
    let world = world.build();
    world.resume("c[1-40]");
    let report = world.run().await;
    assert_eq!((report.up, report.failed), (40, 0));
    world.never_two_at_once();
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_provider_costs_one_call() {
    for op in [
        OpKind::Create,
        OpKind::List,
        OpKind::Poll,
        OpKind::Terminate,
    ] {
        let world = Plan::default().cloud(|c| c.max_batch = 2).build();
        world.cloud().fault(Fault::new(Trouble::Panic).on(op));
        world.resume("c[1-6]");
        assert_eq!(world.run().await.up, 6, "{op:?}");
        world.record(Program::ResumeFail, &list("c[1-6]"));
        world.run().await;
        assert!(world.billed().is_empty(), "{op:?}");
        world.never_two_at_once();
    }
}

#[tokio::test(start_paused = true)]
async fn from_a_listing_with_gaps_nothing_is_concluded() {
    let world = Plan::default().build();
    world.resume("c1");
    world.run().await;
    world.cloud().gap("a", error(ErrorKind::Unavailable));
    // Not placed: there may be something in the gap. Not settled, for the same reason.
    world.record(Program::Suspend, &list("c3"));
    world.resume("c2");
    let stuck = timeout(Duration::from_secs(60), world.run()).await;
    assert!(stuck.is_err() && world.launches("c2") == 0);
    assert!(world.wish("c2").settled.is_none() && world.wish("c3").settled.is_none());
    // What is known to run goes down all the same.
    world.record(Program::ResumeFail, &list("c1"));
    let _ = timeout(Duration::from_secs(30), world.run()).await;
    assert!(world.billed().is_empty());
    world.cloud().calm();
    assert_eq!(world.run().await.up, 1);
    assert!(world.wish("c1").settled.is_some() && world.wish("c3").settled.is_some());
}

#[tokio::test(start_paused = true)]
async fn bad_credentials_fail_at_once_and_are_told() {
    let world = Plan::default().build();
    world
        .cloud()
        .fault(Fault::new(Trouble::Refuse(error(ErrorKind::Auth))).always());
    world.resume("c1");
    // It stays for the suspend that follows, which cannot be settled either.
    let _ = timeout(Duration::from_secs(60), world.run()).await;
    assert!(
        world.failure("c1").starts_with("auth"),
        "{}",
        world.failure("c1")
    );
    assert!(
        world.reason("c1").starts_with("slurmburst: auth"),
        "{}",
        world.reason("c1")
    );
    let lists = world.cloud().read(|b| b.count(OpKind::List)).unwrap();
    assert!(lists < 15, "{lists} listings in a minute");
}

#[tokio::test(start_paused = true)]
async fn a_power_down_is_tried_until_it_works() {
    let world = Plan::default().build();
    world.resume("c1");
    world.run().await;
    world.cloud().fault(
        Fault::new(Trouble::Refuse(error(ErrorKind::Auth)))
            .on(OpKind::Terminate)
            .times(9),
    );
    world.record(Program::Suspend, &list("c1"));
    world.run().await;
    assert!(world.billed().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_replayed_call_raises_nothing_for_good_that_was_suspended_since() {
    // This cloud knows calls by their names alone: c2, gone when the call is sent
    // again for c1, is made anew.
    let world = Plan::default()
        .cloud(|c| {
            (c.idempotent, c.unique_names) = (false, true);
            // A new machine is listed late.
            c.consistency_window = Duration::from_secs(60);
        })
        .build();
    let nodes = Trouble::Nodes(list("c1"), error(ErrorKind::Timeout));
    world
        .cloud()
        .fault(Fault::new(nodes).on(OpKind::Create).times(15));
    world.resume("c[1-2]");
    let scene = async {
        sleep(Duration::from_secs(12)).await;
        world.record(Program::ResumeFail, &list("c2"));
        sleep(Duration::from_secs(100)).await;
    };
    world.run_while(scene).await;
    // Nor does a power-down wait for the others of the call.
    let events = world.ledger(|l| l.events(Some(&list("c2")), 1_000).unwrap());
    let first = |what: &str| events.iter().find(|e| e.what == what).unwrap().at_ms;
    assert!(first("down") - first("wish-down") < 25_000, "{events:?}");
    assert_eq!(
        (world.running(), world.launches("c2") > 1),
        (vec!["c1".to_owned()], true)
    );
}

#[tokio::test(start_paused = true)]
async fn a_cloud_that_forgets_what_it_listed_costs_no_flood_of_requests() {
    // Terminated, and still listed as running for a while.
    let world = Plan::default().build();
    world.resume("c1");
    world.run().await;
    let id = world
        .cloud()
        .read(|b| b.machines().next().unwrap().id.clone())
        .unwrap();
    let lie = async {
        loop {
            world
                .cloud()
                .force(&id, slurmburst_core::provider::InstanceState::Running)
                .unwrap();
            sleep(Duration::from_millis(50)).await;
        }
    };
    world.record(Program::Suspend, &list("c1"));
    tokio::select! {
        () = lie => {}
        _ = timeout(Duration::from_secs(60), world.run()) => {}
    }
    let requests = world.cloud().read(|b| b.count(OpKind::Terminate)).unwrap();
    assert!(requests <= 40, "{requests} requests in a minute");
    assert!(
        world.wish("c1").settled.is_none(),
        "it is listed as running"
    );
}

#[tokio::test(start_paused = true)]
async fn a_bad_day_ends_as_it_was_wished() {
    for seed in seeds(8) {
        let world = Plan::default()
            .site(group("c[1-20]", "create-delete", &["a"]))
            .cloud(|c| {
                c.max_batch = 4;
                c.chaos = Some(Chaos {
                    seed,
                    refuse: 0.15,
                    lose_reply: 0.15,
                    partial: 0.1,
                    slow: (0.1, Duration::from_secs(20)),
                });
            })
            .build();
        world.resume("c[1-20]");
        let scene = async {
            sleep(Duration::from_secs(9)).await;
            world.record(Program::ResumeFail, &list("c[5-12]"));
            sleep(Duration::from_secs(7)).await;
            world.record(Program::Resume, &list("c[8-10]"));
            sleep(Duration::from_secs(300)).await;
        };
        world.run_while(scene).await;
        world.never_two_at_once();
        for node in list("c[1-20]") {
            let wish = world.wish(node.as_str());
            let settled = wish.settled.expect("settled");
            let up = wish.direction == slurmburst_core::provider::Direction::Up
                && settled.result.is_ok();
            let count = world
                .billed()
                .iter()
                .filter(|n| **n == node.to_string())
                .count();
            assert_eq!(
                count,
                usize::from(up),
                "seed {seed}: {node} {:?}",
                world.history(node.as_str())
            );
        }
    }
}
