//! Nodes that cannot come up: the capacity ladder, and what Slurm is told.

use std::time::Duration;

use slurmburst_core::error::{Error, ErrorKind};
use slurmburst_core::fake::{Fault, Trouble};
use slurmburst_core::ledger::Program;
use slurmburst_core::provider::OpKind;
use slurmburst_core::slurm::control::{Change, SlurmErrorKind};
use tokio::time::Instant;

use crate::world::{Plan, cloud, error, group, list, name};

fn two_clouds() -> Plan {
    Plan {
        clouds: vec![("a", cloud()), ("b", cloud())],
        site: group("c[1-10]", "create-delete", &["a", "b"]),
        ..Plan::default()
    }
}

#[tokio::test(start_paused = true)]
async fn where_there_is_no_room_the_next_rung_is_tried() {
    let world = two_clouds().cloud(|c| c.capacity = Some(2)).build();
    world.resume("c[1-5]");
    let report = world.run().await;
    assert_eq!((report.up, report.failed), (5, 0));
    let on_b = world.clouds["b"].read(|b| b.machines().count()).unwrap();
    assert_eq!((world.running().len(), on_b), (5, 3));
    // The first is known to be dry: it is not asked again.
    let asked = world.clouds["a"].read(|b| b.count(OpKind::Create)).unwrap();
    world.resume("c6");
    world.run().await;
    assert_eq!(
        world.clouds["a"].read(|b| b.count(OpKind::Create)).unwrap(),
        asked
    );
    world.never_two_at_once();
}

#[tokio::test(start_paused = true)]
async fn when_all_are_dry_slurm_is_told_in_the_only_order_that_works() {
    let world = two_clouds().site(format!(
        "{}[cool_off]\ncapacity = \"5m\"\n",
        group("c[1-10]", "create-delete", &["a", "b"])
    ));
    let world = Plan {
        suspend_timeout: 5,
        ..world
    }
    .build();
    world.clouds.values().for_each(|c| c.set_capacity(Some(0)));
    let begun = Instant::now();
    world.resume("c[1-3]");
    let report = world.run().await;
    assert_eq!((report.up, report.failed), (0, 3));
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    let told: Vec<String> = world
        .slurm
        .log()
        .iter()
        .map(|(_, c)| format!("{c:?}"))
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0], format!("{:?}", Change::PowerDownForce));
    assert!(
        told[1].starts_with("Down { reason: \"slurmburst: capacity InsufficientCapacity b"),
        "{told:?}"
    );
    world.pass(20).await;
    assert_eq!(world.state("c1"), "DOWN+CLOUD+POWERED_DOWN");
    // Not returned before the cool-off is over, and then at once.
    world.run().await;
    world.minutes(4).await;
    assert_eq!(world.state("c1"), "DOWN+CLOUD+POWERED_DOWN");
    world.minutes(2).await;
    assert!(
        !world.state("c1").contains("DOWN+CLOUD"),
        "{}",
        world.state("c1")
    );
    assert!(world.ledger(|l| l.marks().unwrap()).is_empty());
    world.clouds.values().for_each(|c| c.set_capacity(None));
    world.resume("c1");
    assert_eq!(world.run().await.up, 1);
}

