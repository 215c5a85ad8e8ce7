//! The full pass: orphans, lost power-ups, lost marks, and when nothing is done.

use std::time::Duration;

use slurmburst_core::converge::FullOptions;
use slurmburst_core::error::ErrorKind;
use slurmburst_core::ledger::{Ledger, Program};
use slurmburst_core::provider::{InstanceState, OpKind};
use slurmburst_core::slurm::control::SlurmErrorKind;

use crate::world::{Plan, World, error, group, list, name};

/// Machines that run while Slurm shows the nodes as powered down and nobody
/// was told: the ledger is lost.
async fn orphans(nodes: &str) -> World {
    let mut world = Plan::default()
        .site(group("c[1-60]", "create-delete", &["a"]))
        .build();
    world.resume(nodes);
    world.run().await;
    world.pass(1).await;
    lose_ledger(&mut world);
    world.slurm.add(&list(nodes));
    world
}

fn lose_ledger(world: &mut World) {
    let dir = world.dir().to_owned();
    for entry in std::fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        if path
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("ledger.sqlite3")
        {
            std::fs::remove_file(path).unwrap();
        }
    }
    let fresh = Ledger::open(&dir, world.clock.clone()).unwrap();
    world.ledger(|l| *l = fresh);
}

#[tokio::test(start_paused = true)]
async fn an_orphan_is_powered_down_when_two_passes_far_enough_apart_see_it() {
    let world = orphans("c[1-3]").await;
    let report = world.reconcile(&FullOptions::default()).await;
    assert_eq!(
        (report.found.len(), world.billed().len()),
        (3, 3),
        "first sight"
    );
    world.pass(60).await;
    world.reconcile(&FullOptions::default()).await;
    assert_eq!(world.billed().len(), 3, "60 s are less than orphan_grace");
    world.pass(60).await;
    world.reconcile(&FullOptions::default()).await;
    assert!(world.billed().is_empty());
}

fn short_lived() -> Plan {
    Plan::default().cloud(|c| c.lifetime = Some(Duration::from_secs(60)))
}

