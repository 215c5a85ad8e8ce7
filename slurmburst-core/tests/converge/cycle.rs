//! Up, down, and one crossing the other.

use std::time::Duration;

use slurmburst_core::ledger::Program;
use slurmburst_core::provider::{OpKind, Owner};
use tokio::time::{sleep, timeout};

use crate::world::{CLUSTER, Plan, group, list, name};

#[tokio::test(start_paused = true)]
async fn a_node_comes_up_and_goes_down_again() {
    let world = Plan::default().build();
    world.resume("c[1-3]");
    let report = world.run().await;
    assert_eq!((report.up, report.power_up_calls), (3, 1));
    world.pass(1).await;
    assert_eq!(world.running(), ["c1", "c2", "c3"]);
    assert_eq!(world.state("c1"), "IDLE+CLOUD");
    world.suspend("c[1-3]");
    world.pass(2).await;
    let report = world.run().await;
    assert_eq!((report.down, world.billed().len()), (3, 0));
    world.pass(40).await;
    assert!(world.state("c1").contains("POWERED_DOWN"));
    world.never_two_at_once();
}

#[tokio::test(start_paused = true)]
async fn resume_while_the_old_machine_is_deleted_waits_and_comes_up() {
    let world = Plan::default()
        .cloud(|c| c.stop_delay = Duration::from_secs(40))
        .build();
    world.resume("c1");
    world.run().await;
    world.suspend("c1");
    world.pass(2).await;
    assert!(
        world.killed_after(Duration::from_secs(5), false).await,
        "it is still going down"
    );
    world.pass(30).await;
    world.resume("c1");
    let report = world.run().await;
    assert_eq!(report.up, 1);
    assert_eq!(
        (world.running(), world.launches("c1")),
        (vec!["c1".to_owned()], 2)
    );
    world.never_two_at_once();
}

#[tokio::test(start_paused = true)]
async fn past_the_deadline_an_old_machine_in_the_way_is_a_conflict() {
    let world = Plan {
        resume_timeout: 60,
        suspend_timeout: 5,
        ..Plan::default()
    }
    .cloud(|c| c.stop_delay = Duration::from_secs(200))
    .build();
    world.resume("c1");
    world.run().await;
    world.suspend("c1");
    world.pass(2).await;
    assert!(world.killed_after(Duration::from_secs(5), false).await);
    world.pass(10).await;
    world.resume("c1");
    assert!(world.state("c1").contains("POWERING_UP"));
    world.run().await;
    assert!(
        world
            .failure("c1")
            .starts_with("conflict: the old instance"),
        "{}",
        world.failure("c1")
    );
    assert!(
        world.history("c1").iter().any(|w| w == "power-down-force"),
        "{:?}",
        world.history("c1")
    );
    world.pass(200).await;
    assert!(world.billed().is_empty());
    world.never_two_at_once();
}