#[tokio::test(start_paused = true)]
async fn a_dry_placement_fails_every_node_at_once_whatever_the_rate_limit() {
    let plan = Plan::default()
        .site(group("c[1-500]", "create-delete", &["a"]))
        .cloud(|c| {
            c.capacity = Some(0);
            c.max_batch = 10;
            c.classes = vec![crate::world::writes(10.0, 10.0)];
        });
    let world = Plan {
        resume_timeout: 600,
        ..plan
    }
    .build();
    let begun = Instant::now();
    world.resume("c[1-500]");
    let report = world.run().await;
    assert_eq!(report.failed, 500);
    // 500 nodes at 10 a second would be 50 s.
    assert!(
        begun.elapsed() < Duration::from_secs(25),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn an_administrators_down_is_never_touched() {
    // 22.05 itself overwrites the reason at ResumeTimeout; that is far away.
    let world = Plan {
        resume_timeout: 7_200,
        ..Plan::default()
    }
    .build();
    world.cloud().set_capacity(Some(0));
    world.resume("c[1-2]");
    world.slurm.down(&list("c1"), "fan broken");
    world.run().await;
    world.pass(400).await;
    world.minutes(10).await;
    assert_eq!(world.reason("c1"), "fan broken");
    assert!(
        world.state("c1").starts_with("DOWN"),
        "{}",
        world.state("c1")
    );
    for (nodes, change) in world.slurm.log() {
        assert!(!nodes.contains(&name("c1")), "{change:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_without_cool_off_is_forced_down_and_no_more() {
    let world = Plan {
        resume_timeout: 60,
        suspend_timeout: 5,
        ..Plan::default()
    }
    .cloud(|c| c.boot_delay = Duration::from_secs(1_000))
    .build();
    world.resume("c1");
    world.run().await;
    assert!(
        world.billed().is_empty(),
        "what was being made is taken away again"
    );
    world.pass(20).await;
    assert_eq!(world.state("c1"), "IDLE+CLOUD+POWERED_DOWN");
    let told: Vec<Change> = world.slurm.log().into_iter().map(|(_, c)| c).collect();
    assert_eq!(told, [Change::PowerDownForce]);
}

#[tokio::test(start_paused = true)]
async fn what_failed_late_goes_down_though_slurm_says_nothing_of_it() {
    let world = Plan {
        resume_timeout: 60,
        ..Plan::default()
    }
    .cloud(|c| c.boot_delay = Duration::from_secs(1_000))
    .build();
    world.resume("c1");
    world.slurm.forget(&name("c1"));
    world.run().await;
    assert!(
        world.failure("c1").starts_with("timeout"),
        "{}",
        world.failure("c1")
    );
    assert!(world.billed().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_late_cloud_does_not_tear_down_what_slurm_has_taken() {
    // The cloud says "done" after 200 s, the node registers after 20 s.
    let world = Plan {
        resume_timeout: 60,
        ..Plan::default()
    }
    .cloud(|c| c.boot_delay = Duration::from_secs(200))
    .build();
    world.resume("c1");
    let registers = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        world.slurm.up(&list("c1"));
    };
    let (report, ()) = tokio::join!(world.run(), registers);
    assert_eq!((report.up, report.failed), (1, 0));
    world.pass(200).await;
    assert_eq!(world.running(), ["c1"]);
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_slurm_is_waited_for_rather_than_guessed_at() {
    let world = Plan {
        resume_timeout: 60,
        ..Plan::default()
    }
    .cloud(|c| c.boot_delay = Duration::from_secs(100))
    .build();
    world.resume("c1");
    let scene = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        world.slurm.up(&list("c1"));
        world.slurm.silence(Some(SlurmErrorKind::Timeout));
        tokio::time::sleep(Duration::from_secs(60)).await;
        world.slurm.silence(None);
    };
    let (report, ()) = tokio::join!(world.run(), scene);
    assert_eq!((report.up, report.failed, world.billed().len()), (1, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_newer_power_up_that_went_well_ends_an_old_mark() {
    let world = Plan::default().build();
    world.cloud().set_capacity(Some(0));
    world.resume("c1");
    // Slurm takes no update for a while, so that the mark is still to be told.
    for _ in 0..3 {
        world.slurm.fail_next_update(SlurmErrorKind::Unreachable);
    }
    assert!(
        world
            .killed_after(Duration::from_millis(1_500), false)
            .await
    );
    world.cloud().set_capacity(None);
    world.ledger(|l| l.set_dry("a", &error(ErrorKind::Capacity), 1).unwrap());
    world.record(Program::Resume, &list("c1"));
    world.run().await;
    world.pass(30).await;
    assert_eq!(
        (world.running(), world.state("c1")),
        (vec!["c1".to_owned()], "IDLE+CLOUD".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn partial_failures_concern_the_nodes_that_they_name() {
    let world = Plan::default().build();
    let quota = Error::new(ErrorKind::Quota, "no more").code("QuotaExceeded");
    world
        .cloud()
        .fault(Fault::new(Trouble::Nodes(list("c[2,4]"), quota)).on(OpKind::Create));
    world.resume("c[1-5]");
    let report = world.run().await;
    assert_eq!((report.up, report.failed), (3, 2));
    assert_eq!(world.billed(), ["c1", "c3", "c5"]);
    assert_eq!(world.failure("c2"), "quota: no more (QuotaExceeded)");
}

#[tokio::test(start_paused = true)]
async fn what_was_accepted_and_fails_in_the_end_leaves_no_debris() {
    let world = two_clouds().build();
    world.clouds["a"]
        .fault(Fault::new(Trouble::FailLater(error(ErrorKind::Capacity))).on(OpKind::Create));
    world.resume("c[1-2]");
    let report = world.run().await;
    assert_eq!((report.up, report.failed), (2, 0));
    world.pass(1).await;
    let left = world.clouds["a"]
        .read(|b| b.billed(crate::world::CLUSTER, world.now()).count())
        .unwrap();
    assert_eq!((left, world.running().len()), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_node_of_no_group_any_more_is_failed_by_name() {
    let mut world = Plan::default().build();
    world.resume("c9");
    world.use_site(&group("c[1-3]", "create-delete", &["a"]));
    assert_eq!(world.run().await.failed, 1);
    assert!(
        world.failure("c9").contains("c9 is in no [[nodes]] group"),
        "{}",
        world.failure("c9")
    );
}