#[tokio::test(start_paused = true)]
async fn an_orphan_that_outlived_its_time_goes_at_first_sight() {
    let mut world = short_lived().build();
    world.resume("c[1-3]");
    world.run().await;
    lose_ledger(&mut world);
    world.slurm.add(&list("c[1-3]"));
    world.pass(30).await;
    world.reconcile(&FullOptions::default()).await;
    assert_eq!(world.billed().len(), 3, "its time is not over");
    world.pass(35).await;
    world.reconcile(&FullOptions::default()).await;
    assert!(world.billed().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_outlived_its_time_is_reported_and_left_to_its_jobs() {
    let world = short_lived().build();
    world.resume("c[1-2]");
    world.run().await;
    world.pass(30).await;
    let report = world.reconcile(&FullOptions::default()).await;
    assert_eq!(report.found, [], "in time");
    for dry_run in [false, true, false] {
        world.pass(60).await;
        let options = FullOptions {
            dry_run,
            ..FullOptions::default()
        };
        let found = world.reconcile(&options).await.found;
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(
            (found[0].node.as_str(), found[0].what.as_str()),
            ("c1", "overdue")
        );
        let command = "scontrol update nodename=c1 state=power_down_asap";
        assert!(found[0].action.contains(command), "{found:?}");
    }
    assert_eq!(world.running(), ["c1", "c2"]);
    assert_eq!(world.slurm.updates(), 0);
    // Slurm powers it down: as any other.
    world.suspend("c1");
    world.pass(2).await;
    world.run().await;
    assert_eq!(world.billed(), ["c2"]);
}

#[tokio::test(start_paused = true)]
async fn wait_stays_until_a_suspicion_is_confirmed() {
    let world = orphans("c[1-3]").await;
    let wait = FullOptions {
        wait: true,
        ..FullOptions::default()
    };
    world.reconcile(&wait).await;
    assert!(world.billed().is_empty());
}

#[tokio::test(start_paused = true)]
async fn another_machine_makes_it_another_suspicion() {
    let world = orphans("c1").await;
    world.reconcile(&FullOptions::default()).await;
    world.resume("c1");
    world.run().await;
    world.pass(100).await;
    world.suspend("c1");
    world.slurm.add(&list("c1"));
    world.reconcile(&FullOptions::default()).await;
    assert_eq!(
        world.billed(),
        ["c1"],
        "this one was seen for the first time"
    );
}

#[tokio::test(start_paused = true)]
async fn too_many_orphans_are_a_mistake_until_a_person_says_otherwise() {
    let world = orphans("c[1-50]").await;
    world.minutes(4).await;
    assert_eq!(world.billed().len(), 50);
    let wrong = FullOptions {
        confirm: Some(49),
        ..FullOptions::default()
    };
    let report = world.reconcile(&wrong).await;
    assert_eq!((world.billed().len(), report.held_back.len()), (50, 1));
    assert!(
        report.held_back[0].contains("reconcile --confirm 50"),
        "{:?}",
        report.held_back
    );
    let dry = FullOptions {
        dry_run: true,
        ..FullOptions::default()
    };
    assert!(world.reconcile(&dry).await.held_back[0].contains("--confirm 50"));
    let right = FullOptions {
        confirm: Some(50),
        ..FullOptions::default()
    };
    world.reconcile(&right).await;
    assert!(world.billed().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_changes_nothing() {
    let world = orphans("c[1-3]").await;
    let dry = FullOptions {
        dry_run: true,
        ..FullOptions::default()
    };
    for _ in 0..3 {
        assert_eq!(world.reconcile(&dry).await.found.len(), 3);
        world.pass(100).await;
    }
    assert_eq!(world.billed().len(), 3);
    world.reconcile(&FullOptions::default()).await;
    assert_eq!(world.billed().len(), 3, "what a dry run saw was not seen");
}

#[tokio::test(start_paused = true)]
async fn without_its_ledger_it_terminates_nothing_that_slurm_wants() {
    let mut world = Plan::default().build();
    world.resume("c[1-4]");
    world.run().await;
    world.pass(1).await;
    // c5 is on its way up, c4 is not wanted any more.
    world.slurm.add(&list("c4"));
    world.resume("c5");
    world.killed_after(Duration::from_secs(2), false).await;
    lose_ledger(&mut world);
    world.minutes(5).await;
    assert_eq!(world.running(), ["c1", "c2", "c3", "c5"]);
    world.never_two_at_once();
    // Generations go on where the machines' tags are.
    world.suspend("c1");
    world.pass(2).await;
    world.run().await;
    assert_eq!(world.running(), ["c2", "c3", "c5"]);
}

#[tokio::test(start_paused = true)]
async fn without_its_ledger_marks_return() {
    let mut world = Plan {
        suspend_timeout: 5,
        ..Plan::default()
    }
    .build();
    world.cloud().set_capacity(Some(0));
    world.resume("c1");
    world.run().await;
    world.pass(10).await;
    assert!(world.state("c1").starts_with("DOWN"));
    lose_ledger(&mut world);
    world.minutes(8).await;
    assert_eq!(world.state("c1"), "IDLE+CLOUD+POWERED_DOWN+NOT_RESPONDING");
}

#[tokio::test(start_paused = true)]
async fn where_slurm_gives_no_good_answer_nothing_is_done() {
    for silence in [
        SlurmErrorKind::Timeout,
        SlurmErrorKind::Empty,
        SlurmErrorKind::Unreachable,
    ] {
        let world = orphans("c[1-3]").await;
        world.slurm.silence(Some(silence));
        world.minutes(4).await;
        assert_eq!(world.billed().len(), 3, "{silence}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_slurm_does_not_show_is_unknown() {
    let world = orphans("c[1-3]").await;
    list("c[1-3]").iter().for_each(|n| world.slurm.forget(n));
    world.minutes(4).await;
    assert_eq!(world.billed().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_does_not_act_does_nothing() {
    let world = orphans("c[1-3]").await;
    world.slurm.acts_elsewhere(true);
    // Not even what was wished here before.
    world.record(Program::Suspend, &list("c1"));
    world.record(Program::Resume, &list("c9"));
    world.minutes(4).await;
    assert_eq!(world.billed().len(), 3);
    assert_eq!((world.launches("c9"), world.slurm.updates()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn where_a_listing_has_gaps_its_cloud_is_left_alone() {
    let world = orphans("c[1-3]").await;
    world
        .cloud()
        .gap("elsewhere", error(ErrorKind::Unavailable));
    world.minutes(4).await;
    assert_eq!(world.billed().len(), 3);
    world.cloud().calm();
    world.minutes(3).await;
    assert!(world.billed().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_machine_vanished_is_told_to_slurm() {
    let world = Plan {
        suspend_timeout: 5,
        ..Plan::default()
    }
    .build();
    world.resume("c1");
    world.run().await;
    world.pass(1).await;
    let id = world
        .cloud()
        .read(|b| b.machines().next().unwrap().id.clone())
        .unwrap();
    world.cloud().force(&id, InstanceState::Terminated).unwrap();
    world.minutes(1).await;
    assert_eq!(world.slurm.updates(), 0, "Slurm still hears of it");
    world.slurm.not_responding(&list("c1"));
    world.minutes(3).await;
    assert_eq!(world.state("c1"), "IDLE+CLOUD+POWERED_DOWN");
    assert!(world.ledger(|l| l.marks().unwrap()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_power_up_that_nobody_was_told_of_is_made_up_for() {
    let world = Plan::default().build();
    world.slurm.power_up(&list("c1"));
    let _ = world.slurm.calls();
    world.reconcile(&FullOptions::default()).await;
    assert!(world.billed().is_empty(), "ResumeProgram may be on its way");
    world.pass(15).await;
    world.reconcile(&FullOptions::default()).await;
    world.pass(1).await;
    assert_eq!(world.state("c1"), "IDLE+CLOUD");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_timed_out_is_usable_again() {
    let world = Plan {
        resume_timeout: 60,
        suspend_timeout: 5,
        ..Plan::default()
    }
    .build();
    world.mute.lock().unwrap().push(name("c1"));
    world.resume("c1");
    world.run().await;
    assert_eq!(world.running(), ["c1"]);
    world.pass(60).await;
    assert!(
        world.state("c1").starts_with("DOWN"),
        "{}",
        world.state("c1")
    );
    world.run().await;
    assert!(world.billed().is_empty(), "ResumeFailProgram took it down");
    world.minutes(1).await;
    assert!(
        world.state("c1").starts_with("IDLE"),
        "{}",
        world.state("c1")
    );
    world.mute.lock().unwrap().clear();
    world.resume("c1");
    assert_eq!(world.run().await.up, 1);
}

#[tokio::test(start_paused = true)]
async fn what_dead_nodes_left_is_tidied() {
    let world = Plan::default()
        .cloud(|c| c.leave_behind = Some("nic".into()))
        .build();
    world.resume("c[1-3]");
    world.run().await;
    world.pass(1).await;
    world.suspend("c[1-3]");
    world.pass(2).await;
    world.run().await;
    assert_eq!(world.cloud().read(|b| b.leftovers()).unwrap(), 3);
    let report = world.reconcile(&FullOptions::default()).await;
    assert_eq!(
        report.found.iter().filter(|f| f.what == "leftover").count(),
        3
    );
    assert_eq!(
        world
            .cloud()
            .read(|b| (b.leftovers(), b.count(OpKind::Tidy)))
            .unwrap(),
        (0, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_hand_made_machine_is_no_orphan() {
    let world = Plan::default()
        .site(group("c[1-10]", "start-deallocate", &["a"]))
        .build();
    let id = world
        .cloud()
        .make(
            crate::world::CLUSTER,
            &name("c1"),
            slurmburst_core::provider::Owner::Matched,
        )
        .unwrap();
    world.cloud().force(&id, InstanceState::Running).unwrap();
    world.minutes(5).await;
    assert_eq!(world.running(), ["c1"]);
}