#[tokio::test(start_paused = true)]
async fn a_suspend_in_the_middle_of_a_power_up_leaves_nothing() {
    for seconds in [0, 1, 3, 6] {
        let world = Plan::default().build();
        world.resume("c[1-4]");
        let scene = async {
            sleep(Duration::from_secs(seconds)).await;
            world.record(Program::ResumeFail, &list("c[1-4]"));
            sleep(Duration::from_secs(60)).await;
        };
        world.run_while(scene).await;
        assert!(
            world.billed().is_empty(),
            "after {seconds} s: {:?}",
            world.billed()
        );
        world.never_two_at_once();
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_were_not_sent_are_taken_back_when_nobody_wants_them_any_more() {
    let site = group("c[1-1000]", "create-delete", &["a"]);
    let world = Plan::default()
        .site(site)
        .cloud(|c| {
            c.max_batch = 10;
            c.concurrency = 2;
            c.delay = Duration::from_secs(10);
        })
        .build();
    let nodes = list("c[1-1000]");
    world.record(Program::Resume, &nodes);
    let cancel = async {
        sleep(Duration::from_secs(15)).await;
        world.record(Program::ResumeFail, &nodes);
    };
    world.run_while(cancel).await;
    let creates = world.cloud().read(|b| b.count(OpKind::Create)).unwrap();
    assert!(creates <= 6, "{creates} of 100 calls were sent");
    assert!(world.billed().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_second_resume_of_what_is_up_makes_nothing() {
    let world = Plan::default().build();
    world.record(Program::Resume, &list("c1"));
    world.run().await;
    world.record(Program::Resume, &list("c1"));
    let report = world.run().await;
    assert_eq!((report.up, world.launches("c1")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_suspend_that_slurm_has_overtaken_is_left_to_the_power_up() {
    let world = Plan::default().build();
    world.record(Program::Suspend, &list("c1"));
    world.slurm.power_up(&list("c1"));
    // Its ResumeProgram has not come yet.
    let _ = world.slurm.calls();
    world.run().await;
    world.pass(1).await;
    assert_eq!(
        (world.running(), world.state("c1")),
        (vec!["c1".to_owned()], "IDLE+CLOUD".to_owned())
    );
    assert!(world.history("c1").contains(&"superseded".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_suspend_is_obeyed_when_slurm_says_nothing() {
    let world = Plan::default().build();
    world.resume("c1");
    world.run().await;
    world.slurm.silence(Some(
        slurmburst_core::slurm::control::SlurmErrorKind::Timeout,
    ));
    world.record(Program::Suspend, &list("c1"));
    world.run().await;
    assert!(world.billed().is_empty());
}

#[tokio::test(start_paused = true)]
async fn start_deallocate_keeps_the_machine_and_never_terminates_it() {
    let world = Plan::default()
        .site(group("c[1-10]", "start-deallocate", &["a"]))
        .build();
    let id = world
        .cloud()
        .make(CLUSTER, &name("c1"), Owner::Matched)
        .unwrap();
    for _ in 0..2 {
        world.resume("c1");
        assert_eq!(world.run().await.up, 1);
        world.pass(1).await;
        world.suspend("c1");
        world.pass(2).await;
        assert_eq!(world.run().await.down, 1);
        world.pass(60).await;
    }
    let (words, terminated) = world
        .cloud()
        .read(|b| {
            let of = b.machine(&id).unwrap();
            let words: Vec<String> = of.history.iter().map(|h| h.what.clone()).collect();
            (words, b.count(OpKind::Terminate))
        })
        .unwrap();
    assert_eq!(words, ["started", "deallocated", "started", "deallocated"]);
    assert_eq!((terminated, world.billed().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_created_by_us_is_never_terminated() {
    // The group says create-delete by now; the machine was made by hand before.
    let world = Plan::default().build();
    let id = world
        .cloud()
        .make(CLUSTER, &name("c1"), Owner::Adopted)
        .unwrap();
    world
        .cloud()
        .force(&id, slurmburst_core::provider::InstanceState::Running)
        .unwrap();
    world.record(Program::Suspend, &list("c1"));
    let _ = timeout(Duration::from_secs(60), world.run()).await;
    assert_eq!(
        world.cloud().read(|b| b.count(OpKind::Terminate)).unwrap(),
        0
    );
}

#[tokio::test(start_paused = true)]
async fn pause_starts_nothing_powers_down_and_unpause_goes_on() {
    let world = Plan::default().build();
    world.resume("c1");
    world.run().await;
    world.ledger(|l| l.set_paused(true).unwrap());
    world.resume("c2");
    world.suspend("c1");
    let scene = async {
        sleep(Duration::from_secs(30)).await;
        assert!(world.billed().is_empty(), "{:?}", world.billed());
        world.ledger(|l| l.set_paused(false).unwrap());
        sleep(Duration::from_secs(10)).await;
        assert_eq!(world.running(), ["c2"]);
    };
    world.run_while(scene).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_powered_up_too_often_is_failed_and_marked() {
    let site = format!(
        "max_power_ups_per_hour = 2\n{}",
        group("c[1-3]", "create-delete", &["a"])
    );
    let world = Plan {
        suspend_timeout: 3,
        ..Plan::default()
    }
    .site(site)
    .build();
    for round in 0..3 {
        world.resume("c1");
        world.run().await;
        if round < 2 {
            world.suspend("c1");
            world.pass(2).await;
            world.run().await;
            world.pass(20).await;
        }
    }
    assert!(
        world
            .failure("c1")
            .starts_with("quota: it was powered up 2 times"),
        "{}",
        world.failure("c1")
    );
    world.pass(20).await;
    assert_eq!(world.launches("c1"), 2);
    assert!(
        world
            .reason("c1")
            .starts_with("slurmburst: quota TooManyPowerUps"),
        "{}",
        world.reason("c1")
    );
}
